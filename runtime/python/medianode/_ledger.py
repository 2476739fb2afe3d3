"""The ledger: a small file of shared counters beside a channel's segments.

Each counter has one writer, so plain aligned 64-bit stores are enough. The
ledger carries the credits of ``block``, the figures of the report, and, by
kernel locks on its first bytes, who is alive: byte 0 is locked by the writer,
byte 1+i by reader i. The locks belong to the open file, not to the process: a
killed process releases them, and opening the file elsewhere does not.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import threading
import weakref
from typing import Final

from ._errors import ChannelError

MAGIC: Final = 0x3147444C_4E444D
HEADER_BYTES: Final = 128
SLOT_BYTES: Final = 1152
LATENCY_BUCKETS: Final = 128

VACANT, ATTACHED, DETACHED = range(3)

# Indices of the writer's counters in the array of 64-bit words.
W_MAGIC, W_SLOTS, W_NEXT, W_BYTES, W_STATE, W_STARVED, W_BLOCKED, W_ENDED, W_EXPECTED, W_START = range(10)
# Indices of a reader's counters, counted from its slot.
R_STATE, R_CAPACITY, R_NEXT, R_RECEIVED, R_BYTES, R_DROPPED, R_WAITING, R_BASE, R_LATENCY = range(9)
R_EXPECTED, R_DONE, R_TRIED, R_TRIES, R_UNFINISHED, R_GIVEN_UP = range(
    R_LATENCY + LATENCY_BUCKETS, R_LATENCY + LATENCY_BUCKETS + 6
)

# Values of W_ENDED.
ENDED_WELL, ENDED_FAILED = 1, 2

# Not every Python that runs on Linux was built with the names.
_OFD_GETLK: Final = 36
_OFD_SETLK: Final = 37
_FLOCK: Final = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux

_open_files: weakref.WeakSet[Ledger] = weakref.WeakSet()


def _close_in_child() -> None:
    # A forked child shares the open files and would keep the locks of a parent
    # that dies.
    for ledger in list(_open_files):
        # The number may be that of another file soon.
        fd, ledger.fd = ledger.fd, -1
        try:
            os.close(fd)
        except OSError:
            pass


os.register_at_fork(after_in_child=_close_in_child)


def ledger_name(channel: str) -> str:
    """Return the name of the file in /dev/shm that holds a channel's ledger."""
    return "medianode_ledger_" + channel


def ledger_size(readers: int) -> int:
    """Return the bytes of a ledger for so many readers."""
    return HEADER_BYTES + SLOT_BYTES * max(1, readers)


def slot_index(slot: int) -> int:
    """Return the index of a reader's first counter."""
    return (HEADER_BYTES + SLOT_BYTES * slot) // 8


def latency_bucket(ns: int) -> int:
    """Return the bucket of a latency: four an octave from 256 ns to nine minutes."""
    if ns < 256:
        return 0
    octave = ns.bit_length() - 1
    return min((octave - 8) * 4 + (ns >> (octave - 2) & 3) + 1, LATENCY_BUCKETS - 1)


class Ledger:
    """A channel's ledger, mapped; ``words`` are its counters."""

    def __init__(self, channel: str, readers: int, directory: str = "/dev/shm") -> None:
        self.path = os.path.join(directory, ledger_name(channel))
        self.readers = readers
        try:
            self.fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as err:
            raise ChannelError(f"channel {channel}: ledger: {err}") from err
        try:
            size = os.fstat(self.fd).st_size
            if size < ledger_size(readers):
                need = ledger_size(readers)
                raise ChannelError(f"channel {channel}: ledger of {size} bytes: {readers} readers need {need}")
            # A mapping keeps its open file, and so would a forked child's keep
            # the locks: the locks get an open file that is not mapped.
            mapped = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            try:
                self._map = mmap.mmap(mapped, ledger_size(readers))
            finally:
                os.close(mapped)
            self.words = memoryview(self._map).cast("Q")
            if self.words[W_MAGIC] != MAGIC:
                raise ChannelError(f"channel {channel}: ledger magic {self.words[W_MAGIC]:#x}: made by another version")
        except BaseException:
            os.close(self.fd)
            raise
        self._fence = threading.Lock()
        _open_files.add(self)

    def lock(self, byte: int) -> bool:
        """Lock a byte until the file is closed; False if somebody else has it."""
        try:
            fcntl.fcntl(self.fd, _OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0))
        except (BlockingIOError, PermissionError):
            return False
        return True

    def locked(self, byte: int) -> bool:
        """Say whether another open file has locked a byte."""
        answer = fcntl.fcntl(self.fd, _OFD_GETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0))
        return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)

    def writer_alive(self) -> bool:
        """Say whether a process holds the writer's lock."""
        return self.locked(0)

    def reader_alive(self, slot: int) -> bool:
        """Say whether a process holds the lock of a reader's slot."""
        return self.locked(1 + slot)

    def fence(self) -> None:
        """Keep the stores before from being delayed past the loads after.

        "I sleep" and "is there something?" are a store and a load of different
        words, which the processor may swap. Taking a lock is an atomic
        operation, which it does not swap; Python has nothing more direct. A
        wake-up lost in spite of it costs one bounded sleep.
        """
        with self._fence:
            pass

    def count_latency(self, slot: int, ns: int) -> None:
        """Add one frame's time from send to receive."""
        self.words[slot + R_LATENCY + latency_bucket(ns)] += 1

    def close(self) -> None:
        """Release the locks and the memory; safe twice."""
        if self.fd < 0:
            return
        _open_files.discard(self)
        fd, self.fd = self.fd, -1
        os.close(fd)
        self.words.release()
        self._map.close()
