import json
import os
import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest
from support.images import picture, write_picture

from acne_runtime.disclaimer import NO_DIAGNOSIS
from acne_runtime.errors import AcneEdgeError
from acne_runtime.frame import Frame
from acne_runtime.result import Label, Lesion, Result, Timing, annotate
from acne_runtime.severity import Severity
from acne_runtime.sinks import annotated_media
from acne_runtime.sinks.annotated_media import ImageWriter, VideoWriter
from acne_runtime.sinks.console import ConsoleSummary, describe
from acne_runtime.sinks.json_lines import JsonLines
from acne_runtime.sinks.overwrite_guard import OverwriteGuard
from acne_runtime.sinks.window import Window
from acne_runtime.sources.image_files import SUFFIXES
from acne_runtime.sources.video_file import Video

NOTHING_READ = OverwriteGuard()
CLASSES = ("comedones", "nodules", "papules", "pustules")
LESIONS = (
    Lesion("papules", 0.9, (10.0, 12.0, 40.0, 44.0)),
    Lesion("comedones", 0.5, (0.0, 0.0, 8.5, 7.25)),
    Lesion("papules", 0.4, (50.0, 60.0, 80.0, 90.0)),
)
LABELS = tuple(Label(name, score, score > 0.5) for name, score in zip(CLASSES, (0.9, 0.2, 0.7, 0.1), strict=True))


def answer(source="a.jpg", index=0, *, lesions=LESIONS, labels=None, size=(120, 160)):
    return Result(source, index, index / 10, *size[::-1], "tiny", CLASSES, lesions, labels, Timing(1.0, 2.0, 3.0))


def labelled(**kwargs):
    return answer(lesions=None, labels=LABELS, **kwargs)


def frame(source="a.jpg", index=0, *, size=(120, 160)):
    return Frame(picture(*size), str(source), index, index / 10)


def test_a_picture_names_each_lesion_once_and_doubts_what_is_unsure(monkeypatch):
    written = []
    monkeypatch.setattr(cv2, "putText", lambda image, text, *rest: written.append(text))
    places = [(100.0, 150.0, 120.0, 170.0), (200.0, 150.0, 220.0, 170.0)]
    said = [(0.0, 0.1, 0.6, 0.5), (0.0, 0.1, 0.6, 0.4)]
    lesions = [Lesion.of_types(CLASSES, 0.75, *one) for one in zip(places, said, strict=True)]
    annotate(picture(640, 640), answer(lesions=tuple(lesions), size=(640, 640)))
    assert written == ["papules 0.75", "papules? 0.75", "2 papules", NO_DIAGNOSIS]


def test_json_lines_make_no_file_before_there_is_a_result(tmp_path):
    sink = JsonLines(str(tmp_path / "out.jsonl"))
    assert list(tmp_path.iterdir()) == []
    sink.close()
    assert list(tmp_path.iterdir()) == []


def test_json_lines_hold_one_object_a_line(tmp_path):
    file = tmp_path / "new" / "folder" / "out.jsonl"
    sink = JsonLines(str(file))
    results = [answer("für später.jpg"), labelled(index=1), answer(index=2, lesions=())]
    for index, result in enumerate(results, start=1):
        sink.write(frame(), [result])
        assert len(file.read_text(encoding="utf-8").splitlines()) == index  # at once, for whoever follows the file
    sink.close()
    lines = file.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [result.to_dict() for result in results]
    assert "für später" in lines[0]


def test_json_lines_replace_those_of_an_earlier_run(tmp_path):
    file = tmp_path / "out.jsonl"
    file.write_text("old\n" * 9)
    sink = JsonLines(str(file))
    sink.write(frame(), [answer()])
    sink.close()
    assert json.loads(file.read_text()) == answer().to_dict()


def test_a_name_that_is_no_text_is_written_all_the_same(tmp_path, capfdbinary):
    strange = os.fsdecode(b"f\xe4ce.jpg")
    for file in ("-", str(tmp_path / "out.jsonl")):
        sink = JsonLines(file)
        sink.write(frame(strange), [answer(strange)])
        sink.close()
    written = (tmp_path / "out.jsonl").read_bytes()
    assert b'"f\\udce4ce.jpg"' in written
    assert capfdbinary.readouterr().out == written
    assert json.loads(written) == answer(strange).to_dict()


def test_json_lines_go_to_standard_output_and_leave_it_open(capsys):
    sink = JsonLines("-")
    sink.write(frame(), [answer()])
    sink.close()
    print("still open")
    first, second = capsys.readouterr().out.splitlines()
    assert json.loads(first) == answer().to_dict()
    assert second == "still open"


@pytest.mark.parametrize("suffix", sorted(SUFFIXES | {".JPG"}))
def test_a_picture_is_saved_annotated_under_its_own_name(tmp_path, suffix):
    source = write_picture(tmp_path / f"face{suffix}", 120, 160)
    before = source.read_bytes()
    sink = ImageWriter(tmp_path / "out" / "here", NOTHING_READ)
    sink.write(frame(source), [answer(str(source))])
    sink.close()
    written = cv2.imread(str(tmp_path / "out" / "here" / f"face{suffix}"))
    assert written.shape == (120, 160, 3)
    assert np.abs(written.astype(int) - annotate(frame().image, answer())).mean() < 8
    assert source.read_bytes() == before
    assert [path.name for path in (tmp_path / "out" / "here").iterdir()] == [f"face{suffix}"]


@pytest.mark.parametrize("way", [".", "sub/..", "link"])
def test_a_picture_never_overwrites_its_source(tmp_path, way):
    source = write_picture(tmp_path / "face.png", 120, 160)
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to(tmp_path)
    before = source.read_bytes()
    with pytest.raises(AcneEdgeError, match=r"--save .*would overwrite .*face\.png"):
        ImageWriter(tmp_path / way, OverwriteGuard([source])).write(frame(source), [answer(str(source))])
    assert source.read_bytes() == before


def test_a_picture_never_overwrites_one_that_comes_later(tmp_path):
    """`photos/*/*.jpg` saved into a folder of those it reads."""
    now, later = tmp_path / "left" / "face.png", tmp_path / "right" / "face.png"
    for file in (now, later):
        file.parent.mkdir()
        write_picture(file, 120, 160)
    before = later.read_bytes()
    with pytest.raises(AcneEdgeError, match=r"--save .*right: would overwrite .*right/face\.png, an input of this run"):
        ImageWriter(later.parent, OverwriteGuard([now, later])).write(frame(now), [answer(str(now))])
    assert later.read_bytes() == before


@pytest.mark.parametrize("name", ["face.heic", "face.jfif"])
def test_a_picture_of_a_kind_that_cannot_be_written_becomes_a_png(tmp_path, name):
    ImageWriter(tmp_path / "out", NOTHING_READ).write(frame(tmp_path / name), [answer()])
    assert cv2.imread(str(tmp_path / "out" / "face.png")).shape == (120, 160, 3)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["face.png"]


def test_pictures_from_standard_input_are_numbered(tmp_path):
    sink = ImageWriter(tmp_path, NOTHING_READ)
    for index in range(2):
        sink.write(frame("stdin", index), [answer("stdin", index)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stdin-0.png", "stdin-1.png"]


def test_pictures_of_one_name_from_several_folders_are_all_kept(tmp_path):
    sink = ImageWriter(tmp_path / "out", NOTHING_READ)
    for folder in ("left", "right", "front"):
        sink.write(frame(tmp_path / folder / "face.jpg"), [answer()])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["face-2.jpg", "face-3.jpg", "face.jpg"]


def test_a_saved_video_plays_and_leaves_no_part_behind(tmp_path):
    file = tmp_path / "out" / "clip.mp4"
    sink = VideoWriter(file, 10.0, NOTHING_READ)
    for index in range(7):
        sink.write(frame("clip.mov", index), [answer("clip.mov", index)])
        assert not file.exists()  # a name stands for a whole file
    sink.close()
    assert [path.name for path in file.parent.iterdir()] == ["clip.mp4"]
    frames = list(Video(file))
    assert len(frames) == 7
    assert Video(file).rate == pytest.approx(10)
    expected = annotate(frame().image, answer("clip.mov"))
    assert all(np.abs(one.image.astype(int) - expected).mean() < 12 for one in frames)


def test_frames_that_change_their_size_are_fitted_to_the_first(tmp_path):
    sink = VideoWriter(tmp_path / "clip.mp4", 10.0, NOTHING_READ)
    for index, size in enumerate(((120, 160), (60, 80), (240, 320))):
        sink.write(frame("camera:0", index, size=size), [answer("camera:0", index, size=size)])
    sink.close()
    assert [one.image.shape for one in Video(tmp_path / "clip.mp4")] == [(120, 160, 3)] * 3


def test_a_saved_video_without_frames_is_no_file(tmp_path):
    VideoWriter(tmp_path / "out" / "clip.mp4", 10.0, NOTHING_READ).close()
    assert list(tmp_path.iterdir()) == []


def test_a_saved_video_may_be_closed_twice(tmp_path):
    sink = VideoWriter(tmp_path / "clip.mp4", 10.0, NOTHING_READ)
    sink.write(frame("camera:0"), [answer("camera:0")])
    sink.close()
    sink.close()
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_video_never_overwrites_its_source(tmp_path):
    source = tmp_path / "clip.mp4"
    source.write_bytes(b"the video")
    sink = VideoWriter(source, 10.0, OverwriteGuard([source]))
    with pytest.raises(AcneEdgeError, match=r"--save .*would overwrite .*clip\.mp4"):
        sink.write(frame(source), [answer(str(source))])
    sink.close()
    assert source.read_bytes() == b"the video"
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_the_frames_of_a_camera_keep_their_pace(tmp_path):
    """Two quick frames, of which the video has room for one, then one that stood for half a second, and two more."""
    sink = VideoWriter(tmp_path / "clip.mp4", 10.0, NOTHING_READ)
    for index, time_s in enumerate((0.0, 0.02, 0.1, 0.6, 0.7)):
        one = Frame(np.full((48, 64, 3), 50 * index, np.uint8), "camera:0", index, time_s)
        sink.write(one, [answer(lesions=())])
    sink.close()
    shown = [round(one.image[20:30].mean() / 50) for one in Video(tmp_path / "clip.mp4")]
    assert shown == [0, 2, 2, 2, 2, 2, 3, 4]


def test_a_video_on_a_full_disk_ends_playable_with_one_line(tmp_path, monkeypatch):
    sink = VideoWriter(tmp_path / "clip.mp4", 10.0, NOTHING_READ)
    for index in range(3):
        sink.write(frame("camera:0", index), [answer("camera:0", index)])
    monkeypatch.setattr(annotated_media, "MIN_FREE", 1 << 62)
    with pytest.raises(AcneEdgeError, match=r"clip\.mp4: the disk is nearly full; the video ends here"):
        sink.write(frame("camera:0", 3), [answer("camera:0", 3)])
    sink.close()
    assert len(list(Video(tmp_path / "clip.mp4"))) == 3


def test_a_folder_that_has_the_videos_name_is_refused_before_a_frame_is_lost(tmp_path):
    (tmp_path / "clip.mp4").mkdir()
    with pytest.raises(AcneEdgeError, match=r"clip\.mp4: is a folder; name another one with --save"):
        VideoWriter(tmp_path / "clip.mp4", 10.0, NOTHING_READ).write(frame("camera:0"), [answer("camera:0")])


def test_a_video_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(cv2.VideoWriter, "fourcc", lambda *_: 0x20202020)
    sink = VideoWriter(tmp_path / "clip.mp4", 10.0, NOTHING_READ)
    with pytest.raises(AcneEdgeError, match=r"clip\.mp4: OpenCV cannot write a video of 160 x 120 pixels"):
        sink.write(frame("camera:0"), [answer("camera:0")])
    sink.close()
    assert list(tmp_path.iterdir()) == []


def test_two_runs_may_save_a_video_into_one_folder(tmp_path):
    one, other = (VideoWriter(tmp_path / "clip.mp4", 10.0, NOTHING_READ) for _ in range(2))
    for index in range(3):
        one.write(frame("camera:0", index), [answer("camera:0", index)])
        other.write(frame("camera:0", index), [answer("camera:0", index)])
    one.close()
    assert len(list(Video(tmp_path / "clip.mp4"))) == 3
    other.close()
    assert len(list(Video(tmp_path / "clip.mp4"))) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


@pytest.mark.parametrize("size", [(120, 160), (48, 48), (900, 30), (30, 900), (1, 1), (1200, 1600)])
@pytest.mark.parametrize(
    "result",
    [answer(), answer(lesions=()), labelled(), answer(lesions=(Lesion("nodules", 1.0, (-5.0, -9.0, 5000.0, 3.0)),))],
    ids=["lesions", "no lesion", "labels", "a box outside"],
)
def test_annotating_gives_a_copy_of_the_same_shape_that_differs(result, size):
    image = picture(*size)
    before = image.copy()
    drawn = annotate(image, result)
    np.testing.assert_array_equal(image, before)
    assert (drawn.shape, drawn.dtype) == (image.shape, np.uint8)
    if min(size) > 1:
        assert (drawn != image).any()


def test_a_lesion_is_drawn_where_it_is():
    blank = np.full((480, 640, 3), 128, np.uint8)
    with_box = annotate(blank, answer(lesions=(Lesion("nodules", 0.9, (300.0, 200.0, 400.0, 300.0)),)))
    changed = (with_box != blank).any(axis=-1)
    assert changed[200, 310:390].all()
    assert changed[210:290, 400].all()
    assert not changed[210:290, 310:390].any()
    assert not changed[350:440, 200:].any()


def test_the_answers_of_several_models_are_drawn_on_one_picture():
    blank = np.full((480, 640, 3), 128, np.uint8)
    boxes, labels = answer(lesions=(Lesion("nodules", 0.9, (300.0, 200.0, 400.0, 300.0)),)), labelled()
    both = annotate(blank, boxes, labels)
    assert (both[200:301, 300:401] == annotate(blank, boxes)[200:301, 300:401]).all()
    first_line, last_lines = both[:20, :60], both[25:120, :60]
    assert (first_line == annotate(blank, boxes)[:20, :60]).all()
    assert (last_lines != annotate(blank, boxes)[25:120, :60]).any()


def test_each_class_has_a_colour_of_its_own():
    blank = np.full((480, 640, 3), 128, np.uint8)
    colours = {
        tuple(annotate(blank, answer(lesions=(Lesion(name, 0.9, (300.0, 200.0, 400.0, 300.0)),)))[250, 400].tolist())
        for name in CLASSES
    }
    assert len(colours) == len(CLASSES)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (answer(), "1 comedones, 2 papules"),
        (answer(lesions=()), "no lesion found"),
        (labelled(), "comedones 0.90, papules 0.70"),
        (answer(lesions=None, labels=(Label("nodules", 0.1, False),)), "no type present"),
    ],
)
def test_a_result_is_described_in_words(result, words):
    assert describe(result) == words


@pytest.mark.parametrize("to_stderr", [False, True])
def test_the_summary_is_a_line_a_photograph_and_says_once_what_it_is_not(capsys, to_stderr):
    sink = ConsoleSummary(pause_s=0.0, to_stderr=to_stderr)
    for name in ("a.jpg", "b.jpg"):
        sink.write(frame(name), [answer(name)])
    sink.close()
    captured = capsys.readouterr()
    said, silent = (captured.err, captured.out) if to_stderr else (captured.out, captured.err)
    assert said.splitlines() == [
        "a.jpg: 1 comedones, 2 papules (6 ms)",
        "b.jpg: 1 comedones, 2 papules (6 ms)",
        NO_DIAGNOSIS,
    ]
    assert silent == ""


def test_the_summary_tells_several_models_apart_and_the_severity(capsys):
    sink = ConsoleSummary(pause_s=0.0, to_stderr=False)
    sink.write(frame(), [replace(answer(), severity=Severity("moderate", 6, (3, 21))), labelled()])
    sink.close()
    assert capsys.readouterr().out.splitlines() == [
        "a.jpg (tiny): 1 comedones, 2 papules (6 ms)",
        "a.jpg (tiny): severity moderate (about 6 papules and pustules; 90 %: 3 to 21, mild to severe)",
        "a.jpg (tiny): comedones 0.90, papules 0.70 (6 ms)",
        NO_DIAGNOSIS,
    ]


def test_the_summary_keeps_to_a_line_whatever_the_name_is(capsys):
    ConsoleSummary(0.0, to_stderr=False).write(frame("two\nlines.jpg"), [answer("two\nlines.jpg")])
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("two?lines.jpg: ")


def test_the_summary_of_a_video_speaks_once_a_second(capsys):
    sink = ConsoleSummary(pause_s=3600.0, to_stderr=False)
    for index in range(5):
        sink.write(frame("clip.mp4", index), [answer("clip.mp4", index)])
    sink.close()
    assert capsys.readouterr().out.splitlines() == ["clip.mp4 at 0.0 s: 1 comedones, 2 papules (6 ms)", NO_DIAGNOSIS]


@pytest.mark.skipif(sys.platform != "linux", reason="displays have numbers on Linux")
def test_a_display_that_does_not_answer_ends_nothing(monkeypatch):
    monkeypatch.setenv("DISPLAY", ":7777")
    with pytest.raises(AcneEdgeError, match=r"the display does not respond; use --save DIR|this OpenCV has no"):
        Window(wait_ms=0)


def test_an_opencv_without_windows_is_told(monkeypatch):
    said = "error: (-2:Unspecified error) The function is not implemented. Rebuild the library with ... support"
    done = subprocess.CompletedProcess([], 1, "", said)
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    with pytest.raises(AcneEdgeError, match="this OpenCV has no windows; install opencv-python instead"):
        Window(wait_ms=0)


def test_a_window_without_a_display_is_refused_with_the_way_out(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(AcneEdgeError, match=r"no display for a window; use --save DIR"):
        Window(wait_ms=0)
