"""What a node tells the runtime: one JSON object a message."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any, Optional

from ._config import Spec
from ._header import CONTROL, new_header
from ._iox import Transport
from ._publisher import Publisher
from ._user import shorten
from ._wait import Check

if TYPE_CHECKING:
    from ._session import Session


class Status:
    """The status channel; the node's own thread and the watch both tell something."""

    def __init__(self, transport: Transport, spec: Spec) -> None:
        self._publisher = Publisher(transport, spec)
        self._lock = threading.Lock()
        self._told: dict[str, Any] = {}  # the metrics of each session

    def tell(self, patience: Check, event: str, session: Optional[str] = None, **fields: Any) -> None:
        """Send a message; waits for room."""
        while not self._lock.acquire(timeout=0.05):
            patience()
        try:
            self._send(patience, event, session, fields)
        finally:
            self._lock.release()

    def tell_metrics(self, patience: Check, session: Session, last: bool = False) -> None:
        """Send a session's metrics if they have changed; unless they are the last, only if there is room."""
        if not len(session.metrics) or not (last or self._lock.acquire(False)):
            return
        try:
            if last:
                self._lock.acquire()
            elif self._publisher.would_block():
                return
            figures = session.metrics.snapshot()
            if figures != self._told.get(session.session):
                self._told[session.session] = figures
                self._send(patience, "metrics", session.session, {"metrics": figures})
            if last:
                del self._told[session.session]
        finally:
            self._lock.release()

    def tell_spans(self, patience: Check, session: Session, last: bool = False) -> None:
        """Send what became of sampled frames; unless they are the last, only if there is room."""
        spans = session.ports.spans
        if spans is None or not self._lock.acquire(last):
            return
        try:
            if last:
                spans.end()  # of a call that was cut off
            if last or not self._publisher.would_block():
                told = spans.take()
                if told:
                    self._send(patience, "spans", session.session, {"spans": told, **spans.failure})
        finally:
            self._lock.release()

    def drain(self, patience: Check) -> None:
        """Wait until the runtime has read everything."""
        self._publisher.drain(patience)

    def close(self) -> None:
        """End the channel; safe twice."""
        with self._lock:
            self._publisher.close()

    def _send(self, patience: Check, event: str, session: Optional[str], fields: dict[str, Any]) -> None:
        status: dict[str, Any] = {"event": event}
        if session is not None:
            status["session"] = session
        status.update((k, v) for k, v in fields.items() if v not in (None, "", {}))
        payload, limit = _encode(status), 32768
        while len(payload) > self._publisher.spec.max_frame:
            limit //= 2
            payload = _encode({k: shorten(v, limit) if isinstance(v, str) else v for k, v in status.items()})
        self._publisher.send(new_header(CONTROL), memoryview(payload), patience)


def _encode(status: dict[str, Any]) -> bytes:
    # Half of a surrogate pair is possible in a str, and not in UTF-8.
    return json.dumps(status, ensure_ascii=False).encode("utf-8", "replace")
