"""What becomes of a node that does odd things to its own process."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_runtime import FakeRuntime, NodeProcess, ended, entering, leaving, payload, unmarked, until
from test_runner import send_text, write

from medianode._header import FAILED


class Run:
    """One node under watch: its logs are read all the time, as the engine does."""

    def __init__(self, runtime: FakeRuntime, source: Path, **more: Any) -> None:
        self.into, self.out_spec = runtime.create(runtime.spec("in")), runtime.create(runtime.spec("out", buffer=64))
        self.writer, self.reader = runtime.publisher(self.into), runtime.subscriber(self.out_spec)
        self.node = NodeProcess(
            runtime, "user:N", source, inputs=[entering(self.into)], outputs=[leaving(self.out_spec)], **more
        )
        self.bytes = {"out": bytearray(), "err": bytearray()}
        process = self.node.process
        self.threads = [
            threading.Thread(target=self._read, args=(stream.buffer, name), daemon=True)  # type: ignore[attr-defined]
            for stream, name in ((process.stdout, "out"), (process.stderr, "err"))
            if stream is not None
        ]
        for thread in self.threads:
            thread.start()

    def _read(self, stream: Any, name: str) -> None:
        while chunk := stream.read1(1 << 16):
            self.bytes[name] += chunk

    @property
    def out(self) -> str:
        return unmarked(self.bytes["out"].decode("utf-8", "replace"))

    @property
    def err(self) -> str:
        return unmarked(self.bytes["err"].decode("utf-8", "replace"))

    def wait_for(self, text: str) -> str:
        """Wait until a text is on stdout, and return all of that."""
        patience = self._until(10)
        while text not in self.out:
            patience()
            time.sleep(0.01)
        return self.out

    def ask(self, text: str, timeout: float = 20) -> str:
        send_text(self.writer, text)
        got = self.reader.receive(self._until(timeout))
        assert not ended(got), self.log()
        return payload(got).decode()

    def _until(self, seconds: float) -> Any:
        end = time.monotonic() + seconds

        def patience() -> None:
            assert time.monotonic() < end, f"nothing for {seconds} s: {self.log()}"

        return patience

    def log(self) -> str:
        return f"stdout: {self.out[-2000:]}\nstderr: {self.err[-4000:]}"

    def error(self) -> dict[str, Any]:
        assert ended(got := self.reader.receive(self._until(10))), self.log()
        assert got.header.flags & FAILED
        return self.node.expect("error")

    def end(self, code: int = 0) -> None:
        """End the stream, and see the process end in the usual way."""
        if code == 0:
            self.writer.end()
            got = self.reader.receive(self._until(10))
            assert ended(got), payload(got)
            assert not got.header.flags & FAILED
        self.node.expect("closed")
        if code == 0:
            self.node.tell("exit")
        self.node.expect("bye")
        self.gone(code)

    def gone(self, code: int) -> None:
        process = self.node.process
        assert process.wait(timeout=15) == code, self.log()
        for thread in self.threads:
            thread.join(timeout=5)


@pytest.fixture
def start(runtime: FakeRuntime, tmp_path: Path) -> Iterator[Any]:
    kept, (reads, writes) = os.dup(0), os.pipe()
    os.dup2(reads, 0)  # a stdin on which nothing ever comes

    def make(code: str) -> Run:
        run = Run(runtime, write(tmp_path, code))
        run.node.start()
        return run

    yield make
    os.dup2(kept, 0)
    for fd in (kept, reads, writes):
        os.close(fd)


HARMLESS = {
    "stdin": """
        try: input(); answer = "a line"
        except EOFError: answer = sys.stdin.read() or "eof"
    """,
    "chdir": "os.chdir('/'); import late_module; answer = late_module.WORD",
    "warning": "warnings.warn('careful'); answer = 'warned'",
    "thread raises": """
        t = threading.Thread(target=lambda: 1 / 0, name="mine"); t.start(); t.join(); answer = "on"
    """,
    "thread exits": """
        t = threading.Thread(target=sys.exit, args=(3,)); t.start(); t.join(); answer = "on"
    """,
    "unawaited": """
        async def never(): pass
        never(); gc.collect(); answer = "on"
    """,
    "subprocess": "answer = subprocess.check_output(['echo', 'hi'], text=True).strip()",
    "subprocess prints": "subprocess.check_call(['echo', 'from echo']); answer = 'ok'",
    "preexec": "subprocess.check_call(['true'], preexec_fn=lambda: None); answer = 'ok'",
    "recursion limit": "sys.setrecursionlimit(5000); answer = 'ok'",
    "caught": """
        def deep(): deep()
        try: deep()
        except RecursionError: answer = "caught"
    """,
    "memory": """
        try: bytearray(1 << 60)
        except MemoryError: answer = "caught"
    """,
    "asyncio.run": """
        async def main(): return "ran"
        answer = asyncio.run(main())
    """,
}

ODD = """
import asyncio, ctypes, gc, os, signal, subprocess, sys, textwrap, threading, time, warnings
class N(Node):
    def process(self, frame):
        scope = dict(globals())
        exec(textwrap.dedent(frame.text), scope)
        return Frame.from_text(scope["answer"])
"""


def test_harmless(start: Any, tmp_path: Path) -> None:
    (tmp_path / "late_module.py").write_text("WORD = 'found'\n")
    run = start(ODD)
    answers = {name: run.ask(code) for name, code in HARMLESS.items()}
    assert answers == {
        "stdin": "eof", "chdir": "found", "warning": "warned", "thread raises": "on", "thread exits": "on",
        "unawaited": "on", "subprocess": "hi", "subprocess prints": "ok", "preexec": "ok", "recursion limit": "ok",
        "caught": "caught", "memory": "caught", "asyncio.run": "ran",
    }  # fmt: skip
    run.end()
    assert run.out == "from echo\n"
    assert "UserWarning: careful" in run.err
    assert "Exception in thread mine" in run.err
    assert "ZeroDivisionError" in run.err
    assert "'N.process.<locals>.never' was never awaited" in run.err or "never' was never awaited" in run.err


def test_what_is_printed(start: Any) -> None:
    run = start(ODD)
    libc = "libc = ctypes.CDLL(None)\n"
    assert run.ask("print('no newline', end=''); answer = ''") == ""
    assert run.ask(libc + "libc.printf(b' from C\\n'); answer = ''") == ""
    run.wait_for("no newline from C\n")  # although C keeps what it writes to a pipe
    run.ask("sys.stdout.buffer.write(bytes(range(256))); answer = ''")
    run.ask("print('x' * (1 << 20)); print('y' * (1 << 20), file=sys.stderr); answer = ''")
    run.ask(libc + "libc.printf(b'unfinished'); answer = ''")
    run.end()
    assert bytes(range(256)) in run.bytes["out"]
    assert "x" * (1 << 20) in run.out
    assert "y" * (1 << 20) in run.err
    assert run.out.endswith("unfinished")


CLOSED = {
    "closed": "sys.stdout.close(); sys.stderr.close()",
    "none": "sys.stdout = sys.stderr = None",
    "replaced": "import io; sys.stdout = sys.stderr = io.StringIO()",
    "broken": "sys.stdout = sys.stderr = object()",
}


@pytest.mark.parametrize("name", CLOSED)
def test_stdout_is_taken_away(start: Any, name: str) -> None:
    run = start(ODD)
    assert run.ask(CLOSED[name] + "; answer = 'on'") == "on"
    assert run.ask("answer = 'still'") == "still"
    send_text(run.writer, "raise RuntimeError('broken')")
    error = run.error()
    assert error["message"] == "RuntimeError: broken"
    run.end(code=1)
    assert "RuntimeError: broken" in run.err  # also where the node does not look


SYSTEM_EXITS = {"0": "called sys.exit(0)", "3": "called sys.exit(3)", "'why'": "called sys.exit('why')"}


@pytest.mark.parametrize("argument", SYSTEM_EXITS)
def test_sys_exit(start: Any, argument: str) -> None:
    run = start(ODD)
    send_text(run.writer, f"sys.exit({argument})")
    assert SYSTEM_EXITS[argument] in run.error()["message"]
    run.end(code=1)


FATAL = {
    "recursion": ("def deep(): deep()\ndeep()", "RecursionError"),
    "memory": ("bytearray(1 << 60)", "MemoryError"),
    "keyboard": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "generator exit": ("raise GeneratorExit", "GeneratorExit"),
    "str": (
        "class E(Exception):\n    def __str__(self): 1 / 0\nraise E",
        "E: <E, of which str raises Zero",
    ),
    "exit code": (
        "class C:\n    def __repr__(self): 1 / 0\nsys.exit(C())",
        "called sys.exit(<C, of which repr",
    ),
    "surrogate": ("raise ValueError('\\udc80')", "ValueError"),
    "group": ("raise type('Deep', (Exception,), {})(*[list(range(9))] * 3)", "Deep: ([0, 1"),
}


@pytest.mark.parametrize("name", FATAL)
def test_fatal(start: Any, name: str) -> None:
    code, message = FATAL[name]
    run = start(ODD)
    send_text(run.writer, code)
    error = run.error()
    assert error["phase"] == "process"
    assert message in error["message"]
    assert len(error["traceback"]) < 13000
    run.end(code=1)
    assert "Traceback" in run.err


def test_os_exit(runtime: FakeRuntime, start: Any) -> None:
    run = start(ODD)
    send_text(run.writer, "print('last words', end=''); os._exit(7)")
    run.gone(7)
    assert run.out == "last words"
    assert not run.reader.ledger.writer_alive()
    assert run.node.status.writer_gone()


def test_crash(start: Any) -> None:
    run = start(ODD + "    def inner(self): ctypes.string_at(0)\n")
    send_text(run.writer, "self = N(); self.inner()")
    run.gone(-11)
    assert "Fatal Python error: Segmentation fault" in run.err
    assert "in inner" in run.err  # the Python stack
    assert not run.reader.ledger.writer_alive()


def test_a_library_writes_into_what_was_received(start: Any) -> None:
    """As torch.from_numpy does, which does not look whether the array is read-only; a copy is writable."""
    code = """
import ctypes, numpy
class N(Node):
    def process(self, frame):
        array = numpy.frombuffer(frame.data, "u1")
        self.fill(array.copy() if frame.text == "a copy" else array)
        return frame
    def fill(self, array): ctypes.memset(array.ctypes.data, 0, array.nbytes)
"""
    run = start(code)
    assert run.ask("a copy") == "a copy"
    send_text(run.writer, "shared")
    run.gone(-11)
    assert "Fatal Python error: Segmentation fault" in run.err
    assert "in fill" in run.err


HANDLERS = {
    "ignored": "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    "default": "signal.signal(signal.SIGTERM, signal.SIG_DFL)",
    "raises": "signal.signal(signal.SIGTERM, lambda *_: 1 / 0)",
    "asyncio": "asyncio.new_event_loop().add_signal_handler(signal.SIGTERM, print)",
}


@pytest.mark.parametrize("name", HANDLERS)
def test_sigterm_is_heard_whatever_the_node_makes_of_it(start: Any, name: str) -> None:
    run = start(ODD)
    assert run.ask(HANDLERS[name] + "; answer = 'on'") == "on"
    time.sleep(0.2)
    run.node.process.terminate()
    run.writer.end()
    assert ended(run.reader.receive(until(10)))
    run.node.expect("closed")
    run.node.expect("bye")
    run.gone(0)
    assert ("ZeroDivisionError" in run.err) == (name == "raises")


def test_signal_handlers_of_the_node(start: Any) -> None:
    code = """
def theirs(number, frame): print("theirs", number, flush=True)
signal.signal(signal.SIGTERM, theirs)
signal.signal(signal.SIGINT, signal.SIG_IGN)
"""
    run = start(ODD.replace("class N", code + "class N"))
    assert run.ask("signal.signal(signal.SIGTERM, theirs); answer = 'on'") == "on"
    time.sleep(0.2)
    run.node.process.terminate()
    run.writer.end()
    assert ended(run.reader.receive(until(10)))
    run.node.expect("closed")
    run.node.expect("bye")  # without being told to exit
    run.gone(0)
    assert run.out == "theirs 15\n"


SPAWN = """
import multiprocessing, os, sys
def work(n):
    print(f"child {n}" + chr(10), end="", flush=True)
    return n * n
class N(Node):
    def process(self, frame):
        context = multiprocessing.get_context(frame.text)
        with context.Pool(2) as pool:
            return Frame.from_json(pool.map(work, [1, 2, 3]))
"""


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_multiprocessing(start: Any, method: str) -> None:
    run = start(SPAWN)
    for _ in range(2):
        assert run.ask(method) == "[1,4,9]"
    run.end()
    assert sorted(run.out.split("\n")) == sorted(["", *(f"child {n}" for n in (1, 2, 3) for _ in range(2))])
    assert "medianode" not in run.err, run.err


FORKS = {
    "exits": "sys.exit(5)",
    "os._exit": "os._exit(5)",
    "raises": "raise RuntimeError('in the child')",
    "returns": "return None",
    "returns a frame": "return Frame.from_text('from the child')",
    "lets frames go": "del frame, self.kept; gc.collect(); sys.exit(5)",
}
FORK = """
import ctypes, gc, os, sys, time
class N(Node):
    def process(self, frame):
        if frame.text != "fork":
            return frame
        self.kept = frame
        pid = os.fork()
        if pid == 0:
            print("child", flush=True)
            CHILD
        self.kept = None
        _, status = os.waitpid(pid, 0)
        return Frame.from_text(str(os.waitstatus_to_exitcode(status)))
"""


@pytest.mark.parametrize("name", FORKS)
def test_fork(runtime: FakeRuntime, start: Any, name: str) -> None:
    run = start(FORK.replace("CHILD", FORKS[name]))
    want = "1" if "r" in name[:1] else "5"
    before = {p.name for p in Path("/dev/shm").iterdir() if runtime.domain.prefix in p.name}
    nodes = set(Path(runtime.root).rglob("*"))
    assert run.ask("before") == "before"
    assert run.ask("fork") == want
    after = {p.name for p in Path("/dev/shm").iterdir() if runtime.domain.prefix in p.name}
    assert before <= after
    assert nodes <= set(Path(runtime.root).rglob("*"))
    for i in range(30):
        assert run.ask(f"after {i}") == f"after {i}"
    run.end()
    assert run.out == "child\n"
    if name == "raises":
        assert "RuntimeError: in the child" in run.err
    assert ("came back" in run.err) == name.startswith("returns")


def test_a_forked_child_that_outlives_the_node(runtime: FakeRuntime, start: Any) -> None:
    code = """
import os, time
class N(Node):
    def process(self, frame):
        child = os.fork()
        if child == 0:
            time.sleep(3600)
        print(child, flush=True)
        os.kill(os.getpid(), 9)
"""
    run = start(code)
    send_text(run.writer, "x")
    assert run.node.process.wait(timeout=10) == -9
    child = int(run.wait_for("\n"))
    try:
        # The child has the open files of the dead, but soon not its locks.
        patience = run._until(10)
        while (
            run.reader.ledger.writer_alive() or run.writer.ledger.reader_alive(0) or not run.node.status.writer_gone()
        ):
            patience()
            time.sleep(0.01)
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_forked_child_can_be_terminated(start: Any) -> None:
    code = """
import multiprocessing, time
class N(Node):
    def process(self, frame):
        p = multiprocessing.get_context("fork").Process(target=time.sleep, args=(3600,))
        p.start()
        time.sleep(0.1)
        p.terminate()
        p.join(5)
        return Frame.from_json(p.exitcode)
"""
    run = start(code)
    assert run.ask("x") == "-15"
    run.end()


def test_a_signal_for_a_child_that_has_just_begun_is_not_the_nodes(start: Any) -> None:
    # As of a pool that is closed at once. Here it comes while the child has its parent's handlers.
    code = """
import os, signal, time
from medianode import _fork
class N(Node):
    def process(self, frame):
        _fork._then.insert(0, lambda: os.kill(os.getpid(), signal.SIGTERM))
        child = os.fork()
        if child == 0:
            time.sleep(5)
            os._exit(7)
        del _fork._then[0]
        _, status = os.waitpid(child, 0)
        time.sleep(0.1)
        held = [number.name for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])]
        return Frame.from_json([os.waitstatus_to_exitcode(status), self.stopping, held])
"""
    run = start(code)
    assert run.ask("x") == "[-15,false,[]]"
    run.end()


THREADS = {
    "daemon": ("daemon=True", ""),
    "not daemon": ("daemon=False", "thread 'mine' of the node still runs and is left behind"),
}


@pytest.mark.parametrize("name", THREADS)
def test_threads_that_go_on(start: Any, name: str) -> None:
    how, message = THREADS[name]
    code = f"""
import atexit, threading
atexit.register(print, "at exit")
def noise():
    while True: print("noise")
class N(Node):
    def process(self, frame):
        threading.Thread(target=noise, name="mine", {how}).start()
        return frame
"""
    run = start(code)
    assert run.ask("x") == "x"
    run.end()
    assert message in run.err
    assert "Fatal Python error" not in run.err
    assert "at exit" in run.out


def test_a_library_that_crashes_when_it_is_unloaded(start: Any) -> None:
    code = """
import ctypes
class Torn:
    def __del__(self, at=ctypes.string_at): at(0)
kept = Torn()
class N(Node):
    def process(self, frame): return frame
"""
    run = start(code)
    assert run.ask("x") == "x"
    run.end()
    assert "Fatal" not in run.err


def test_an_executor_that_is_not_shut_down(start: Any) -> None:
    code = """
from concurrent.futures import ThreadPoolExecutor
class N(Node):
    def open(self, session): self.pool = ThreadPoolExecutor(2)
    def process(self, frame): return self.pool.submit(lambda: frame.copy()).result()
"""
    run = start(code)
    assert run.ask("x") == "x"
    run.end()
    assert run.err == ""


def test_fork_before_a_session(runtime: FakeRuntime, tmp_path: Path) -> None:
    code = """
import os, threading
class N(Node):
    def load(self):
        child = os.fork()
        if child == 0:
            return
        self.answer = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    def process(self, frame):
        answers = []
        def work():
            child = os.fork()
            if child == 0:
                try: self.emit(frame)
                except Exception as err: print(type(err).__name__, flush=True)
                os._exit(3)
            answers.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return Frame.from_json([self.answer, *answers])
"""
    run = Run(runtime, write(tmp_path, code))
    run.node.start()
    assert run.ask("x") == "[1,3]"
    run.end()
    assert run.out == "ClosedError\n"
    assert "came back" in run.err
