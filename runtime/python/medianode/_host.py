"""What a node needs of whatever runs it: the process of a container, a local run, a test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Optional, Protocol

from ._errors import ClosedError
from ._log import Log
from ._metrics import Metrics

if TYPE_CHECKING:
    from ._frame import Frame
    from ._header import Header
    from ._node import Node


class HostLoan(Protocol):
    """One frame that is written where it will be read. It ends by send or release, once.

    After that payload belongs to its readers: whoever keeps it must not touch it.
    """

    #: Filled in by the node before send; kind and media are there from the start.
    header: Header
    #: Writable, of the size that was asked for, not cleared.
    payload: memoryview

    def send(self) -> None:
        """Send the frame; waits for room as ``Host.emit`` does."""

    def release(self) -> None:
        """End the loan without sending anything; no sequence is used up."""


class Host(Protocol):
    """What one session of a node asks of whoever runs it.

    Every method may be called from any thread. A host gives itself to a node by
    :func:`attach` before ``load`` and, for the node's copy of a session, before
    ``open``.
    """

    #: The session's name; empty for the object that ``load`` runs on.
    session: str
    #: Where ``self.log`` writes.
    log: Log
    #: What ``self.metrics`` holds.
    metrics: Metrics

    @property
    def stopping(self) -> bool:
        """Whether the session is asked to end."""

    def emit(self, frame: Frame) -> None:
        """Send a frame now; waits for room. ClosedError outside of a session or after its end."""

    def loan(self, header: Header, size: int, port: str, inherits: bool) -> HostLoan:
        """Return size bytes of the port's memory under this header.

        inherits: the frame takes its time from the one in process when it is
        sent. FrameError if the frame does not fit the port or is one loan too many.
        """

    def would_block(self, port: str) -> bool:
        """Say whether a frame sent on the port now would wait for a reader."""


def attach(node: Node, host: Host) -> None:
    """Let a node talk to a host."""
    node._host = host
    node.session = host.session
    # Plain attributes, so that a node of somebody who uses these names for
    # something else still works.
    node.__dict__.update(log=host.log, metrics=host.metrics)


class LoadHost:
    """The host of the object that ``load`` runs on: there is no session to send in."""

    session = ""

    def __init__(self, stopping: Callable[[], bool], log: Optional[Log] = None) -> None:
        self.log, self.metrics = log or Log(), Metrics()
        self._stopping = stopping

    @property
    def stopping(self) -> bool:
        return self._stopping()

    def emit(self, frame: Frame) -> None:
        raise ClosedError("emit: there is no session yet")

    def loan(self, header: Header, size: int, port: str, inherits: bool) -> HostLoan:
        raise ClosedError("loan: there is no session yet")

    def would_block(self, port: str) -> bool:
        raise ClosedError("would_block: there is no session yet")
