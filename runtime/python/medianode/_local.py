"""One node in this process, without an engine: the session of a container on channels in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, Callable, Optional

from ._config import Domain, Input, NodeConfig, Output
from ._errors import ClosedError
from ._frame import DEFAULT_OUTPUT, Frame
from ._header import DISCONTINUITY, Header
from ._host import LoadHost
from ._localpipe import ANY_SIZE, Pipe, PipeTransport, Sent, memory_of
from ._log import Log
from ._node import Node
from ._output import OutputPort
from ._ports import InputPort
from ._session import Session
from ._user import Caller, construct, failure
from ._wait import Check

#: The node from which frames come when there is no other.
SOURCE = "local"


class _Outputs(dict[str, OutputPort]):
    """Output ports; each is there when a frame goes by it."""

    def __init__(self, make: Callable[[str], OutputPort]) -> None:
        super().__init__()
        self._make, self._lock = make, threading.Lock()

    def get(self, port: str, default: Any = None) -> Any:
        with self._lock:
            if port not in self:
                self[port] = self._make(port)
            return self[port]


class Local:
    """Runs one session of a node: load, open, frames, close, with the rules of a container.

    inputs: names of the input ports; more are there when frames come by them.
    max_frame: bytes of the largest frame of an output port, by its name.
    patience: called while the node waits for room in an output.
    room: how many frames an output takes until they are taken from it.
    """

    def __init__(
        self,
        cls: type[Node],
        *,
        params: dict[str, Any],
        node_id: str,
        session: str,
        inputs: Sequence[str],
        streaming: bool,
        hold: int,
        patience: Check,
        kinds: Optional[dict[str, str]] = None,
        max_frame: Optional[dict[str, int]] = None,
        log: Optional[Log] = None,
        room: Optional[int] = None,
    ) -> None:
        self.id, self.name = node_id, session
        self._cls, self._params, self._log = cls, params, log
        self._hold, self._patience, self._room = hold, patience, room
        self._kinds = kinds or {}
        self._max_frame = {} if max_frame is None else max_frame
        self._stopping = False
        self._alone = threading.get_ident()
        self.caller = Caller()
        self._into, self._out = PipeTransport(self._pipe_in), PipeTransport(self._pipe_out)
        self.session: Optional[Session] = None
        self._config = NodeConfig(
            project="local", domain=Domain("", ""), id=node_id, type=f"{cls.__module__}:{cls.__qualname__}",
            streaming=streaming, inputs=tuple(self._input(port) for port in inputs), outputs=(),
            control=None, status=None, timeout_ms=0, alive="",
        )  # fmt: skip

    def _pipe_in(self, port: str) -> Pipe:
        return Pipe(port, hold=self._hold)

    def _pipe_out(self, port: str) -> Pipe:
        pipe = Pipe(port, self._max_frame.get(port, ANY_SIZE))
        pipe.room = self._room
        return pipe

    def _input(self, port: str) -> Input:
        return Input(port, "", SOURCE, "output", False, 0, self._into.pipe(port).spec, "adaptive")

    def _output(self, port: str) -> OutputPort:
        spec = self._out.pipe(port).spec
        transport: Any = self._out
        return OutputPort(transport, Output(port, self._kinds.get(port, ""), spec.max_frame, (spec,)), self.name)

    # -- the life of the node --------------------------------------------------

    def open(self) -> None:
        """Make the node, load it, and open and start its session."""
        host = LoadHost(lambda: self._stopping, self._log)
        prototype = construct(self._cls, self.id, self._params, bool(self._config.inputs), host)
        try:
            self.caller.value(prototype.load())
        except BaseException as err:
            raise failure("load", err) from err
        transport: Any = self._into
        self.session = self.caller.owner = session = Session(
            self.name, prototype, self._config, transport, self.caller, self._patience,
            lambda: self._stopping, self._foreign,
        )  # fmt: skip
        session.ports.outputs = _Outputs(self._output)
        session.open()
        session.start()

    def step(self) -> bool:
        """Do one piece of work; False if there is none, or the session is closed."""
        session = self._opened()
        if session.closed:
            return False
        busy = session.step()
        if busy:
            session.ports.done()
        else:
            self.caller.turn()
        return busy and not session.closed

    def work(self) -> None:
        """Do all that there is to do."""
        while self.step():
            pass

    def idle(self, seconds: float) -> None:
        """Let threads and tasks of the node go on."""
        self.caller.idle(lambda: time.sleep(seconds))

    def stop(self) -> None:
        """Ask the session to end."""
        self._stopping = True
        self._opened().stop()

    def end(self, failed: bool = False) -> None:
        """End the inputs, and with them the session: close is called."""
        session = self._opened()
        for pipe in self._into.pipes.values():
            pipe.end(failed)
        if not self._config.inputs:
            self.stop()
        while not session.closed:
            self.step()

    def close(self) -> None:
        """Leave nothing running, whatever has happened; safe twice."""
        self._stopping = True
        if self.session is not None and not self.session.closed:
            self.session.fail()
        self.caller.close()

    @property
    def closed(self) -> bool:
        """Whether the session has come to its end."""
        return self.session is not None and self.session.closed

    @property
    def node(self) -> Node:
        """The node's object of the session."""
        return self._opened()._node

    def _opened(self) -> Session:
        if self.session is None:
            raise ClosedError("the node is not open")
        return self.session

    def _foreign(self) -> None:
        """Let a thread of the node wait."""

    # -- frames ------------------------------------------------------------------

    def put(
        self, frame: Frame, port: str, pts_ns: Optional[int] = None, trace_id: Optional[bytes] = None
    ) -> None:  # fmt: skip
        """Give the node a frame; it has it at the next step."""
        session = self._opened()
        if session.closed:
            raise ClosedError(f"session {self.name} has ended")
        if all(port != i.config.port for i in session.ports.inputs):
            if not self._config.inputs:
                raise ValueError(f"{self._config.type} produces: it has no input")
            into: Any = self._into
            session.ports.inputs.append(InputPort(into, self._input(port), self.name))
        header = Header.from_buffer_copy(frame._header)
        header.flags &= DISCONTINUITY
        if pts_ns is not None:
            header.pts = pts_ns
        if trace_id is not None:
            header.trace_id = type(header.trace_id).from_buffer_copy(trace_id)
        self._into.pipe(port).put(header, memory_of(frame.data))

    def end_input(self, port: str) -> None:
        """Say that nothing comes by a port any more."""
        self._into.pipe(port).end()

    def out(self, port: str = DEFAULT_OUTPUT) -> Pipe:
        """Return what carries the frames of an output port."""
        return self._out.pipe(port)

    def take(self) -> list[Frame]:
        """Return what the node has sent since, of all ports, in the order in which it was sent."""
        found = []
        for port in list(self._out.pipes):
            pipe = self._out.pipe(port)
            while (sent := pipe.take()) is not None:
                found.append(self._frame(sent, port))
        found.sort(key=_sent)
        return found

    def _frame(self, sent: Sent, port: str) -> Frame:
        frame = Frame._new(sent.header, memoryview(sent.memory).cast("B")[:-1].toreadonly(), port, None)
        frame._inherits = False
        frame._source, frame._source_port = self.id, port
        return frame


def _sent(frame: Frame) -> int:
    return frame._header.sent
