"""``python -m medianode run``: a node on files, without an engine."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, Optional

from ._errors import Abandoned
from ._frame import DEFAULT_OUTPUT, Frame
from ._local import Local
from ._localread import STANDARD, FileError, frames_of
from ._localwrite import Sink
from ._log import handle_standard_logging, write
from ._node import Node
from ._user import NodeFailure, load_class, modules, print_failure
from ._version import VERSION

DEFAULT_INPUT = "input"
# How many frames an output takes before they are written.
_ROOM = 64
_INTERRUPTED = 130
# Where, below the current directory, a module that is not found is looked for.
_DEPTH, _MOST_DIRECTORIES = 4, 1000
_NOT_SEARCHED = ("__pycache__", "node_modules", "site-packages", "venv")

USAGE = """\
usage: python -m medianode run MODULE:CLASS [--input FILE] [--output FILE] …

"python -m medianode" alone is the process of a node's container, which docker
medianode starts. To run a node here, on files:

  python -m medianode run mynode:Upper --input words.txt
  python -m medianode run --help
"""

EXAMPLES = """\
examples:
  python -m medianode run mynode:Upper --input words.txt
  echo hi | python -m medianode run mynode:Upper --input -
  python -m medianode run mynode:Gain --input in.wav --output out.wav --param db=-6
  python -m medianode run mynode:Mix --input left=a.wav --input right=b.wav --output out.wav
  python -m medianode run nodes/faces.py:Faces --input in.y4m --output boxes=boxes.jsonl
  python -m medianode run mynode:Ticks --frames 10

files: .wav is audio (PCM; float is written, not read), .txt a text frame a line,
.jsonl a json frame a line (of other frames their header is written), .y4m video
(420 i420, mono gray8, 444 rgb24); any other file is bytes. - is text on stdin,
and lines on stdout. A file has its name when it is complete; until then it is
NAME.partial. What the node prints goes to stderr.

exit code: 0, 1 the node or a file is wrong, 2 usage, 130 interrupted (files are
completed all the same; a second Ctrl-C ends at once).
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="python -m medianode", description="Run a node without an engine.")
    top.add_argument("--version", action="version", version=VERSION)
    verbs = top.add_subparsers(dest="verb", required=True, metavar="run")
    p = verbs.add_parser(
        "run", help="run a node on files", description="Run one node on files, with the rules of a container.",
        epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    p.add_argument("node", metavar="MODULE:CLASS", help="the class, as node_type names it; or FILE.py:CLASS")
    p.add_argument(
        "-i", "--input", action="append", default=[], metavar="[PORT=]FILE", help="what comes in; repeatable"
    )
    p.add_argument("-o", "--output", action="append", default=[], metavar="[PORT=]FILE",
                   help="where an output goes; repeatable. Ports without one are lines on stdout")  # fmt: skip
    p.add_argument("--params", type=_mapping, default={}, metavar="JSON", help="params of the node")
    p.add_argument("--param", action="append", default=[], type=_param, metavar="KEY=VALUE",
                   help="one of them: JSON, or else a string; repeatable")  # fmt: skip
    p.add_argument("--frame-ms", type=_positive, default=20.0, metavar="MS", help="audio in a frame; 20")
    p.add_argument("--chunk", type=_count, metavar="BYTES", help="bytes in a frame of other files; the whole file")
    p.add_argument("--frames", type=_count, metavar="N", help="stop a node that produces after so many frames")
    p.add_argument("--realtime", action="store_true", help="give frames at their times, not as fast as possible")
    p.add_argument("--exactly-one", action="store_true", help="is_streaming: false, so one frame out for each in")
    p.add_argument("--hold", type=_count, default=1, metavar="N",
                   help="frames that the node may keep, and that process_batch gets; 1")  # fmt: skip
    p.add_argument("--id", default="node", help="id of the node")
    p.add_argument("--session", default="main", help="name of the session")
    return top


def _mapping(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as err:
        raise argparse.ArgumentTypeError(f"no JSON: {err}") from err
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("want a mapping")
    return value


def _param(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"{text!r}: want KEY=VALUE")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value}: want 1 or more")
    return value


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value <= 60000:
        raise argparse.ArgumentTypeError(f"{text}: want more than 0 and at most 60000")
    return value


def _ports(given: Sequence[str], default: str) -> list[tuple[str, str]]:
    """Return port and file of each argument; what is before = is a port if it looks like one."""
    found = []
    for text in given:
        port, equals, path = text.partition("=")
        named = equals and port.replace("-", "_").isidentifier()
        found.append((port, path) if named else (default, text))
    return found


class Run:
    """One run of a node on files."""

    def __init__(self, options: argparse.Namespace, cls: type[Node]) -> None:
        self._options = options
        self._inputs = _ports(options.input, DEFAULT_INPUT)
        self._interrupted = self._waiting = False
        self._sinks: dict[str, Sink] = {}
        self._files: list[Sink] = []
        self._limit: Optional[int] = options.frames
        self._given = 0
        self._began = 0.0
        ports = tuple(port for port, _ in self._inputs)
        self._local = Local(
            cls, params={**options.params, **dict(options.param)}, node_id=options.id, session=options.session,
            inputs=ports, streaming=not options.exactly_one, hold=options.hold, patience=self._drain, room=_ROOM,
        )  # fmt: skip

    def run(self) -> int:
        """Run the node; the exit code."""
        signal.signal(signal.SIGINT, self._interrupt)
        feeds = [(port, frames_of(path, self._options.frame_ms, self._options.chunk)) for port, path in self._inputs]
        complete = False
        try:
            for port, path in _ports(self._options.output, DEFAULT_OUTPUT):
                self._sinks[port] = self._sink(path)
            self._local.open()
            self._began = time.monotonic()
            if feeds:
                self._feed(feeds)
            else:
                self._produce()
            self._local.end()
            self._drain()
            complete = True
        finally:
            try:
                self._local.close()
            except (Abandoned, NodeFailure):
                if complete:
                    raise
            finally:
                for sink in self._files:
                    sink.close(complete)
        return _INTERRUPTED if self._interrupted else 0

    def _sink(self, path: str) -> Sink:
        sink = Sink(path)
        self._files.append(sink)
        return sink

    def _interrupt(self, *_: object) -> None:
        if self._interrupted or self._waiting:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True
        write("medianode: interrupted: the node ends its stream; once more to end at once\n")
        if self._waiting:
            raise _Interrupted

    def _feed(self, feeds: list[tuple[str, Iterator[Frame]]]) -> None:
        """Give frames by turns, as many at once as the node may keep."""
        open_feeds = dict(enumerate(feeds))
        while open_feeds and not self._interrupted:
            for key, (port, frames) in list(open_feeds.items()):
                for _ in range(self._options.hold):
                    frame = self._next(frames)
                    if frame is None:
                        del open_feeds[key]
                        if all(port != other for other, _ in open_feeds.values()):
                            self._local.end_input(port)
                        break
                    self._local.put(frame, port)
                self._work()

    def _next(self, frames: Iterator[Frame]) -> Optional[Frame]:
        """Return the next frame, at its time; None at the end. The node's tasks go on while it waits."""
        self._waiting = True
        try:
            if self._interrupted:
                return None
            frame = next(frames, None)
            if frame is not None and self._options.realtime:
                self._wait_until(frame.pts_ns)
            return frame
        except _Interrupted:
            return None
        finally:
            self._waiting = False

    def _wait_until(self, pts_ns: int) -> None:
        while (left := self._began + pts_ns / 1e9 - time.monotonic()) > 0:
            self._local.idle(min(left, 0.02))
            self._drain()

    def _produce(self) -> None:
        while not self._local.closed and not self._interrupted and not self._full():
            self._local.step()
            self._drain()

    def _full(self) -> bool:
        return self._limit is not None and self._given >= self._limit

    def _work(self) -> None:
        while self._local.step():
            self._drain()
        self._drain()

    def _drain(self) -> None:
        for frame in self._local.take():
            if frame.port not in self._sinks:
                self._sinks[frame.port] = self._sink(STANDARD)
            self._given += 1
            self._sinks[frame.port].write(frame)


class _Interrupted(BaseException):
    """Ctrl-C came while there was nothing to do."""


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run a command; the exit code."""
    options = parser().parse_args(arguments)
    # As in a container: what the node prints is for the logs, stdout is for frames.
    sys.stdout = sys.stderr
    handle_standard_logging()
    try:
        cls = load_class(_node_type(options.node), lambda module: _absent(module, options.node))
        if not options.input:
            _check_produces(cls)
        return Run(options, cls).run()
    except NodeFailure as problem:
        if isinstance(problem.__cause__, KeyboardInterrupt):
            return _INTERRUPTED
        print_failure(problem)
        if problem.trace:
            at = "" if problem.sequence is None else f", frame {problem.sequence} of {problem.port}"
            write(f"medianode: {problem.phase}{at}: {problem.message}\n")
        return 1
    except FileError as err:
        write(f"medianode: {err}\n")
        return 1
    except BrokenPipeError:  # whoever read stdout has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED


def _node_type(text: str) -> str:
    """Return module:Class, with the module's directory to be searched."""
    module, _, name = text.rpartition(":")
    directory = os.getcwd()
    if module.endswith(".py"):
        directory, file = os.path.split(os.path.abspath(module))
        module = file[: -len(".py")]
    if directory not in sys.path:
        sys.path.insert(0, directory)
    return f"{module}:{name}"


def _check_produces(cls: type[Node]) -> None:
    works = cls.process is not Node.process or cls.process_batch is not Node.process_batch
    if works and cls.produce is Node.produce:
        raise NodeFailure("import", f"{cls.__name__} has no produce, so something must come in: give --input FILE")


def _absent(module: str, text: str) -> str:
    """Tell that there is no module or file of what was given, and what was meant if that is plain."""
    given, _, name = text.rpartition(":")
    if given.endswith(".py"):
        if os.path.exists(given):
            return f"{given}: no module can have the name {module!r}"
        message, file = f"{given}: No such file", given
    else:
        message, file = f"module {module!r} was not found in the current directory", module.replace(".", "/") + ".py"
    found = _below(os.path.normpath(file))
    if len(found) == 1:
        return f"{message}; did you mean {found[0]}:{name}?"
    there = found or modules()
    return f"{message} (there are: {', '.join(there)})" if there else message


def _below(file: str) -> list[str]:
    """Return the files below the current directory whose path ends so, ten at most."""
    found: list[str] = []
    if os.path.isabs(file) or file.startswith(os.pardir):
        return found
    for count, (directory, inner, _) in enumerate(os.walk(".")):
        if count == _MOST_DIRECTORIES or len(found) == 10:
            break
        if directory.count(os.sep) == _DEPTH:
            inner.clear()
        inner[:] = sorted(n for n in inner if not n.startswith(".") and n not in _NOT_SEARCHED)
        path = os.path.normpath(os.path.join(directory, file))
        if os.path.isfile(path):
            found.append(path)
    return found
