"""A reader's end of a channel, with the rules that Go's has: drops, holds, ledger."""

from __future__ import annotations

import gc
import time
from collections import deque
from typing import Any, NamedTuple, Optional, Union

from . import _fork, _iox, _ledger
from ._config import Spec
from ._errors import ChannelError, ClosedError, CorruptError
from ._header import CONTROL, END_OF_STREAM, FAILED, Header, check, describe, new_header
from ._iox import Transport
from ._lease import Lease, Places, too_many_held
from ._ledger import (
    ATTACHED,
    DETACHED,
    ENDED_FAILED,
    R_BASE,
    R_BYTES,
    R_CAPACITY,
    R_DONE,
    R_DROPPED,
    R_EXPECTED,
    R_GIVEN_UP,
    R_NEXT,
    R_RECEIVED,
    R_STATE,
    R_TRIED,
    R_TRIES,
    R_UNFINISHED,
    R_WAITING,
    VACANT,
    W_ENDED,
    W_EXPECTED,
    W_NEXT,
    W_START,
    W_STARVED,
    W_STATE,
    Ledger,
)
from ._publisher import SPINS
from ._wait import CHECK_EVERY_MS, Check, patient

# What crashes a node so often would crash it for ever.
MAX_TRIES = 3


class Received(NamedTuple):
    """A received frame: a private copy of its header, and where its payload is."""

    header: Header
    address: int
    length: int
    lease: Lease


_fork.samples(Lease)


class Subscriber:
    """One reader of a channel; gets what is sent from its making on. One thread at a time."""

    def __init__(self, transport: Transport, spec: Spec, slot: int) -> None:
        if not 0 <= slot < len(spec.readers):
            raise ChannelError(f"channel {spec.name}: reader {slot} of {len(spec.readers)}")
        self.spec, self.reader = spec, spec.readers[slot]
        self.ledger = Ledger(spec.name, len(spec.readers))
        try:
            service = transport.pubsub(spec)
            _iox.room(spec, writer=False)
            builder = service.subscriber_builder().buffer_size(self.reader.queue)
            history = min(spec.history, self.reader.queue) if self.reader.retry else 0
            self._port = builder.history_request(history).create()
            self.listener = transport.events(spec.name, spec).listener_builder().create()
            self._notifier = transport.events(_iox.credit_name(spec.name), spec).notifier_builder().create()
            if not self.ledger.lock(1 + slot):
                raise ChannelError(f"channel {spec.name}: subscribe: reader {slot} is there already")
        except BaseException as err:
            self.ledger.close()
            if isinstance(err, ChannelError) or not isinstance(err, Exception):
                raise
            raise ChannelError(f"channel {spec.name}: subscribe: {err}") from err
        self._places = Places(spec.max_frame)
        self.block = self._places.block
        self._hold = self.reader.hold
        self._words = self.ledger.words
        self._slot = _ledger.slot_index(slot)
        self._held: deque[None] = deque()
        self._limit = _iox.duration(CHECK_EVERY_MS)
        self._closed = False
        _fork.owns(self)
        self._in_hand = False  # what was taken is not done with
        self._back = False  # this reader was there before, and died
        self._over = False  # the end of the stream was told
        self._resume = 0  # before it everything was counted by the reader that died
        self.skipped: Optional[int] = None  # a frame that it has died with often enough
        self.skipped_header: Optional[dict[str, Any]] = None  # of that frame, once it has come again
        words, mine = self._words, self._slot
        words[mine + R_CAPACITY] = self.reader.buffer
        words[mine + R_WAITING] = 0  # the reader before may have died in its sleep
        if words[mine + R_STATE] == ATTACHED:
            self._come_back()
            return
        words[mine + R_NEXT] = words[W_NEXT]
        words[mine + R_STATE] = ATTACHED
        self.ledger.fence()
        # Only now does a writer that blocks give this reader credits. What it
        # sent before is not this reader's; what it sends from now on is.
        base = words[W_NEXT]
        words[mine + R_BASE] = (base - words[mine + R_RECEIVED] - words[mine + R_DROPPED]) & 0xFFFF_FFFF_FFFF_FFFF
        words[mine + R_DONE] = base
        words[mine + R_NEXT] = base

    def _come_back(self) -> None:
        """Attach a reader that was there and died; its counters go on.

        What was in flight to it is lost and counted, or, with retry, comes again
        from the writer's history. That a process may die between any two stores
        makes no difference: what is dropped follows from the other counters.
        """
        words, mine = self._words, self._slot
        received, dropped = words[mine + R_RECEIVED], words[mine + R_DROPPED]
        resume = (words[mine + R_BASE] + received + dropped) & 0xFFFF_FFFF_FFFF_FFFF
        self._back, self._resume, done = True, resume, words[mine + R_DONE]
        if self.reader.retry:
            if words[mine + R_TRIED] == done + 1 and words[mine + R_TRIES] >= MAX_TRIES and done < resume:
                self.skipped = done
                words[mine + R_RECEIVED] = received - 1
                words[mine + R_DROPPED] = dropped + 1
                words[mine + R_GIVEN_UP] += 1
                done += 1
                words[mine + R_DONE] = done
            words[mine + R_NEXT] = done
        else:
            # The port is open: what is claimed from now on reaches it.
            base = words[W_NEXT]
            frames = base - (1 if words[W_ENDED] else 0)
            if resume > done:
                words[mine + R_UNFINISHED] += min(resume - done, self.reader.hold)
            if frames > resume:
                words[mine + R_DROPPED] = dropped + frames - resume
            self._resume = base
            words[mine + R_DONE] = base
            words[mine + R_NEXT] = base
        _iox.notify(self._notifier)

    def take(self) -> Optional[Received]:
        """Return the next frame that has arrived, or None; never waits.

        Raises HeldError if there is a frame but as many are kept as ``hold``
        allows, and CorruptError for a frame that cannot be true, which counts as
        dropped.
        """
        if self._closed:
            raise ClosedError(f"channel {self.spec.name}: closed")
        words = self._words
        # Asked before: what an earlier writer has sent is here, or does not come.
        start, gone = words[W_START], self._back and self._ended_without_us()
        # A frame that was given up may be the last so far, and comes for its header's sake.
        if self.has_all() and self.skipped is None:
            return self._nothing(start, gone) if self._back else None
        if len(self._held) >= self._hold and not self._make_room():
            return None
        while True:
            sample = self._port.receive()
            if sample is None:
                return self._nothing(start, gone)
            # An error's traceback keeps local variables, so it is raised here,
            # without the sample.
            got = self._admit(sample)
            del sample
            if isinstance(got, Received):
                return got
            if got is not None:
                raise got

    @property
    def again(self) -> bool:
        """Whether the next frame is one that was given to a process which died with it."""
        return self._back and self._words[self._slot + R_NEXT] < self._resume

    @property
    def full(self) -> bool:
        """Whether as many frames are kept as may be."""
        return len(self._held) >= self._hold

    def has_all(self) -> bool:
        """Say whether nothing was sent that was not taken; any thread, and cheaper than ``take``."""
        # A writer that keeps the ledger claims a frame before it sends it.
        words = self._words
        return bool(words[self._slot + R_NEXT] == words[W_NEXT] and words[W_STATE] != VACANT)

    def _make_room(self) -> bool:
        if not self._port.has_samples():
            return False
        gc.collect()  # what is kept by a cycle of references only is not kept by the node
        if len(self._held) >= self.reader.hold:
            raise too_many_held(len(self._held), self.reader.hold)
        return True

    def _admit(self, sample: Any) -> Union[Received, CorruptError, None]:
        address = sample.payload_ptr
        place = self._places.get(address)
        if place is None:
            place = self._places.add(address, sample.user_header_ptr)
        header = Header.from_buffer_copy(place.header)
        sequence = header.sequence
        words, slot = self._words, self._slot
        expected = words[slot + R_NEXT]
        if sequence < expected:
            if sequence == self.skipped:
                self.skipped_header = describe(header, sample.header.number_of_elements)
            return None  # from before this reader joined, or done with
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
        if sequence > expected:
            self._miss(expected, sequence)
        words[slot + R_NEXT] = sequence + 1
        if bad is None and header.flags & END_OF_STREAM:
            self._over = True
        elif sequence < self._resume:
            pass  # it comes again, and was counted before
        elif bad is not None:
            words[slot + R_DROPPED] += 1
        else:
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
        if not self._in_hand:
            self._first(sequence)
        return Received(header, address, length, Lease(sample, self._held))

    def _first(self, sequence: int) -> None:
        """Note the oldest frame that is not done with."""
        words, slot = self._words, self._slot
        self._in_hand = True
        words[slot + R_DONE] = sequence
        if not self.reader.retry:
            return
        if words[slot + R_TRIED] == sequence + 1:
            words[slot + R_TRIES] += 1
        else:
            words[slot + R_TRIES] = 1
            words[slot + R_TRIED] = sequence + 1

    def finish(self) -> None:
        """Say that all frames that were taken are done with: they are not given again."""
        if self._in_hand and not self._closed:
            self._in_hand = False
            self._words[self._slot + R_DONE] = self._words[self._slot + R_NEXT]

    def _miss(self, expected: int, sequence: int) -> None:
        """Count the frames before a sequence that did not come."""
        words, slot = self._words, self._slot
        if sequence > max(expected, self._resume):
            words[slot + R_DROPPED] += sequence - max(expected, self._resume)
        if min(sequence, self._resume) > expected:
            words[slot + R_UNFINISHED] += min(sequence, self._resume) - expected

    def _ended_without_us(self) -> bool:
        return not self._over and bool(self._words[W_ENDED]) and not self.ledger.writer_alive()

    def _nothing(self, start: int, gone: bool) -> Optional[Received]:
        """Return the end of the stream, if it came while this reader was dead.

        Or if its writer died before it was sent. There is no frame. Then those
        before start do not come: their writer died.
        """
        words, slot = self._words, self._slot
        ended, last = words[W_ENDED], words[W_NEXT]
        # Who ended the stream is gone, and this is the writer after it.
        late = bool(ended) and start >= last
        if words[slot + R_NEXT] < start:
            self._pass(start - 1 if late else start)
            words[slot + R_NEXT] = start
            if words[W_STARVED]:
                _iox.notify(self._notifier)
        if self._over or not ended or not (self._back or late):
            return None
        if words[slot + R_NEXT] < last:
            if not gone:
                return None
            self._pass(last - 1)
            words[slot + R_NEXT] = last
        self._over = True
        header = new_header(CONTROL, END_OF_STREAM | (FAILED if ended == ENDED_FAILED else 0))
        header.sequence = last - 1
        return Received(header, 0, 0, Lease(None, self._held))

    def _pass(self, sequence: int) -> None:
        words, slot = self._words, self._slot
        self._miss(words[slot + R_NEXT], sequence)
        words[slot + R_NEXT] = max(sequence, words[slot + R_NEXT])
        if not self._in_hand:
            words[slot + R_DONE] = words[slot + R_NEXT]

    @property
    def writer_expected(self) -> bool:
        """Whether a writer that dies is started again."""
        return bool(self._words[W_EXPECTED])

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
        return bool(self._port.has_samples()) and not self.has_all()

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

    def close(self, leave: bool = False) -> None:
        """End the subscriber; safe twice. Frames that are out stay good.

        leave: as the death of the process ends it; a writer that knows that this
        reader comes back goes on waiting.
        """
        if self._closed:
            return
        self._closed = True
        if not leave or not self._words[self._slot + R_EXPECTED]:
            self._words[self._slot + R_STATE] = DETACHED
        self.ledger.fence()
        if self._words[W_STARVED]:
            _iox.notify(self._notifier)
        self._port = self._notifier = self.listener = None
        self.ledger.close()
