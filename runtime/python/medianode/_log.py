"""Log lines of a node: logfmt on stderr, which the runtime reads level and text from."""

from __future__ import annotations

import io
import os
import sys
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Optional

from . import _flood

if TYPE_CHECKING:
    import logging

ENV_LEVEL: Final = "MEDIANODE_LOG_LEVEL"
#: By name, as the standard logging module counts them.
LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}

#: The session for which code works; what it starts with a copy of its context,
#: as asyncio does, works for it too. Other threads work for none.
at_work: ContextVar[str] = ContextVar("medianode_session", default="")
# What a line of a session begins with; the runtime takes it away again.
_MARK: Final = "session="

_CONTROL: Final = {n: f"\\x{n:02x}" for n in (*range(32), 127, *range(128, 160))}
# Two more characters end a line for whoever splits text as Unicode says.
_CONTROL.update({0x2028: "\\u2028", 0x2029: "\\u2029"})
_ESCAPES: Final = {**_CONTROL, ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t", ord("\\"): "\\\\", ord('"'): '\\"'}
_IN_LINES: Final = {n: text for n, text in _CONTROL.items() if n not in (9, 10)}
_KEY: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


def quote(text: str) -> str:
    """Return the text in double quotes, on one line, with what would steer a terminal escaped."""
    return '"' + text.translate(_ESCAPES) + '"'


def logfmt(level: str, text: str, values: dict[str, Any]) -> str:
    """Return ``level=info msg="text" key=value …``, one line without its end."""
    parts = [f"level={level} msg={quote(text)}"]
    for key, value in values.items():
        clean = "".join(c if c in _KEY else "_" for c in key) or "_"
        parts.append(f"{clean}={_value(value)}")
    return " ".join(parts)


def _value(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        text = str(value)
    except Exception as err:  # a log line must not end a node
        text = f"<{type(value).__name__}: {type(err).__name__}>"
    if text and text.isprintable() and not any(c in ' "=\\' for c in text):
        return text
    return quote(text)


def indented(text: str) -> str:
    """Return the lines of a text so that none of them can be taken for a log line."""
    return "".join(f"  {line}\n" for line in text.translate(_IN_LINES).rstrip("\n").split("\n"))


def threshold() -> int:
    """Return the least level that is written, by MEDIANODE_LOG_LEVEL; info unless it says otherwise."""
    return LEVELS.get(os.environ.get(ENV_LEVEL, "").lower(), LEVELS["info"])


class Log:
    """``self.log`` of a node: one line a call, with values by name.

        self.log.info("model loaded", seconds=1.5, path=path)

    writes ``level=info msg="model loaded" seconds=1.5 path=/models/a.bin``. Any
    thread may call it. What is below the level in the environment variable
    MEDIANODE_LOG_LEVEL (debug, info, warning or error; default info) is not
    written.
    """

    __slots__ = ("_least", "_session")

    def __init__(self, session: str = "") -> None:
        self._least, self._session = threshold(), session

    def of(self, session: str) -> Log:
        """Return the log of a session, which says so in each line; one of another class stays as it is."""
        return Log(session) if type(self) is Log else self

    def debug(self, text: str, /, **values: Any) -> None:
        """Write a line of level debug; not shown unless asked for."""
        self._write("debug", text, values)

    def info(self, text: str, /, **values: Any) -> None:
        """Write a line of level info."""
        self._write("info", text, values)

    def warning(self, text: str, /, **values: Any) -> None:
        """Write a line of level warning."""
        self._write("warning", text, values)

    def error(self, text: str, /, **values: Any) -> None:
        """Write a line of level error; the node goes on."""
        self._write("error", text, values)

    def exception(self, text: str, /, **values: Any) -> None:
        """Write a line of level error and, below it, indented, the traceback of the exception in hand."""
        err = sys.exc_info()[1]
        trace = ""
        if err is not None:
            import traceback

            trace = indented("".join(traceback.format_exception(type(err), err, err.__traceback__)))
        self._write("error", text, values, trace)

    def _write(self, level: str, text: str, values: dict[str, Any], more: str = "") -> None:
        if LEVELS[level] < self._least:
            return
        before = at_work.set(self._session) if self._session else None  # any thread may log
        try:
            write(logfmt(level, str(text), values) + "\n" + more)
        finally:
            if before is not None:
                at_work.reset(before)


def write(text: str) -> None:
    """Write whole lines to stderr at once, as far as it still is one."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except Exception:  # closed, not there, or whatever the node has put in its place
        write_past(text)


def insist(text: str) -> None:
    """Write whole lines as ``write`` does, also in the middle of a flood: what a node dies of is not left out."""
    _flood.here.insists = True
    try:
        write(text)
    finally:
        _flood.here.insists = False


def tell_left_behind(name: str) -> None:
    """Say that the process ends although a thread of the node goes on."""
    insist(f"medianode: thread {name!r} of the node still runs and is left behind: end it in close\n")


def write_past(text: str) -> None:
    """Write whole lines where stderr went when the process began."""
    try:
        os.write(2, text.encode("utf-8", "backslashreplace"))
    except OSError:
        pass


class SessionStream(io.TextIOWrapper):
    """stdout or stderr, on which each line begins with the session that writes it.

    Only what Python code prints as text is marked, and where it is known whose
    code that is. Bytes, C code and other processes write as ever.
    """

    #: Whether sessions print at the same time. Then each one's line is kept until
    #: it is whole: ``print`` writes it in pieces.
    apart = False

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._line: Optional[str] = None  # whose line is not at its end; "" is no session's
        self._ended: set[str] = set()  # whose was ended for them
        self._forget()
        os.register_at_fork(after_in_child=self._forget)  # what is kept is the parent's to print

    def _forget(self) -> None:
        self._kept: dict[str, str] = {}
        self._keeping = threading.RLock()  # a finaliser may print in the middle of a print

    @property
    def keeps(self) -> bool:
        """Whether something is kept."""
        return bool(self._kept)

    def write(self, text: str, /) -> int:
        """Write text, marked where it begins a line."""
        if not isinstance(text, str) or not text:
            return super().write(text)
        name = at_work.get()
        with self._keeping:
            if not (self.apart and name):
                self._put(name, text)
                return len(text)
            whole = self._kept.pop(name, "") + text
            end = len(whole) if len(whole) > _MAX_KEPT else whole.rfind("\n") + 1
            if end < len(whole):
                self._kept[name] = whole[end:]
            if end:
                self._put(name, whole[:end])
        return len(text)

    def flush(self) -> None:
        """Write what is kept of this session; of all, where none is at work."""
        name = at_work.get()
        with self._keeping:
            for kept in [name] if name else list(self._kept):
                self._put(kept, self._kept.pop(kept, ""))
        super().flush()

    def _put(self, name: str, text: str) -> None:
        if not text:
            return
        if self._line is not None and self._line != name:  # no line is of two
            super().write("\n")
            self._ended.add(self._line)
            self._line = None
        if name in self._ended:
            self._ended.discard(name)
            if text == "\n":  # print writes it by itself
                return
        fresh, self._line = self._line is None, None if text[-1] == "\n" else name
        if name:
            text = _marked(text, f"{_MARK}{name} ", fresh)
        elif _MARK in text:  # it is no mark of ours
            text = text.replace("\n" + _MARK, f"\n{_MARK} {_MARK}")
            if fresh and text.startswith(_MARK):
                text = f"{_MARK} {text}"
        super().write(text)


# Characters of a line that are kept until it is whole.
_MAX_KEPT: Final = 1 << 16


def _marked(text: str, mark: str, fresh: bool) -> str:
    inner = text.count("\n") - (text[-1] == "\n")
    if inner:
        text = text.replace("\n", "\n" + mark, inner)
    return mark + text if fresh else text


def mark_sessions() -> None:
    """Let stdout and stderr say whose session a line is of."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if type(stream) is not io.TextIOWrapper or getattr(sys, f"__{name}__") is not stream:
            continue  # a library of the image's has put something in its place
        marked = SessionStream(
            stream.buffer, encoding=stream.encoding, errors=stream.errors, line_buffering=True, write_through=True
        )
        marked.before = stream  # type: ignore[attr-defined]  # or its end would close the file
        setattr(sys, name, marked)
        setattr(sys, f"__{name}__", marked)


def print_kept() -> None:
    """Print what the session at work has printed without the end of a line."""
    for stream in (sys.__stdout__, sys.__stderr__):
        if isinstance(stream, SessionStream) and stream.keeps:
            try:
                stream.flush()
            except (OSError, ValueError):  # closed
                pass


def handle_standard_logging() -> None:
    """Let records of the standard logging module go the same way, unless somebody has set it up."""
    import logging

    root = logging.getLogger()
    if root.handlers:
        return
    root.addHandler(_handler())
    root.setLevel(threshold())


def _handler() -> logging.Handler:
    import logging

    class LineHandler(logging.Handler):
        """Writes records as lines of a node's log."""

        def emit(self, record: logging.LogRecord) -> None:
            try:
                values = {} if record.name == "root" else {"logger": record.name}
                trace = record.exc_text or ""
                if record.exc_info and not trace:
                    trace = logging.Formatter().formatException(record.exc_info)
                if record.stack_info:
                    trace += ("\n" if trace else "") + record.stack_info
                line = logfmt(_name(record.levelno), record.getMessage(), values)
                write(line + "\n" + (indented(trace) if trace else ""))
            except Exception:
                self.handleError(record)

    return LineHandler()


def _name(number: int) -> str:
    return next((name for name, least in reversed(LEVELS.items()) if number >= least), "debug")
