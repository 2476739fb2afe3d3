"""The writer's end of a channel, with the rules that Go's has: sequence, credits, ledger."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Optional

from . import _fork, _iox, _ledger
from ._config import Spec
from ._errors import ChannelError, ClosedError, LoanedError, ReleasedError, TooLargeError, WouldBlock
from ._header import CONTROL, END_OF_STREAM, FAILED, Header, HeaderPlace, check, new_header
from ._iox import Transport
from ._lease import EMPTY, Places, writable
from ._ledger import (
    ATTACHED,
    DETACHED,
    ENDED_FAILED,
    ENDED_WELL,
    R_CAPACITY,
    R_EXPECTED,
    R_NEXT,
    R_WAITING,
    W_BLOCKED,
    W_BYTES,
    W_ENDED,
    W_EXPECTED,
    W_NEXT,
    W_START,
    W_STARVED,
    W_STATE,
    Ledger,
)
from ._wait import CHECK_EVERY_MS, Check, patient

# How often a wait looks again before it sleeps: some microseconds.
SPINS = 16


class Loan:
    """A frame to be written in place. It ends by send or release, once.

    After that payload must not be touched: it is memory that belongs to
    somebody else.
    """

    __slots__ = ("_from", "_sample", "header", "payload")

    def __init__(self, publisher: Publisher, sample: Any, size: int) -> None:
        self._from, self._sample = publisher, sample
        self.header = new_header(0)
        self.payload = publisher._writable(sample, size)

    def release(self) -> None:
        """End the loan without sending it."""
        if self._sample is None:
            raise ReleasedError("already sent or released")
        self._sample = None

    def abandon(self) -> None:
        """End the loan without sending it, whatever has become of it."""
        self._sample = None

    def send(self, patience: Check = patient) -> int:
        """Give the frame to every reader and return its sequence.

        Under ``block`` it first waits until each has room. If patience ends the
        wait, the loan is still good.
        """
        return self.send_also((), patience)

    def send_also(self, others: Sequence[Publisher], patience: Check = patient) -> int:
        """Send as ``send`` does, and a copy on other channels, whose readers do not block.

        The copies are made before the frame is its readers' own, and after the
        wait, which may end without anything sent.
        """
        if self._sample is None:
            raise ReleasedError("already sent or released")
        check(self.header, self.payload.nbytes)
        sequence = self._from._claim(patience)
        for other in others:
            other.send(self.header, self.payload, patience)
        sample, self._sample = self._sample, None
        place = HeaderPlace.from_address(sample.user_header_ptr)
        self._from._send(sample, place, self.header, self.payload.nbytes, sequence)
        return sequence


_fork.samples(Loan, "release", "abandon")


class Publisher:
    """The writer of a channel. One thread at a time."""

    def __init__(self, transport: Transport, spec: Spec) -> None:
        self.spec = spec
        self._blocks = spec.blocks
        self.ledger = Ledger(spec.name, len(spec.readers))
        try:
            if not self.ledger.lock(0):
                raise ChannelError(f"channel {spec.name}: publish: it has a writer already")
            self._port = _iox.new_publisher(transport.pubsub(spec), spec, transport.domain)
            self._notifier = transport.events(spec.name, spec).notifier_builder().create()
            self.listener = transport.events(_iox.credit_name(spec.name), spec).listener_builder().create()
        except BaseException:
            self.ledger.close()
            raise
        self._words = self.ledger.words
        self._slots = [_ledger.slot_index(i) for i in range(len(spec.readers))]
        self._limit = _iox.duration(CHECK_EVERY_MS)
        self._closed = False
        self._places = Places(spec.max_frame)
        self._sources = Places(spec.max_frame)  # where frames that are handed on come from
        self._keeps = spec.history > 0
        self._words[W_START] = self._words[W_NEXT]
        self._words[W_STARVED] = 0  # the writer before may have died while it waited
        self._words[W_STATE] = ATTACHED
        _fork.owns(self)

    @property
    def sequence(self) -> int:
        """The sequence of the next frame."""
        return self._words[W_NEXT]

    def loan(self, size: int) -> Loan:
        """Return size bytes of shared memory, uninitialised, with an empty header; never waits."""
        return Loan(self, self._loan(size), size)

    def _writable(self, sample: Any, size: int) -> memoryview:
        # The port keeps the memory mapped: a view that is used too late is
        # wrong, but must not end the process.
        return writable(self._places.block, self._port, sample.payload_ptr, size)

    def _loan(self, size: int) -> Any:
        spec = self.spec
        if size > spec.max_frame:
            raise self._too_large(size)
        self._alive()
        try:
            return self._port.loan_slice_uninit(size)
        except Exception as err:
            kind = LoanedError if "ExceedsMaxLoans" in str(err) else ChannelError
            raise kind(f"channel {spec.name}: loan of {size} bytes: {err}") from err

    def _too_large(self, size: int) -> TooLargeError:
        return TooLargeError(
            f"frame of {size} bytes, max_frame of the output is {self.spec.max_frame}: raise max_frame"
            f" (channel {self.spec.name})"
        )

    @property
    def starved(self) -> bool:
        """Whether somebody waits for readers right now."""
        return not self._closed and bool(self._words[W_STARVED])

    def would_block(self) -> bool:
        """Say whether a frame sent now would wait for a reader."""
        return self._blocks and not self._closed and self._full(self._words[W_NEXT]) is not None

    def send(self, header: Header, payload: memoryview, patience: Check = patient) -> int:
        """Send a copy of payload and return its sequence, which header has then too."""
        check(header, payload.nbytes)
        return self._send_copy(header, payload, patience)

    def send_from(self, header: Header, address: int, size: int, patience: Check = patient) -> int:
        """Send a copy of size bytes at an address, as ``send`` does, of a frame that was checked when it came."""
        if size > self.spec.max_frame:
            raise self._too_large(size)
        source = self._sources.get(address)
        if source is None:
            source = self._sources.add(address, address)
        return self._send_copy(header, source.payload[:size], patience)

    def _send_copy(self, header: Header, payload: memoryview, patience: Check) -> int:
        size = payload.nbytes
        sample = self._loan(size)
        address = sample.payload_ptr
        place = self._places.get(address)
        if place is None:
            place = self._places.add(address, sample.user_header_ptr)
        place.payload[:size] = payload
        sequence = self._claim(patience)
        self._send(sample, place.header, header, size, sequence)
        return sequence

    def _claim(self, patience: Check) -> int:
        self._alive()
        sequence = self._words[W_NEXT]
        if self._blocks and self._full(sequence) is not None:
            self._wait_for_room(sequence, patience)
        return sequence

    def _send(self, sample: Any, place: HeaderPlace, header: Header, size: int, sequence: int) -> None:
        words = self._words
        header.sequence = sequence
        header.sent = time.monotonic_ns()
        place.header = header
        # The claim comes before the frame: a reader that joins in between reads
        # the claim as its base and does not count this frame as lost.
        words[W_NEXT] = sequence + 1
        if header.flags & END_OF_STREAM:
            words[W_ENDED] = ENDED_FAILED if header.flags & FAILED else ENDED_WELL
        try:
            sample.assume_init().send()
        except Exception as err:
            # It may have reached some of the readers: the sequence is spent, or
            # they would take the next frame for one that they have had.
            raise ChannelError(f"channel {self.spec.name}: send: {err}") from err
        words[W_BYTES] += size
        self._wake()

    def _wake(self) -> None:
        words = self._words
        for slot in self._slots:
            if words[slot + R_WAITING]:
                _iox.notify(self._notifier)
                break

    @property
    def expected(self) -> bool:
        """Whether a writer that dies here is started again: its readers wait."""
        return bool(self._words[W_EXPECTED])

    def refresh(self) -> None:
        """Give readers that have come back the frames again that they had not finished."""
        if not self._keeps or self._closed:
            return
        try:
            self._port.update_connections()
        except Exception as err:
            raise ChannelError(f"channel {self.spec.name}: {err}") from err
        self._wake()

    def _listen(self) -> None:
        _iox.listen(self.listener, self._limit)
        self.refresh()

    def _alive(self) -> None:
        if self._closed:
            raise ClosedError(f"channel {self.spec.name}: closed")

    def _full(self, sequence: int, look: bool = False) -> Optional[int]:
        """Return the first reader without room.

        With look, a reader that died is found by its lock and waited for no
        longer, unless it will come back.
        """
        words = self._words
        for i, slot in enumerate(self._slots):
            if words[slot] != ATTACHED or sequence - words[slot + R_NEXT] < words[slot + R_CAPACITY]:
                continue
            if look and not words[slot + R_EXPECTED] and not self.ledger.reader_alive(i):
                words[slot] = DETACHED
                if not self.ledger.reader_alive(i):
                    continue
                words[slot] = ATTACHED  # another one has just come, and may have said so before
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
                patience()
                self._listen()
        except WouldBlock as err:
            err.ready = self.has_room
            raise
        finally:
            words[W_STARVED] = 0
            words[W_BLOCKED] += time.monotonic_ns() - began

    def has_room(self) -> bool:
        """Say whether every reader has room; one that has died is found."""
        return self._closed or self._full(self._words[W_NEXT], look=True) is None

    def is_drained(self) -> bool:
        """Say whether every reader has taken what was sent, or is gone for good."""
        return self._closed or not self._unread()

    def starve(self, waiting: bool) -> None:
        """Say that the writer sleeps until a reader wakes it, or is awake."""
        if not self._closed:
            self._words[W_STARVED] = 1 if waiting else 0
            self.ledger.fence()

    def end(self, failed: bool = False, patience: Check = patient) -> None:
        """Send the end of the stream; failed says that it ends by an error.

        A stream that a writer before this one has ended stays as it is.
        """
        if self._words[W_ENDED]:
            return
        flags = END_OF_STREAM | (FAILED if failed else 0)
        self.send(new_header(CONTROL, flags), EMPTY, patience)

    def drain(self, patience: Check = patient) -> None:
        """Wait until every reader has taken what was sent, or is gone for good.

        A writer that closes earlier takes unread frames with it.
        """
        self._alive()
        words = self._words
        try:
            while self._unread():
                words[W_STARVED] = 1
                self.ledger.fence()
                if not self._unread():
                    return
                patience()
                self._listen()
        except WouldBlock as err:
            err.ready = self.is_drained
            raise
        finally:
            words[W_STARVED] = 0

    def _unread(self) -> bool:
        words = self._words
        sent = words[W_NEXT]
        return any(
            words[slot] == ATTACHED
            and words[slot + R_NEXT] < sent
            and (words[slot + R_EXPECTED] or self.ledger.reader_alive(i))
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
