from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest
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


def test_frame_goes_through(runtime: FakeRuntime, tmp_path: Path) -> None:
    pipe = Pipe(runtime, write(tmp_path, NODES), "user:Same")
    pipe.node.start()
    header = new_header(TEXT)
    header.pts, header.trace_id[3], header.flags = 77, 5, 2
    pipe.writer.send(header, memoryview(b"x"), until(5))
    got = pipe.reader.receive(until(5, pipe.node))
    assert payload(got) == b"x"
    assert (got.header.pts, got.header.trace_id[3], got.header.flags, got.header.sequence) == (77, 5, 2, 0)
    del got
    pipe.writer.end()
    assert ended(pipe.reader.receive(until(5, pipe.node)))
    pipe.done()


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("Coroutine", [b"a", b"2", b"b", b"2"]),
        ("AsyncGenerator", [b"a", b"2", b"b", b"2", b"end"]),
    ],
)
def test_async(runtime: FakeRuntime, tmp_path: Path, name: str, want: list[bytes]) -> None:
    pipe = Pipe(runtime, write(tmp_path, NODES), "user:" + name)
    assert pipe.run("a", "b")[0] == want
    pipe.done()


def test_tasks_go_on_while_the_node_waits(runtime: FakeRuntime, tmp_path: Path) -> None:
    pipe = Pipe(runtime, write(tmp_path, NODES), "user:Background")
    pipe.node.start()
    time.sleep(0.3)
    pipe.writer.end()
    assert collect(pipe.reader, pipe.node)[0] == [b"true"]
    pipe.done()


def test_time_is_that_of_the_frame_in_process(runtime: FakeRuntime, tmp_path: Path) -> None:
    source = write(
        tmp_path,
        """
class N(Node):
    def process(self, frame):
        yield Frame.from_text("inherited")
        yield Frame.from_text("given", pts_ns=7)
        yield frame.copy()
""",
    )
    pipe = Pipe(runtime, source)
    pipe.node.start()
    send_text(pipe.writer, "x", pts=500)
    seen = []
    for _ in range(3):
        got = pipe.reader.receive(until(5, pipe.node))
        seen.append((payload(got), got.header.pts, got.header.sequence))
        del got
    assert seen == [(b"inherited", 500, 0), (b"given", 7, 1), (b"x", 500, 2)]
    pipe.writer.end()
    collect(pipe.reader, pipe.node)
    pipe.done()


ERRORS = {
    "raise": (
        "def process(self, frame):\n        self.deep()\n    def deep(self): raise RuntimeError('broken')",
        "process", "RuntimeError: broken",
    ),
    "async": ("async def process(self, frame): raise RuntimeError('broken')", "process", "RuntimeError: broken"),
    "generator": ("def process(self, frame):\n        yield frame\n        1 / 0", "process", "ZeroDivisionError"),
    "exit": ("def process(self, frame): raise SystemExit(3)", "process", "called sys.exit(3)"),
    "no frame": ("def process(self, frame): return 'text'", "process", "process gave str: give a Frame"),
    "nan": ("def process(self, frame): return Frame.from_json(float('nan'))", "process", "JSON compliant"),
    "large": (
        "def process(self, frame): return Frame.from_bytes(bytes(70000))",
        "process", "output output: frame of 70000 bytes, max_frame of the output is 65536: raise max_frame",
    ),
    "keeps": (
        "kept = []\n    def process(self, frame): self.kept.append(frame)",
        "process", "hold of the connection is 1",
    ),
    "close": ("def process(self, frame): pass\n    def close(self): raise KeyError('k')", "close", "KeyError: 'k'"),
    "network": (
        "def process(self, frame):\n        import socket; socket.getaddrinfo('nowhere.invalid', 1)",
        "process", "docker.network: bridge",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors(runtime: FakeRuntime, tmp_path: Path, name: str) -> None:
    code, phase, message = ERRORS[name]
    pipe = Pipe(runtime, write(tmp_path, f"class N(Node):\n    {code}\n"))
    pipe.node.start()
    send_text(pipe.writer, "a")
    send_text(pipe.writer, "b")
    if name == "close":
        pipe.writer.end()
    _, end = collect(pipe.reader, pipe.node)
    assert end.flags & FAILED
    error = pipe.node.expect("error")
    assert (error["phase"], error["session"]) == (phase, "main")
    assert message in error["message"]
    assert ("port" in error) == (name != "close")
    if phase == "process" and name != "keeps":
        assert (error["port"], error["sequence"]) == ("input", 0)
    if name == "raise":
        assert error["traceback"].count("File ") == 2
        assert "user.py" in error["traceback"]
        assert "medianode/" not in error["traceback"]
    pipe.node.expect("closed")
    pipe.node.expect("bye")
    code_, _, err = pipe.node.wait()
    assert code_ == 1
    assert "user.py" in err or name in ("large", "keeps", "no frame")


STARTS = {
    "no module": ("", "other:N", "import", "is not in docker.source (there are: user)"),
    "no class": ("class M(Node): pass", "user:N", "import", "no class 'N' (its nodes: M)"),
    "no node": ("class N: pass", "user:N", "import", "write class N(medianode.Node)"),
    "no process": ("class N(Node): pass", "user:N", "import", "has no process"),
    "package": ("import not_there.sub", "user:N", "import", "is the package of 'not_there' in docker.python_packages?"),
    "syntax": ("class N(Node) pass", "user:N", "import", "SyntaxError"),
    "constructor": (
        "class N(Node):\n    def __init__(self, a): pass\n    def process(self, f): pass",
        "user:N", "import", "params are in self.params",
    ),
    "constructor raises": (
        "class N(Node):\n    def __init__(self): 1 / 0\n    def process(self, f): pass",
        "user:N", "import", "ZeroDivisionError",
    ),
    "load": (
        "class N(Node):\n    def load(self): raise OSError('no model')\n    def process(self, f): pass",
        "user:N", "load", "OSError: no model",
    ),
    "exits": ("import sys; sys.exit(0)", "user:N", "import", "called sys.exit(0)"),
}  # fmt: skip


@pytest.mark.parametrize("name", STARTS)
def test_start_errors(runtime: FakeRuntime, tmp_path: Path, name: str) -> None:
    code, node_type, phase, message = STARTS[name]
    pipe = Pipe(runtime, write(tmp_path, code + "\n"), node_type)
    pipe.node.expect("hello")
    error = pipe.node.expect("error")
    assert error["phase"] == phase
    assert message in error["message"]
    pipe.node.expect("bye")
    assert pipe.node.wait()[0] == 1


def test_open_error(runtime: FakeRuntime, tmp_path: Path) -> None:
    code = "class N(Node):\n    def open(self, session): raise OSError('no')\n    def process(self, f): pass\n"
    pipe = Pipe(runtime, write(tmp_path, code))
    pipe.node.expect("hello")
    pipe.node.expect("loaded")
    pipe.node.tell("open", "one")
    error = pipe.node.expect("error")
    assert (error["phase"], error["session"]) == ("open", "one")
    assert pipe.reader.receive(until(5)).header.flags & FAILED
    pipe.node.expect("closed")
    pipe.node.expect("bye")
    assert pipe.node.wait()[0] == 1


def test_a_channel_that_is_not_there(runtime: FakeRuntime, tmp_path: Path) -> None:
    spec = runtime.spec("absent")
    node = NodeProcess(runtime, "user:Same", write(tmp_path, NODES), inputs=[entering(spec)])
    node.expect("hello")
    node.expect("loaded")
    node.tell("open")
    error = node.expect("error")
    assert error["phase"] == "open"
    assert spec.name in error["message"]
    node.expect("bye")
    assert node.wait()[0] == 1


def test_long_messages_fit(runtime: FakeRuntime, tmp_path: Path) -> None:
    code = "class N(Node):\n    def process(self, frame): raise ValueError('\u00e9\U0001f600' * 100000)\n"
    pipe = Pipe(runtime, write(tmp_path, code))
    pipe.node.start()
    send_text(pipe.writer, "a")
    error = pipe.node.expect("error")
    assert error["message"].startswith("ValueError: é")
    assert len(error["traceback"]) > 1000
    assert collect(pipe.reader, pipe.node)[1].flags & FAILED
    pipe.node.expect("closed")
    pipe.node.expect("bye")
    _, _, err = pipe.node.wait()
    assert len(err) < 100_000


@pytest.mark.parametrize(("text", "count"), [("()", 0), ("(frame, frame)", 2)])
def test_not_streaming(runtime: FakeRuntime, tmp_path: Path, text: str, count: int) -> None:
    code = f"class N(Node):\n    def process(self, frame): return {text}\n"
    pipe = Pipe(runtime, write(tmp_path, code), streaming=False)
    pipe.node.start()
    send_text(pipe.writer, "a")
    error = pipe.node.expect("error")
    assert f"exactly one frame for each; it gave {count}" in error["message"]
    assert (error["port"], error["sequence"]) == ("input", 0)


def test_kinds_are_checked(runtime: FakeRuntime, tmp_path: Path) -> None:
    pipe = Pipe(runtime, write(tmp_path, NODES), "user:Same", kind="audio")
    pipe.node.start()
    send_text(pipe.writer, "a")
    assert "output output: frame is text, want audio" in pipe.node.expect("error")["message"]


def test_kind_of_an_input(runtime: FakeRuntime, tmp_path: Path) -> None:
    pipe = Pipe(runtime, write(tmp_path, NODES), "user:Same", in_kind="video")
    pipe.node.start()
    send_text(pipe.writer, "a")
    error = pipe.node.expect("error")
    assert error["message"] == "input input: frame 0 from src is text, want video"


def test_ports_that_nothing_reads(runtime: FakeRuntime, tmp_path: Path) -> None:
    code = """
class N(Node):
    def process(self, frame):
        yield Frame.from_text("a", port="typo")
        yield Frame.from_text("b", port="loose")
        yield frame
"""
    into, out = runtime.create(runtime.spec("in")), runtime.create(runtime.spec("out"))
    writer, reader = runtime.publisher(into), runtime.subscriber(out)
    outputs = [leaving(out), leaving(port="loose")]
    node = NodeProcess(runtime, "user:N", write(tmp_path, code), inputs=[entering(into)], outputs=outputs)
    node.start()
    for _ in range(3):
        send_text(writer, "x")
    writer.end()
    assert len(collect(reader, node)[0]) == 3
    assert node.expect("closed")["unread"] == {"typo": 3, "loose": 3}
    node.tell("exit")
    node.expect("bye")
    code_, _, err = node.wait()
    assert (code_, err.count("'typo'"), err.count("'loose'")) == (0, 1, 1)


@pytest.mark.parametrize("name", ["Count", "AsyncCount"])
def test_produce(runtime: FakeRuntime, tmp_path: Path, name: str) -> None:
    out = runtime.create(runtime.spec("out", buffer=2))
    reader = runtime.subscriber(out)
    node = NodeProcess(runtime, "user:" + name, write(tmp_path, NODES), outputs=[leaving(out)], params={"count": 50})
    node.start()
    assert collect(reader, node)[0] == [b"%d" % i for i in range(50)]
    node.expect("closed")
    node.tell("exit")
    node.expect("bye")
    assert node.wait()[0] == 0


@pytest.mark.parametrize("how", ["stop", "term"])
@pytest.mark.parametrize("name", ["Forever", "AsyncForever"])
def test_stop(runtime: FakeRuntime, tmp_path: Path, name: str, how: str) -> None:
    out = runtime.create(runtime.spec("out"))
    reader = runtime.subscriber(out)
    node = NodeProcess(runtime, "user:" + name, write(tmp_path, NODES), outputs=[leaving(out)])
    node.start()
    assert payload(reader.receive(until(5, node))) == b"0"
    time.sleep(0.1)
    began = time.monotonic()
    if how == "stop":
        node.tell("stop")
    else:
        node.process.send_signal(signal.SIGTERM)
    frames, end = collect(reader, node)
    assert time.monotonic() - began < 1
    assert frames[-1] == b"last"
    assert not end.flags & FAILED
    node.expect("closed")
    if how == "stop":
        node.tell("exit")
    node.expect("bye")
    code, out_, err = node.wait()
    assert (code, out_) == (0, "produce is closed\n"), err


def test_term_before_a_session(runtime: FakeRuntime, tmp_path: Path) -> None:
    pipe = Pipe(runtime, write(tmp_path, NODES), "user:Same")
    pipe.node.expect("hello")
    pipe.node.expect("loaded")
    pipe.node.process.send_signal(signal.SIGTERM)
    pipe.node.expect("bye")
    assert pipe.node.wait()[0] == 0


def test_term_waits_for_the_inputs(runtime: FakeRuntime, tmp_path: Path) -> None:
    pipe = Pipe(runtime, write(tmp_path, NODES), "user:Same")
    pipe.node.start()
    pipe.node.process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    send_text(pipe.writer, "late")
    pipe.writer.end()
    assert collect(pipe.reader, pipe.node)[0] == [b"late"]
    pipe.node.expect("closed")
    pipe.node.expect("bye")
    assert pipe.node.wait()[0] == 0


def test_runtime_dies(runtime: FakeRuntime, tmp_path: Path) -> None:
    pipe = Pipe(runtime, write(tmp_path, NODES), "user:Same")
    pipe.node.start()
    began = time.monotonic()
    pipe.node.commands.ledger.close()  # as the kernel does when the process dies
    code, _, err = pipe.node.wait()
    assert code == 1
    assert time.monotonic() - began < 4
    assert "the runtime is gone" in err


def test_runtime_dies_under_a_node_that_hangs(runtime: FakeRuntime, tmp_path: Path) -> None:
    pipe = Pipe(runtime, write(tmp_path, NODES), "user:Hang")
    pipe.node.start()
    send_text(pipe.writer, "x")
    time.sleep(0.2)
    pipe.node.commands.ledger.close()
    code, _, err = pipe.node.wait()
    assert code == 1
    assert "does not return: killed" in err


def test_producer_dies(runtime: FakeRuntime, tmp_path: Path) -> None:
    pipe = Pipe(runtime, write(tmp_path, NODES), "user:Same")
    pipe.node.start()
    send_text(pipe.writer, "a")
    pipe.writer.ledger.close()
    frames, end = collect(pipe.reader, pipe.node)
    assert (frames, bool(end.flags & FAILED)) == ([b"a"], True)
    pipe.done()
    assert "src is gone" in pipe.err


def test_producer_fails(runtime: FakeRuntime, tmp_path: Path) -> None:
    pipe = Pipe(runtime, write(tmp_path, NODES), "user:Same")
    pipe.node.start()
    send_text(pipe.writer, "a")
    pipe.writer.end(failed=True)
    frames, end = collect(pipe.reader, pipe.node)
    assert (frames, bool(end.flags & FAILED)) == ([b"a"], True)
    pipe.done()


def test_reader_that_blocks_holds_a_producer(runtime: FakeRuntime, tmp_path: Path) -> None:
    out = runtime.create(runtime.spec("out", buffer=3))
    reader = runtime.subscriber(out)
    node = NodeProcess(runtime, "user:Count", write(tmp_path, NODES), outputs=[leaving(out)], params={"count": 20})
    node.start()
    time.sleep(0.3)
    assert reader.ledger.words[2] == 3  # next
    assert len(collect(reader, node)[0]) == 20
    assert reader.dropped == 0


def test_two_policies_on_one_port(runtime: FakeRuntime, tmp_path: Path) -> None:
    block, drop = runtime.create(runtime.spec("b")), runtime.create(runtime.spec("d", policy="drop_oldest", buffer=4))
    reader, lossy = runtime.subscriber(block), runtime.subscriber(drop)
    outputs = [leaving(drop, block)]
    node = NodeProcess(runtime, "user:Count", write(tmp_path, NODES), outputs=outputs, params={"count": 100})
    node.start()
    assert len(collect(reader, node)[0]) == 100
    frames, _ = collect(lossy, node)
    assert frames[-3:] == [b"97", b"98", b"99"]
    assert len(frames) + lossy.dropped == 100
    assert lossy.dropped > 50
    node.expect("closed")


def test_several_inputs(runtime: FakeRuntime, tmp_path: Path) -> None:
    code = """
class N(Node):
    def process(self, frame): yield Frame.from_text(f"{frame.port}:{frame.source}:{frame.text}")
"""
    specs = [runtime.create(runtime.spec(f"in{i}")) for i in range(3)]
    out = runtime.create(runtime.spec("out", buffer=64))
    writers, reader = [runtime.publisher(s) for s in specs], runtime.subscriber(out)
    inputs = [entering(s, port=f"p{i}", source=f"s{i}", feedback=i == 2) for i, s in enumerate(specs)]
    node = NodeProcess(runtime, "user:N", write(tmp_path, code), inputs=inputs, outputs=[leaving(out)])
    node.start()
    for text in ("x", "y"):
        for writer in writers:
            send_text(writer, text)
    time.sleep(0.1)
    for writer in writers[:2]:  # the feedback input is not waited for
        writer.end()
    frames, end = collect(reader, node)
    for i in range(3):
        assert [f for f in frames if f.startswith(b"p%d" % i)] == [b"p%d:s%d:x" % (i, i), b"p%d:s%d:y" % (i, i)]
    assert not end.flags & FAILED
    node.expect("closed")


def test_sessions_share_what_load_made(runtime: FakeRuntime, tmp_path: Path) -> None:
    code = """
class N(Node):
    def load(self): self.shared = []
    def open(self, session): self.session = session
    def process(self, frame):
        self.shared.append(1)
        return Frame.from_text(f"{self.session} {len(self.shared)}")
"""
    into, out = runtime.spec("in"), runtime.spec("out")
    marked = [type(s)("{session}" + s.name, s.max_frame, s.policy, s.readers, 1) for s in (into, out)]
    real = {s: [runtime.create(m.of_session(s)) for m in marked] for s in ("one", "two")}
    node = NodeProcess(
        runtime, "user:N", write(tmp_path, code), inputs=[entering(marked[0])], outputs=[leaving(marked[1])]
    )
    node.expect("hello")
    node.expect("loaded")
    seen = []
    for session, (i, o) in real.items():
        writer, reader = runtime.publisher(i), runtime.subscriber(o)
        node.tell("open", session)
        assert node.expect("ready")["session"] == session
        send_text(writer, "x")
        seen.append(payload(reader.receive(until(5, node))))
        writer.end()
        collect(reader, node)
        assert node.expect("closed")["session"] == session
    assert seen == [b"one 1", b"two 2"]
    node.tell("exit")
    node.expect("bye")
    assert node.wait()[0] == 0


def test_threads_left_behind(runtime: FakeRuntime, tmp_path: Path) -> None:
    pipe = Pipe(runtime, write(tmp_path, NODES), "user:Thread")
    pipe.run("x")
    pipe.done()
    assert "thread 'mine'" in pipe.err


def test_idle_costs_little(runtime: FakeRuntime, tmp_path: Path) -> None:
    pipe = Pipe(runtime, write(tmp_path, NODES), "user:Same")
    pipe.node.start()
    time.sleep(0.2)

    def cpu() -> float:
        fields = Path(f"/proc/{pipe.node.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    before = cpu()
    time.sleep(2)
    assert cpu() - before < 0.1
    pipe.writer.end()
    collect(pipe.reader, pipe.node)
    pipe.done()


def test_environment_errors(runtime: FakeRuntime, tmp_path: Path) -> None:
    for env, message in (
        ({}, "MEDIANODE_NODE is not set"),
        ({"MEDIANODE_NODE": "{"}, "MEDIANODE_NODE cannot be read"),
        ({"MEDIANODE_NODE": '{"version": 9}'}, "MEDIANODE_NODE has version 9, this SDK reads 1"),
    ):
        process = runtime.python("-m", "medianode", env=env)
        _, err = process.communicate(timeout=10)
        assert process.returncode == 1
        assert message in err
        assert "Traceback" not in err


def test_nothing_is_left(runtime: FakeRuntime, tmp_path: Path) -> None:
    pipe = Pipe(runtime, write(tmp_path, NODES), "user:Same")
    pipe.run("x")
    pipe.done()
    alive = [p for p in Path(runtime.root, "nodes").iterdir() if p.is_dir()]
    assert len(alive) == 1, "only the test's own iceoryx2 node is there"
