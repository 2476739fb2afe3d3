"""Tests of nodes with plain pytest: no engine, no pipeline, no shared memory.

    from medianode.testing import Harness, run

    def test_upper():
        frames = run(Upper, ["hi", "you"], params={"mark": "!"})
        assert [f.text for f in frames] == ["HI!", "YOU!"]

:func:`run` is for a node as a whole. :class:`Harness` goes step by step. Both
keep the rules of a container: load, open, process, close in their order, one
call at a time; received frames are read-only; sequence numbers, presentation
times and trace ids as in a pipeline; ``is_streaming`` and ``hold`` checked.

An exception of the node comes out as it is. What the node does against a rule
comes out as :class:`NodeFailure` or the error that it would be in a pipeline.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, NoReturn, Optional, Union

from ._errors import ClosedError, FrameError, HeldError, ReleasedError
from ._frame import DEFAULT_OUTPUT, Frame
from ._local import Local
from ._log import Log
from ._node import Node
from ._user import NodeFailure, load_class

__all__ = [
    "ClosedError", "FrameError", "FullError", "Harness", "HeldError", "LogLine", "NodeFailure", "ReleasedError",
    "frame_of", "run",
]  # fmt: skip

#: What stands for a frame: a Frame, str (text), bytes, or any value of JSON.
Value = Union[Frame, str, bytes, bytearray, memoryview, Mapping[str, Any], Sequence[Any], int, float, bool, None]

DEFAULT_INPUT = "input"


class LogLine(NamedTuple):
    """One call of ``self.log``."""

    level: str
    text: str
    values: dict[str, Any]


class FullError(AssertionError):
    """The node waits for room in an output that the test has filled, in the thread that could make room."""


class _Recorder(Log):
    """Keeps log lines, and writes them as ever."""

    __slots__ = ("lines",)

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[LogLine] = []

    def _write(self, level: str, text: str, values: dict[str, Any], more: str = "") -> None:
        self.lines.append(LogLine(level, str(text), values))
        super()._write(level, text, values, more)


def frame_of(value: Value) -> Frame:
    """Return a frame of a value: of a str text, of bytes bytes, of other values JSON; a Frame is itself.

    >>> frame_of("hi").kind, frame_of(b"hi").kind, frame_of({"n": 1}).kind
    ('text', 'bytes', 'json')
    """
    if isinstance(value, Frame):
        return value
    if isinstance(value, str):
        return Frame.from_text(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return Frame.from_bytes(value)
    if hasattr(value, "__array_interface__"):
        raise TypeError("an array may be audio, video or a tensor: make a frame by Frame.from_audio and so on")
    return Frame.from_json(value)


class Harness:
    """One session of a node under test; a context manager.

    >>> class Upper(Node):
    ...     def process(self, frame):
    ...         return Frame.from_text(frame.text.upper())
    >>> with Harness(Upper) as h:
    ...     h.send("hi", pts_ns=20)
    ...     (frame,) = h.take()
    >>> frame.text, frame.pts_ns, frame.sequence
    ('HI', 20, 0)

    node: the class, or ``module:Class``. Entering the block makes it and calls
    load and open; leaving it ends the inputs, so that close is called.

    params, id, session: what the node finds under these names.
    streaming: the pipeline's ``is_streaming``; False: one frame for each, checked.
    hold: how many frames of an input the node may keep, as of a connection; also
    how many process_batch gets at most.
    max_frame: bytes of the largest frame, of all outputs or by port; no limit
    unless given.
    kinds: kinds of outputs by port, checked.
    inputs: names of the input ports, if the end of the session is to wait for
    others than ``input``; ``()`` for a node that produces (found out by its
    methods).
    """

    def __init__(
        self,
        node: Union[type[Node], str],
        *,
        params: Optional[Mapping[str, Any]] = None,
        id: str = "node",
        session: str = "main",
        inputs: Optional[Sequence[str]] = None,
        streaming: bool = True,
        hold: int = 1,
        max_frame: Union[int, Mapping[str, int], None] = None,
        kinds: Optional[Mapping[str, str]] = None,
    ) -> None:
        cls = load_class(node) if isinstance(node, str) else node
        if not (isinstance(cls, type) and issubclass(cls, Node)):
            raise TypeError(f"Harness takes a class of a node, got {cls!r}")
        self._log = _Recorder()
        self._seen: dict[str, list[Frame]] = {}
        self._untaken: list[Frame] = []
        self._local = Local(
            cls, params=dict(params or {}), node_id=id, session=session,
            inputs=inputs_of(cls) if inputs is None else tuple(inputs), streaming=streaming, hold=hold,
            patience=self._full, kinds=dict(kinds or {}), max_frame=_sizes(max_frame), log=self._log,
        )  # fmt: skip

    def __enter__(self) -> Harness:
        try:
            self._local.open()
        except BaseException as err:
            self._local.close()
            _raise(err)
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], err: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        try:
            if kind is None and not self._local.closed:
                self.end()
        finally:
            self._local.close()

    # -- towards the node ---------------------------------------------------------

    def send(
        self, *values: Value, port: str = DEFAULT_INPUT, pts_ns: Optional[int] = None, trace_id: Optional[bytes] = None
    ) -> None:
        """Send frames to an input, and let the node handle them.

        What several values stand for arrives together, so that process_batch
        gets it as one list, as far as ``hold`` allows. pts_ns, trace_id (16
        bytes): of the frames, else their own.
        """
        for value in values:
            self._local.put(frame_of(value), port, pts_ns, trace_id)
        self._work()

    def end(self, failed: bool = False) -> None:
        """End all inputs, or what produces: close is called, and the session is over.

        failed: the inputs end by an error of the node before.
        """
        try:
            self._local.end(failed)
        except BaseException as err:
            _raise(err)
        finally:
            self._collect()

    def stop(self) -> None:
        """Ask the session to end, as Ctrl-C does: ``self.stopping`` is true, produce is closed at its next yield."""
        self._local.stop()
        if not self._local._config.inputs:
            self.end()

    def pull(self, count: int = 1) -> list[Frame]:
        """Let produce go on until it has sent so many frames or has ended; return the new ones.

        >>> class Count(Node):
        ...     def produce(self):
        ...         for i in range(1000): yield Frame.from_json(i)
        >>> with Harness(Count) as h:
        ...     [f.json for f in h.pull(3)]
        [0, 1, 2]
        """
        before = len(self._untaken)
        try:
            while len(self._untaken) - before < count and not self._local.closed:
                self._local.step()
                self._collect()
        except BaseException as err:
            _raise(err)
        finally:
            self._collect()
        return self._untaken[before:]

    def full(self, port: str = DEFAULT_OUTPUT, full: bool = True) -> None:
        """Let an output be full, as if its readers had no room, or empty again.

        ``would_block`` is true then. A thread that emits waits. process that
        sends would wait for ever, since the test waits for it: FullError.
        """
        self._local.out(port).set_full(full)

    def wait(self, count: int = 1, port: Optional[str] = None, timeout: float = 5.0) -> list[Frame]:
        """Wait for frames that threads or tasks of the node send; return what has come that take had not.

        count: of one port, else of all. Seconds; AssertionError when time is up.
        """
        until = time.monotonic() + timeout
        while True:
            self._work()
            found = [f for f in self._untaken if port is None or f.port == port]
            if len(found) >= count:
                return found
            if time.monotonic() > until:
                raise AssertionError(f"{len(found)} frames within {timeout:g} s, want {count}: {found}")
            self._local.idle(0.002)

    # -- from the node ------------------------------------------------------------

    def outputs(self, port: str = DEFAULT_OUTPUT) -> list[Frame]:
        """Return all that an output has sent so far. Frames have their own memory: keep as many as you like."""
        self._collect()
        return list(self._seen.get(port, ()))

    def take(self, port: Optional[str] = None) -> list[Frame]:
        """Return what was sent since the last call, of one port or of all, in the order of sending."""
        self._collect()
        found = [f for f in self._untaken if port is None or f.port == port]
        self._untaken = [f for f in self._untaken if not (port is None or f.port == port)]
        return found

    @property
    def logs(self) -> list[LogLine]:
        """What the node has written by ``self.log``, whatever its level."""
        return list(self._log.lines)

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """Figures of ``self.metrics`` by name: ``h.metrics["faces"]["value"]``."""
        session = self._local._opened()
        return {figure["name"]: figure for figure in session.metrics.snapshot()}

    @property
    def node(self) -> Any:
        """The node's object of this session."""
        return self._local.node

    @property
    def closed(self) -> bool:
        """Whether the session is over."""
        return self._local.closed

    def _work(self) -> None:
        try:
            self._local.work()
        except BaseException as err:
            _raise(err)
        finally:
            self._collect()

    def _collect(self) -> None:
        for frame in self._local.take():
            self._seen.setdefault(frame.port, []).append(frame)
            self._untaken.append(frame)

    def _full(self) -> None:
        raise FullError("the node sends on an output that the test has filled, and would wait for ever")


def run(
    node: Union[type[Node], str],
    frames: Iterable[Value] = (),
    *,
    inputs: Optional[Mapping[str, Iterable[Value]]] = None,
    limit: Optional[int] = None,
    **options: Any,
) -> list[Frame]:
    """Run a node from load to close and return all that it has sent, in the order of sending.

    >>> class Double(Node):
    ...     def process(self, frame):
    ...         yield frame
    ...         yield frame
    >>> [f.text for f in run(Double, ["a", "b"])]
    ['a', 'a', 'b', 'b']

    frames: for the port ``input``, one after the other. inputs: for named ports,
    instead; by turns. limit: stop a node that produces after so many frames.
    options: those of :class:`Harness`.
    """
    feeds = {port: iter(values) for port, values in (inputs or {}).items()}
    if inputs is None:
        feeds = {DEFAULT_INPUT: iter(frames)}
    elif "inputs" not in options:
        options["inputs"] = tuple(inputs)
    with Harness(node, **options) as h:
        if not h._local._config.inputs:
            if limit is None:
                _work_to_the_end(h)
                return h.take()
            h.pull(limit)
            h.stop()
            return h.take()
        while feeds:
            for port, values in list(feeds.items()):
                for value in values:
                    h.send(value, port=port)
                    break
                else:
                    del feeds[port]
        h.end()
        return h.take()


def _work_to_the_end(h: Harness) -> None:
    try:
        while not h.closed:
            h._local.step()
    except BaseException as err:
        _raise(err)


def inputs_of(cls: type[Node]) -> tuple[str, ...]:
    """Return the inputs that a class has if nobody says: one, or none if it produces."""
    produces = cls.produce is not Node.produce
    takes = cls.process is not Node.process or cls.process_batch is not Node.process_batch
    return () if produces and not takes else (DEFAULT_INPUT,)


def _sizes(max_frame: Union[int, Mapping[str, int], None]) -> dict[str, int]:
    if isinstance(max_frame, int):
        return _Every(max_frame)
    return dict(max_frame or {})


class _Every(dict[str, int]):
    """The same for every port."""

    def __init__(self, value: int) -> None:
        super().__init__()
        self._value = value

    def get(self, port: str, default: Any = None) -> Any:
        return self._value


def _raise(err: BaseException) -> NoReturn:
    """Raise what the node has raised, and not the failure that the runtime would be told."""
    if isinstance(err, NodeFailure) and err.__cause__ is not None:
        raise err.__cause__
    raise err
