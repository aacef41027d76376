import click

from acne_runtime.severity import NO_DIAGNOSIS
from acne_runtime.sinks.progress import Progress, TileProgress


class Terminal:
    """Keeps what is written to it."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def isatty(self):
        return True


def test_the_bar_counts_frames(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    progress = Progress(4)
    for _ in range(3):
        progress.write(None, [])
    progress.failed("Error: b.jpg: the file is empty")
    progress.close()
    lines = click.unstyle(terminal.text).splitlines()
    assert "\r\033[KError: b.jpg: the file is empty\n" in terminal.text
    assert lines[-1] == NO_DIAGNOSIS
    assert "100%" in lines[-2]


def test_each_photograph_has_a_bar_for_its_tiles(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    progress = TileProgress()
    for tiles in (2, 3):
        for done in range(1, tiles + 1):
            progress(done, tiles)
        progress.write(None, [])
    progress.close()
    bars = [line for line in click.unstyle(terminal.text).split("\n") if line]
    assert len(bars) == 2
    assert all(bar.split("\r")[-1].startswith("tiles") and "100%" in bar for bar in bars)


def test_a_photograph_that_is_not_finished_gives_the_terminal_back(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    progress = TileProgress()
    progress(1, 9)
    progress.close()
    progress.close()
    assert terminal.text.endswith("\033[?25h\n")  # the cursor is back
