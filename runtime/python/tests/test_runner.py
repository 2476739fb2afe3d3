from __future__ import annotations

from pathlib import Path
from typing import Any

from fake_runtime import FakeRuntime, NodeProcess, ended, entering, leaving, payload, until

from medianode._header import FAILED, TEXT, new_header


def send_text(publisher: Any, text: str, pts: int = 0) -> None:
    header = new_header(TEXT)
    header.pts = pts
    publisher.send(header, memoryview(text.encode()), until(5))


def write(tmp_path: Path, code: str) -> Path:
    (tmp_path / "user.py").write_text("from medianode import Frame, Node\n" + code)
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
    """A node between one channel in and one out."""

    def __init__(self, runtime: FakeRuntime, source: Path, node_type: str = "user:N", **more: Any) -> None:
        into, out = runtime.create(runtime.spec("in")), runtime.create(runtime.spec("out"))
        self.writer = runtime.publisher(into)
        self.reader = runtime.subscriber(out)
        self.node = NodeProcess(
            runtime, node_type, source, inputs=[entering(into, kind=more.pop("in_kind", ""))],
            outputs=[leaving(out, kind=more.pop("kind", ""))], **more,
        )  # fmt: skip

    def run(self, *texts: str) -> tuple[list[bytes], Any]:
        self.node.start()
        for i, text in enumerate(texts):
            send_text(self.writer, text, pts=i * 1000)
        self.writer.end()
        return collect(self.reader, self.node)

    def done(self) -> dict[str, Any]:
        closed = self.node.expect("closed")
        self.node.tell("exit")
        self.bye = self.node.expect("bye")
        code, self.out, self.err = self.node.wait()
        assert code == 0, self.err
        return closed


def test_life(runtime: FakeRuntime, tmp_path: Path) -> None:
    source = write(
        tmp_path,
        """
class N(Node):
    def load(self): print("load", self.params["k"], self.id)
    def open(self, session): self.n = 0; print("open", session)
    def process(self, frame):
        self.n += 1
        assert (frame.port, frame.source, frame.kind) == ("input", "src", "text")
        yield Frame.from_text(frame.text.upper())
    def close(self): return Frame.from_json({"n": self.n})
""",
    )
    pipe = Pipe(runtime, source, params={"k": 1 << 70})
    frames, end = pipe.run("a", "b", "c")
    assert frames == [b"A", b"B", b"C", b'{"n":3}']
    assert not end.flags & FAILED
    assert pipe.done()["session"] == "main"
    assert pipe.node.seen[0]["iceoryx2"] == "0.10.0"
    assert pipe.bye["cpu_s"] > 0
    assert pipe.bye["rss_peak"] > 1 << 20
    assert pipe.out.splitlines() == [f"load {1 << 70} n", "open main"]
