from __future__ import annotations

import time
from pathlib import Path

import pytest
from fake_runtime import FakeRuntime, NodeProcess, entering, leaving, payload
from nodes import Pipe, collect, send_text, write

GROUP = """
import asyncio
class Plain(Node):
    def process_batch(self, frames):
        return Frame.from_text(",".join(f.text for f in frames))
class Coroutine(Node):
    async def process_batch(self, frames):
        await asyncio.sleep(0)
        return [Frame.from_text(",".join(f.text for f in frames))]
class AsyncGenerator(Node):
    async def process_batch(self, frames):
        text = ",".join(f.text for f in frames)
        await asyncio.sleep(0)
        yield Frame.from_text(text)
class Each(Node):
    def process_batch(self, frames):
        while frames: yield Frame.from_text(frames.pop(0).text.upper())
class Same(Node):
    def process_batch(self, frames): return frames
class Fewer(Node):
    def process_batch(self, frames): return frames[1:]
class Broken(Node):
    def process_batch(self, frames): 1 / 0
"""


def waiting(pipe: Pipe, texts: str) -> None:
    """Let frames arrive before the session begins to work."""
    for i, text in enumerate(texts):
        send_text(pipe.writer, text, pts=i * 10)
    pipe.writer.end()
    pipe.node.start()


@pytest.mark.parametrize("name", ["Plain", "Coroutine", "AsyncGenerator"])
def test_all_that_has_arrived_up_to_hold(runtime: FakeRuntime, tmp_path: Path, name: str) -> None:
    code = GROUP + "    pass\nclass Slow(Plain):\n    def open(self, session): import time; time.sleep(0.3)\n"
    pipe = Pipe(runtime, write(tmp_path, code.replace("class Slow(Plain)", f"class Slow({name})")), "user:Slow",
                into={"hold": 3, "buffer": 8})  # fmt: skip
    pipe.node.expect("hello")
    pipe.node.expect("loaded")
    pipe.node.tell("open")
    deadline = time.monotonic() + 5
    while pipe.writer.ledger.words[pipe.writer._slots[0]] != 1:  # until the reader is there
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for i, text in enumerate("abcdefgh"):
        send_text(pipe.writer, text, pts=i * 10)
    pipe.node.expect("ready")
    pipe.node.tell("start")
    pipe.writer.end()
    frames, _ = collect(pipe.reader, pipe.node)
    assert frames == [b"a,b,c", b"d,e,f", b"g,h"]
    pipe.done()


@pytest.mark.parametrize(("name", "want"), [("Each", b"ABCDE"), ("Same", b"abcde")])
def test_as_many_out_as_in(runtime: FakeRuntime, tmp_path: Path, name: str, want: bytes) -> None:
    pipe = Pipe(runtime, write(tmp_path, GROUP), "user:" + name, into={"hold": 4}, streaming=False)
    pipe.node.start()
    for i, text in enumerate("abcde"):
        send_text(pipe.writer, text, pts=i * 10)
    pipe.writer.end()
    for i in range(5):
        got = pipe.next()
        assert (payload(got), got.header.pts, got.header.sequence) == (want[i : i + 1], i * 10, i)
        del got
    collect(pipe.reader, pipe.node)
    pipe.done()


@pytest.mark.parametrize(
    ("name", "message"), [("Fewer", "process_batch must give as many frames as it got, here "), ("Broken", "ZeroDiv")]
)
def test_failure_names_the_first_frame(runtime: FakeRuntime, tmp_path: Path, name: str, message: str) -> None:
    pipe = Pipe(runtime, write(tmp_path, GROUP), "user:" + name, into={"hold": 4}, streaming=False)
    pipe.node.start()
    send_text(pipe.writer, "a")
    send_text(pipe.writer, "b")
    collect(pipe.reader, pipe.node)
    error = pipe.failed("process")
    assert message in error["message"]
    assert (error["port"], error["sequence"]) == ("input", 0)


def test_several_inputs_in_the_order_in_which_they_were_sent(runtime: FakeRuntime, tmp_path: Path) -> None:
    code = """
import time
class N(Node):
    def open(self, session): self.first = True
    def process_batch(self, frames):
        if self.first: time.sleep(0.5)
        self.first = False
        yield Frame.from_text(" ".join(f"{f.port}{f.text}" for f in frames))
"""
    specs = [runtime.create(runtime.spec(f"in{i}", hold=4)) for i in range(2)]
    out = runtime.create(runtime.spec("out"))
    writers, reader = [runtime.publisher(s) for s in specs], runtime.subscriber(out)
    inputs = [entering(s, port=f"p{i}") for i, s in enumerate(specs)]
    node = NodeProcess(runtime, "user:N", write(tmp_path, code), inputs=inputs, outputs=[leaving(out)])
    node.start()
    send_text(writers[0], "x")
    time.sleep(0.2)
    for i, n in enumerate((1, 0, 1, 0, 0, 1)):
        send_text(writers[n], str(i))
    for writer in writers:
        writer.end()
    assert collect(reader, node)[0] == [b"p0x", b"p10 p01 p12 p03 p04 p15"]
    node.expect("closed")


def test_frames_that_are_kept_make_the_batch_smaller(runtime: FakeRuntime, tmp_path: Path) -> None:
    code = """
class N(Node):
    def open(self, session): self.kept = []
    def process_batch(self, frames):
        if len(self.kept) < 2: self.kept.append(frames[0])
        return Frame.from_json(len(frames) <= 4 - max(0, len(self.kept) - 1))
"""
    pipe = Pipe(runtime, write(tmp_path, code), into={"hold": 4}, out={"buffer": 64})
    frames, _ = pipe.run(*"abcdefghijklmnop")
    assert set(frames) == {b"true"}
    pipe.done()
