import json
import shlex

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from support.visits import SAMPLES, SKIN, load_sample

from acne_monitor.cli.main import main

cv2 = pytest.importorskip("cv2")
pytest.importorskip("onnxruntime")
SAMPLE = str(SAMPLES / "rendered_skin.jpg")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store with two visits, made by the commands alone; tests do not change it."""
    folder = tmp_path_factory.mktemp("monitor")
    (folder / "consent.md").write_text("I agree.")
    revisits = load_sample("render_revisit")
    rng = np.random.default_rng(0)
    cv2.imwrite(str(folder / "later.jpg"), revisits.Revisit(640, 640, revisits.LEVELS["easy"], rng).render(SKIN))
    root = str(folder / "store")
    assert "readable by you only" in run("init", root).output
    run("subject", "add", root, "S-01", "--consent", str(folder / "consent.md"))
    first = run("add", root, "S-01", SAMPLE, "--view", "left", "--at", "2026-11-01T10:00+01:00")
    assert "V1 2026-11-01 left:" in first.output and "the baseline" in first.output
    second = run(
        "add",
        root,
        "S-01",
        str(folder / "later.jpg"),
        str(folder / "later.jpg"),
        "--view",
        "left",
        "--at",
        "2026-11-15",
    )
    assert "V2 2026-11-15 left:" in second.output and "not compared" not in second.output
    return root


def run(*arguments, code=0, **options):
    result = CliRunner().invoke(main, arguments, **options)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output and (result.exception is None or isinstance(result.exception, SystemExit))
    return result


def test_visits_and_comparison(store):
    listed = run("visits", store, "S-01").output
    assert "V1     2026-11-01" in listed and "Not a medical diagnosis" in listed
    compared = run("compare", store, "S-01").output
    assert "S-01: V1 (2026-11-01) to V2 (2026-11-15)" in compared and "within measuring error" in compared
    assert run("compare", store, "S-01", "--from", "V1", "--to", "2026-11-15").output == compared
    assert "S-01: 2 visit(s)" in run("subject", "list", store).output
    assert "all as written" in run("verify", store).output


def test_report_and_exports(store, tmp_path):
    run("report", store, "S-01", "-o", str(tmp_path / "report.html"))
    assert "<h1>" in (tmp_path / "report.html").read_text()
    run("export", store, "S-01", "--fhir", "-o", str(tmp_path / "bundle.json"))
    assert json.loads((tmp_path / "bundle.json").read_text())["type"] == "collection"
    run("export", store, "S-01", "--csv", "-o", str(tmp_path / "table.csv"))
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 3
    run("export", store, "--all", "-o", str(tmp_path / "all.zip"))
    copy = str(tmp_path / "copy")
    assert "1 subject(s)" in run("import", copy, str(tmp_path / "all.zip")).output
    assert run("compare", copy, "S-01").output == run("compare", store, "S-01").output


def test_what_people_add_and_erase(store, tmp_path):
    run("export", store, "--all", "-o", str(tmp_path / "all.zip"))
    copy = str(tmp_path / "copy")
    run("import", copy, str(tmp_path / "all.zip"))
    run("note", copy, "S-01", "--treatment", "Adapalene", "--from", "2026-11-02")
    run("assess", copy, "S-01", "V2", "--iga", "2", "--by", "Dr. A")
    run("consent", copy, "S-01", "--withdraw")
    assert "consent withdrawn" in run("subject", "list", copy).output
    assert "withdrawn consent" in run("add", copy, "S-01", SAMPLE, "--at", "2026-12-01", code=1).output
    run("report", copy, "S-01", "-o", str(tmp_path / "report.html"), "--no-photos")
    text = (tmp_path / "report.html").read_text()
    assert "Dr. A: IGA 2" in text and "Adapalene" in text and "withdrawn" in text
    assert "0 photograph(s) scored" in run("rescore", copy).output
    run("erase", copy, "S-01", code=1, input="n\n")
    assert "no trace" in run("erase", copy, "S-01", "--yes").output
    assert "no subjects" in run("subject", "list", copy).output
    assert "0 photograph(s)" in run("verify", copy).output


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("visits nowhere S-01", "nowhere: no store; make one with: acne-monitor init nowhere"),
        ("init STORE", "not empty; name a new folder"),
        ("subject add STORE S-01 --consent SAMPLE", "in the store already"),
        ("subject add STORE '' --consent SAMPLE", "printable characters is needed"),
        ("visits STORE S-02", "no subject 'S-02'; list them with: acne-monitor subject list"),
        ("add STORE S-01 SAMPLE --at yesterday", "--at yesterday: no date or time such as"),
        ("add STORE S-01 SAMPLE --view left --at 2026-11-15", "name another --view"),
        ("add STORE S-01 SAMPLE --view left --at 2026-10-01", "in order of time"),
        ("add STORE S-01 TEXT", "no JPEG, PNG"),
        ("add STORE S-01 SAMPLE --model acne-cnn", "not a detector"),
        ("compare STORE S-01 --to V9", "no visit 'V9' of S-01; there are: V1 (2026-11-01), V2"),
        ("compare STORE S-01 --model other", "--model other: no results of it"),
        ("correct STORE zzz --state new", "no such observation; acne-monitor compare lists them"),
        ("note STORE S-01 --treatment x --from soon", "--from soon: no date such as"),
        ("note STORE S-01 --treatment x --from 2026-11-02 --to 2026-11-01", "--to 2026-11-01: before"),
        ("import COPY SAMPLE", "no archive of acne-monitor"),
        ("serve nowhere", "no store; make one with"),
        ("erase STORE S-02 --yes", "no subject 'S-02'"),
    ],
)
def test_errors_are_one_line_with_the_way_out(store, tmp_path, arguments, problem):
    places = {"STORE": store, "SAMPLE": SAMPLE, "TEXT": __file__, "COPY": str(tmp_path / "copy")}
    output = run(*[places.get(one, one) for one in shlex.split(arguments)], code=1).output
    assert problem in output and output.startswith("Error: ") and output.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("add STORE S-01", "give a photograph, several as a burst, a video, or --camera"),
        ("assess STORE S-01 V1 --by me", "nothing to add: give --iga, a count, or --text"),
        ("export STORE S-01 -o x", "give one of --fhir, --csv and --all"),
        ("export STORE --fhir -o x", "name a SUBJECT"),
        ("serve STORE --host 0.0.0.0", "--host 0.0.0.0 is seen by other devices, which needs --cert and --key"),
        ("serve STORE --cert SAMPLE", "--cert and --key go together"),
    ],
)
def test_wrong_options_are_named(store, arguments, problem):
    places = {"STORE": store, "SAMPLE": SAMPLE}
    output = run(*[places.get(one, one) for one in shlex.split(arguments)], code=2).output
    assert problem in output.splitlines()[-1]


def test_a_photograph_from_the_future_is_not_believed(store, tmp_path):
    """rapid-photo-downloader#129: a camera with a wrong clock; every later photograph would be out of order."""
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2099:01:02 03:04:05"
    Image.fromarray(SKIN).save(tmp_path / "a.jpg", exif=exif)
    refused = CliRunner().invoke(
        main, ["add", str(store), "S-01", str(tmp_path / "a.jpg"), "--view", "chin", "--override"]
    )
    assert refused.exit_code == 1
    assert "taken on 2099-01-02, says the photograph, which is still to come; give the time with --at" in refused.output


def test_a_video_is_a_burst(store, tmp_path):
    video = cv2.VideoWriter(str(tmp_path / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, (640, 640))
    for _ in range(20):
        video.write(SKIN)
    video.release()
    run("export", store, "--all", "-o", str(tmp_path / "all.zip"))
    run("import", str(tmp_path / "copy"), str(tmp_path / "all.zip"))
    run("add", str(tmp_path / "copy"), "S-01", str(tmp_path / "clip.mp4"), "--view", "left", "--at", "2026-12-01")
    run("export", str(tmp_path / "copy"), "S-01", "--csv", "-o", str(tmp_path / "table.csv"))
    assert (tmp_path / "table.csv").read_text().splitlines()[-1].split(",")[11] == "10"
