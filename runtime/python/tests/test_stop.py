from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest
from fake_runtime import FakeRuntime, NodeProcess, ended, leaving, payload, until
from nodes import NODES, Pipe, collect, send_text, write

from medianode._header import FAILED


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


def worked(node: NodeProcess) -> float:
    """Return the seconds of CPU that a node's main thread has had."""
    pid = node.process.pid
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9


def test_term_waits_for_the_inputs(runtime: FakeRuntime, tmp_path: Path) -> None:
    pipe = Pipe(runtime, write(tmp_path, NODES), "user:Same")
    pipe.node.start()
    pipe.node.process.send_signal(signal.SIGTERM)
    before = worked(pipe.node)
    time.sleep(0.7)
    assert worked(pipe.node) - before < 0.3  # it sleeps meanwhile
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
    assert time.monotonic() - began < 6
    assert "the runtime is gone" in err


def test_another_runtime_takes_over(runtime: FakeRuntime, tmp_path: Path) -> None:
    pipe = Pipe(runtime, write(tmp_path, NODES), "user:Same")
    pipe.node.start()
    pipe.node.commands.ledger.close()
    time.sleep(0.5)
    pipe.node.commands._port = pipe.node.commands._notifier = pipe.node.commands.listener = None
    pipe.node.commands = runtime.publisher(pipe.node.commands.spec)
    pipe.node.tell("report")
    assert pipe.node.expect("report")["sessions"] == {"main": "running"}
    time.sleep(2.5)
    send_text(pipe.writer, "a")
    pipe.writer.end()
    assert collect(pipe.reader, pipe.node)[0] == [b"a"]
    pipe.done()


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


def test_threads_left_behind(runtime: FakeRuntime, tmp_path: Path) -> None:
    pipe = Pipe(runtime, write(tmp_path, NODES), "user:Thread")
    pipe.run("x")
    pipe.done()
    assert "thread 'mine'" in pipe.err


def test_nothing_is_left(runtime: FakeRuntime, tmp_path: Path) -> None:
    pipe = Pipe(runtime, write(tmp_path, NODES), "user:Same")
    pipe.run("x")
    pipe.done()
    alive = [p for p in Path(runtime.root, "nodes").iterdir() if p.is_dir()]
    assert len(alive) == 1, "only the test's own iceoryx2 node is there"


def test_term_under_flowing_inputs(runtime: FakeRuntime, tmp_path: Path) -> None:
    code = """
class N(Node):
    def process(self, frame): return frame
    def close(self): return Frame.from_text(f"last {self.stopping}")
"""
    pipe = Pipe(runtime, write(tmp_path, code))
    pipe.node.start()
    send_text(pipe.writer, "x")
    frames, began, asked = [], time.monotonic(), False
    while not ended(got := pipe.next()):
        frames.append(payload(got))
        del got
        if not asked:
            pipe.node.process.send_signal(signal.SIGTERM)
            asked = True
        if frames[-1] == b"x" and not pipe.writer.would_block() and pipe.writer.ledger.reader_alive(0):
            send_text(pipe.writer, "x")
    assert time.monotonic() - began < 4
    assert got.header.flags & FAILED
    assert frames[-1] == b"last True"
    error = pipe.failed("stop")
    assert error["message"] == "SIGTERM came, and 1 s later its inputs had not ended"


def test_term_before_the_session_begins(runtime: FakeRuntime, tmp_path: Path) -> None:
    pipe = Pipe(runtime, write(tmp_path, NODES), "user:Same")
    pipe.node.expect("hello")
    pipe.node.expect("loaded")
    pipe.node.tell("open")
    pipe.node.expect("ready")
    pipe.node.process.send_signal(signal.SIGTERM)
    pipe.node.expect("closed")
    pipe.node.expect("bye")
    assert pipe.node.wait()[0] == 0


HANGS = {
    "python": ("process", "def process(self, frame):\n        while True: self.n = 1"),
    "sleep": ("process", "def process(self, frame): __import__('time').sleep(3600)"),
    "lock": ("process", "def process(self, frame): __import__('_thread').allocate_lock().__class__; self.wait()"
             "\n    def wait(self): l = __import__('threading').Lock(); l.acquire(); l.acquire()"),
    "coroutine": ("process", "async def process(self, frame): await self.wait()"
                  "\n    async def wait(self): await __import__('asyncio').sleep(3600)"),
    "close": ("close", "def process(self, frame): pass\n    def close(self): __import__('time').sleep(3600)"),
}  # fmt: skip


@pytest.mark.parametrize("name", HANGS)
def test_term_under_a_node_that_hangs(runtime: FakeRuntime, tmp_path: Path, name: str) -> None:
    phase, body = HANGS[name]
    # The graces of a container are too long for a test.
    patch = "import medianode._watch as w\nw.TERM_REPORT, w.TERM_GRACE = 1.2, 1.6\n"
    pipe = Pipe(runtime, write(tmp_path, f"{patch}class N(Node):\n    {body}\n"))
    pipe.node.start()
    send_text(pipe.writer, "x")
    if phase == "close":
        pipe.writer.end()
    time.sleep(0.3)
    began = time.monotonic()
    pipe.node.process.send_signal(signal.SIGTERM)
    error = pipe.node.expect("error")
    code, _, err = pipe.node.wait()
    assert time.monotonic() - began < 5
    assert code == 1
    assert (error["phase"], error["message"]) == (phase, "did not return within 1.6 s of SIGTERM")
    assert "user.py" in error["traceback"]
    assert f"asked to end 1.{err.split('asked to end 1.')[1][0]} s ago, and still in {phase}:\nStack" in err
    assert err.count("user.py") >= 2
    assert "medianode/_" not in err


def test_stopping_is_seen_in_a_long_process(runtime: FakeRuntime, tmp_path: Path) -> None:
    code = """
import threading
class N(Node):
    def process(self, frame):
        thread = threading.Thread(target=self.work)
        thread.start()
        while not self.stopping: pass
        thread.join()
        return frame
    def work(self):
        while not self.stopping: pass
"""
    for how in ("stop", "term"):
        other = FakeRuntime()
        try:
            pipe = Pipe(other, write(tmp_path, code))
            pipe.node.start()
            send_text(pipe.writer, "x")
            time.sleep(0.2)
            if how == "stop":
                pipe.node.tell("stop")
            else:
                pipe.node.process.send_signal(signal.SIGTERM)
            got = pipe.next()
            assert payload(got) == b"x"
            del got
            pipe.writer.end()
            collect(pipe.reader, pipe.node)
            pipe.node.expect("closed")
        finally:
            other.close()


FULL_LOG = """
import os, time
import medianode._watch as watch
watch.TERM_REPORT, watch.TERM_GRACE = 1.2, 1.6
class N(Node):
    def process(self, frame):
        os.set_blocking(2, False)
        try:
            while True: os.write(2, b"x" * 4096)
        except BlockingIOError: pass
        os.set_blocking(2, True)
        open(frame.text, "w").close()
        time.sleep(3600)
"""


@pytest.mark.parametrize("how", ["timeout", "term", "runtime dies"])
def test_a_node_that_hangs_is_ended_although_nobody_reads_its_log(
    runtime: FakeRuntime, tmp_path: Path, how: str
) -> None:
    pipe = Pipe(runtime, write(tmp_path, FULL_LOG), timeout_ms=300 if how == "timeout" else 0)
    pipe.node.start()
    full = tmp_path / "full"
    send_text(pipe.writer, str(full))
    for _ in range(1000):
        if full.exists():
            break
        time.sleep(0.01)
    assert full.exists()
    if how == "term":
        pipe.node.process.send_signal(signal.SIGTERM)
    if how == "runtime dies":
        pipe.node.commands.ledger.close()
    else:
        assert "time.sleep(3600)" in pipe.node.expect("error")["traceback"]
    assert pipe.node.process.wait(timeout=10) == 1


BOTH_FULL = """
import os
import medianode._flood as flood
class N(Node):
    def process(self, frame):
        for fd in (1, 2):
            os.set_blocking(fd, False)
            try:
                while True: os.write(fd, b"x" * 4096)
            except BlockingIOError: pass
            os.set_blocking(fd, True)
        for stream in flood.streams:  # as after a flood
            stream._leaving, stream._room = True, float(1 << 20)
        return frame
"""


def test_a_node_that_is_well_goes_on_although_nobody_reads_its_log(runtime: FakeRuntime, tmp_path: Path) -> None:
    """What is to be told of the flood waits; the time of a call is looked after meanwhile, and is not over."""
    pipe = Pipe(runtime, write(tmp_path, BOTH_FULL), timeout_ms=300)
    pipe.node.start()
    send_text(pipe.writer, "x")
    got = pipe.next()
    del got
    with pytest.raises(subprocess.TimeoutExpired):
        pipe.node.process.wait(timeout=3)
