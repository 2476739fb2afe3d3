"""What a node tells of sampled frames."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest
from fake_runtime import FakeRuntime, NodeProcess, ended, entering, leaving, until
from nodes import NODES, collect, write
from sessions import Many, Stream

from medianode import Frame
from medianode._header import TEXT, new_header
from medianode._runner import TERM_DRAIN
from medianode._spans import _MOST, Spans


def test_a_source_samples_one_frame_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 5_000_000_000
    monkeypatch.setattr(time, "monotonic_ns", lambda: now)
    spans = Spans(source=True)
    seen = []
    for _ in range(3000):
        header = new_header(TEXT)
        spans.sending(header, "output")
        if any(header.trace_id):
            seen.append(bytes(header.trace_id).hex())
        now += 1_000_000
    told = spans.take()
    assert [s["trace"] for s in told] == seen
    assert [s["start"] for s in told] == [5_000_000_000, 6_000_000_000, 7_000_000_000]
    assert len(set(seen)) == 3
    assert spans.take() == []


def test_a_frame_that_has_a_trace_keeps_it() -> None:
    header = new_header(TEXT)
    header.trace_id[3] = 7
    spans = Spans(source=True)
    spans.sending(header, "output")
    assert header.trace_id[3] == 7
    assert not any(header.trace_id[4:])
    Spans(source=False).sending(header := new_header(TEXT), "output")
    assert not any(header.trace_id)


def test_nobody_takes_them() -> None:
    spans = Spans(source=False)
    frame = Frame.from_text("x")
    frame._header.trace_id[0] = 1
    for _ in range(2 * _MOST):
        spans.begin([frame, Frame.from_text("not sampled")])
        spans.end()
        spans.end()
    assert len(spans.take()) == _MOST


def opened(runtime: FakeRuntime, source: Path, name: str, **more: Any) -> NodeProcess:
    node = NodeProcess(runtime, "user:" + name, source, **more)
    node.expect("hello")
    node.expect("loaded")
    return node


def test_a_frame_that_a_source_sends_again_and_again(runtime: FakeRuntime, tmp_path: Path) -> None:
    """Each is another one: one in a second is sampled."""
    code = """
class N(Node):
    def produce(self):
        frame = Frame.from_text("x")
        for _ in range(200): yield frame
"""
    out = runtime.create(runtime.spec("out"))
    reader = runtime.subscriber(out)
    node = opened(runtime, write(tmp_path, code), "N", outputs=[leaving(out)])
    node.tell("open", trace=True)
    node.expect("ready")
    node.tell("start")
    began, traced = time.monotonic(), 0
    while not ended(got := reader.receive(until(10))):
        traced += any(got.header.trace_id)
        del got
    assert 1 <= traced <= 1 + time.monotonic() - began
    assert len(node.expect("spans")["spans"]) == traced
    node.expect("closed")
    node.tell("exit")
    node.expect("bye")


@pytest.mark.parametrize("name", ["Returns", "Yields"])
def test_the_call_of_another_session_is_no_part_of_a_span(runtime: FakeRuntime, tmp_path: Path, name: str) -> None:
    code = """
import time
class Returns(Node):
    def process(self, frame):
        if frame.text == "slow": time.sleep(0.5)
        return frame
class Yields(Returns):
    def process(self, frame):
        yield super().process(frame)
"""
    node = Many(runtime, tmp_path, "user:" + name, code=code)
    streams = [Stream(node, session).start(trace=True) for session in ("one", "two")]
    for stream, text in zip(streams, ("quick", "slow")):
        header = new_header(TEXT)
        header.trace_id[0] = 1
        stream.writer.send(header, memoryview(text.encode()), until(10))
    for stream in streams:
        stream.next()
    told = {}
    for _ in streams:
        event = node.expect("spans")
        told[event["session"]] = (event["spans"][0]["end"] - event["spans"][0]["start"]) / 1e9
    assert told["one"] < 0.3
    assert told["two"] >= 0.5
    for stream in streams:
        stream.end()
    node.done("one", "two")


@pytest.mark.parametrize("asked", [True, False])
def test_a_node_tells_of_them(runtime: FakeRuntime, tmp_path: Path, asked: bool) -> None:
    into, out = runtime.create(runtime.spec("in")), runtime.create(runtime.spec("out"))
    writer, reader = runtime.publisher(into), runtime.subscriber(out)
    node = opened(runtime, write(tmp_path, NODES), "Same", inputs=[entering(into)], outputs=[leaving(out)])
    node.tell("open", trace=asked)
    node.expect("ready")
    node.tell("start")
    header = new_header(TEXT)
    header.trace_id[:] = list(range(16))
    writer.send(header, memoryview(b"hi"), until(10))
    got = reader.receive(until(10))
    assert bytes(got.header.trace_id) == bytes(range(16))
    del got
    writer.end()
    assert ended(reader.receive(until(10)))
    if asked:
        span = node.expect("spans")["spans"][0]
        assert span["trace"] == bytes(range(16)).hex()
        assert span["source"].endswith(".output")
        assert span["sent"] <= span["start"] <= span["end"]
    node.expect("closed")
    node.tell("exit")
    node.expect("bye")


FAILS = """
import time
class Raises(Node):
    def process(self, frame): raise ValueError("as asked")
class Yields(Node):
    def process(self, frame):
        yield frame
        raise ValueError("as asked")
class Batch(Node):
    def process_batch(self, frames): raise ValueError("as asked")
class Hangs(Node):
    def process(self, frame): time.sleep(3600)
"""


@pytest.mark.parametrize("name", ["Raises", "Yields", "Batch", "Hangs"])
def test_a_call_that_fails_is_a_span(runtime: FakeRuntime, tmp_path: Path, name: str) -> None:
    """Also of one session of several, and of one whose call does not return."""
    hangs = name == "Hangs"
    node = Many(runtime, tmp_path, "user:" + name, code=FAILS, timeout_ms=300 if hangs else 0)
    streams = [Stream(node, session).start(trace=True) for session in ("one", "two")]
    for stream in streams[: 1 if hangs else 2]:
        header = new_header(TEXT)
        header.trace_id[0] = 1
        stream.writer.send(header, memoryview(b"x"), until(10))
        error = node.expect("error")
        if not hangs:
            collect(stream.reader, node)
        told = node.expect("spans")
        if not hangs:
            node.expect("closed")
        assert told["session"] == error["session"] == stream.name
        assert (told["message"], told["traceback"]) == (error["message"], error["traceback"])
        span = told["spans"][0]
        assert span["failed"] is True
        assert span["sent"] <= span["start"] <= span["end"]
    if not hangs:
        node.expect("bye")
    assert node.process.wait(timeout=10) == 1


def test_a_call_that_is_cut_off_is_a_span(runtime: FakeRuntime, tmp_path: Path) -> None:
    """By SIGTERM, in the middle of what it gives: its reader has no room for more."""
    code = "class N(Node):\n    def process(self, frame):\n        for _ in range(9): yield frame\n"
    node = Many(runtime, tmp_path, "user:N", code=code)
    one, two = (Stream(node, name).start(trace=True) for name in ("one", "two"))
    header = new_header(TEXT)
    header.trace_id[0] = 1
    one.writer.send(header, memoryview(b"x"), until(10))
    one.next()
    node.process.send_signal(signal.SIGTERM)
    time.sleep(TERM_DRAIN + 1.5)
    assert len(collect(one.reader, node)[0]) < 8
    collect(two.reader, node)
    while (told := node.next())["event"] != "spans":
        assert told["event"] != "bye"
    span = told["spans"][0]
    assert "failed" not in span
    assert span["start"] <= span["end"]
