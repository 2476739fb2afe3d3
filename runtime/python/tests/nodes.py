"""Nodes in processes of their own, between channels of the test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fake_runtime import FakeRuntime, NodeProcess, ended, entering, leaving, payload, until

from medianode._header import TEXT, new_header


def send_text(publisher: Any, text: str, pts: int = 0) -> None:
    header = new_header(TEXT)
    header.pts = pts
    publisher.send(header, memoryview(text.encode()), until(5))


def write(tmp_path: Path, code: str) -> Path:
    (tmp_path / "user.py").write_text("from medianode import *\n" + code)
    return tmp_path


def collect(subscriber: Any, node: NodeProcess) -> tuple[list[bytes], Any]:
    """Return all frames up to the end of the stream, and the header of that."""
    frames = []
    while True:
        got = subscriber.receive(until(10, node))
        if ended(got):
            return frames, got.header
        frames.append(payload(got))
        del got


class Pipe:
    """A node between one channel in and one out.

    into and out: what their specs have that is not usual.
    """

    def __init__(
        self, runtime: FakeRuntime, source: Path, node_type: str = "user:N", *,
        into: Any = (), out: Any = (), in_kind: str = "", kind: str = "", wait: str = "", **more: Any,
    ) -> None:  # fmt: skip
        entry = runtime.create(runtime.spec("in", **dict(into)))
        exit_ = runtime.create(runtime.spec("out", **dict(out)))
        self.writer = runtime.publisher(entry)
        self.reader = runtime.subscriber(exit_)
        self.node = NodeProcess(
            runtime, node_type, source, inputs=[entering(entry, kind=in_kind, wait=wait)],
            outputs=[leaving(exit_, kind=kind, max_frame=exit_.max_frame)], **more,
        )  # fmt: skip

    def run(self, *texts: str) -> tuple[list[bytes], Any]:
        self.node.start()
        for i, text in enumerate(texts):
            send_text(self.writer, text, pts=i * 1000)
        self.writer.end()
        return collect(self.reader, self.node)

    def next(self) -> Any:
        """Return the next frame that the node gives."""
        return self.reader.receive(until(10, self.node))

    def failed(self, phase: str) -> dict[str, Any]:
        """Return the error of a node that ends by it; what its process printed is in err."""
        error = self.node.expect("error")
        assert error["phase"] == phase, error
        while self.node.next()["event"] != "bye":
            pass
        code, self.out, self.err = self.node.wait()
        assert code == 1, self.err
        return error

    def done(self) -> dict[str, Any]:
        closed = self.node.expect("closed")
        self.node.tell("exit")
        self.bye = self.node.expect("bye")
        code, self.out, self.err = self.node.wait()
        assert code == 0, self.err
        return closed


NODES = """
import asyncio, threading, time, sys
class Same(Node):
    def process(self, frame): return frame
class Coroutine(Node):
    async def load(self): self.n = 0
    async def process(self, frame):
        await asyncio.sleep(0)
        return [Frame.from_text(frame.text), None, Frame.from_text("2")]
class AsyncGenerator(Node):
    async def process(self, frame):
        for text in (frame.text, "2"):
            await asyncio.sleep(0)
            yield Frame.from_text(text)
    async def close(self):
        yield Frame.from_text("end")
class Background(Node):
    async def open(self, session):
        self.ticks = 0
        self.task = asyncio.ensure_future(self.tick())
    async def tick(self):
        while True:
            await asyncio.sleep(0.001)
            self.ticks += 1
    async def process(self, frame): pass
    def close(self): return Frame.from_json(self.ticks > 20)
class Hang(Node):
    def process(self, frame): time.sleep(3600)
class Thread(Node):
    def process(self, frame): threading.Thread(target=time.sleep, args=(3600,), name="mine").start()
class Count(Node):
    def produce(self):
        for i in range(self.params["count"]):
            yield Frame.from_text(str(i), pts_ns=i)
class AsyncCount(Node):
    async def produce(self):
        for i in range(self.params["count"]):
            await asyncio.sleep(0)
            yield Frame.from_text(str(i), pts_ns=i)
class Forever(Node):
    def produce(self):
        try:
            i = 0
            while True:
                yield Frame.from_text(str(i)) if i % 2 == 0 else None
                i += 1
                time.sleep(0.001)
        finally:
            print("produce is closed")
    def close(self): return Frame.from_text("last")
class AsyncForever(Node):
    async def produce(self):
        try:
            yield Frame.from_text("0")
            await asyncio.sleep(3600)
        finally:
            print("produce is closed")
    def close(self): return Frame.from_text("last")
"""
