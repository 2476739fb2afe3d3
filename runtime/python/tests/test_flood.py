"""What a node writes faster than anybody can read."""

from __future__ import annotations

import array
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
from fake_runtime import FakeRuntime
from nodes import send_text
from test_outcomes import Run
from test_runner import write

from medianode import _flood
from medianode._flood import BURST, RATE, Bounded


class Sink:
    """A bounded stream into a file, and a clock that stands still."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(_flood.time, "monotonic", lambda: self.now)
        self.path = path
        self.file = open(path, "wb")  # noqa: SIM115
        self.stream = Bounded(self.file.fileno(), "<stdout>")

    def read(self) -> bytes:
        return self.path.read_bytes()


@pytest.fixture
def sink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sink:
    return Sink(tmp_path / "out", monkeypatch)


LINE = b"x" * 1023 + b"\n"


def test_what_is_no_flood_is_written_as_it_is(sink: Sink) -> None:
    for _ in range(BURST // 1024):
        assert sink.stream.write(LINE) == 1024
    for _ in range(5000):
        sink.now += 1024 / RATE
        sink.stream.write(LINE)
    sink.stream.tell_left_out()
    assert sink.read() == LINE * (BURST // 1024 + 5000)


def test_a_line_that_does_not_end_ends_no_log(sink: Sink) -> None:
    """A progress bar goes over its line again and again."""
    for _ in range(BURST // 1024 + 10):
        sink.stream.write(LINE)
    sink.stream.write(b"\r 50%")
    for _ in range(12):
        sink.now += 0.25
        sink.stream.write(b"\r 50%")
    out = sink.read()[BURST:]
    told = b"medianode: 10 lines (10265 bytes) of <stdout> left out: more than 1 MiB/s\n"
    assert out.startswith(told)
    assert out.count(b"\r 50%") == 8


def test_whole_lines_are_left_out_and_counted(sink: Sink) -> None:
    full = BURST // 1024
    for _ in range(full + 100):
        assert sink.stream.write(LINE) == 1024
    sink.stream.write(b"half")
    sink.now += 1  # room again, in the middle of a line
    sink.stream.write(b" and half\n")
    sink.stream.write(b"goes on\n")
    want = LINE * full + b"medianode: 101 lines (102414 bytes) of <stdout> left out: more than 1 MiB/s\ngoes on\n"
    assert sink.read() == want


def test_a_line_may_end_but_not_go_on_for_ever(sink: Sink) -> None:
    sink.stream.write(b"y" * (BURST - 10))
    sink.stream.write(b"the end of a line\n")
    assert sink.read().endswith(b"yythe end of a line\n")
    sink.now += 1000
    for _ in range(10 * BURST // (1 << 16)):
        sink.stream.write(b"z" * (1 << 16))
    assert BURST < len(sink.read()) - BURST < BURST + (1 << 18)
    assert sink.stream.write(b"z" * BURST) == BURST  # at once
    assert len(sink.read()) < 2 * BURST + (1 << 18)
    sink.now += 1000
    sink.stream.write(b"z\nlast\n")
    sink.stream.write(b"a line\n")
    sink.stream.tell_left_out()
    assert b"z\nmedianode: 0 lines (" in sink.read()
    assert sink.read().endswith(b"more than 1 MiB/s\nz\nlast\na line\n")


def test_what_a_node_fails_of_is_not_left_out(sink: Sink) -> None:
    sink.stream.write(b"x" * (BURST - 1) + b"\n")
    sink.stream.write(LINE)
    sink.stream.write(b"half")
    _flood.here.insists = True
    try:
        sink.stream.write(b"Traceback\n")
        sink.stream.write(LINE)
    finally:
        _flood.here.insists = False
    sink.stream.write(LINE)  # the flood goes on
    sink.stream.tell_left_out()
    left = b"medianode: 1 lines (%d bytes) of <stdout> left out: more than 1 MiB/s\n"
    assert sink.read()[BURST:] == left % 1028 + b"Traceback\n" + LINE + left % 1024


def test_what_is_left_out_is_told_although_nothing_more_is_written(sink: Sink) -> None:
    sink.stream.write(b"x" * BURST)
    sink.stream.write(b"\n")
    assert not sink.stream.overdue
    sink.stream.write(LINE)
    sink.stream.write(b"half")
    sink.now += 1
    assert not sink.stream.overdue  # the rest of the line is left out too
    sink.now -= 1
    sink.stream.write(b"\n")
    assert not sink.stream.overdue  # there is no room
    sink.now += 1
    assert sink.stream.overdue
    sink.stream.tell_left_out()
    assert not sink.stream.overdue
    assert sink.read().endswith(b"\nmedianode: 2 lines (1029 bytes) of <stdout> left out: more than 1 MiB/s\n")


def test_items_that_are_larger_than_bytes(sink: Sink) -> None:
    numbers = array.array("q", [0] * (BURST // 8 - 1) + [10 << 56])  # the last byte ends a line
    assert sink.stream.write(numbers) == BURST
    assert sink.stream.write(memoryview(numbers)) == BURST  # left out
    assert sink.stream.write(memoryview(b"")) == 0
    sink.stream.tell_left_out()
    assert f"({BURST} bytes) of <stdout> left out".encode() in sink.read()[BURST:]


def test_a_forked_process_counts_its_own(sink: Sink) -> None:
    sink.stream.write(b"x" * (BURST - 1) + b"\n")
    sink.stream.write(LINE)
    child = os.fork()
    if child == 0:
        sink.stream.tell_left_out()
        os._exit(0)
    os.waitpid(child, 0)
    sink.stream.tell_left_out()
    assert sink.read().count(b"left out") == 1


def test_the_cost_of_a_write(tmp_path: Path) -> None:
    with open(os.devnull, "wb", buffering=0) as plain:
        bounded = Bounded(plain.fileno(), "<stdout>")

        def took(write: Any) -> float:
            began = time.perf_counter()
            for _ in range(20_000):
                write(b"line\n")
            return (time.perf_counter() - began) / 20_000

        floor, ours = min(took(plain.write) for _ in range(5)), min(took(bounded.write) for _ in range(5))
    print(f"{1e6 * ours:.2f} us a write, {1e6 * floor:.2f} without a bound")
    assert ours < floor + 20e-6


def test_a_node_that_prints_without_end(runtime: FakeRuntime, tmp_path: Path) -> None:
    source = write(
        tmp_path,
        """
from medianode import Frame, Node

class N(Node):
    def process(self, frame):
        for number in range(300_000):
            print("a line of many, as a node writes that somebody debugs, and some more of them", number)
        print("z" * (8 << 20))  # more than there ever is room for: it ends with what is left out
        print("said on stderr", file=__import__("sys").stderr)
        return frame
""",
    )
    run = Run(runtime, source)
    run.node.start()
    began = time.monotonic()
    assert run.ask("go", timeout=60) == "go"
    run.end()
    assert BURST <= len(run.bytes["out"]) < BURST + RATE * (time.monotonic() - began)
    assert " lines (" in run.out[-200:]
    assert "of <stdout> left out: more than 1 MiB/s" in run.out[-200:]
    assert "said on stderr" in run.err


def test_a_node_that_is_killed_after_its_flood(runtime: FakeRuntime, tmp_path: Path) -> None:
    """Every line that it has printed is in its log, or counted there."""
    source = write(
        tmp_path,
        """
import threading, time
from medianode import Node

class N(Node):
    def process(self, frame):
        threads = [threading.Thread(target=self.flood) for _ in range(3)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        time.sleep(3600)
    def flood(self):
        for _ in range(30_000):
            print("a line of many, as a node writes that somebody debugs, and some more of it" + chr(10), end="")
""",
    )
    run = Run(runtime, source)
    run.node.start()
    send_text(run.writer, "go")

    def lines() -> int:
        counts = re.findall(r"^medianode: (\d+) lines .* left out", run.out, flags=re.M)
        return run.out.count("a line of many") + sum(int(count) for count in counts)

    end = time.monotonic() + 30
    while lines() < 90_000:
        assert time.monotonic() < end, f"{lines()} lines: {run.out[-300:]}"
        time.sleep(0.1)
    run.node.process.kill()
    run.gone(-9)
    assert lines() == 90_000


def test_a_node_that_fails_in_its_flood(runtime: FakeRuntime, tmp_path: Path) -> None:
    source = write(
        tmp_path,
        """
import sys
from medianode import Node

class N(Node):
    def process(self, frame):
        for number in range(20_000):
            print(number, "x" * 1000, file=sys.stderr)
        raise ValueError("and then it fails")
""",
    )
    run = Run(runtime, source)
    run.node.start()
    send_text(run.writer, "go")
    assert "and then it fails" in run.error()["message"]
    run.end(1)
    assert len(run.bytes["err"]) < 2 * BURST
    assert "of <stderr> left out: more than 1 MiB/s\nTraceback (most recent call last):" in run.err
    assert "ValueError: and then it fails" in run.err


def test_c_code_that_floods_with_the_interpreter_lock(runtime: FakeRuntime, tmp_path: Path) -> None:
    """A thread of the interpreter could take nothing from it, and would lose what it says last."""
    source = write(
        tmp_path,
        """
import ctypes, subprocess
from medianode import Node

libc = ctypes.PyDLL(None)  # it keeps the lock
LINES = (b"x" * 99 + b"\\n") * (1 << 16)

class N(Node):
    def process(self, frame):
        if frame.text == "end":
            for line in (b"one\\n", b"two\\n", b"last words\\n"):
                libc.write(2, line, len(line))
            libc.abort()
        libc.write(1, LINES, len(LINES))
        subprocess.run(["head", "-c", str(len(LINES)), "/dev/zero"], check=True)
        return frame
""",
    )
    run = Run(runtime, source)
    run.node.start()
    assert run.ask("go") == "go"
    send_text(run.writer, "end")
    run.gone(-6)
    assert len(run.bytes["out"]) == 2 * (100 << 16)
    assert "one\ntwo\nlast words\nFatal Python error: Aborted" in run.err
