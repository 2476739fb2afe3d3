"""A reader's end of a channel, with the rules that Go's has: drops, holds, ledger."""

from __future__ import annotations

import gc
import time
from collections import deque
from typing import Any, NamedTuple, Optional, Union

from . import _iox, _ledger
from ._config import Spec
from ._errors import ChannelError, ClosedError, CorruptError, HeldError
from ._header import END_OF_STREAM, Header, check
from ._iox import Transport
from ._lease import Lease, block_type
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
    W_NEXT,
    W_STARVED,
    W_STATE,
    Ledger,
)
from ._publisher import CHECK_EVERY_MS, SPINS, Check, patient


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
            self._notifier = transport.events(_iox.credit_name(spec.name), spec).notifier_builder().create()
            if not self.ledger.lock(1 + slot):
                raise ChannelError(f"channel {spec.name}: subscribe: reader {slot} is there already")
        except BaseException as err:
            self.ledger.close()
            if isinstance(err, ChannelError) or not isinstance(err, Exception):
                raise
            raise ChannelError(f"channel {spec.name}: subscribe: {err}") from err
        self.block = block_type(spec.max_frame)
        self._hold = self.reader.hold
        self._words = self.ledger.words
        self._slot = _ledger.slot_index(slot)
        self._held: deque[None] = deque()
        self._limit = _iox.duration(CHECK_EVERY_MS)
        self._closed = False
        words = self._words
        words[self._slot + R_NEXT] = words[W_NEXT]
        words[self._slot + R_CAPACITY] = self.reader.buffer
        words[self._slot + R_STATE] = ATTACHED
        self.ledger.fence()
        # Only now does a writer that blocks give this reader credits. What it
        # sent before is not this reader's; what it sends from now on is.
        base = words[W_NEXT]
        words[self._slot + R_BASE] = base
        words[self._slot + R_NEXT] = base

    def take(self) -> Optional[Received]:
        """Return the next frame that has arrived, or None; never waits.

        Raises HeldError if there is a frame but as many are kept as ``hold``
        allows, and CorruptError for a frame that cannot be true, which counts as
        dropped.
        """
        if self._closed:
            raise ClosedError(f"channel {self.spec.name}: closed")
        if self._has_all():
            return None
        if len(self._held) >= self._hold and not self._make_room():
            return None
        while True:
            sample = self._port.receive()
            if sample is None:
                return None
            # An error's traceback keeps local variables, so it is raised here,
            # without the sample.
            got = self._admit(sample)
            del sample
            if isinstance(got, Received):
                return got
            if got is not None:
                raise got

    def _has_all(self) -> bool:
        # A writer that keeps the ledger claims a frame before it sends it.
        words = self._words
        return bool(words[self._slot + R_NEXT] == words[W_NEXT] and words[W_STATE] != VACANT)

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

    def _admit(self, sample: Any) -> Union[Received, CorruptError, None]:
        header = Header.from_buffer_copy(Header.from_address(sample.user_header_ptr))
        sequence = header.sequence
        words, slot = self._words, self._slot
        expected = words[slot + R_NEXT]
        if sequence < expected:
            return None  # from before this reader joined
        if words[W_STATE] != VACANT and sequence >= words[W_NEXT]:
            # Not to be counted by either; the next frame's gap counts this one.
            return CorruptError(f"channel {self.spec.name}: corrupt frame header: sequence not sent yet: {sequence}")
        length = sample.header.number_of_elements
        bad: Optional[CorruptError] = None
        try:
            if length > self.spec.max_frame:  # no view may be made of it
                raise CorruptError(f"corrupt frame header: {length} bytes, max_frame is {self.spec.max_frame}")
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
            return bad
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
        # What has arrived and is from before this reader joined is nothing.
        return bool(self._port.has_samples()) and not self._has_all()

    def receive(self, patience: Check = patient) -> Received:
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
