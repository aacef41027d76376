import cv2
import numpy as np
import pytest
from support.images import write_picture
from support.results import detection_result, make_frame

from acne_runtime.errors import AcneEdgeError
from acne_runtime.frame import Frame
from acne_runtime.result import annotate
from acne_runtime.sinks import annotated_media
from acne_runtime.sinks.annotated_media import ImageWriter, VideoWriter
from acne_runtime.sinks.overwrite_guard import OverwriteGuard
from acne_runtime.sources.image_files import SUFFIXES
from acne_runtime.sources.video_file import Video

NOTHING_READ = OverwriteGuard()


@pytest.mark.parametrize("suffix", sorted((SUFFIXES | {".JPG"}) - {".gif", ".heic", ".heif", ".avif"}))
def test_a_picture_is_saved_annotated_under_its_own_name(tmp_path, suffix):
    source = write_picture(tmp_path / f"face{suffix}", 120, 160)
    before = source.read_bytes()
    sink = ImageWriter(tmp_path / "out" / "here", NOTHING_READ)
    sink.write(make_frame(source), [detection_result(str(source))])
    sink.close()
    written = cv2.imread(str(tmp_path / "out" / "here" / f"face{suffix}"))
    assert written.shape == (120, 160, 3)
    assert np.abs(written.astype(int) - annotate(make_frame().image, detection_result())).mean() < 8
    assert source.read_bytes() == before
    assert [path.name for path in (tmp_path / "out" / "here").iterdir()] == [f"face{suffix}"]


@pytest.mark.parametrize("way", [".", "sub/..", "link"])
def test_a_picture_never_overwrites_its_source(tmp_path, way):
    source = write_picture(tmp_path / "face.png", 120, 160)
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to(tmp_path)
    before = source.read_bytes()
    with pytest.raises(AcneEdgeError, match=r"face\.png: would overwrite an input"):
        ImageWriter(tmp_path / way, OverwriteGuard([source])).write(make_frame(source), [detection_result(str(source))])
    assert source.read_bytes() == before


def test_a_picture_never_overwrites_one_that_comes_later(tmp_path):
    """`photos/*/*.jpg` saved into a folder of those it reads."""
    now, later = tmp_path / "left" / "face.png", tmp_path / "right" / "face.png"
    for file in (now, later):
        file.parent.mkdir()
        write_picture(file, 120, 160)
    before = later.read_bytes()
    with pytest.raises(AcneEdgeError, match=r"right/face\.png: would overwrite an input"):
        ImageWriter(later.parent, OverwriteGuard([now, later])).write(make_frame(now), [detection_result(str(now))])
    assert later.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "written"),
    [("face.HEIC", "face.jpg"), ("face.avif", "face.jpg"), ("face.gif", "face.png"), ("face.dat", "face.png")],
)
def test_a_picture_of_a_kind_that_cannot_be_written_becomes_another(tmp_path, name, written):
    ImageWriter(tmp_path / "out", NOTHING_READ).write(make_frame(tmp_path / name), [detection_result()])
    assert cv2.imread(str(tmp_path / "out" / written)).shape == (120, 160, 3)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [written]


def test_pictures_from_standard_input_are_numbered(tmp_path):
    sink = ImageWriter(tmp_path, NOTHING_READ)
    for index in range(2):
        sink.write(make_frame("stdin", index), [detection_result("stdin", index)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stdin-0.png", "stdin-1.png"]


def test_pictures_of_one_name_from_several_folders_are_all_kept(tmp_path):
    sink = ImageWriter(tmp_path / "out", NOTHING_READ)
    for folder in ("left", "right", "front"):
        sink.write(make_frame(tmp_path / folder / "face.jpg"), [detection_result()])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["face-2.jpg", "face-3.jpg", "face.jpg"]


def test_a_saved_video_plays_and_leaves_no_part_behind(tmp_path):
    file = tmp_path / "out" / "clip.mp4"
    sink = VideoWriter(file, 10.0, NOTHING_READ)
    for index in range(7):
        sink.write(make_frame("clip.mov", index), [detection_result("clip.mov", index)])
        assert not file.exists()  # a name stands for a whole file
    sink.close()
    assert [path.name for path in file.parent.iterdir()] == ["clip.mp4"]
    frames = list(Video(file))
    assert len(frames) == 7
    assert Video(file).rate == pytest.approx(10)
    expected = annotate(make_frame().image, detection_result("clip.mov"))
    assert all(np.abs(frame.image.astype(int) - expected).mean() < 12 for frame in frames)


def test_frames_that_change_their_size_are_fitted_to_the_first(tmp_path):
    sink = VideoWriter(tmp_path / "clip.mp4", 10.0, NOTHING_READ)
    for index, size in enumerate(((120, 160), (60, 80), (240, 320))):
        sink.write(make_frame("camera:0", index, size=size), [detection_result("camera:0", index, size=size)])
    sink.close()
    assert [frame.image.shape for frame in Video(tmp_path / "clip.mp4")] == [(120, 160, 3)] * 3


def test_a_saved_video_without_frames_is_no_file(tmp_path):
    VideoWriter(tmp_path / "out" / "clip.mp4", 10.0, NOTHING_READ).close()
    assert list(tmp_path.iterdir()) == []


def test_a_saved_video_may_be_closed_twice(tmp_path):
    sink = VideoWriter(tmp_path / "clip.mp4", 10.0, NOTHING_READ)
    sink.write(make_frame("camera:0"), [detection_result("camera:0")])
    sink.close()
    sink.close()
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_video_never_overwrites_its_source(tmp_path):
    source = tmp_path / "clip.mp4"
    source.write_bytes(b"the video")
    sink = VideoWriter(source, 10.0, OverwriteGuard([source]))
    with pytest.raises(AcneEdgeError, match=r"clip\.mp4: would overwrite an input"):
        sink.write(make_frame(source), [detection_result(str(source))])
    sink.close()
    assert source.read_bytes() == b"the video"
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_the_frames_of_a_camera_keep_their_times(tmp_path):
    """Two quick frames, then one that stood for half a second, and two more."""
    times = (0.4, 0.42, 0.5, 1.0, 1.1)
    sink = VideoWriter(tmp_path / "clip.mp4", 10.0, NOTHING_READ)
    for index, time_s in enumerate(times):
        one = Frame(np.full((48, 64, 3), 50 * index, np.uint8), "camera:0", index, time_s)
        sink.write(one, [detection_result(lesions=())])
    sink.close()
    frames = list(Video(tmp_path / "clip.mp4"))
    assert [round(frame.image[20:30].mean() / 50) for frame in frames] == [0, 1, 2, 3, 4]
    assert [frame.time_s for frame in frames] == pytest.approx([time_s - 0.4 for time_s in times], abs=1e-3)


def test_a_video_that_is_saved_twice_keeps_its_times(tmp_path):
    rng = np.random.default_rng(2)
    times = np.cumsum(rng.choice([1 / 60, 1 / 30, 0.1, 1.5], 40)).tolist()
    sink = VideoWriter(tmp_path / "clip.mp4", 10.0, NOTHING_READ)
    for index, time_s in enumerate(times):
        sink.write(make_frame("a", index, time_s=time_s), [detection_result(lesions=())])
    sink.close()
    sink = VideoWriter(tmp_path / "again.mp4", 99.0, NOTHING_READ)
    for frame in Video(tmp_path / "clip.mp4"):
        sink.write(frame, [detection_result(lesions=())])
    sink.close()
    again = [frame.time_s for frame in Video(tmp_path / "again.mp4")]
    assert again == pytest.approx([time_s - times[0] for time_s in times], abs=2e-3)


def test_a_video_on_a_full_disk_ends_playable_with_one_line(tmp_path, monkeypatch):
    sink = VideoWriter(tmp_path / "clip.mp4", 10.0, NOTHING_READ)
    for index in range(3):
        sink.write(make_frame("camera:0", index), [detection_result("camera:0", index)])
    monkeypatch.setattr(annotated_media, "MIN_FREE", 1 << 62)
    with pytest.raises(AcneEdgeError, match=r"clip\.mp4: the disk is nearly full; the video ends here"):
        sink.write(make_frame("camera:0", 3), [detection_result("camera:0", 3)])
    sink.close()
    assert len(list(Video(tmp_path / "clip.mp4"))) == 3


def test_a_folder_that_has_the_videos_name_is_refused_before_a_frame_is_lost(tmp_path):
    (tmp_path / "clip.mp4").mkdir()
    with pytest.raises(AcneEdgeError, match=r"clip\.mp4: is a folder; choose another path"):
        VideoWriter(tmp_path / "clip.mp4", 10.0, NOTHING_READ).write(
            make_frame("camera:0"), [detection_result("camera:0")]
        )


def test_a_video_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(cv2.VideoWriter, "fourcc", lambda *_: 0x20202020)
    sink = VideoWriter(tmp_path / "clip.mp4", 10.0, NOTHING_READ)
    with pytest.raises(AcneEdgeError, match=r"clip\.mp4: OpenCV cannot write a video of 160 x 120 pixels"):
        sink.write(make_frame("camera:0"), [detection_result("camera:0")])
    sink.close()
    assert list(tmp_path.iterdir()) == []


def test_two_runs_may_save_a_video_into_one_folder(tmp_path):
    one, other = (VideoWriter(tmp_path / "clip.mp4", 10.0, NOTHING_READ) for _ in range(2))
    for index in range(3):
        one.write(make_frame("camera:0", index), [detection_result("camera:0", index)])
        other.write(make_frame("camera:0", index), [detection_result("camera:0", index)])
    one.close()
    assert len(list(Video(tmp_path / "clip.mp4"))) == 3
    other.close()
    assert len(list(Video(tmp_path / "clip.mp4"))) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]
