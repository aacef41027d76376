"""URLs of files: fetched once, from a server of this test."""

import base64
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import pytest
from support.images import picture

from acne_runtime.errors import SourceError
from acne_runtime.sources.open_source import open_source


def encoded(suffix):
    return cv2.imencode(suffix, picture(48, 64, 3))[1].tobytes()


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    file = tmp_path_factory.mktemp("video") / "clip.mp4"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, (64, 48))
    for seed in range(15):
        writer.write(picture(48, 64, seed))
    writer.release()
    return file.read_bytes()


@pytest.fixture
def server(video):
    """Answers with what `files` holds: bytes, or bytes and headers; counts requests."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.asked.append((self.path, self.headers.get("Authorization")))
            if self.path not in server.files:
                self.send_error(404, "Not Found")
                return
            data, headers = server.files[self.path]
            self.send_response(200)
            for name, value in (
                {"Content-Length": len(data), "Content-Type": "application/octet-stream"} | headers
            ).items():
                if value is not None:
                    self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.files = [], {"/clip.mp4": (video, {}), "/a b": (video, {})}
    server.files |= {f"/face{suffix}": (encoded(suffix), {}) for suffix in (".jpg", ".png", ".bmp", ".webp", ".tif")}
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tif"])
def test_a_photograph_is_read_once(server, temporary, suffix):
    source = open_source(f"{server.url}/face{suffix}")
    (frame,) = source.frames
    assert frame.image.shape == (48, 64, 3) and frame.source == f"{server.url}/face{suffix}"
    assert not source.is_video and (source.name, source.count) == ("face", 1)
    assert len(server.asked) == 1 and list(temporary.iterdir()) == []


@pytest.mark.parametrize("path", ["/clip.mp4", "/a%20b"])
def test_a_video_is_read_whole_and_once(server, temporary, path):
    server.files["/a%20b"] = server.files["/a b"]
    source = open_source(server.url + path)
    frames = list(source.frames)
    assert [frame.index for frame in frames] == list(range(15)) and source.is_video and source.live is None
    assert frames[-1].time_s == pytest.approx(1.4) and frames[0].source == server.url + path
    assert len(server.asked) == 1 and list(temporary.iterdir()) == []


def test_who_stops_looking_leaves_nothing(server, temporary):
    frames = iter(open_source(f"{server.url}/clip.mp4").frames)
    next(frames)
    frames.close()
    assert list(temporary.iterdir()) == []


def test_a_password_goes_to_the_server_and_not_into_the_name(server):
    (frame,) = open_source(f"{server.url}/face.png".replace("http://", "http://nurse:s%40x@")).frames
    assert frame.source == f"{server.url}/face.png"
    assert server.asked[0][1] == "Basic " + base64.b64encode(b"nurse:s@x").decode()


@pytest.mark.parametrize("headers", [{"Content-Length": None}, {"Content-Type": "application/vnd.apple.mpegurl"}])
def test_what_has_no_length_or_is_a_playlist_is_a_stream(server, video, headers):
    server.files["/live"] = (video, headers)
    source = open_source(f"{server.url}/live")
    assert source.live is not None and source.is_video


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/nowhere.png", "the server answers 404 Not Found; check the address"),
        ("/half", "the connection ended after 1,000 of 9,999 bytes; try again"),
        ("/words", "neither an image nor a video that OpenCV can decode"),
        ("/cut.mp4", "bytes are missing; copy it again"),
    ],
)
def test_what_is_wrong_is_said_with_the_address(server, video, temporary, path, problem):
    server.files |= {
        "/half": (b"x" * 1000, {"Content-Length": 9999}),
        "/words": (b"<html>no</html>" * 100, {}),
        "/cut.mp4": (video[:-200], {}),
    }
    with pytest.raises(SourceError) as refused:
        list(open_source(server.url + path).frames)
    message = str(refused.value)
    assert message.startswith(server.url + path) and str(Path(temporary)) not in message
    assert problem in message or path == "/cut.mp4"  # which may not open at all
    assert list(temporary.iterdir()) == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # urllib leaves the socket to the GC
def test_a_server_that_is_not_there():
    with pytest.raises(SourceError, match=r"http://127\.0\.0\.1:9/a\.png: cannot be fetched \(.*\); check the address"):
        open_source("http://127.0.0.1:9/a.png")


@pytest.mark.parametrize(("path", "kind", "frames"), [("/face.jpg", "image/jpeg", 1), ("/clip.mp4", "video/mp4", 15)])
def test_what_has_an_end_needs_no_stated_length(server, path, kind, frames):
    """PixivforMuzei3#258: servers that send in chunks."""
    data, _ = server.files[path]
    server.files[path] = data, {"Content-Length": None, "Content-Type": kind}
    assert len(list(open_source(server.url + path).frames)) == frames


def test_a_name_in_an_address_may_hold_blanks_and_umlauts(server):
    """rbreu/beeref#87."""
    server.files["/l%C3%A4%20t.jpg"] = server.files["/face.jpg"]
    assert len(list(open_source(server.url + "/lä t.jpg").frames)) == 1
    assert len(list(open_source(server.url + "/l%C3%A4%20t.jpg").frames)) == 1
