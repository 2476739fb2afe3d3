"""What the node of a session may call."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Callable, Optional

from ._errors import Abandoned, ClosedError, FrameError
from ._frame import Frame
from ._header import Header
from ._log import Log
from ._metrics import Metrics
from ._node import Node
from ._ports import Ports
from ._spans import Spans
from ._wait import Check

if TYPE_CHECKING:
    from ._host import HostLoan

# What open may emit before the session begins.
MAX_EARLY = 64


class SessionHost:
    """The host of a session's node: any thread may call what is public here."""

    ports: Ports

    def __init__(
        self, name: str, prototype: Node, streaming: bool, patience: Check, foreign: Check, stopping: Callable[[], bool]
    ) -> None:
        self.session = name
        self.log: Log = prototype.log.of(name)
        self.metrics = Metrics(prototype.metrics)
        self.closed = False
        #: The frame in process.
        self.cause: Optional[Frame] = None
        self._streaming = streaming
        # How the session's thread waits, and how a thread of the node does.
        self._patience, self._foreign = patience, foreign
        self._thread = threading.get_ident()
        self._started = False
        self._begun = threading.Event()
        self._early: list[Frame] = []
        self._stop = False
        self._stopping = stopping
        self._given = 0  # frames that a call has sent by itself
        self._spans: Optional[Spans] = None

    @property
    def stopping(self) -> bool:
        """Whether the session is asked to end."""
        return self._stop or self.closed or self._stopping()

    def emit(self, frame: Frame) -> None:
        """Send a frame from any thread."""
        patience = self._patience_here()
        if not self._started:
            if len(self._early) >= MAX_EARLY:
                raise FrameError(f"open has emitted {MAX_EARLY} frames, and the session has not begun", frame._out)
            self._early.append(frame)
            return
        self._count_given(frame._out)
        self.ports.send(frame, self._cause_here(), patience)

    def loan(self, header: Header, size: int, port: str, inherits: bool) -> HostLoan:
        """Return memory for a frame that is written in place."""
        patience = self._patience_here()
        if not self._started:
            raise ClosedError(f"session {self.session} has not begun: write frames in place from process or produce")

        def complete(header: Header) -> None:
            self._count_given(port)
            cause = self._cause_here()
            if cause is not None:
                if inherits:
                    header.pts = cause._header.pts
                header.trace_id = cause._header.trace_id
            if self._spans is not None:
                self._spans.sending(header, port)

        return self.ports.loan(header, size, port, complete, patience)

    def would_block(self, port: str) -> bool:
        """Say whether a frame sent on the port now would wait for a reader."""
        return not self.closed and self.ports.would_block(port)

    def _patience_here(self) -> Check:
        """Return how this thread waits, when it may send."""
        if self.closed:
            raise ClosedError(f"session {self.session} has ended")
        if threading.get_ident() == self._thread:
            return self._patience
        while not self._begun.wait(0.05):
            self._wait_foreign()
        return self._wait_foreign

    def _wait_foreign(self) -> None:
        if self.closed:
            raise ClosedError(f"session {self.session} has ended")
        try:
            self._foreign()
        except Abandoned as err:
            raise ClosedError(f"session {self.session} ends, and its readers take nothing any more") from err

    def _cause_here(self) -> Optional[Frame]:
        return self.cause if threading.get_ident() == self._thread else None

    def _count_given(self, port: str) -> None:
        if self._streaming:
            return
        if self._cause_here() is None:
            raise FrameError("is_streaming is false, so frames are sent in process only", port)
        self._given += 1
