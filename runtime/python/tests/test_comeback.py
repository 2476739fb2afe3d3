"""Nodes that are started again, and what they find of the process before."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_runtime import FakeRuntime, NodeProcess, entering, leaving, until
from nodes import collect, send_text, write

from medianode._config import Spec
from medianode._header import (
    AUDIO,
    DISCONTINUITY,
    FOURCC,
    TENSOR,
    VIDEO,
    AudioFormat,
    TensorFormat,
    VideoFormat,
    describe,
    new_header,
)
from medianode._ledger import (
    R_DROPPED,
    R_EXPECTED,
    R_GIVEN_UP,
    R_RECEIVED,
    R_WAITING,
    W_EXPECTED,
    W_STARVED,
    Ledger,
    slot_index,
)


def created(runtime: FakeRuntime, name: str, retry: bool = False, **more: Any) -> Spec:
    """Make a channel whose ends come back when they die."""
    spec = runtime.spec(name, **more)
    spec = runtime.create(dataclasses.replace(spec, readers=(dataclasses.replace(spec.readers[0], retry=retry),)))
    ledger = Ledger(spec.name, 1)
    ledger.words[W_EXPECTED] = ledger.words[slot_index(0) + R_EXPECTED] = 1
    ledger.close()
    return spec


class Again:
    """A node between two channels that is started as often as it is asked to."""

    def __init__(self, runtime: FakeRuntime, source: Path, **into: Any) -> None:
        self.runtime, self.source = runtime, source
        self.entry, self.exit = created(runtime, "in", **into), created(runtime, "out", buffer=64)
        self.writer, self.reader = runtime.publisher(self.entry), runtime.subscriber(self.exit)
        self.count = 0

    def start(self) -> NodeProcess:
        self.runtime.transport.clean()
        self.count += 1
        node = NodeProcess(
            self.runtime, "user:N", self.source, inputs=[entering(self.entry)], outputs=[leaving(self.exit)],
            node_id=f"n{self.count}",
        )  # fmt: skip
        node.start()
        return node


def test_what_a_dead_process_left_in_the_ledger_is_taken_back(runtime: FakeRuntime) -> None:
    """Or timeout_ms would not be counted, and every frame would wake somebody."""
    spec = created(runtime, "c")
    ledger = Ledger(spec.name, 1)
    ledger.words[W_STARVED] = ledger.words[slot_index(0) + R_WAITING] = 1
    writer, reader = runtime.publisher(spec), runtime.subscriber(spec)
    assert not writer.starved
    assert ledger.words[slot_index(0) + R_WAITING] == 0
    writer.close()
    reader.close()
    ledger.close()


@pytest.mark.parametrize("retry", [False, True])
def test_failure_in_close(runtime: FakeRuntime, tmp_path: Path, retry: bool) -> None:
    """The next process is told again that the stream has ended, and that it has ended well."""
    code = f"""
class N(Node):
    def process(self, frame): return frame
    def close(self):
        import pathlib
        once = pathlib.Path({str(tmp_path / "once")!r})
        if not once.exists():
            once.touch()
            raise ValueError("once")
        yield Frame.from_text("closed")
"""
    again = Again(runtime, write(tmp_path, code), retry=retry)
    node = again.start()
    send_text(again.writer, "a")
    again.writer.end()
    assert node.expect("error")["phase"] == "close"
    got = [again.reader.receive(until(10)).length]  # the lease ends, and the node can drain
    assert node.wait()[0] == 1
    again.writer.close()
    node = again.start()
    frames, end = collect(again.reader, node)
    assert (got, frames, end.flags & 2) == ([1], [b"closed"], 0)
    close(node)


def test_a_batch_does_not_take_its_frames_with_it(runtime: FakeRuntime, tmp_path: Path) -> None:
    """Of a batch that crashes the node, only the frame that does it is given up."""
    done, gate = tmp_path / "done", tmp_path / "gate"
    code = f"""
import os, time
class N(Node):
    def process_batch(self, frames):
        while not os.path.exists({str(gate)!r}): time.sleep(0.01)  # the others come meanwhile
        for frame in frames:
            if frame.text == "3": os._exit(9)
        with open({str(done)!r}, "a") as file:
            for frame in frames: file.write(frame.text)
"""
    again = Again(runtime, write(tmp_path, code), retry=True, hold=4)
    node = again.start()
    send_text(again.writer, "0")
    wait_until(again.writer.is_drained)
    for text in "123456":  # the next batch is 1 to 4: the frame at fault is not its first, which counts as tried
        send_text(again.writer, text)
    gate.touch()
    for _ in range(4):  # once in a batch, and three times alone
        assert node.process.wait(20) == 9
        node = again.start()
        again.writer.refresh()
    again.writer.end()
    assert collect(again.reader, node)[0] == []
    assert done.read_text() == "012456"
    letter = node.expect("given_up")
    assert (letter["session"], letter["port"], letter["sequence"]) == ("main", "input", 3)
    assert letter["header"] == {"kind": "text", "sequence": 3, "pts_ns": letter["header"]["pts_ns"], "bytes": 1}
    assert "frame 3 of input input from src crashed the node 3 times: skipped" in close(node)


def test_the_last_frame_is_given_up(runtime: FakeRuntime, tmp_path: Path) -> None:
    """No frame comes after it; the end of the stream does, and it is told before that."""
    again = Again(
        runtime, write(tmp_path, "class N(Node):\n    def process(self, frame): import os; os._exit(9)"), retry=True
    )
    node = again.start()
    send_text(again.writer, "a")
    again.writer.end()
    for _ in range(3):
        assert node.process.wait(20) == 9
        node = again.start()
        again.writer.refresh()
    letter = node.expect("given_up")
    assert (letter["source"], letter["sequence"], letter["header"]["kind"]) == ("src", 0, "text")
    ledger = Ledger(again.entry.name, 1)
    words, mine = ledger.words, slot_index(0)
    assert (words[mine + R_RECEIVED], words[mine + R_DROPPED], words[mine + R_GIVEN_UP]) == (0, 1, 1)
    ledger.close()
    assert collect(again.reader, node)[0] == []
    close(node)


def test_a_frame_is_given_up_although_none_comes_after_it(runtime: FakeRuntime, tmp_path: Path) -> None:
    """The stream may be slow, or stopped before it has another."""
    code = """
class N(Node):
    def process(self, frame):
        if frame.text == "bad": import os; os._exit(9)
        return frame
"""
    again = Again(runtime, write(tmp_path, code), retry=True)
    node = again.start()
    send_text(again.writer, "bad")
    for _ in range(3):
        assert node.process.wait(20) == 9
        node = again.start()
        again.writer.refresh()
    letter = node.expect("given_up")
    assert (letter["sequence"], letter["header"]["bytes"]) == (0, 3)
    send_text(again.writer, "good")
    again.writer.end()
    assert collect(again.reader, node)[0] == [b"good"]
    close(node)


def test_headers_in_words() -> None:
    """What is told of a frame, as the sinks write it."""
    header = new_header(AUDIO)
    header.sequence, header.pts, header.trace_id[0] = 7, -1, 255
    header.media.audio = AudioFormat(16000, 1, 2)
    assert describe(header, 640) == {
        "kind": "audio", "sequence": 7, "pts_ns": -1, "bytes": 640, "trace_id": "ff" + 30 * "0",
        "sample_rate": 16000, "channels": 1, "format": "s16",
    }  # fmt: skip
    header = new_header(VIDEO, DISCONTINUITY)
    header.media.video = VideoFormat(4, 2, 4, FOURCC["gray8"])
    assert describe(header, 8) == {
        "kind": "video", "sequence": 0, "pts_ns": 0, "bytes": 8, "discontinuity": True,
        "width": 4, "height": 2, "stride": 4, "format": "gray8",
    }  # fmt: skip
    header = new_header(TENSOR)
    header.media.tensor = TensorFormat(2, 32, 1, 2, (2, 3))
    assert describe(header, 24)["dtype"] == "float32"
    assert describe(header, 24)["shape"] == [2, 3]
    header.kind, header.media.tensor.rank = 99, 1 << 31
    assert describe(header, 24)["kind"] == "kind(99)"
    header.kind = TENSOR
    assert len(describe(header, 24)["shape"]) == 8


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def close(node: NodeProcess) -> str:
    node.expect("closed")
    node.tell("exit")
    return node.wait()[2]
