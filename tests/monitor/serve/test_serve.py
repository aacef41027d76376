"""The page, over real sockets: what it shows, and to whom it does not."""

import http.client
import json
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("onnxruntime")

from support.visits import BOXES, SKIN, KnownLesions, add, new_store

from acne_monitor.store.store import Store


class Browser:
    """Talks to the page as a browser does, with the token's cookie."""

    def __init__(self, address, process):
        self.scheme, self.host, self.port, self.token = re.match(
            r"(https?)://([\d.]+):(\d+)/\?token=(\S+)", address
        ).groups()
        self.port, self.process = int(self.port), process
        self.cookie = f"acne_monitor={self.token}"

    @property
    def own(self):
        return f"{self.host}:{self.port}"

    def ask(self, path, method="GET", body=None, cookie=True, **headers):
        """Returns status, headers and body."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if cookie:
            headers["Cookie"] = self.cookie
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, dict(answer.getheaders()), data

    def post(self, path, values, origin=None):
        status, _, data = self.ask(path, "POST", json.dumps(values), Origin=origin or f"http://{self.own}")
        return status, json.loads(data) if data.startswith(b"{") else data

    def stream(self, path, enough):
        """Returns the beginning of an answer without end."""
        with socket.create_connection((self.host, self.port), timeout=30) as link:
            link.sendall(f"GET {path} HTTP/1.1\r\nHost: {self.own}\r\nCookie: {self.cookie}\r\n\r\n".encode())
            data = b""
            while not enough(data):
                data += link.recv(65536)
        return data


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A store with two visits and a video of skin."""
    folder = tmp_path_factory.mktemp("serve")
    with new_store(folder / "store", "S-01", "S <2>") as store:
        detector = KnownLesions()
        add(store, detector, 1, BOXES)
        add(store, detector, 8, BOXES[1:])
    video = cv2.VideoWriter(str(folder / "skin.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, (640, 640))
    for index in range(40):
        video.write(np.roll(SKIN, index % 5, axis=1))
    video.release()
    return folder


def start(place, source, *options):
    """Starts the page as a process of its own, whose first line is the address."""
    command = [sys.executable, "-m", "acne_monitor.cli.main", "serve", str(place / "store"), *options]
    command += ["--source", str(place / source)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.fixture(scope="module")
def browser(place):
    process = start(place, "skin.mp4")
    try:
        yield Browser(process.stdout.readline().strip(), process)
    finally:
        process.terminate()
        process.wait(15)


def test_only_the_token_opens_the_page(browser):
    assert browser.ask("/", cookie=False)[0] == 403
    for path in ("/video", "/events", "/history/S-01", "/photograph/x", "/static/page.css", "/api/capture"):
        assert browser.ask(path, cookie=False)[0] == 403
    assert browser.ask("/?token=wrong", cookie=False)[0] == 403
    status, headers, _ = browser.ask(f"/history/S-01?token={browser.token}", cookie=False)
    assert (status, headers["location"]) == (303, "/history/S-01")
    assert headers["set-cookie"].startswith(browser.cookie)
    assert "HttpOnly" in headers["set-cookie"] and "SameSite=strict" in headers["set-cookie"]
    for cookie in ("acne_monitor=", "acne_monitor=wrong", f"other={browser.token}", "acne_monitor=\xff"):
        assert browser.ask("/", cookie=False, Cookie=cookie)[0] == 403
    assert len(browser.token) >= 43  # 256 bits


def test_a_foreign_host_is_refused(browser):
    """A site whose name is pointed at this device (DNS rebinding) does not get in."""
    for host in ("evil.example", f"evil.example:{browser.port}", "127.0.0.1", ""):
        assert browser.ask("/", Host=host)[0] == 400
    assert browser.ask("/", Host=f"localhost:{browser.port}")[0] == 200


def test_a_foreign_page_cannot_change_anything(browser, place):
    for origin in ("http://evil.example", f"https://{browser.own}", "null", f"http://{browser.own}.evil.example"):
        for path in ("/api/capture", "/api/correct"):
            assert browser.post(path, {"subject": "S-01", "view": "left"}, origin)[0] == 403
    assert browser.ask("/api/correct", "POST", "{}")[0] == 403  # no origin at all
    with Store(place / "store") as store:
        assert store.one("SELECT COUNT(*) FROM photo")[0] == 2


def test_nothing_may_be_loaded_from_outside(browser):
    for path in ("/", "/history/S-01", "/compare/S-01", "/nowhere", "/static/live.js"):
        _, headers, _ = browser.ask(path)
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'") and "unsafe" not in policy and "http" not in policy
        assert "frame-ancestors 'none'" in policy and headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert not {"access-control-allow-origin", "server"} & headers.keys()
    report_policy = browser.ask("/report/S-01")[1]["content-security-policy"]
    assert "script-src 'none'" in report_policy


def test_pages_hold_no_inline_script_or_style(browser):
    """The policy would block them."""
    for path in ("/", "/history/S-01", "/compare/S-01"):
        page = browser.ask(path)[2].decode()
        assert "<style" not in page and " style=" not in page and not re.search(r"\son\w+=", page)
        assert not re.search(r"<script(?![^>]*\ssrc=)", page)
        assert not re.search(r'(?:src|href)="(?!/|data:image/jpeg|#)[^"]', page)


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py",
        "/static/..%2Fserver.py",
        "/static/%2e%2e/app.py",
        "/static//etc/passwd",
        "/photograph/..%2Fstore.sqlite",
        "/../store.sqlite",
        "/store.sqlite",
        "/ghost/..%2F..%2Fetc/passwd",
    ],
)
def test_no_path_leads_to_other_files(browser, path):
    status, _, data = browser.ask(path)
    assert status == 404 and b"SQLite" not in data and b"import" not in data and b"root:" not in data


def test_large_and_broken_requests(browser):
    origin = f"http://{browser.own}"
    assert browser.ask("/api/correct", "POST", "x" * 100_000, Origin=origin)[0] == 413
    for body in ("", "no json", "[]", "{}", '{"observation": 1, "state": null}'):
        status, _, data = browser.ask("/api/correct", "POST", body, Origin=origin)
        assert status == 422 and "the request needs" in json.loads(data)["error"]
    assert browser.ask("/api/correct", "GET")[0] == 405
    # A body without a length goes on for ever: it is cut.
    with socket.create_connection((browser.host, browser.port), timeout=30) as link:
        head = f"POST /api/correct HTTP/1.1\r\nHost: {browser.own}\r\nCookie: {browser.cookie}\r\nOrigin: {origin}\r\n"
        link.sendall((head + "Transfer-Encoding: chunked\r\n\r\n").encode())
        try:
            for _ in range(200):
                link.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        except OSError:
            pass
    assert browser.ask("/")[0] == 200


def test_pages_show_what_the_store_holds(browser):
    assert b"Take photograph" in browser.ask("/")[2]
    history = browser.ask("/history/S-01")[2].decode()
    assert "V2" in history and "within measuring error" in history
    compared = browser.ask("/compare/S-01?from=V1&to=V2")[2].decode()
    assert "4 persisting, 1 resolved" in compared and 'class="slider"' in compared
    assert b"Visits" in browser.ask("/report/S-01")[2]
    empty = browser.ask("/history/S%20%3C2%3E")[2].decode()
    assert "S &lt;2&gt;" in empty and "No photograph yet" in empty
    status, _, page = browser.ask("/history/nobody")
    assert status == 404 and b"no subject" in page
    assert browser.ask("/ghost/S-01/left")[2].startswith(b"\xff\xd8")
    assert browser.ask("/ghost/S-01/right")[0] == 404
    photo = re.search(r"/photograph/([\w-]+)", history)[1]
    assert browser.ask(f"/photograph/{photo}")[2].startswith(b"\xff\xd8")


def test_the_live_view_gives_pictures_and_counts(browser):
    video = browser.stream("/video", lambda data: data.count(b"--frame") >= 3)
    assert b"multipart/x-mixed-replace" in video and b"\xff\xd8" in video
    events = browser.stream("/events", lambda data: data.count(b'data: {"counts"') >= 2)
    info = json.loads(re.search(rb"data: (\{\"counts.*)\n", events)[1])
    assert info["counts"].keys() == {"comedones", "nodules", "papules", "pustules"}
    assert info["quality"]["usable"] is True and info["severity"]["grade"]


def test_the_shutter_adds_a_burst_and_a_correction_is_kept(browser, place):
    status, answer = browser.post("/api/capture", {"subject": "S <2>", "view": "left"})
    assert status == 200 and answer["first"] and answer["counts"]["total"] >= 10
    with Store(place / "store") as store:
        run = store.one("SELECT frame_counts FROM run ORDER BY rowid DESC")
        assert len(json.loads(run["frame_counts"])) == 10
        observation = store.one("SELECT id FROM observation WHERE presence = 'absent'")["id"]
    status, answer = browser.post("/api/capture", {"subject": "S <2>", "view": "left"})
    assert status == 422 and "has a photograph of view 'left' already" in answer["error"]
    for view in ("", "x" * 40, "a\nb"):
        assert browser.post("/api/capture", {"subject": "S <2>", "view": view})[0] == 422
    assert browser.post("/api/capture", {"subject": "nobody", "view": "left"})[0] == 422
    assert browser.post("/api/correct", {"observation": observation, "state": "healed"})[0] == 422
    assert browser.post("/api/correct", {"observation": observation, "state": "persisting"}) == (
        200,
        {"state": "persisting"},
    )
    assert "5 persisting" in browser.ask("/compare/S-01")[2].decode()
    with Store(place / "store") as store:
        assert store.one("SELECT actor FROM audit ORDER BY seq DESC")["actor"] == "page"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads the memory of a process from /proc")
def test_a_reader_that_never_reads_costs_no_memory(browser):
    def resident():
        status = Path(f"/proc/{browser.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    browser.stream("/video", lambda data: data.count(b"--frame") >= 20)  # all is warm
    before = resident()
    links = []
    for _ in range(3):
        link = socket.create_connection((browser.host, browser.port))
        link.sendall(f"GET /video HTTP/1.1\r\nHost: {browser.own}\r\nCookie: {browser.cookie}\r\n\r\n".encode())
        links.append(link)
    time.sleep(5)  # 150 frames for each
    grown = resident() - before
    assert browser.stream("/events", lambda data: b"counts" in data)  # others are served meanwhile
    for link in links:
        link.close()
    assert grown <= 10


def test_it_listens_on_this_device_only(browser):
    listening = Path("/proc/net/tcp").read_text() if Path("/proc/net/tcp").exists() else ""
    addresses = [line.split()[1] for line in listening.splitlines()[1:] if line.split()[3] == "0A"]
    own = [address for address in addresses if address.endswith(f":{browser.port:04X}")]
    if not listening:
        pytest.skip("no /proc/net/tcp")
    assert own == [f"0100007F:{browser.port:04X}"]


def test_https_for_other_devices(place, tmp_path):
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem",
         "-days", "1", "-subj", "/CN=localhost"],
        cwd=tmp_path, capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("no openssl")
    process = start(place, "skin.mp4", "--cert", str(tmp_path / "cert.pem"), "--key", str(tmp_path / "key.pem"))
    try:
        browser = Browser(process.stdout.readline().strip(), process)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(browser.host, browser.port, context=context, timeout=30)
        connection.request("GET", f"/?token={browser.token}")
        answer = connection.getresponse()
        assert browser.scheme == "https" and answer.status == 303 and "Secure" in answer.getheader("set-cookie")
    finally:
        process.terminate()
        process.wait(15)


def test_a_camera_that_is_not_there_is_said_on_the_page(place):
    process = start(place, "no.mp4")
    reader = threading.Timer(60, process.kill)
    reader.start()
    try:
        browser = Browser(process.stdout.readline().strip(), process)
        events = browser.stream("/events", lambda data: b"no such" in data)
        assert b"no.mp4: no such image, folder, video or stream" in events
    finally:
        reader.cancel()
        process.terminate()
        process.wait(15)
