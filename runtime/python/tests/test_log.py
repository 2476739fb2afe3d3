from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_runtime import FakeRuntime
from nodes import Pipe, collect, send_text, write
from sessions import Many, Stream

from medianode import Node
from medianode._log import Log, SessionStream, at_work, logfmt


class Bad:
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("text", "values", "want"),
    [
        ("loaded", {}, 'level=info msg="loaded"'),
        ("a b", {"n": 1, "x": 1.5, "ok": True, "no": None}, 'level=info msg="a b" n=1 x=1.5 ok=true no=null'),
        ('say "a\\b"', {}, 'level=info msg="say \\"a\\\\b\\""'),
        ("", {"s": "", "w": "two words", "p": "/a/b-c.d"}, 'level=info msg="" s="" w="two words" p=/a/b-c.d'),
        ("x\nlevel=error msg=y\r\t", {}, 'level=info msg="x\\nlevel=error msg=y\\r\\t"'),
        ("\x1b[2J\x00\x9b\u2028", {"v": "\x1b"}, 'level=info msg="\\x1b[2J\\x00\\x9b\\u2028" v="\\x1b"'),
        ("é \U0001f600", {"v": "é"}, 'level=info msg="é \U0001f600" v=é'),
        ("k", {"a b": 1, "": 2, "c=d": "e=f"}, 'level=info msg="k" a_b=1 _=2 c_d="e=f"'),
        ("bad", {"v": Bad()}, 'level=info msg="bad" v="<Bad: RuntimeError>"'),
        ("list", {"v": [1, "a"]}, 'level=info msg="list" v="[1, \'a\']"'),
    ],
)
def test_line(text: str, values: dict[str, Any], want: str) -> None:
    assert logfmt("info", text, values) == want


def test_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    def written(level: str) -> str:
        monkeypatch.setenv("MEDIANODE_LOG_LEVEL", level)
        out = io.StringIO()
        monkeypatch.setattr(sys, "stderr", out)
        log = Log()
        log.debug("d")
        log.info("i", text="a value may have any name")
        log.warning("w")
        log.error("e")
        return "".join(line[6] for line in out.getvalue().splitlines())

    assert [written(level) for level in ("debug", "info", "WARNING", "error", "nonsense", "")] == [
        "diwe", "iwe", "we", "e", "iwe", "iwe",
    ]  # fmt: skip


def test_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    try:
        raise ValueError("x\nlevel=error msg=forged\x1b[1m")
    except ValueError:
        Node().log.exception("broken", n=1)
    Node().log.exception("no exception")
    lines = out.getvalue().splitlines()
    assert lines[0] == 'level=error msg="broken" n=1'
    assert lines[1] == "  Traceback (most recent call last):"
    assert lines[-3:] == ["  ValueError: x", "  level=error msg=forged\\x1b[1m", 'level=error msg="no exception"']


@pytest.mark.parametrize("name", [None, "closed"])
def test_without_stderr(monkeypatch: pytest.MonkeyPatch, name: Any) -> None:
    out = None
    if name:
        out = io.StringIO()
        out.close()
    monkeypatch.setattr(sys, "stderr", out)
    Log().info("nobody hears it")


def test_standard_logging(runtime: FakeRuntime, tmp_path: Path) -> None:
    code = """
import logging
logging.info("at import")
log = logging.getLogger("my.lib")
class N(Node):
    def load(self): self.log.info("loading", node=self.id, session=self.session)
    def open(self, session): self.log.warning("open", session=self.session)
    def process(self, frame):
        log.debug("not shown")
        log.warning("careful %d\\n", 5)
        try: 1 / 0
        except ZeroDivisionError: log.exception("bad")
        logging.critical("worst")
"""
    pipe = Pipe(runtime, write(tmp_path, code))
    pipe.run("x")
    pipe.done()
    lines = pipe.err.splitlines()
    assert lines[:3] == [
        'level=info msg="at import"',
        'level=info msg="loading" node=n session=""',
        'level=warning msg="open" session=main',
    ]
    assert lines[3] == 'level=warning msg="careful 5\\n" logger=my.lib'
    assert lines[4] == 'level=error msg="bad" logger=my.lib'
    assert lines[5] == "  Traceback (most recent call last):"
    assert lines[-2:] == ["  ZeroDivisionError: division by zero", 'level=error msg="worst"']


def test_own_logging_is_left_alone(runtime: FakeRuntime, tmp_path: Path) -> None:
    code = """
import logging
class N(Node):
    def load(self): logging.basicConfig(format="mine %(message)s", force=True)
    def process(self, frame): logging.warning("hello")
"""
    pipe = Pipe(runtime, write(tmp_path, code))
    pipe.run("x")
    pipe.done()
    assert pipe.err == "mine hello\n"


SESSIONS = """
import asyncio, contextvars, os, subprocess, sys, threading
print("imported")
class N(Node):
    concurrent = True
    def load(self): print("session=mine is no mark\\nsession=2"); self.log.info("loading")
    async def open(self, session):
        self.log.info("opened")
        self.task = asyncio.ensure_future(self.later())
    async def later(self):
        await asyncio.sleep(0)
        print("from a task")
    async def process(self, frame):
        print("two\\nlines", end="")
        sys.stdout.write(" and an end\\n\\n")
        print("é", file=sys.stderr)
        thread = threading.Thread(target=self.aside)
        thread.start()
        thread.join()
        await asyncio.get_running_loop().run_in_executor(None, contextvars.copy_context().run, print, "a copy")
        subprocess.run(["echo", "from echo"])
        os.write(1, bytes([0, 255, 10]))
        sys.stdout.buffer.write(b"\\xfe\\n")
        sys.stdout.flush()
        if frame.text == "long":
            print("x" * (1 << 15))  # the pipe takes twice as much
        try: sys.stdout.write(b"bytes")
        except TypeError: print("no text")
        try: 1 / 0
        except ZeroDivisionError: self.log.exception("bad")
        if frame.text == "raise": raise ValueError
    def aside(self):
        print("from a thread")
        self.log.info("from a thread")
"""


def test_lines_say_whose_they_are(runtime: FakeRuntime, tmp_path: Path) -> None:
    node = Many(runtime, tmp_path, "user:N", code=SESSIONS)
    one, two = Stream(node, "one").start(), Stream(node, "two").start()
    for stream, text in ((one, "x"), (two, "long")):
        send_text(stream.writer, text)
        stream.end()
        node.expect("closed")
    node.tell("exit")
    node.expect("bye")
    assert node.wait()[0] == 0
    out, err = (text.splitlines() for text in node.marked)
    assert out[:3] == ["imported", "session= session=mine is no mark", "session= session=2"]
    assert err[0] == 'level=info msg="loading"'
    for name, other in (("one", "two"), ("two", "one")):
        mark = f"session={name} "
        mine = [line[len(mark) :] for line in out if line.startswith(mark)]
        assert [line for line in mine if line[:1] != "x"] == [
            "from a task", "two", "lines and an end", "", "a copy", "no text",
        ]  # fmt: skip
        assert ("x" * (1 << 15) in mine) == (name == "two")
        said = [line[len(mark) :] for line in err if line.startswith(mark)]
        assert said[:5] == [
            'level=info msg="opened"', "é", 'level=info msg="from a thread"', 'level=error msg="bad"',
            "  Traceback (most recent call last):",
        ]  # fmt: skip
        assert said[-1] == "  ZeroDivisionError: division by zero"
        assert not any(other in line for line in said)
    for line in ("from a thread", "from echo", "\0\ufffd", "\ufffd"):
        assert out.count(line) == 2


@pytest.mark.parametrize("concurrent", [False, True])
def test_whose_records_of_logging_are(runtime: FakeRuntime, tmp_path: Path, concurrent: bool) -> None:
    """As what is printed: a thread of a library's own works for no session."""
    code = f"""
import asyncio, contextvars, logging, logging.handlers, queue, threading
log = logging.getLogger("lib")
def aside(*args):
    thread = threading.Thread(target=log.warning, args=args)
    thread.start()
    thread.join()
class N(Node):
    concurrent = {concurrent}
    async def process(self, frame):
        log.warning("in the call")
        aside("in a thread of %s", self.session)
        await asyncio.get_running_loop().run_in_executor(None, contextvars.copy_context().run, log.warning, "in a copy")
        records = queue.Queue()
        other = logging.Logger("queued")
        other.addHandler(logging.handlers.QueueHandler(records))
        listener = logging.handlers.QueueListener(records, *logging.getLogger().handlers)
        listener.start()
        other.warning("from a queue")
        listener.stop()
"""
    node = Many(runtime, tmp_path, "user:N", code=code)
    for name in ("one", "two"):
        stream = Stream(node, name).start()
        send_text(stream.writer, "x")
        stream.end()
        node.expect("closed")
    node.tell("exit")
    node.expect("bye")
    assert node.wait()[0] == 0
    want = []
    for name in ("one", "two"):
        want += [
            f'session={name} level=warning msg="in the call" logger=lib',
            f'level=warning msg="in a thread of {name}" logger=lib',
            f'session={name} level=warning msg="in a copy" logger=lib',
            'level=warning msg="from a queue" logger=queued',
        ]
    assert node.marked[1].splitlines() == want


def test_a_failure_says_whose_it_is(runtime: FakeRuntime, tmp_path: Path) -> None:
    node = Many(runtime, tmp_path, "user:N", code=SESSIONS)
    one, two = Stream(node, "one").start(), Stream(node, "two").start()
    send_text(one.writer, "raise")
    collect(one.reader, node)
    node.expect("error")
    node.expect("closed")
    two.end()
    node.done("two")
    assert "session=one ValueError\n" in node.marked[1]


def test_a_session_that_does_not_open_has_no_lines_after_that(runtime: FakeRuntime, tmp_path: Path) -> None:
    code = "class N(Node):\n    def process(self, frame): print(frame.text); return frame\n"
    node = Many(runtime, tmp_path, "user:N", code=code)
    one = Stream(node, "one").start()
    assert one.give("before") == "before"
    node.tell("open", "nowhere")  # it has no channels
    assert node.expect("error")["session"] == "nowhere"
    assert node.expect("closed")["session"] == "nowhere"
    assert one.give("after") == "after"
    one.end()
    node.done("one")
    assert node.marked[0] == "session=one before\nsession=one after\n"


@pytest.mark.parametrize("concurrent", [False, True])
def test_no_line_is_of_two(runtime: FakeRuntime, tmp_path: Path, concurrent: bool) -> None:
    """A thread of no session leaves its line open, and so does a session."""
    code = f"""
import threading
class N(Node):
    concurrent = {concurrent}
    def process(self, frame):
        for end in ("", "\\n"):
            thread = threading.Thread(target=print, args=("of a thread",), kwargs={{"end": ""}})
            thread.start()
            thread.join()
            print("of a session", end=end)
        return frame
"""
    pipe = Pipe(runtime, write(tmp_path, code))
    pipe.run("x")
    pipe.done()
    session, thread = "session=main of a session", "of a thread"
    want = [thread, session, thread, session]
    if concurrent:  # a session's line is written when it is whole
        want = [thread + thread, session + "of a session"]
    assert pipe.node.marked[0].splitlines() == want


def test_the_end_of_a_line_that_was_ended_for_it() -> None:
    """print writes it by itself, when another's line has begun."""
    raw = io.BytesIO()
    stream = SessionStream(raw, encoding="utf-8", write_through=True)
    try:
        for session, text in (("", "a"), ("s", "b"), ("", "\n"), ("s", "\n"), ("", "c"), ("", "\n"), ("", "\n")):
            before = at_work.set(session)
            stream.write(text)
            at_work.reset(before)
        assert raw.getvalue() == b"a\nsession=s b\nc\n\n"
    finally:
        stream.detach()


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_the_streams_are_what_they_were(runtime: FakeRuntime, tmp_path: Path, name: str) -> None:
    code = f"""
import io, os, sys
class N(Node):
    def process(self, frame):
        stream = sys.{name}
        assert stream is sys.__{name}__ and isinstance(stream, io.TextIOWrapper)
        assert stream.fileno() == {1 if name == "stdout" else 2} and not stream.isatty() and stream.writable()
        stream.reconfigure(errors="strict")
        assert stream.write("abc\\n") == 4 and stream.write("") == 0
        stream.writelines(["a", "b\\n"])
        return Frame.from_text(stream.encoding + stream.errors)
"""
    pipe = Pipe(runtime, write(tmp_path, code))
    assert pipe.run("x")[0] == [b"utf-8strict"]
    pipe.done()
    assert pipe.node.marked[0 if name == "stdout" else 1] == "session=main abc\nsession=main ab\n"


def test_lines_of_sessions_that_print_at_once(runtime: FakeRuntime, tmp_path: Path) -> None:
    """Each is whole, although print writes it in pieces."""
    code = """
import sys, threading, time
together = threading.Barrier(2)
class N(Node):
    concurrent = True
    def process(self, frame):
        sys.setswitchinterval(1e-5)
        together.wait()
        for i in range(300):
            print("a", "line", "in", "pieces", i)
            sys.stderr.write("b")
            self.log.info("b")
            sys.stderr.write(f"{i}\\n")
        print("no end", end="")
        if self.session == "one":
            together.wait()
            time.sleep(0.1)
            print(end="", flush=True)
            time.sleep(0.1)
        else:
            print(" of", end="")
            together.wait()
            print(" it", end="", flush=True)
"""
    node = Many(runtime, tmp_path, "user:N", code=code)
    streams = [Stream(node, name).start() for name in ("one", "two")]
    for stream in streams:
        send_text(stream.writer, "x")
    for stream in streams:
        stream.end()
    node.done("one", "two")
    out, err = (text.splitlines() for text in node.marked)
    for name in ("one", "two"):
        mark = f"session={name} "
        mine = [line for line in out if line.startswith(mark)]
        assert mine[:300] == [f"{mark}a line in pieces {i}" for i in range(300)]
        assert mine[300:] == [mark + ("no end of it" if name == "two" else "no end")]
        said = [line for line in err if line.startswith(mark) and "level" not in line]
        assert len(said) == 300
    assert len(out) == 602
