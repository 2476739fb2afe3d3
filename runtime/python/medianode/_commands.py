"""What the runtime has a node do."""

from __future__ import annotations

import ctypes
import json
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

if TYPE_CHECKING:
    from ._subscriber import Subscriber

# How often hear_now_and_then really looks.
ASK_EVERY = 0.01


class Command(NamedTuple):
    """One command: open, start, stop or close of a session, report, exit."""

    what: str
    session: str
    params: dict[str, Any]
    trace: bool  # note what becomes of sampled frames


class Commands:
    """The control channel. Any thread may hear; the node's own does as it is told."""

    def __init__(self, control: Subscriber, stop: Callable[[str], None]) -> None:
        self._control = control
        # Called at once, in whatever thread hears it; stop is also obeyed in its turn.
        self._stop = stop
        self._hearing = threading.Lock()
        self._pending: list[Command] = []
        self._asked = 0.0

    def next(self) -> Optional[Command]:
        """Return the next command, if there is one."""
        self._hear()
        return self._pending.pop(0) if self._pending else None

    def wait(self) -> bool:
        """Say whether commands wait."""
        self._hear()
        return bool(self._pending)

    def hear_now_and_then(self) -> bool:
        """Hear what there is, for a thread that asks often; False if it is too soon."""
        now = time.monotonic()
        if now - self._asked <= ASK_EVERY:
            return False
        self._asked = now
        self._hear()
        return True

    def _hear(self) -> None:
        if self._control.has_all() or not self._hearing.acquire(False):
            return  # nothing, or another thread of the node asks whether it is to stop
        try:
            got = self._control.take()
            if got is None:
                return
            value = json.loads(ctypes.string_at(got.address, got.length))
            del got
            session, params = value.get("session") or "main", value.get("params") or {}
            command = Command(value.get("command", ""), session, params, bool(value.get("trace")))
            if command.what == "stop":
                self._stop(command.session)
            self._pending.append(command)  # before another thread hears the one after it
        finally:
            self._hearing.release()
