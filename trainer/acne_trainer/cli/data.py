"""`acne-train data`: audits labelled photographs, splits and converts them."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from pathlib import Path

import click

from acne_runtime.atomic_write import write_atomically
from acne_runtime.cli.click_command import Group
from acne_runtime.errors import AcneEdgeError
from acne_trainer.cli.requirements import require_training_extra
from acne_trainer.data.formats.names import FORMATS, SPLITS

_SET = click.Path(exists=True, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)
_TARGET = click.Path(path_type=Path)


@click.group(cls=Group)
def data() -> None:
    """Inspects, splits, converts and merges data sets.

    A set is a folder in one of the forms keras-txt, yolo, coco, voc and table, which are told apart by what lies there,
    or a splits.json.
    """


@data.command()
@click.argument("folder", metavar="DIR", type=_SET)
@click.option("--json", "json_file", type=_FILE, metavar="FILE", help="Write everything that was found here.")
@click.option("--picture", type=_FILE, metavar="FILE", help="Draw counts, sizes and co-occurrence into this PNG.")
@click.option(
    "--training-size",
    type=click.IntRange(min=1),
    default=640,
    show_default=True,
    metavar="PX",
    help="Side of the model's input, for the sizes of boxes.",
)
@click.pass_context
def inspect(
    context: click.Context, folder: Path, json_file: Path | None, picture: Path | None, training_size: int
) -> None:
    """Reports the faults, counts and sizes.

    Exits with 1 if a photograph or label cannot be read, after reporting everything; other findings leave it at 0.
    """
    require_training_extra()
    from acne_trainer.audit.audit import audit
    from acne_trainer.audit.text import audit_text

    with click.progressbar(length=0, label="Reading photographs", file=sys.stderr) as bar:

        def on_photo(count: int) -> None:
            bar.length = count
            bar.update(1)

        found = audit(folder, training_size, on_photo)
    if json_file:
        write_atomically(json_file, (json.dumps(found.to_dict(), indent=2, ensure_ascii=False) + "\n").encode())
    if picture:
        from acne_trainer.audit.figure import audit_picture

        write_atomically(picture, audit_picture(found))
    click.echo(audit_text(found), nl=False)
    context.exit(0 if found.readable else 1)


def _ratios(context: click.Context, parameter: click.Parameter, value: str) -> tuple[float, float, float]:
    try:
        train, valid, test = map(float, value.split(","))
    except ValueError:
        raise click.BadParameter("expected three numbers, such as 0.8,0.1,0.1") from None
    if not train > 0 or min(valid, test) < 0 or not math.isclose(train + valid + test, 1, abs_tol=1e-6):
        raise click.BadParameter("expected shares for train, valid and test that sum to 1, such as 0.8,0.1,0.1")
    return train, valid, test


@data.command()
@click.argument("folder", metavar="DIR", type=_SET)
@click.option("--out", type=_TARGET, required=True, metavar="DIR|FILE", help="Where splits.json goes, or its name.")
@click.option("--ratios", default="0.8,0.1,0.1", show_default=True, callback=_ratios, help="Train, valid and test.")
@click.option("--seed", type=int, default=0, show_default=True)
def split(folder: Path, out: Path, ratios: tuple[float, float, float], seed: int) -> None:
    """Splits the data set in DIR without leakage: no photograph, copy or version of it in two splits.

    The splits are written to splits.json; no photograph is moved. A folder with that file is read as the split data
    set; it may be DIR itself.
    """
    require_training_extra()
    from acne_trainer.data.load import read_form_and_splits
    from acne_trainer.data.near_duplicates import fingerprint_images
    from acne_trainer.data.split_file import SPLIT_FILE, SplitFile, name_in
    from acne_trainer.data.splitting import leakage_groups, stratified_group_split

    if folder.is_file():
        raise AcneEdgeError(f"{folder}: name the folder of the labelled set itself, to split it again")
    file = out if out.suffix == ".json" else out / SPLIT_FILE
    if file.exists():
        raise AcneEdgeError(f"{file}: is there already; remove it or name another")
    form, parts = read_form_and_splits(folder, follow=False)
    classes = next(iter(parts.values())).classes
    samples = [sample for part in parts.values() for sample in part.samples]
    _check_listed_once([sample.path for sample in samples])
    with click.progressbar(length=len(samples), label="Reading photographs", file=sys.stderr) as bar:
        looks = fingerprint_images([sample.path for sample in samples], on_photo=lambda: bar.update(1))
    groups = leakage_groups(looks)
    dealt = stratified_group_split(samples, len(classes), groups, ratios, seed)
    chosen = {
        name: tuple(name_in(folder, sample.path) for sample, one in zip(samples, dealt, strict=True) if one == index)
        for index, name in enumerate(SPLITS)
    }
    chosen = {name: photos for name, photos in chosen.items() if photos}
    SplitFile(folder, form, seed, ratios, int(groups.max()) + 1, chosen).write(file)
    click.echo(f"{file}: {len(samples)} photographs in {groups.max() + 1} groups")
    for index, name in enumerate(SPLITS):
        members = [sample.presence(len(classes)) for sample, one in zip(samples, dealt, strict=True) if one == index]
        shares = (
            f"{sum(present[k] for present in members) / max(1, len(members)):.1%} {c}" for k, c in enumerate(classes)
        )
        click.echo(f"  {name:5}  {len(members):6,} photographs: {', '.join(shares)}")


def _check_listed_once(photos: list[Path]) -> None:
    twice = next((photo for photo, times in Counter(photos).items() if times > 1), None)
    if twice is not None:
        raise AcneEdgeError(f"{twice}: listed more than once; acne-train data inspect tells which others are")


@data.command()
@click.argument("source", metavar="SRC", type=_SET)
@click.argument("target", metavar="DST", type=_TARGET)
@click.option("--to", "form", type=click.Choice(FORMATS), required=True, help="The form to write.")
@click.option("--link", is_flag=True, help="Hard-link the photographs instead of copying them.")
def convert(source: Path, target: Path, form: str, link: bool) -> None:
    """Writes the set in SRC to the new folder DST in another format.

    To a table, boxes become the types that a photograph shows. Pascal VOC rounds boxes to whole pixels.
    """
    require_training_extra()
    from acne_trainer.data.export import write_dataset
    from acne_trainer.data.load import read_splits

    splits = read_splits(source)
    write_dataset(splits, form, target, link=link)
    counts = ", ".join(f"{len(part.samples):,} in {name}" for name, part in splits.items())
    click.echo(f"{target}: {form}, photographs: {counts}")


@data.command()
@click.argument("source", metavar="SRC", type=_SET)
@click.argument("marks", metavar="MARKS...", type=_SET, nargs=-1, required=True)
@click.option("--out", "target", type=_TARGET, required=True, metavar="DST", help="The new folder.")
@click.option("--link", is_flag=True, help="Hard-link the photographs instead of copying them.")
@click.option("--json", "json_file", type=_FILE, metavar="FILE", help="Write here what was joined and what was not.")
def merge(source: Path, marks: tuple[Path, ...], target: Path, link: bool, json_file: Path | None) -> None:
    """Writes the set in SRC to DST, completed by the lesions that the sets in MARKS mark on the same photographs.

    A photograph's partner has the same file name, or by Roboflow's names the same source. It may be a crop, stretched,
    turned or mirrored: the two are laid over each other, and refused where that is not sure. The lesions come as class
    "lesion", of unknown type. Only train is completed; valid and test keep their own labels.
    """
    require_training_extra()
    from acne_trainer.data.merge import write_merged

    with click.progressbar(length=0, label="Laying photographs over each other", file=sys.stderr) as bar:

        def on_photo(count: int) -> None:
            bar.length = count
            bar.update(1)

        rows, photographs = write_merged(source, marks, target, link=link, on_photo=on_photo)
    if json_file:
        table = [row.to_dict() for row in rows]
        write_atomically(json_file, (json.dumps(table, indent=1, ensure_ascii=False) + "\n").encode())
    joined = [row for row in rows if row.is_sure]
    click.echo(
        f"{target}: {sum(row.added for row in joined):,} lesions of unknown type added to "
        f"{len({row.photograph for row in joined}):,} of {photographs:,} photographs of train "
        f"({sum(row.already_marked for row in joined):,} were marked already, "
        f"{sum(row.outside for row in joined):,} lie outside the frame)"
    )
    refused = [row for row in rows if not row.is_sure]
    for row in refused:
        click.echo(f"  not joined: {row.photograph} with {row.partner}: they cannot be laid over each other")
