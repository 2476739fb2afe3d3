"""The two ends of a channel, with the rules that Go's have: sequence, credits, drops, ledger."""

from __future__ import annotations

import ctypes
import gc
import time
from collections import deque
from typing import Any, Callable, NamedTuple, Optional

from . import _iox, _ledger
from ._config import Spec
from ._errors import ChannelError, CorruptError, HeldError, TooLargeError
from ._header import CONTROL, END_OF_STREAM, FAILED, HEADER_SIZE, HEADER_VERSION, Header, check, new_header
from ._iox import Transport
from ._lease import EMPTY, Lease, block_type
from ._ledger import (
    ATTACHED,
    DETACHED,
    R_BASE,
    R_BYTES,
    R_CAPACITY,
    R_DROPPED,
    R_NEXT,
    R_RECEIVED,
    R_STATE,
    R_WAITING,
    VACANT,
    W_BLOCKED,
    W_BYTES,
    W_ENDED,
    W_NEXT,
    W_STARVED,
    W_STATE,
    Ledger,
)

# A sleep is no longer than this, so that a lost wake-up or a dead peer costs
# no more.
CHECK_EVERY_MS = 50
# How often a wait looks again before it sleeps: some microseconds.
SPINS = 16

# Called at least every 50 ms while a call waits; raises to end the wait.
Check = Callable[[], None]

_view = ctypes.pythonapi.PyMemoryView_FromMemory
_view.argtypes = (ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)
_view.restype = ctypes.py_object
_WRITE = 0x200


def _patient() -> None:
    return


class Publisher:
    """The writer of a channel. One thread at a time."""

    def __init__(self, transport: Transport, spec: Spec) -> None:
        self.spec = spec
        self.ledger = Ledger(spec.name, len(spec.readers))
        try:
            if not self.ledger.lock(0):
                raise ChannelError(f"channel {spec.name}: publish: it has a writer already")
            self._port = _iox.new_publisher(transport.pubsub(spec), spec, transport.domain)
            self._notifier = transport.events(spec.name, spec).notifier_builder().create()
            self.listener = (
                transport.events(_iox.credit_name(spec.name), spec).listener_builder().create()
            )
        except BaseException:
            self.ledger.close()
            raise
        self._words = self.ledger.words
        self._slots = [_ledger.slot_index(i) for i in range(len(spec.readers))]
        self._limit = _iox.duration(CHECK_EVERY_MS)
        self._closed = False
        self._words[W_STATE] = ATTACHED

    @property
    def sequence(self) -> int:
        """The sequence of the next frame."""
        return self._words[W_NEXT]

    def send(self, header: Header, payload: memoryview, patience: Check = _patient) -> int:
        """Send a copy of payload to every reader and return its sequence.

        Under ``block`` it first waits until each reader has room; patience is
        called while it waits.
        """
        spec, words, size = self.spec, self._words, payload.nbytes
        if size > spec.max_frame:
            raise TooLargeError(
                f"frame of {size} bytes, max_frame of the output is {spec.max_frame}: raise max_frame"
                f" (channel {spec.name})"
            )
        check(header, size)
        sequence = words[W_NEXT]
        if spec.blocks and self._full(sequence) is not None:
            self._wait_for_room(sequence, patience)
        try:
            loan = self._port.loan_slice_uninit(size)
        except Exception as err:
            raise ChannelError(f"channel {spec.name}: loan of {size} bytes: {err}") from err
        if size:
            _view(loan.payload_ptr, size, _WRITE)[:] = payload
        header.sequence = sequence
        header.sent = time.monotonic_ns()
        ctypes.memmove(loan.user_header_ptr, ctypes.addressof(header), HEADER_SIZE)
        # The claim comes before the frame: a reader that joins in between reads
        # the claim as its base and does not count this frame as lost.
        words[W_NEXT] = sequence + 1
        ends = header.flags & END_OF_STREAM
        if ends:
            words[W_ENDED] = 1
        try:
            loan.assume_init().send()
        except Exception as err:
            words[W_NEXT] = sequence
            if ends:
                words[W_ENDED] = 0
            raise ChannelError(f"channel {spec.name}: send: {err}") from err
        words[W_BYTES] += size
        for slot in self._slots:
            if words[slot + R_WAITING]:
                _iox.notify(self._notifier)
                break
        return sequence

    def _full(self, sequence: int, look: bool = False) -> Optional[int]:
        """Return the first reader without room.

        With look, a reader that died is found by its lock and waited for no longer.
        """
        words = self._words
        for i, slot in enumerate(self._slots):
            if words[slot] != ATTACHED or sequence - words[slot + R_NEXT] < words[slot + R_CAPACITY]:
                continue
            if look and not self.ledger.reader_alive(i):
                words[slot] = DETACHED
                continue
            return i
        return None

    def _wait_for_room(self, sequence: int, patience: Check) -> None:
        for _ in range(SPINS):
            if self._full(sequence) is None:
                return
        words, began = self._words, time.monotonic_ns()
        try:
            while True:
                words[W_STARVED] = 1
                self.ledger.fence()
                if self._full(sequence, look=True) is None:
                    return
                _iox.listen(self.listener, self._limit)
                patience()
        finally:
            words[W_STARVED] = 0
            words[W_BLOCKED] += time.monotonic_ns() - began

    def end(self, failed: bool = False, patience: Check = _patient) -> None:
        """Send the end of the stream; failed says that it ends by an error."""
        flags = END_OF_STREAM | (FAILED if failed else 0)
        self.send(new_header(CONTROL, flags), EMPTY, patience)

    def drain(self, patience: Check = _patient) -> None:
        """Wait until every reader has taken what was sent, or is gone.

        A writer that closes earlier takes unread frames with it.
        """
        words = self._words
        try:
            while self._unread():
                words[W_STARVED] = 1
                self.ledger.fence()
                if not self._unread():
                    return
                _iox.listen(self.listener, self._limit)
                patience()
        finally:
            words[W_STARVED] = 0

    def _unread(self) -> bool:
        words = self._words
        sent = words[W_NEXT]
        return any(
            words[slot] == ATTACHED and words[slot + R_NEXT] < sent and self.ledger.reader_alive(i)
            for i, slot in enumerate(self._slots)
        )

    def close(self) -> None:
        """End the publisher; safe twice."""
        if self._closed:
            return
        self._closed = True
        self._words[W_STATE] = DETACHED
        self._port = self._notifier = self.listener = None
        self.ledger.close()


class Received(NamedTuple):
    """A received frame: a private copy of its header, and where its payload is."""

    header: Header
    address: int
    length: int
    lease: Lease


class Subscriber:
    """One reader of a channel; gets what is sent from its making on. One thread at a time."""

    def __init__(self, transport: Transport, spec: Spec, slot: int) -> None:
        if not 0 <= slot < len(spec.readers):
            raise ChannelError(f"channel {spec.name}: reader {slot} of {len(spec.readers)}")
        self.spec, self.reader = spec, spec.readers[slot]
        self.ledger = Ledger(spec.name, len(spec.readers))
        try:
            service = transport.pubsub(spec)
            self._port = service.subscriber_builder().buffer_size(self.reader.buffer).create()
            self.listener = transport.events(spec.name, spec).listener_builder().create()
            self._notifier = (
                transport.events(_iox.credit_name(spec.name), spec).notifier_builder().create()
            )
            if not self.ledger.lock(1 + slot):
                raise ChannelError(f"channel {spec.name}: subscribe: reader {slot} is there already")
        except BaseException as err:
            self.ledger.close()
            if isinstance(err, ChannelError) or not isinstance(err, Exception):
                raise
            raise ChannelError(f"channel {spec.name}: subscribe: {err}") from err
        self.block = block_type(spec.max_frame)
        self._words = self.ledger.words
        self._slot = _ledger.slot_index(slot)
        self._held: deque[None] = deque()
        self._limit = _iox.duration(CHECK_EVERY_MS)
        self._closed = False
        words, base = self._words, self._words[W_NEXT]
        words[self._slot + R_BASE] = base
        words[self._slot + R_NEXT] = base
        words[self._slot + R_CAPACITY] = self.reader.buffer
        words[self._slot + R_STATE] = ATTACHED

    def take(self) -> Optional[Received]:
        """Return the next frame that has arrived, or None; never waits.

        Raises HeldError if there is a frame but as many are kept as ``hold``
        allows, and CorruptError for a frame that cannot be true, which counts as
        dropped.
        """
        if len(self._held) >= self.reader.hold and not self._make_room():
            return None
        while True:
            sample = self._port.receive()
            if sample is None:
                return None
            received = self._admit(sample)
            if received is not None:
                return received

    def _make_room(self) -> bool:
        if not self._port.has_samples():
            return False
        gc.collect()  # what is kept by a cycle of references only is not kept by the node
        if len(self._held) >= self.reader.hold:
            raise HeldError(
                f"{len(self._held)} frames are kept, and hold of the connection is {self.reader.hold}:"
                " keep frame.copy(), or raise hold"
            )
        return True

    def _admit(self, sample: Any) -> Optional[Received]:
        header = Header.from_buffer_copy(ctypes.string_at(sample.user_header_ptr, HEADER_SIZE))
        sequence = header.sequence
        words, slot = self._words, self._slot
        expected = words[slot + R_NEXT]
        if sequence < expected:
            return None  # from before this reader joined
        length = sample.header.number_of_elements
        bad: Optional[CorruptError] = None
        try:
            check(header, length)
        except CorruptError as err:
            bad = CorruptError(f"channel {self.spec.name}: frame {sequence}: {err}")
        lost = sequence - expected + (bad is not None)
        if lost:
            words[slot + R_DROPPED] += lost
        words[slot + R_NEXT] = sequence + 1
        if bad is None and not header.flags & END_OF_STREAM:
            words[slot + R_RECEIVED] += 1
            words[slot + R_BYTES] += length
            late = time.monotonic_ns() - header.sent
            if late > 0:
                self.ledger.count_latency(slot, late)
        self.ledger.fence()
        if words[W_STARVED]:
            _iox.notify(self._notifier)
        if bad is not None:
            raise bad
        return Received(header, sample.payload_ptr, length, Lease(sample, self._held))

    @property
    def dropped(self) -> int:
        """How many frames were sent to this reader and not received."""
        return self._words[self._slot + R_DROPPED]

    def announce(self, waiting: bool) -> bool:
        """Say that this reader is about to sleep, or is awake.

        Before it sleeps it must look once more: the answer is whether there is
        something.
        """
        self._words[self._slot + R_WAITING] = 1 if waiting else 0
        if not waiting:
            return False
        self.ledger.fence()
        return bool(self._port.has_samples())

    def receive(self, patience: Check = _patient) -> Received:
        """Wait for a frame; one with END_OF_STREAM is the last."""
        for _ in range(SPINS):
            got = self.take()
            if got is not None:
                return got
        while True:
            try:
                if not self.announce(True):
                    _iox.listen(self.listener, self._limit)
            finally:
                self.announce(False)
            got = self.take()
            if got is not None:
                return got
            patience()

    def writer_gone(self) -> bool:
        """Say whether the writer was there and is dead or has closed."""
        return self._words[W_STATE] != VACANT and not self.ledger.writer_alive()

    def close(self) -> None:
        """End the subscriber; safe twice. Frames that are out stay good."""
        if self._closed:
            return
        self._closed = True
        self._words[self._slot + R_STATE] = DETACHED
        self.ledger.fence()
        if self._words[W_STARVED]:
            _iox.notify(self._notifier)
        self._port = self._notifier = self.listener = None
        self.ledger.close()


__all__ = ["CHECK_EVERY_MS", "ATTACHED", "Check", "EMPTY", "Publisher", "Received", "Subscriber"]
