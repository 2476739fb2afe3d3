from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_runtime import FakeRuntime
from nodes import Pipe, write

from medianode import Node
from medianode._log import Log, logfmt


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
