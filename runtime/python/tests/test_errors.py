from __future__ import annotations

from pathlib import Path

import pytest
from fake_runtime import FakeRuntime, NodeProcess, entering, until
from nodes import NODES, Pipe, collect, send_text, write

from medianode._header import FAILED

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
    assert "importlib" not in error.get("traceback", "")
    if name == "syntax":
        assert 'user.py", line ' in error["traceback"]
        assert "    class N(Node) pass\n" in error["traceback"]
    pipe.node.expect("bye")
    code_, _, err = pipe.node.wait()
    assert code_ == 1
    assert "importlib" not in err


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
