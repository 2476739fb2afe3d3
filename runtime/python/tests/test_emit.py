from __future__ import annotations

import time
from pathlib import Path

import pytest
from fake_runtime import FakeRuntime, NodeProcess, ended, entering, leaving, payload
from nodes import Pipe, collect, send_text, write

from medianode import ClosedError, Frame, Node
from medianode._header import FAILED


def test_outside_of_a_pipeline() -> None:
    node = Node()
    with pytest.raises(ClosedError, match="runs in no pipeline"):
        node.emit(Frame.from_text("x"))
    with pytest.raises(ClosedError, match="would_block: this Node runs in no pipeline"):
        node.would_block()
    assert (node.session, node.stopping, node.id) == ("", False, "")
    node.log.debug("not shown")


def test_in_process_it_goes_out_at_once(runtime: FakeRuntime, tmp_path: Path) -> None:
    code = """
class N(Node):
    def process(self, frame):
        self.emit(Frame.from_text("first"), Frame.from_text("second", pts_ns=7))
        yield Frame.from_text("third")
        self.emit(frame)
        try: self.emit("text")
        except TypeError as err: yield Frame.from_text(str(err))
"""
    pipe = Pipe(runtime, write(tmp_path, code))
    pipe.node.start()
    send_text(pipe.writer, "x", pts=500)
    seen = []
    for _ in range(5):
        got = pipe.next()
        seen.append((payload(got), got.header.pts, got.header.sequence))
        del got
    assert seen == [
        (b"first", 500, 0), (b"second", 7, 1), (b"third", 500, 2), (b"x", 500, 3),
        (b"emit takes Frames, got str", 500, 4),
    ]  # fmt: skip
    pipe.writer.end()
    collect(pipe.reader, pipe.node)
    pipe.done()


def test_in_open_it_goes_out_when_the_session_begins(runtime: FakeRuntime, tmp_path: Path) -> None:
    code = """
class N(Node):
    def load(self):
        try: self.emit(Frame.from_text("x"))
        except Exception as err: self.said = f"{type(err).__name__}: {err}"
    def open(self, session):
        self.emit(Frame.from_text(f"{self.said} {self.session}"))
        try: self.loan_bytes(4)
        except Exception as err: self.emit(Frame.from_text(str(err)))
    def process(self, frame): return frame
"""
    pipe = Pipe(runtime, write(tmp_path, code))
    frames, _ = pipe.run("x")
    assert frames == [
        b"ClosedError: emit: there is no session yet main",
        b"session main has not begun: write frames in place from process or produce",
        b"x",
    ]
    pipe.done()


THREADS = """
import threading, time
class N(Node):
    def open(self, session):
        self.threads = [threading.Thread(target=self.work, args=(i,)) for i in range(3)]
        for t in self.threads: t.start()
    def work(self, i):
        for n in range(200):
            self.emit(Frame.from_text(f"t{i} {n}"))
    def process(self, frame):
        return frame
    def close(self):
        for t in self.threads: t.join()
"""


def test_threads(runtime: FakeRuntime, tmp_path: Path) -> None:
    pipe = Pipe(runtime, write(tmp_path, THREADS), into={"buffer": 300}, out={"buffer": 2})
    pipe.node.expect("hello")
    pipe.node.expect("loaded")
    pipe.node.tell("open")
    pipe.node.expect("ready")
    time.sleep(0.2)
    assert pipe.reader.take() is None, "nothing goes out before the session begins"
    pipe.node.tell("start")
    for n in range(200):
        send_text(pipe.writer, f"in {n}")
    pipe.writer.end()
    frames, sequences = [], []
    while not ended(got := pipe.next()):
        frames.append(payload(got).decode().split())
        sequences.append(got.header.sequence)
        del got
    assert sequences == list(range(800))
    assert pipe.reader.dropped == 0
    for who in ("t0", "t1", "t2", "in"):
        assert [int(n) for name, n in frames if name == who] == list(range(200))
    pipe.done()


def test_others_run_while_a_thread_waits_for_room(runtime: FakeRuntime, tmp_path: Path) -> None:
    code = """
import threading, time
class N(Node):
    def open(self, session):
        self.sent, self.blocked = [], []
        threading.Thread(target=self.work, daemon=True).start()
    def work(self):
        while not self.stopping:
            if self.would_block("slow"): self.blocked.append(len(self.sent))
            self.emit(Frame.from_text("x", port="slow"))
            self.sent.append(1)
    def process(self, frame):
        n = 0
        end = time.monotonic() + 0.2
        while time.monotonic() < end: n += 1
        return Frame.from_json([len(self.sent), self.blocked, n > 1000, self.would_block(), self.would_block("none")])
"""
    into, out, slow = (runtime.create(runtime.spec(n, buffer=4)) for n in ("in", "out", "slow"))
    writer, reader, stuck = runtime.publisher(into), runtime.subscriber(out), runtime.subscriber(slow)
    node = NodeProcess(
        runtime, "user:N", write(tmp_path, code), inputs=[entering(into)],
        outputs=[leaving(out), leaving(slow, port="slow")],
    )  # fmt: skip
    node.start()
    time.sleep(0.3)
    send_text(writer, "x")
    writer.end()
    frames, _ = collect(reader, node)
    assert frames == [b"[4,[4],true,false,false]"]
    assert len(collect(stuck, node)[0]) >= 4
    node.expect("closed")


def test_after_the_end_it_raises(runtime: FakeRuntime, tmp_path: Path) -> None:
    code = """
import threading, time
class N(Node):
    def open(self, session):
        self.thread = threading.Thread(target=self.work)
        self.thread.start()
    def work(self):
        try:
            while True:
                self.emit(Frame.from_text("x"))
                time.sleep(0.001)
        except Exception as err:
            print(type(err).__name__, err, self.stopping)
            try: self.loan_bytes(1)
            except Exception as err: print(type(err).__name__)
    def process(self, frame): pass
"""
    pipe = Pipe(runtime, write(tmp_path, code))
    pipe.node.start()
    time.sleep(0.1)
    pipe.writer.end()
    collect(pipe.reader, pipe.node)
    pipe.done()
    first, second = pipe.out.splitlines()
    assert first.startswith("ClosedError")
    assert "session" in first
    assert "ended True" in first
    assert second == "ClosedError"


def test_a_thread_that_waits_does_not_keep_a_failing_node(runtime: FakeRuntime, tmp_path: Path) -> None:
    code = """
import threading
class N(Node):
    def open(self, session): threading.Thread(target=self.work).start()
    def work(self):
        try:
            while True: self.emit(Frame.from_text("x"))
        except Exception as err: print(type(err).__name__)
    def process(self, frame): 1 / 0
"""
    pipe = Pipe(runtime, write(tmp_path, code), out={"buffer": 2})
    pipe.node.start()
    time.sleep(0.1)
    send_text(pipe.writer, "x")
    pipe.node.expect("error")
    frames, end = collect(pipe.reader, pipe.node)  # room again: what waited is sent, then the end
    assert len(frames) >= 2
    assert end.flags & FAILED
    pipe.node.expect("closed")
    pipe.node.expect("bye")
    code_, out, _ = pipe.node.wait()
    assert (code_, out) == (1, "ClosedError\n")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("self.emit(frame)", ""),
        ("self.emit(frame); return frame", "it gave 2"),
        ("self.emit(frame); yield frame", "it gave 2"),
        ("with self.loan_bytes(1) as f: f.data[0] = 1", ""),
        ("pass", "it gave 0"),
        ("import threading; t = threading.Thread(target=self.late, args=(frame,)); t.start(); t.join()", "it gave 0"),
    ],
)
def test_not_streaming(runtime: FakeRuntime, tmp_path: Path, body: str, message: str) -> None:
    code = f"""
class N(Node):
    def process(self, frame):
        {body}
    def late(self, frame):
        try: self.emit(frame)
        except Exception as err: print(err)
"""
    pipe = Pipe(runtime, write(tmp_path, code), streaming=False)
    pipe.node.start()
    send_text(pipe.writer, "a")
    if not message:
        pipe.writer.end()
        assert len(collect(pipe.reader, pipe.node)[0]) == 1
        pipe.done()
        return
    collect(pipe.reader, pipe.node)
    assert message in pipe.failed("process")["message"]
    assert ("sent in process only" in pipe.out) == ("thread" in body)


def test_errors_of_emit(runtime: FakeRuntime, tmp_path: Path) -> None:
    code = """
import medianode
class N(Node):
    def process(self, frame):
        try: self.emit(Frame.from_bytes(bytes(70000)))
        except medianode.FrameError as err: yield Frame.from_text(str(err))
        self.emit(Frame.from_text("nowhere", port="typo"))
"""
    pipe = Pipe(runtime, write(tmp_path, code))
    frames, _ = pipe.run("x")
    assert b"frame of 70000 bytes, max_frame of the output is 65536" in frames[0]
    assert pipe.done()["unread"] == {"typo": 1}
