"""Channels in the memory of one process: what a node sees of them is what it sees of shared memory."""

from __future__ import annotations

import ctypes
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

from ._config import Reader, Spec
from ._errors import ChannelError, ClosedError, LoanedError, TooLargeError
from ._header import CONTROL, END_OF_STREAM, FAILED, Header, check, new_header
from ._lease import EMPTY, Lease, block_type, too_many_held

if TYPE_CHECKING:
    from ._wait import Check

#: What a channel takes unless it is told: more than any frame has.
ANY_SIZE = 1 << 40
_MANY = 1 << 30


class Sent(NamedTuple):
    """A frame as it was sent: its header, and memory of its own."""

    header: Header
    memory: Any


class Received(NamedTuple):
    """A frame as a reader gets it."""

    header: Header
    address: int
    length: int
    lease: Lease


class Pipe:
    """One channel: its frames, and how many it takes before the writer has to wait."""

    def __init__(self, name: str, max_frame: int = ANY_SIZE, hold: int = _MANY) -> None:
        self.name = name
        self.spec = Spec(name, max_frame, "block", (Reader("local", name, _MANY, hold),), 1)
        self.frames: deque[Sent] = deque()
        self.sequence = 0
        self.room: Optional[int] = None  # how many frames it takes; None: any number
        self.changed = threading.Condition()
        self.ended = self.failed = False

    @property
    def full(self) -> bool:
        """Whether the next frame has to wait."""
        return self.room is not None and len(self.frames) >= self.room

    def set_full(self, full: bool) -> None:
        """Take no more frames, or any number again."""
        with self.changed:
            self.room = 0 if full else None
            self.changed.notify_all()

    def put(self, header: Header, memory: Any) -> int:
        """Add a frame; its header gets sequence and time of sending."""
        with self.changed:
            header.sequence, header.sent = self.sequence, time.monotonic_ns()
            self.sequence += 1
            self.frames.append(Sent(Header.from_buffer_copy(header), memory))
            self.changed.notify_all()
            return header.sequence

    def take(self) -> Optional[Sent]:
        """Return the oldest frame, or None; it is the channel's no more."""
        with self.changed:
            if not self.frames:
                return None
            self.changed.notify_all()
            return self.frames.popleft()

    def end(self, failed: bool = False) -> None:
        """Say that nothing comes any more."""
        with self.changed:
            self.ended, self.failed = True, failed
            self.changed.notify_all()


class PipeLoan:
    """A frame that is written where its readers read it."""

    def __init__(self, publisher: PipePublisher, size: int) -> None:
        self.header = new_header(0)
        self._memory = _memory(size)
        self.payload = memoryview(self._memory).cast("B")[:size] if size else memoryview(bytearray())
        self._size = size
        self._from: Optional[PipePublisher] = publisher

    def send_also(self, others: Sequence[Any], patience: Check) -> int:
        """Send the frame; others are none, since a local port has one channel."""
        publisher = self._from
        if publisher is None:
            raise ClosedError("already sent or released")
        publisher.wait_for_room(self.header, self._size, patience)
        self.abandon()
        return publisher.pipe.put(self.header, self._memory)

    def abandon(self) -> None:
        """End the loan, whatever has become of it."""
        if self._from is not None:
            self._from.loaned = False
            self._from = None


class PipePublisher:
    """The writer's end, as an output port uses it."""

    expected = False  # nobody starts a local node again

    def __init__(self, pipe: Pipe) -> None:
        self.pipe, self.spec = pipe, pipe.spec
        self.loaned = self.starved = self._closed = False

    def send(self, header: Header, payload: memoryview, patience: Check) -> int:
        """Send a copy of payload, when there is room."""
        size = payload.nbytes
        self._admit(size)
        self.wait_for_room(header, size, patience)
        memory = _memory(size)
        if size:
            memoryview(memory).cast("B")[:size] = payload
        return self.pipe.put(header, memory)

    def send_from(self, header: Header, address: int, size: int, patience: Check) -> int:
        """Send a copy of size bytes at an address, as ``send`` does."""
        return self.send(header, memoryview(ctypes.string_at(address, size)), patience)

    def loan(self, size: int) -> PipeLoan:
        """Return memory for one frame."""
        self._admit(size)
        self.loaned = True
        return PipeLoan(self, size)

    def _admit(self, size: int) -> None:
        if self._closed:
            raise ClosedError(f"{self.pipe.name}: closed")
        if size > self.spec.max_frame:
            raise TooLargeError(
                f"frame of {size} bytes, max_frame of the output is {self.spec.max_frame}: raise max_frame"
            )
        if self.loaned:
            raise LoanedError("exceeds max loans")

    def wait_for_room(self, header: Header, size: int, patience: Check) -> None:
        """Wait until the channel takes a frame."""
        check(header, size)
        self.starved = True
        try:
            while self.pipe.full:
                if self._closed:
                    raise ClosedError(f"{self.pipe.name}: closed")
                patience()
                with self.pipe.changed:
                    if self.pipe.full:
                        self.pipe.changed.wait(0.02)
        finally:
            self.starved = False

    def would_block(self) -> bool:
        """Say whether a frame sent now would wait."""
        return not self._closed and self.pipe.full

    def end(self, failed: bool, patience: Check) -> None:
        """End the stream."""
        self.pipe.end(failed)

    def drain(self, patience: Check) -> None:
        """Nothing is lost when a local writer goes."""

    def refresh(self) -> None:
        """Nothing is kept that could be too old."""

    def close(self) -> None:
        """End the writer; safe twice."""
        self._closed = True


class PipeSubscriber:
    """The reader's end, as an input port uses it."""

    skipped: Optional[int] = None
    again = False  # nothing dies here and comes back
    writer_expected = False
    listener: Any = None

    def __init__(self, pipe: Pipe) -> None:
        self.pipe, self.spec = pipe, pipe.spec
        self.block = block_type(pipe.spec.max_frame)
        self.ledger = self
        self._hold = pipe.spec.hold
        self._held: deque[None] = deque()
        self._closed = False

    @property
    def full(self) -> bool:
        """Whether the node keeps as many frames as it may."""
        return len(self._held) >= self._hold

    def take(self) -> Optional[Received]:
        """Return the next frame, or None."""
        if self._closed:
            raise ClosedError(f"{self.pipe.name}: closed")
        pipe = self.pipe
        if not pipe.frames:
            if not pipe.ended:
                return None
            header = new_header(CONTROL, END_OF_STREAM | (FAILED if pipe.failed else 0))
            return Received(header, 0, 0, Lease(EMPTY, deque()))
        if self.full:
            self._make_room()
        sent = pipe.take()
        if sent is None:
            return None
        size = ctypes.sizeof(sent.memory) - 1
        return Received(sent.header, ctypes.addressof(sent.memory), size, Lease(sent.memory, self._held))

    def _make_room(self) -> None:
        import gc

        gc.collect()  # what is kept by a cycle of references only is not kept by the node
        if self.full:
            raise too_many_held(len(self._held), self._hold)

    def announce(self, waiting: bool) -> bool:
        """Say whether there is something."""
        return waiting and bool(self.pipe.frames or self.pipe.ended)

    def writer_alive(self) -> bool:
        """Say that the writer, the caller, is there."""
        return True

    def finish(self) -> None:
        """Nothing is given again."""

    def close(self, leave: bool = False) -> None:
        """End the reader; safe twice."""
        self._closed = True


class PipeTransport:
    """Makes the ends of channels by name; a channel is there when it is asked for."""

    def __init__(self, make: Callable[[str], Pipe]) -> None:
        self.pipes: dict[str, Pipe] = {}
        self._make = make

    def pipe(self, name: str) -> Pipe:
        """Return the channel of that name."""
        if name not in self.pipes:
            self.pipes[name] = self._make(name)
        return self.pipes[name]

    def publisher(self, spec: Spec) -> PipePublisher:
        """Return the writer of a channel."""
        return PipePublisher(self.pipe(spec.name))

    def subscriber(self, spec: Spec, slot: int) -> PipeSubscriber:
        """Return the reader of a channel."""
        if slot:
            raise ChannelError(f"{spec.name}: reader {slot} of 1")
        return PipeSubscriber(self.pipe(spec.name))


def memory_of(data: memoryview) -> Any:
    """Return a copy of bytes in memory that has an address."""
    memory = _memory(data.nbytes)
    if data.nbytes:
        memoryview(memory).cast("B")[: data.nbytes] = data
    return memory


def _memory(size: int) -> Any:
    # One byte more: there is no memory of no bytes.
    return (ctypes.c_uint8 * (size + 1))()
