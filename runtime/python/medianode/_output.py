"""One output port: what is sent by it, from whichever thread, goes one after the other."""

from __future__ import annotations

import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Callable, Optional

from ._config import Output
from ._errors import ChannelError, ClosedError, FrameError, LoanedError
from ._frame import Frame
from ._header import KINDS, Header
from ._wait import CHECK_EVERY_MS, Check

if TYPE_CHECKING:
    from ._iox import Transport
    from ._publisher import Loan, Publisher

# Completes a header at the moment at which its frame is sent.
Complete = Callable[[Header], None]


class OutputPort:
    """One output port, with its channels or none."""

    def __init__(self, transport: Transport, config: Output, session: str) -> None:
        self.config = config
        self.publishers: list[Publisher] = []
        self._kind = config.kind
        # A publisher is for one thread at a time.
        self._lock = threading.Lock()
        self._closed = False
        self._loans: weakref.WeakSet[PortLoan] = weakref.WeakSet()
        self._lender = 0  # the thread that writes in place now
        try:
            # The one that may wait is sent first, so that an interrupted send
            # reaches nobody.
            for spec in sorted(config.channels, key=lambda s: not s.blocks):
                self.publishers.append(transport.publisher(spec.of_session(session)))
        except BaseException:
            self.close()
            raise

    def send(self, frame: Frame, header: Header, patience: Check) -> None:
        """Send a copy of the frame to every reader of the port."""
        if self._kind:
            self._check_kind(header)
        if self._lender or not self._lock.acquire(False):
            self._take_turn(patience)
        try:
            if self._closed:
                raise self._over()
            if frame._lease is not None and frame._length:  # received: no view is needed to copy it
                for publisher in self.publishers:
                    publisher.send_from(header, frame._address, frame._length, patience)
                return
            data = frame.data
            for publisher in self.publishers:
                publisher.send(header, data, patience)
        except ChannelError as err:
            raise self._error(err) from err
        finally:
            self._lock.release()

    def loan(self, header: Header, size: int, complete: Complete, patience: Check) -> PortLoan:
        """Return size bytes of the port's memory, to be written by this thread."""
        if self._kind:
            self._check_kind(header)
        self._take_turn(patience)
        try:
            if self._closed:
                raise self._over()
            loan = PortLoan(self, self.publishers[0].loan(size), header, complete, patience)
            self._loans.add(loan)
            self._lender = threading.get_ident()
            return loan
        except ChannelError as err:
            raise self._error(err) from err
        finally:
            self._lock.release()

    def would_block(self) -> bool:
        """Say whether a frame sent now would wait for a reader."""
        return any(publisher.would_block() for publisher in self.publishers)

    def waits(self) -> bool:
        """Say whether somebody waits for a reader right now."""
        return any(publisher.starved for publisher in self.publishers)

    def end(self, failed: bool, own: bool, patience: Check) -> None:
        """Send the end of the stream, after what is being sent; nothing goes out later.

        own: the failure is the node's own. If it is to be started again its
        stream does not end here: the new process goes on with it.
        """
        self._closed = True
        while not self._lock.acquire(timeout=CHECK_EVERY_MS / 1000):
            patience()
        try:
            self._revoke()
            for publisher in self.publishers:
                if not (own and publisher.expected):
                    publisher.end(failed, patience)
        finally:
            self._lock.release()

    def close(self) -> None:
        """End the channels without a word to their readers; safe twice."""
        self._closed = True
        # Whoever waits for room finds out within one sleep.
        mine = self._lock.acquire(timeout=4 * CHECK_EVERY_MS / 1000)
        try:
            self._revoke()
            for publisher in self.publishers:
                publisher.close()
        finally:
            if mine:
                self._lock.release()

    def _take_turn(self, patience: Check) -> None:
        """Take the lock when no other thread sends or writes in place."""
        me = threading.get_ident()
        while True:
            if self._lock.acquire(timeout=CHECK_EVERY_MS / 1000):
                if self._lender in (0, me) or self._closed:
                    return
                self._lock.release()
                time.sleep(0.0005)
            patience()

    def _revoke(self) -> None:
        # Nothing but the empty end of the stream is sent after this, so whoever
        # still writes in place writes into memory that nobody reads.
        for loan in list(self._loans):
            loan.revoke()

    def _returned(self, loan: PortLoan) -> None:
        self._loans.discard(loan)
        if not self._loans:
            self._lender = 0

    def _check_kind(self, header: Header) -> None:
        if KINDS[header.kind] != self._kind:
            raise FrameError(
                f"output {self.config.port}: frame is {KINDS[header.kind]}, want {self._kind}",
                self.config.port,
            )

    def _over(self) -> ClosedError:
        return ClosedError(f"output {self.config.port}: the session has ended")

    def _error(self, err: ChannelError) -> Exception:
        if isinstance(err, ClosedError):
            return err
        text = str(err)
        if isinstance(err, LoanedError) and self._loans:
            text = "a frame that is written in place is open: end its with block before sending another"
        return FrameError(f"output {self.config.port}: {text}", self.config.port)


class PortLoan:
    """A frame that is written in the memory of an output port."""

    __slots__ = ("__weakref__", "_complete", "_loan", "_patience", "_port", "header", "payload")

    def __init__(self, port: OutputPort, loan: Loan, header: Header, complete: Complete, patience: Check) -> None:
        self._port, self._complete, self._patience = port, complete, patience
        self._loan: Optional[Loan] = loan
        self.header = loan.header = header
        self.payload = loan.payload

    def send(self) -> None:
        """Send the frame to every reader; the first channel's get it without a copy."""
        port = self._port
        port._take_turn(self._patience)
        try:
            loan = self._loan
            if loan is None or port._closed:
                raise port._over()
            self._complete(self.header)
            loan.send_also(port.publishers[1:], self._patience)
            self._loan = None
        except ChannelError as err:
            raise port._error(err) from err
        finally:
            port._lock.release()
            self.revoke()

    def release(self) -> None:
        """End the loan without sending it; safe twice."""
        self.revoke()

    def revoke(self) -> None:
        """Take the memory back; safe twice."""
        loan, self._loan = self._loan, None
        if loan is not None:
            loan.abandon()
        self._port._returned(self)


class NowhereLoan:
    """A frame that is written for a port that nothing reads."""

    def __init__(self, header: Header, size: int, sent: Callable[[], Any]) -> None:
        self.header, self.payload = header, memoryview(bytearray(size))
        self._sent = sent

    def send(self) -> None:
        """Count the frame."""
        self._sent()

    def release(self) -> None:
        """Nothing was taken."""
