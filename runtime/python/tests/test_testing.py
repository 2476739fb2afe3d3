from __future__ import annotations

import asyncio
import doctest
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medianode import Frame, Node, testing
from medianode.testing import (
    ClosedError,
    FrameError,
    FullError,
    Harness,
    HeldError,
    NodeFailure,
    ReleasedError,
    run,
)


class Upper(Node):
    def process(self, frame: Frame) -> Frame:
        return Frame.from_text(frame.text.upper() + self.params.get("mark", ""))


class Count(Node):
    def produce(self) -> Iterator[Frame]:
        try:
            for i in range(self.params.get("count", 1000)):
                yield Frame.from_json(i, pts_ns=i)
        finally:
            self.ended = True

    def close(self) -> Frame:
        return Frame.from_text(f"closed {self.ended}")


class Life(Node):
    def load(self) -> None:
        self.seen = [("load", self.session, self.id)]

    def open(self, session: str) -> None:
        self.seen.append(("open", session, self.session))

    def process(self, frame: Frame) -> None:
        self.seen.append(("process", frame.port, frame.source))

    def close(self) -> Frame:
        return Frame.from_json(self.seen)


def test_examples() -> None:
    failed, tried = doctest.testmod(testing, extraglobs={"Node": Node, "Frame": Frame})
    assert not failed
    assert tried > 5


def test_run() -> None:
    assert [f.text for f in run(Upper, ["hi", "you"], params={"mark": "!"})] == ["HI!", "YOU!"]
    assert run(Life, [], session="s", id="n")[0].json == [["load", "", "n"], ["open", "s", "s"]]
    assert [f.json for f in run(Count, params={"count": 3})[:-1]] == [0, 1, 2]
    assert [f.kind for f in run(Count, limit=2)] == ["json", "json", "text"]
    assert [f.text for f in run(f"{__name__}:Upper", ["a"])] == ["A"]
    ports = run(Life, inputs={"a": ["1", "2"], "b": ["3"]})[0].json[2:]
    assert ports == [["process", "a", "local"], ["process", "b", "local"], ["process", "a", "local"]]


def test_what_a_frame_inherits() -> None:
    class N(Node):
        def process(self, frame: Frame) -> Iterator[Frame]:
            yield Frame.from_text("inherited")
            yield Frame.from_text("given", pts_ns=7, port="other")
            yield frame

    with Harness(N) as h:
        h.send("x", pts_ns=500, trace_id=b"t" * 16)
        assert [(f.text, f.pts_ns, f.sequence, f.port) for f in h.outputs()] == [
            ("inherited", 500, 0, "output"), ("x", 500, 1, "output"),
        ]  # fmt: skip
        (other,) = h.outputs("other")
        assert (other.pts_ns, other.sequence, other.trace_id) == (7, 0, b"t" * 16)
        assert [f.text for f in h.take()] == ["inherited", "given", "x"]
        assert h.take() == []
        # What one node gives another takes.
        assert [f.sequence for f in run(N, [other])] == [0, 0, 1]


def test_received_frames_are_as_in_a_pipeline() -> None:
    class N(Node):
        def process(self, frame: Frame) -> Frame:
            with pytest.raises(ValueError, match="read-only"):
                frame.numpy()[0] = 1
            with pytest.raises(TypeError):
                frame.data[0] = 1
            return Frame.from_audio(frame.numpy() * 2, 8000)

    sent = Frame.from_audio(np.array([[1], [2]], np.int16), 8000)
    (got,) = run(N, [sent])
    assert got.numpy().tolist() == [[2], [4]]
    assert (got.sample_rate, got.channels, got.format) == (8000, 1, "s16")


def test_hold() -> None:
    class Keeps(Node):
        def open(self, session: str) -> None:
            self.kept: list[Any] = []

        def process(self, frame: Frame) -> None:
            self.kept.append(frame.copy() if self.params.get("copy") else frame.numpy())

    with pytest.raises(FrameError, match="1 frames are kept, and hold of the connection is 1"):
        run(Keeps, [b"1", b"2"])
    run(Keeps, [b"1", b"2"], hold=3)
    run(Keeps, [b"%d" % i for i in range(9)], params={"copy": True})
    assert issubclass(HeldError, Exception)


def test_errors_come_out_as_they_are() -> None:
    class Broken(Node):
        def load(self) -> None:
            if self.params == {"in": "load"}:
                raise OSError("no model")

        def process(self, frame: Frame) -> Any:
            raise KeyError(frame.text)

        def close(self) -> None:
            raise RuntimeError("in close")

    with pytest.raises(OSError, match="no model"):
        run(Broken, [], params={"in": "load"})
    with pytest.raises(KeyError, match="x"):
        run(Broken, ["x"])
    with pytest.raises(RuntimeError, match="in close"):
        run(Broken)
    with pytest.raises(NodeFailure, match="has no process"):
        run(Node)
    with pytest.raises(TypeError, match="class of a node"), Harness(Upper()):  # type: ignore[arg-type]
        pass
    # An error of the test itself ends the session without a word of the node's.
    with pytest.raises(ZeroDivisionError), Harness(Broken):
        raise ZeroDivisionError


def test_exactly_one() -> None:
    class Two(Node):
        def process(self, frame: Frame) -> Any:
            return [frame] * int(frame.text)

    with Harness(Two, streaming=False) as h:
        h.send("1")
        with pytest.raises(NodeFailure, match="exactly one frame for each; it gave 2"):
            h.send("2")


def test_limits_of_outputs() -> None:
    class N(Node):
        def process(self, frame: Frame) -> Frame:
            return Frame.from_bytes(bytes(frame.json))

    with pytest.raises(FrameError, match="frame of 11 bytes, max_frame of the output is 10"):
        run(N, [10, 11], max_frame=10)
    run(N, [11], max_frame={"other": 10})
    with pytest.raises(FrameError, match="frame is bytes, want audio"):
        run(N, [1], kinds={"output": "audio"})


def test_batches() -> None:
    class Batch(Node):
        def process_batch(self, frames: list[Frame]) -> list[Frame]:
            return [Frame.from_text(f"{len(frames)} {f.text}") for f in frames]

    with Harness(Batch, hold=2) as h:
        h.send("a", "b", "c")
        assert [f.text for f in h.take()] == ["2 a", "2 b", "1 c"]


def test_async() -> None:
    class Slow(Node):
        async def open(self, session: str) -> None:
            self.task = asyncio.ensure_future(self.tick())

        async def tick(self) -> None:
            for i in range(3):
                await asyncio.sleep(0.001)
                self.emit(Frame.from_json(i))

        async def process(self, frame: Frame) -> Any:
            await asyncio.sleep(0)
            yield frame

    with Harness(Slow) as h:
        h.wait(3)
        h.send("x")
        assert [f.text for f in h.take()] == ["0", "1", "2", "x"]


def test_emit_from_a_thread_and_full() -> None:
    class Threaded(Node):
        def open(self, session: str) -> None:
            self.go = threading.Event()
            self.thread = threading.Thread(target=self.run)
            self.thread.start()

        def run(self) -> None:
            self.go.wait()
            for i in range(3):
                self.emit(Frame.from_json(i))

        def process(self, frame: Frame) -> Any:
            self.go.set()
            return None if self.would_block() else frame

        def close(self) -> None:
            self.thread.join()

    with Harness(Threaded) as h:
        h.full()
        h.send("dropped")
        assert h.outputs() == []
        h.full(full=False)
        assert [f.json for f in h.wait(3)] == [0, 1, 2]
        h.send("{}")
        assert len(h.outputs()) == 4
        h.node.go.set()


def test_sending_on_a_full_output_ends() -> None:
    with Harness(Upper) as h:
        h.full()
        with pytest.raises(FullError, match="would wait for ever"):
            h.send("x")


def test_frames_in_place() -> None:
    class Lends(Node):
        def process(self, frame: Frame) -> None:
            with self.loan_video(4, 2) as f:
                f.numpy()[:] = 7
            with self.loan_bytes(3, port="raw") as f:
                f.data[:] = b"abc"
            with pytest.raises(ReleasedError):
                f.data  # noqa: B018

    with Harness(Lends) as h:
        h.send("x", pts_ns=9)
        (picture,) = h.outputs()
        assert (picture.width, picture.height, picture.pts_ns, set(picture.data)) == (4, 2, 9, {7})
        assert bytes(h.outputs("raw")[0].data) == b"abc"


def test_logs_and_metrics() -> None:
    class Tells(Node):
        def load(self) -> None:
            self.log.debug("loading", path="x")
            self.metrics.counter("loads").inc()

        def process(self, frame: Frame) -> None:
            self.log.warning("odd", n=frame.sequence)
            self.metrics.counter("faces").inc(2)

    with Harness(Tells) as h:
        h.send("a", "b")
        assert h.logs[0] == ("debug", "loading", {"path": "x"})
        assert [line.values for line in h.logs[1:]] == [{"n": 0}, {"n": 1}]
        assert (h.metrics["faces"]["value"], h.metrics["loads"]["value"]) == (4, 1)


def test_stop() -> None:
    class Long(Node):
        def process(self, frame: Frame) -> Frame:
            return Frame.from_json(self.stopping)

    with Harness(Long) as h:
        h.send("a")
        h.stop()
        h.send("b")
        assert [f.json for f in h.take()] == [False, True]
    with Harness(Count) as h:
        h.pull(2)
        h.stop()
        assert h.closed
        assert h.take()[-1].text == "closed True"


def test_after_the_end() -> None:
    with Harness(Upper) as h:
        h.end()
        with pytest.raises(ClosedError):
            h.send("x")
        with pytest.raises(ClosedError):
            h.node.emit(Frame.from_text("x"))


def test_nothing_else_is_imported() -> None:
    code = """
import sys
sys.modules["iceoryx2"] = sys.modules["numpy"] = None
from medianode import Frame, Node
from medianode.testing import run
class N(Node):
    def process(self, frame): return frame
print(run(N, ["hi"])[0].text, "asyncio" in sys.modules)
"""
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(testing.__file__).parent.parent, capture_output=True, text=True
    )
    assert out.stdout == "hi False\n", out.stderr
