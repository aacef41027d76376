import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.images import write_picture

from acne_runtime.errors import SourceError
from acne_runtime.sources.open_source import open_source


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Twelve frames at 10 a second; frame n has the grey level 20 * n."""
    file = tmp_path_factory.mktemp("clip") / "clip.mp4"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, (64, 48))
    for level in range(12):
        writer.write(np.full((48, 64, 3), 20 * level, np.uint8))
    writer.release()
    return file


@pytest.mark.parametrize("url", ["http://[abc", "rtsp://[::1"])
def test_a_url_that_is_none_is_refused(url):
    with pytest.raises(SourceError, match=r"not a valid URL \(Invalid IPv6 URL\)"):
        open_source(url)


def test_standard_input_that_is_closed_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(SourceError, match="`source` -: there is no standard input"):
        open_source("-")


def test_a_pattern_finds_its_photographs_in_order(tmp_path):
    for name in ("b/2.jpg", "a/1.jpg", "a/notes.txt", "3.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        if name.endswith("txt"):
            (tmp_path / name).write_text("no photograph")
        else:
            write_picture(tmp_path / name, 20, 30)
    opened = open_source(str(tmp_path / "**" / "*"))
    assert [Path(frame.source).name for frame in opened.frames] == ["3.png", "1.jpg", "2.jpg"]
    assert (opened.count, opened.is_video, opened.live) == (3, False, None)
    with pytest.raises(SourceError, match=r"\*\.bmp: no image matches this pattern"):
        open_source(str(tmp_path / "*.bmp"))


def test_a_file_whose_name_looks_like_a_pattern_is_itself(tmp_path):
    write_picture(tmp_path / "a[1].jpg", 20, 30)
    assert [frame.source for frame in open_source(str(tmp_path / "a[1].jpg")).frames] == [str(tmp_path / "a[1].jpg")]


def test_what_there_is_not_is_refused(tmp_path):
    with pytest.raises(SourceError, match="nowhere: no such image, folder, video or stream"):
        open_source(str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("rtsp://nurse:s3cret@10.0.0.7:554/1?x=2", "rtsp://10.0.0.7:554/1?x=2"),
        ("http://nurse@host/cam", "http://host/cam"),
        ("https://host/cam", "https://host/cam"),
    ],
)
def test_a_streams_password_is_not_in_its_name(monkeypatch, url, name):
    monkeypatch.setattr("acne_runtime.sources.download.download", lambda *_: None)  # the server states no length
    opened = open_source(url)
    assert (opened.live._name, opened.live._address) == (name, url)


def test_a_video_is_opened_with_its_length_and_rate(clip):
    opened = open_source(str(clip))
    assert (opened.name, opened.count, opened.rate, opened.is_video) == ("clip", 12, 10.0, True)
    assert len(list(opened.frames)) == 12
