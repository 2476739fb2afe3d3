"""Sessions that have a thread each."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from fake_runtime import FakeRuntime, NodeProcess, payload, until
from nodes import collect, send_text
from sessions import Many, Stream, sources

from medianode._header import FAILED

NODES = """
import asyncio, os, threading, time
class Own(Node):
    concurrent = True
    def load(self): self.loaded = threading.current_thread()
    def open(self, session): self.opened = threading.current_thread()
    def process(self, frame):
        if frame.text == "raise": raise ValueError("as asked")
        if frame.text == "exit": os._exit(7)
        if frame.text == "hang": time.sleep(3600)
        if frame.text == "slow": time.sleep(0.5)
        if frame.text == "stopping":
            while not self.stopping: time.sleep(0.01)
        if frame.text == "threads":
            mine = threading.current_thread()
            return Frame.from_json([mine is self.opened, mine is self.loaded, len(os.listdir("/proc/self/task"))])
        if frame.text == "open files": return Frame.from_json(len(os.listdir("/proc/self/fd")))
        return frame
class Turns(Own):
    concurrent = False
class Loops(Node):
    concurrent = True
    async def open(self, session):
        self.ticks, self.loop = 0, asyncio.get_running_loop()
        self.task = asyncio.ensure_future(self.tick())
    async def tick(self):
        while True:
            await asyncio.sleep(0.01)
            self.ticks += 1
    async def process(self, frame):
        assert asyncio.get_running_loop() is self.loop
        await asyncio.sleep(float(frame.text))
        return Frame.from_json(self.ticks)
class Produces(Node):
    concurrent = True
    def produce(self):
        for i in range(self.params.get("count", 1 << 40)):
            time.sleep(self.params["pause"])
            yield Frame.from_text(f"{self.session} {i}")
"""


def opened(runtime: FakeRuntime, path: Path, name: str = "Own", **more: object) -> Many:
    return Many(runtime, path, "user:" + name, code=NODES, **more)


def longest_round(stream: Stream, seconds: float) -> tuple[float, float]:
    """Return p99 and the longest of the times that frames need through the node and back."""
    times, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        assert stream.give("x") == "x"
        times.append(time.monotonic() - began)
        time.sleep(0.002)
    times.sort()
    return times[len(times) * 99 // 100], times[-1]


def test_a_slow_session_does_not_delay_others(runtime: FakeRuntime, tmp_path: Path) -> None:
    """But where they take turns, by one call of process and no more."""
    p99s = {}
    for name in ("Turns", "Own"):
        other = FakeRuntime()
        try:
            node = opened(other, tmp_path, name)
            slow, quick = Stream(node, "slow").start(), Stream(node, "quick").start()
            for _ in range(5):
                send_text(slow.writer, "slow")
            p99s[name], longest = longest_round(quick, 1.8)
            if name == "Turns":
                assert 0.3 < longest < 0.5 + 0.25
            assert [len(slow.end()[0]), quick.end()[0]] == [5, []]
            node.done("slow", "quick")
        finally:
            other.close()
    assert p99s["Own"] < 0.1, p99s  # 0.001 on a quiet machine


def test_each_session_has_a_thread(runtime: FakeRuntime, tmp_path: Path) -> None:
    node = opened(runtime, tmp_path)
    one, two = Stream(node, "one").start(), Stream(node, "two").start()
    threads = one.give("threads")
    assert threads.startswith("[true,false,")
    assert two.give("threads") == threads
    two.end()
    assert node.expect("closed")["session"] == "two"
    assert one.give("x") == "x"
    one.end()
    node.done("one")


def test_no_thread_is_to_be_had(runtime: FakeRuntime, tmp_path: Path) -> None:
    """As many as resource_limits.pids says are there: the session fails, and no other."""
    code = """
class N(Node):
    concurrent = True
    def load(self):
        import threading
        start = threading.Thread.start
        def limited(thread):
            if thread.name == "medianode-two": raise RuntimeError("can't start new thread")
            start(thread)
        threading.Thread.start = limited
    def process(self, frame): return frame
"""
    node = Many(runtime, tmp_path, "user:N", code=code)
    one = Stream(node, "one").start()
    Stream(node, "two").open()
    error = node.expect("error")
    assert (error["session"], error["phase"], error["goes_on"]) == ("two", "open", True)
    assert "raise docker.resource_limits.pids" in error["message"]
    assert node.expect("closed")["session"] == "two"
    assert one.give("x") == "x"
    one.end()
    node.done("one")


def test_a_report_while_a_session_opens(runtime: FakeRuntime, tmp_path: Path) -> None:
    """Its runtime waits for its "ready": it would start it too early, or open it once more."""
    gate = tmp_path / "gate"
    code = f"""
import os, time
class N(Node):
    concurrent = True
    def open(self, session):
        while not os.path.exists({str(gate)!r}): time.sleep(0.01)
    def process(self, frame): return frame
"""
    node = Many(runtime, tmp_path, "user:N", code=code)
    one = Stream(node, "one").open()
    node.tell("report")
    assert node.expect("report")["sessions"] == {"one": "opening"}
    gate.touch()
    node.expect("ready")
    node.tell("report")
    assert node.expect("report")["sessions"] == {"one": "ready"}
    node.tell("start", "one")
    assert one.give("x") == "x"
    one.end()
    node.done("one")


def test_a_hundred_sessions_leave_nothing(runtime: FakeRuntime, tmp_path: Path) -> None:
    node = opened(runtime, tmp_path)
    stays = Stream(node, "stays").start()
    before = [stays.give(what) for what in ("threads", "open files")]
    memory = rss(node)
    for i in range(100):
        stream = Stream(node, "goes").start()
        if i % 10 == 0:
            assert stream.give("x") == "x"
        if i % 3 == 0:
            node.tell("close", "goes")
        elif i % 3 == 1:
            send_text(stream.writer, "raise")
        else:
            stream.writer.end()
        collect(stream.reader, node)
        assert node.expect("error" if i % 3 == 1 else "closed")["session"] == "goes"
        if i % 3 == 1:
            assert node.expect("closed")["session"] == "goes"
        stream.close()
    end = time.monotonic() + 5
    while (after := [stays.give(what) for what in ("threads", "open files")]) != before and time.monotonic() < end:
        time.sleep(0.05)
    assert after == before
    assert rss(node) - memory < 8 << 20
    stays.end()
    node.done("stays")


def hang(stream: Stream) -> None:
    """Have the node hang in process."""
    send_text(stream.writer, "hang")
    end = time.monotonic() + 10
    while not stream.writer.is_drained():
        assert time.monotonic() < end
        time.sleep(0.01)


def rss(node: NodeProcess) -> int:
    fields = Path(f"/proc/{node.process.pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def test_the_only_session_that_cannot_be_opened(runtime: FakeRuntime, tmp_path: Path) -> None:
    node = opened(runtime, tmp_path)
    node.tell("open", "none")
    error = node.expect("error")
    assert (error["session"], error["phase"], "goes_on" in error) == ("none", "open", False)
    node.expect("bye")
    assert node.wait()[0] == 1


def test_sessions_wait_for_their_own_readers_only(runtime: FakeRuntime, tmp_path: Path) -> None:
    node = opened(runtime, tmp_path)
    one, two = Stream(node, "one").start(), Stream(node, "two").start()
    for _ in range(8):  # more than out takes
        send_text(one.writer, "x")
    assert longest_round(two, 0.5)[0] < 0.1
    two.end()
    assert node.expect("closed")["session"] == "two"
    began = time.monotonic()
    node.tell("close", "one")  # in the middle of that wait
    _, end = collect(one.reader, node)
    assert time.monotonic() - began < 1
    assert end.flags & FAILED
    node.done("one")


def test_stop_reaches_a_call(runtime: FakeRuntime, tmp_path: Path) -> None:
    node = opened(runtime, tmp_path)
    one, two = Stream(node, "one").start(), Stream(node, "two").start()
    send_text(one.writer, "stopping")
    assert two.give("x") == "x"
    node.tell("stop", "one")
    assert one.next() == "stopping"
    one.end()
    two.end()
    node.done("one", "two")


def test_loops_of_their_own(runtime: FakeRuntime, tmp_path: Path) -> None:
    node = opened(runtime, tmp_path, "Loops")
    one, two = Stream(node, "one").start(), Stream(node, "two").start()
    send_text(one.writer, "0.6")
    began = time.monotonic()
    for _ in range(5):
        two.give("0")
    assert time.monotonic() - began < 0.5
    assert int(one.next()) > 20  # its task went on meanwhile
    assert int(two.give("0")) > 20
    one.end()
    two.end()
    node.done("one", "two")


def test_sources(runtime: FakeRuntime, tmp_path: Path) -> None:
    node, readers = sources(runtime, tmp_path, "user:Produces", NODES, slow={"pause": 0.5}, quick={"pause": 0})
    began = time.monotonic()
    for i in range(50):
        assert payload(readers["quick"].receive(until(10, node))) == f"quick {i}".encode()
    assert time.monotonic() - began < 1
    assert payload(readers["slow"].receive(until(10, node))) == b"slow 0"
    for name, reader in readers.items():
        node.tell("stop", name)
        assert not collect(reader, node)[1].flags & FAILED
        assert node.expect("closed")["session"] == name
    node.tell("exit")
    node.expect("bye")
    assert node.wait()[0] == 0


def test_term(runtime: FakeRuntime, tmp_path: Path) -> None:
    """Inputs that go on are cut off, in all sessions."""
    node = opened(runtime, tmp_path)
    streams = [Stream(node, name).start() for name in ("one", "two")]
    for stream in streams:
        stream.give("x")
    began = time.monotonic()
    node.process.send_signal(signal.SIGTERM)
    for stream in streams:
        assert collect(stream.reader, node)[1].flags & FAILED
    seen = [node.next() for _ in range(5)]
    assert sorted(s["event"] for s in seen) == ["bye", "closed", "closed", "error", "error"]
    assert {s["phase"] for s in seen if s["event"] == "error"} == {"stop"}
    assert node.wait()[0] == 1
    assert time.monotonic() - began < 4


def test_term_with_a_session_that_hangs(runtime: FakeRuntime, tmp_path: Path) -> None:
    patch = "import medianode._watch as w\nw.TERM_REPORT, w.TERM_GRACE = 1.2, 2.5\n"
    (tmp_path / "sitecustomize.py").write_text(patch)
    node = opened(runtime, tmp_path)
    hangs, well = Stream(node, "hangs").start(), Stream(node, "well").start()
    hang(hangs)
    assert well.give("x") == "x"
    began = time.monotonic()
    node.process.send_signal(signal.SIGTERM)
    _, end = collect(well.reader, node)
    assert end.flags & FAILED
    code, _, err = node.wait()
    assert code == 1
    assert 2.5 <= time.monotonic() - began < 6
    assert "and still in process:" in err
    assert err.count("time.sleep(3600)") == 2  # where it is, and once more at the end


def test_close_of_a_session_that_hangs(runtime: FakeRuntime, tmp_path: Path) -> None:
    node = opened(runtime, tmp_path)
    hangs, well = Stream(node, "hangs").start(), Stream(node, "well").start()
    hang(hangs)
    node.tell("close", "hangs")
    assert longest_round(well, 0.5)[0] < 0.1
    well.end()
    assert node.expect("closed")["session"] == "well"
    began = time.monotonic()
    node.tell("exit")
    node.expect("bye")
    assert node.wait()[0] == 1
    assert time.monotonic() - began < 5


def test_a_call_that_takes_too_long(runtime: FakeRuntime, tmp_path: Path) -> None:
    node = opened(runtime, tmp_path, timeout_ms=400)
    hangs, well = Stream(node, "hangs").start(), Stream(node, "well").start()
    hang(hangs)
    longest_round(well, 0.1)
    error = node.expect("error")
    assert (error["phase"], error["session"]) == ("process", "hangs")
    assert "time.sleep(3600)" in error["traceback"]
    assert node.wait()[0] == 1


@pytest.mark.parametrize("how", ["exit", "kill"])
def test_what_ends_the_process_ends_all(runtime: FakeRuntime, tmp_path: Path, how: str) -> None:
    node = opened(runtime, tmp_path)
    one, two = Stream(node, "one").start(), Stream(node, "two").start()
    assert two.give("x") == "x"
    if how == "exit":
        send_text(one.writer, "exit")
    else:
        node.process.send_signal(signal.SIGKILL)
    assert node.wait()[0] == (7 if how == "exit" else -9)
    assert not one.reader.ledger.writer_alive()
    assert not two.reader.ledger.writer_alive()
    runtime.transport.clean()


def test_the_runtime_is_gone(runtime: FakeRuntime, tmp_path: Path) -> None:
    node = opened(runtime, tmp_path)
    streams = [Stream(node, name).start() for name in ("one", "two")]
    for stream in streams:
        stream.give("x")
    began = time.monotonic()
    node.commands.close()
    code, _, err = node.wait(20)
    assert (code, "the runtime is gone" in err) == (1, True)
    assert time.monotonic() - began < 10


def test_a_child_that_comes_back(runtime: FakeRuntime, tmp_path: Path) -> None:
    code = (
        NODES
        + """
class Forks(Node):
    concurrent = True
    def process(self, frame):
        if frame.text == "fork" and not os.fork(): return frame
        return frame
"""
    )
    node = Many(runtime, tmp_path, "user:Forks", code=code)
    one, two = Stream(node, "one").start(), Stream(node, "two").start()
    assert one.give("fork") == "fork"
    time.sleep(0.3)
    assert [one.give("x"), two.give("x")] == ["x", "x"]
    one.end()
    two.end()
    node.done("one", "two")
    assert "it came back from the node's code" in node.err or "because it came back" in node.err
