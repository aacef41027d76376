import click
import pytest
from click.testing import CliRunner

from acne_runtime.cli.click_command import Command, Group
from acne_runtime.errors import AcneEdgeError, SourceError


def run(error, command=Command, **options):
    @click.command(cls=command, flags={"overlap": "--tile-overlap"}, **options)
    @click.option("--tile-overlap", type=int)
    @click.option("--score-threshold", type=float)
    @click.option("--model", "models")
    def main(**_):
        raise error

    return CliRunner().invoke(main, [])


@pytest.mark.parametrize(
    ("message", "parameter", "shown"),
    [
        ("`overlap` 9: too large", "overlap", "--tile-overlap 9: too large"),
        ("`score_threshold` 2: not within 0 to 1", "score_threshold", "--score-threshold 2: not within 0 to 1"),
        ("`model` x: no such model; see `overlap`", "model", "--model x: no such model; see --tile-overlap"),
        ("a.jpg: too large; raise `max_pixels`", "max_pixels", "a.jpg: too large; raise `max_pixels`"),
        ("`model`.jpg: no such image", None, "`model`.jpg: no such image"),
    ],
    ids=["renamed", "same name", "option of another name", "no such option", "no parameter"],
)
def test_parameters_are_shown_as_flags(message, parameter, shown):
    result = run(AcneEdgeError(message, parameter=parameter))
    assert (result.exit_code, result.stderr) == (1, f"Error: {shown}\n")


def test_an_error_ends_with_its_exit_code_on_one_line():
    class OtherError(SourceError):
        exit_code = 3

    result = run(OtherError("a\nb.jpg: gone"))
    assert (result.exit_code, result.stderr) == (3, "Error: a?b.jpg: gone\n")


def test_an_operating_system_error_names_the_file():
    result = run(FileNotFoundError(2, "No such file or directory", "a.json"))
    assert (result.exit_code, result.stderr) == (1, "Error: a.json: No such file or directory\n")


def test_the_commands_of_a_group_print_errors_alike():
    @click.group(cls=Group)
    def main():
        pass

    @main.command()
    @click.option("--overlap")
    def tile(overlap):
        raise AcneEdgeError("`overlap` 9: too large", parameter="overlap")

    result = CliRunner().invoke(main, ["tile"])
    assert (result.exit_code, result.stderr) == (1, "Error: --overlap 9: too large\n")
