from __future__ import annotations

import time
from pathlib import Path

import pytest
from fake_runtime import FakeRuntime, NodeProcess, ended, entering, leaving, payload, until
from nodes import NODES, Pipe, collect, send_text, write

from medianode._header import FAILED, TEXT, new_header


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


def test_text_and_bytes_need_no_numpy(runtime: FakeRuntime, tmp_path: Path) -> None:
    code = """
import sys
def heavy(): return [m for m in ("numpy", "asyncio") if m in sys.modules]
class N(Node):
    def load(self): self.log.info("no array"); self.metrics.counter("a").inc()
    def process(self, frame):
        with self.loan_bytes(3) as f: f.data[:] = bytes(frame.data)
        self.emit(frame.copy())
        yield Frame.from_json(heavy())
    def close(self): yield Frame.from_text(str(heavy()))
"""
    pipe = Pipe(runtime, write(tmp_path, code))
    assert pipe.run("abc")[0] == [b"abc", b"abc", b"[]", b"[]"]


def test_importing_is_light(runtime: FakeRuntime) -> None:
    heavy = "('numpy', 'asyncio', 'iceoryx2', 'traceback')"
    process = runtime.python("-c", f"import sys, medianode; print([m for m in {heavy} if m in sys.modules])")
    assert process.communicate(timeout=20)[0] == "[]\n"
