"""Several sessions in one process of a node."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from fake_runtime import FakeRuntime, ended, payload, until
from nodes import collect, send_text
from sessions import NODES, Many, Stream, sources

from medianode._header import FAILED


def test_each_session_has_its_own_copy(runtime: FakeRuntime, tmp_path: Path) -> None:
    node = Many(runtime, tmp_path, params={"greeting": "hi"})
    one, two = Stream(node, "one").start(), Stream(node, "two").start(params={"greeting": "ho"})
    assert one.give("a") == "one hi a"
    assert two.give("b") == "two ho b"
    assert one.give("c") == "one hi ac"
    assert one.end()[0] == [b"last of one"]
    assert node.expect("closed")["session"] == "one"
    assert two.give("d") == "two ho bd"
    three = Stream(node, "three").start()
    assert three.give("e") == "three hi e"
    assert [two.end()[0], three.end()[0]] == [[b"last of two"], [b"last of three"]]
    node.done("two", "three")


@pytest.mark.parametrize("concurrent", [False, True])
def test_an_exception_ends_its_session_only(runtime: FakeRuntime, tmp_path: Path, concurrent: bool) -> None:
    node = Many(runtime, tmp_path, code=f"{NODES}Echo.concurrent = {concurrent}\n")
    one, two = Stream(node, "one").start(), Stream(node, "two").start()
    assert two.give("a") == "two None a"
    send_text(one.writer, "raise")
    frames, end = collect(one.reader, node)
    assert (frames, bool(end.flags & FAILED)) == ([], True)
    error = node.expect("error")
    assert (error["session"], error["goes_on"], error["message"]) == ("one", True, "ValueError: as asked")
    assert node.expect("closed")["session"] == "one"
    assert two.give("b") == "two None ab"
    # The last one takes the process with it, as the only one does.
    send_text(two.writer, "raise")
    error = node.expect("error")
    assert (error["session"], "goes_on" in error) == ("two", False)
    assert ended(two.reader.receive(until(10, node)))
    assert [node.expect("closed")["session"], node.next()["event"]] == ["two", "bye"]
    code, _, err = node.wait()
    assert (code, err.count("ValueError: as asked")) == (1, 2)


@pytest.mark.parametrize("concurrent", [False, True])
def test_a_session_that_cannot_be_opened(runtime: FakeRuntime, tmp_path: Path, concurrent: bool) -> None:
    node = Many(runtime, tmp_path, code=f"{NODES}Echo.concurrent = {concurrent}\n")
    one = Stream(node, "one").start()
    node.tell("open", "none")  # has no channels
    error = node.expect("error")
    assert (error["session"], error["phase"], error["goes_on"]) == ("none", "open", True)
    assert node.expect("closed")["session"] == "none"
    assert one.give("a") == "one None a"
    one.end()
    node.done("one")


def test_a_session_that_is_not_read_does_not_hold_the_others_up(runtime: FakeRuntime, tmp_path: Path) -> None:
    for node_type in ("user:Echo", "user:Twice"):
        other = FakeRuntime()
        try:
            node = Many(other, tmp_path, node_type)
            one, two = Stream(node, "one").start(), Stream(node, "two").start()
            for _ in range(8):  # more than out takes: the node is in the middle of one
                send_text(one.writer, "x")
            longest = 0.0
            for i in range(20):
                began = time.monotonic()
                two.give(str(i))
                if node_type == "user:Twice":
                    two.next()
                longest = max(longest, time.monotonic() - began)
            assert longest < 0.5
            two.writer.end()
            collect(two.reader, node)
            assert node.expect("closed")["session"] == "two"
            one.writer.end()
            frames, end = collect(one.reader, node)
            assert len(frames) == (9 if node_type == "user:Echo" else 16)
            assert not end.flags & FAILED
            node.done("one")
        finally:
            other.close()


def test_a_session_opens_while_another_waits(runtime: FakeRuntime, tmp_path: Path) -> None:
    node = Many(runtime, tmp_path)
    one = Stream(node, "one").start()
    for _ in range(8):
        send_text(one.writer, "x")
    time.sleep(0.2)
    two = Stream(node, "two")
    began = time.monotonic()
    assert two.start().give("a") == "two None a"
    assert time.monotonic() - began < 1
    assert len(one.end()[0]) == 9
    assert two.end()[0] == [b"last of two"]
    node.done("one", "two")


def test_a_flood_delays_others_by_one_call(runtime: FakeRuntime, tmp_path: Path) -> None:
    node = Many(runtime, tmp_path)
    flood, calm = Stream(node, "flood").start(), Stream(node, "calm").start()
    for _ in range(5):
        send_text(flood.writer, "slow")
    time.sleep(0.1)
    began = time.monotonic()
    assert calm.give("a") == "calm None a"
    assert time.monotonic() - began < 0.38  # the rest of one call of 0.2 s, and not of two
    assert len(flood.end()[0]) == 6
    assert calm.end()[0] == [b"last of calm"]
    node.done("flood", "calm")


def test_close_of_a_session_that_nobody_wants(runtime: FakeRuntime, tmp_path: Path) -> None:
    node = Many(runtime, tmp_path)
    one, two = Stream(node, "one").start(), Stream(node, "two").start()
    one.give("a")
    node.tell("close", "one")
    frames, end = collect(one.reader, node)
    assert (frames, bool(end.flags & FAILED)) == ([b"last of one"], True)
    assert node.expect("closed")["session"] == "one"
    assert two.give("b") == "two None b"
    two.end()
    node.done("two")


def test_sources_of_several_sessions(runtime: FakeRuntime, tmp_path: Path) -> None:
    node, readers = sources(runtime, tmp_path, "user:Count", NODES, one={}, two={})
    for i in range(50):
        assert payload(readers["two"].receive(until(10, node))) == f"two {i}".encode()
    assert payload(readers["one"].receive(until(10, node))) == b"one 0"
    for name, reader in readers.items():
        node.tell("stop", name)
        collect(reader, node)
        assert node.expect("closed")["session"] == name
    node.tell("exit")
    node.expect("bye")
    assert node.wait()[0] == 0


@pytest.mark.parametrize("concurrent", [False, True])
@pytest.mark.parametrize("retry", [False, True])
def test_a_session_opens_again_after_its_exception(
    runtime: FakeRuntime, tmp_path: Path, retry: bool, concurrent: bool
) -> None:
    """In the same process, with what it had not finished, or without; the other one hears nothing of it."""
    code = f"""
class N(Node):
    concurrent = {concurrent}
    def load(self): self.opened = []
    def open(self, session):
        self.opened.append(session)
        self.seen = 0
    def process(self, frame):
        self.seen += 1
        kept = self.loan_bytes(1) if frame.text == "bad" else frame
        if frame.text == "bad": raise ValueError(kept)
        return Frame.from_text(f"{{frame.text}} {{self.seen}} {{self.opened.count(self.session)}}")
"""
    node = Many(runtime, tmp_path, "user:N", code=code, retry=retry)
    one, two = Stream(node, "one", comes_back=True).start(), Stream(node, "two").start()
    assert [one.give("a"), one.give("b"), two.give("a")] == ["a 1 1", "b 2 1", "a 1 1"]
    for text in ("bad", "c"):
        send_text(one.writer, text)
    for tries in range(1, 4 if retry else 2):
        error = node.expect("error")
        assert (error["session"], error["goes_on"], error["sequence"]) == ("one", True, 2)
        assert node.expect("closed")["session"] == "one"
        assert two.give("b") == f"b {tries + 1} 1"
        one.start()
        one.writer.refresh()
    times = 4 if retry else 2
    if retry:  # given up at its third death
        letter = node.expect("given_up")
        assert (letter["session"], letter["sequence"]) == ("one", 2)
        assert one.next() == "c 1 4"
    assert one.give("d") == f"d {2 if retry else 1} {times}"
    frames, end = one.end()
    assert (frames, end.flags & FAILED, end.sequence) == ([], 0, 4 if retry else 3)
    assert one.writer.ledger.words[one.dropped_at] == 1  # that which was given up, or the one behind it
    two.end()
    node.done("one", "two")
    assert ("frame 2 of input input from src crashed the node 3 times: skipped" in node.err) == retry
