"""Bounds on what a node writes to its log: a flood that nobody can read takes the engine's time from all nodes."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
import time
from typing import Any, Optional

# Bytes a second that a stream may have in the long run, and how many at once.
RATE = 1 << 20
BURST = 4 << 20
# So much room there must be again before lines are let through: samples of a flood, and not every hundredth line.
_AGAIN = 64 << 10
# A line may end although there is no room, unless so much of it comes.
_LONGEST = 64 << 10
# For the end of a line that is left out it waits so many seconds: that of a progress bar never comes.
_OPEN = 1.0


class _Here(threading.local):
    insists = False


#: Of each thread: whether what it writes now is never left out.
here = _Here()


class Bounded(io.FileIO):
    """A stream of the log that leaves out whole lines beyond a rate, and says how many."""

    def __init__(self, descriptor: int, name: str) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.name = name
        self._room = float(BURST)
        self._at = time.monotonic()
        self._whole = True  # what was written last ended a line
        self._opened = 0.0  # when that line began, if it did not and is left out
        self._leaving = self._cut = False
        self._lines = self._bytes = 0  # left out
        self._lock = threading.RLock()  # a finaliser may print in the middle of a print
        os.register_at_fork(after_in_child=self._in_child)

    def write(self, data: Any) -> Optional[int]:  # type: ignore[override]
        """Write the data, or count it."""
        if type(data) is not bytes:  # an array's items may be larger than bytes
            data = memoryview(data).tobytes()
        size = len(data)
        with self._lock:
            now = time.monotonic()
            self._room, self._at = self._room_at(now), now
            if self._leaving:
                if not (here.insists or (self._room >= size and self.overdue)):
                    return self._leave_out(data, size)
                self.tell_left_out()
            elif self._room < (size if self._whole else size - _LONGEST) and not here.insists:
                self._leaving, self._cut = True, not self._whole
                return self._leave_out(data, size)
            written = super().write(data)
            if written:
                self._room -= written
                self._whole = data[written - 1] == 10
            return written

    def _room_at(self, now: float) -> float:
        return min(self._room + (now - self._at) * RATE, BURST)

    def _leave_out(self, data: bytes, size: int) -> int:
        self._bytes += size
        self._lines += data.count(b"\n")
        if size:
            if self._whole or b"\n" in data:
                self._opened = self._at
            self._whole = data[size - 1] == 10
        return size

    @property
    def overdue(self) -> bool:
        """Whether there is something to tell, and room for it, and no line is in its middle."""
        now = time.monotonic()
        return self._leaving and (self._whole or now - self._opened > _OPEN) and self._room_at(now) >= _AGAIN

    def tell_if_overdue(self) -> None:
        """Say what was left out, if nothing more is written that would tell it."""
        with self._lock:
            if self.overdue:
                self.tell_left_out()

    def tell_left_out(self) -> None:
        """Say what was left out since the last time, if anything was."""
        with self._lock:
            if not self._leaving:
                return
            text = "\n" if self._cut else ""
            text += f"medianode: {self._lines} lines ({self._bytes} bytes) of {self.name} left out"
            text += f": more than {RATE >> 20} MiB/s\n"
            self._forget()
            with contextlib.suppress(OSError, ValueError):  # closed by the node
                super().write(text.encode())

    def _forget(self) -> None:
        self._leaving = self._cut = False
        self._lines = self._bytes = 0

    def _in_child(self) -> None:
        self._lock = threading.RLock()
        self._forget()  # the parent tells of it


#: The streams of the process that have bounds.
streams: list[Bounded] = []


def bound() -> None:
    """Put bounds on sys.stdout and sys.stderr; what C code writes passes by them."""
    for name in ("stdout", "stderr"):
        before = getattr(sys, name)
        if not isinstance(before, io.TextIOWrapper):  # closed when the process began
            continue
        raw = Bounded(before.fileno(), f"<{name}>")
        # As python -u has it: what is printed is in the log at once.
        buffer: Any = raw if isinstance(before.buffer, io.FileIO) else io.BufferedWriter(raw)
        text = io.TextIOWrapper(buffer, before.encoding, before.errors, line_buffering=True, write_through=True)
        setattr(sys, name, text)
        setattr(sys, f"__{name}__", text)
        streams.append(raw)


def tell_left_out() -> None:
    """Say what was left out of all streams; for the end of a process."""
    for stream in streams:
        stream.tell_left_out()
