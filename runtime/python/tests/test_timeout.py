from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fake_runtime import FakeRuntime
from nodes import Pipe, collect, send_text, write

from medianode._watch import Watch

SLOW = {
    "sleep": "def process(self, frame):\n        self.deep()\n    def deep(self): time.sleep(3600)",
    "python": "def process(self, frame):\n        while True: pass",
    "coroutine": "async def process(self, frame): await asyncio.sleep(3600)",
    "generator": "def process(self, frame):\n        yield frame\n        time.sleep(3600)",
    "batch": "def process_batch(self, frames): time.sleep(3600)",
    "thread": "def process(self, frame):\n        t = threading.Thread(target=time.sleep, args=(3600,))\n"
    "        t.start()\n        t.join()",
}
HEAD = "import asyncio, ctypes, threading, time\nclass N(Node):\n    "


@pytest.mark.parametrize("name", SLOW)
def test_a_call_takes_too_long(runtime: FakeRuntime, tmp_path: Path, name: str) -> None:
    pipe = Pipe(runtime, write(tmp_path, HEAD + SLOW[name] + "\n"), timeout_ms=300)
    pipe.node.start()
    began = time.monotonic()
    send_text(pipe.writer, "a")
    error = pipe.node.expect("error")
    assert time.monotonic() - began >= 0.3
    code, _, err = pipe.node.wait()
    assert time.monotonic() - began < 5
    assert code == 1
    assert error["phase"] == "process"
    assert error["message"] == "one call of process took longer than timeout_ms, 300 ms"
    assert (error["session"], error["port"], error["sequence"]) == ("main", "input", 0)
    assert "user.py" in error["traceback"]
    assert "medianode/" not in error["traceback"]
    assert error["traceback"] in err


def test_calls_in_time(runtime: FakeRuntime, tmp_path: Path) -> None:
    body = """
    def open(self, session): time.sleep(0.6)
    def process(self, frame):
        time.sleep(0.1)
        return frame
    def close(self): ctypes.PyDLL(None).usleep(600000)
"""
    pipe = Pipe(runtime, write(tmp_path, HEAD + body.lstrip()), timeout_ms=300)
    assert len(pipe.run(*"abcdef")[0]) == 6
    pipe.done()


def test_waiting_for_a_reader_does_not_count(runtime: FakeRuntime, tmp_path: Path) -> None:
    body = """
    def process(self, frame):
        for _ in range(6):
            time.sleep(0.05)
            yield frame
        for _ in range(3): self.emit(frame)
"""
    pipe = Pipe(runtime, write(tmp_path, HEAD + body.lstrip()), timeout_ms=600, out={"buffer": 1})
    pipe.node.start()
    send_text(pipe.writer, "a")
    pipe.writer.end()
    time.sleep(2)
    assert len(collect(pipe.reader, pipe.node)[0]) == 9
    pipe.done()


def test_c_code_that_keeps_the_interpreter_lock(runtime: FakeRuntime, tmp_path: Path) -> None:
    """faulthandler's timer ends it, whose text is all that there is."""
    body = "def process(self, frame): ctypes.PyDLL(None).sleep(3600)"
    pipe = Pipe(runtime, write(tmp_path, HEAD + body + "\n"), timeout_ms=200)
    pipe.node.start()
    send_text(pipe.writer, "a")
    code, _, err = pipe.node.wait()
    assert code == 1
    assert "Timeout (0:00:01" in err
    assert 'user.py", line 4 in process' in err


def test_a_producer_has_no_limit(runtime: FakeRuntime, tmp_path: Path) -> None:
    from fake_runtime import NodeProcess, leaving

    out = runtime.create(runtime.spec("out"))
    reader = runtime.subscriber(out)
    code = HEAD + "def produce(self):\n        time.sleep(0.5)\n        yield Frame.from_text('x')\n"
    node = NodeProcess(runtime, "user:N", write(tmp_path, code), outputs=[leaving(out)], timeout_ms=100)
    node.start()
    assert collect(reader, node)[0] == [b"x"]


def test_the_health_check_reads_when_the_thread_came_by(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lane, other = SimpleNamespace(came_by=time.monotonic() - 30), SimpleNamespace(came_by=time.monotonic())
    runner: Any = SimpleNamespace(id="asr", lanes=[other, lane])
    file = tmp_path / "alive"
    watch = Watch(runner, 0, cast(Any, None), str(file))
    watch._write_came_by()
    assert abs(int(file.read_text()) - (time.clock_gettime(time.CLOCK_BOOTTIME) - 30)) <= 1.1
    lane.came_by = time.monotonic()
    watch._write_came_by()
    assert abs(int(file.read_text()) - time.clock_gettime(time.CLOCK_BOOTTIME)) <= 1.1
    assert file.read_text().endswith("\n")
    assert len(file.read_text().splitlines()) == 1

    nowhere = Watch(runner, 0, cast(Any, None), str(tmp_path / "missing" / "alive"))
    nowhere._write_came_by()
    nowhere._write_came_by()
    for thread in threading.enumerate():  # it does not wait for the log
        if thread.daemon:
            thread.join(5)
    assert capfd.readouterr().err.count("the health check is told nothing") == 1
