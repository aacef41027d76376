import pytest
from support.results import detection_result, make_frame

from acne_runtime.cli.pipeline import Pipeline
from acne_runtime.errors import SourceError
from acne_runtime.model import Predictor
from acne_runtime.sinks.window import WindowClosedError
from acne_runtime.sources.open_source import Source


class FakePredictor(Predictor):
    def predict(self, frame):
        return detection_result(frame.source, frame.index)


class Recorder:
    def __init__(self, closed_at=None):
        self.written, self.closed, self._closed_at = [], 0, closed_at

    def write(self, frame, results):
        self.written.append((frame.index, len(results)))
        if frame.index == self._closed_at:
            raise WindowClosedError

    def close(self):
        self.closed += 1


def frames(count, error=None):
    for index in range(count):
        yield make_frame("a.mp4", index)
    if error:
        raise error


def test_every_frame_goes_through_every_predictor_into_every_sink():
    sinks = [Recorder(), Recorder()]
    Pipeline(Source(frames(3), "a"), [FakePredictor(), FakePredictor()], sinks).run()
    assert [sink.written for sink in sinks] == [[(0, 2), (1, 2), (2, 2)]] * 2
    assert [sink.closed for sink in sinks] == [1, 1]


@pytest.mark.parametrize("error", [SourceError("a.mp4: truncated"), KeyboardInterrupt()], ids=["error", "Ctrl-C"])
def test_the_sinks_are_closed_after_an_error(error):
    sink = Recorder()
    with pytest.raises(type(error)):
        Pipeline(Source(frames(2, error), "a"), [FakePredictor()], [sink]).run()
    assert (len(sink.written), sink.closed) == (2, 1)


def test_ctrl_c_ends_a_live_source_without_an_error():
    sink = Recorder()
    Pipeline(Source(frames(2, KeyboardInterrupt()), "camera", live=object()), [FakePredictor()], [sink]).run()
    assert (len(sink.written), sink.closed) == (2, 1)


def test_a_closed_window_ends_the_run():
    sink = Recorder(closed_at=1)
    Pipeline(Source(frames(5), "a"), [FakePredictor()], [sink]).run()
    assert (sink.written, sink.closed) == ([(0, 1), (1, 1)], 1)
