"""What becomes of sampled frames: spans of OpenTelemetry, which the runtime sends on."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Optional

from ._frame import Frame
from ._header import Header

if TYPE_CHECKING:
    from ._user import NodeFailure

_NONE = bytes(16)
# How often a source gives a frame a trace id, whatever its rate, in ns.
_EVERY = 1_000_000_000
# Spans that wait to be told; more are not kept.
_MOST = 64


class Spans:
    """The spans of a node in a session. Any thread may send; the rest is of the node's own."""

    def __init__(self, source: bool) -> None:
        self._source = source
        self._next = 0
        self._work: list[dict[str, Any]] = []  # frames in process
        self._done: list[dict[str, Any]] = []
        #: By what a call ended that did not return: there is one at most.
        self.failure: dict[str, str] = {}

    def begin(self, frames: Iterable[Frame]) -> None:
        """Note the frames of a call that have a trace id."""
        now = time.monotonic_ns()
        for frame in frames:
            header = frame._header
            trace = bytes(header.trace_id)
            if trace != _NONE:
                span: dict[str, Any] = {"trace": trace.hex(), "port": frame.port}
                span["source"] = f"{frame.source}.{frame.source_port}"
                span.update(sequence=header.sequence, sent=header.sent, start=now)
                self._work.append(span)

    def end(self, problem: Optional[NodeFailure] = None) -> None:
        """Note that the call has returned, and what it gave is sent; or that it has failed."""
        if not self._work:
            return
        now = time.monotonic_ns()
        if problem is not None:
            self.failure = {"message": problem.message, "traceback": problem.trace}
        for span in self._work:
            span["end"] = now
            if problem is not None:
                span["failed"] = True
            self._keep(span)
        self._work = []

    def sending(self, header: Header, port: str) -> bool:
        """Give a frame of a source a trace id now and then; whether it has one, until it is sent."""
        if not self._source:
            return False
        if bytes(header.trace_id) != _NONE:  # its readers had no room
            return True
        now = time.monotonic_ns()
        if now < self._next:
            return False
        self._next = now + _EVERY
        trace = os.urandom(16)
        header.trace_id[:] = list(trace)
        self._keep({"trace": trace.hex(), "port": port, "start": now, "end": now})
        return True

    def sent(self, header: Header) -> None:
        """Take the trace id back: the node may send the same frame again."""
        header.trace_id[:] = list(_NONE)

    def _keep(self, span: dict[str, Any]) -> None:
        if len(self._done) < _MOST:
            self._done.append(span)

    def take(self) -> list[dict[str, Any]]:
        """Return what is to be told, once."""
        done, self._done = self._done, []
        return done
