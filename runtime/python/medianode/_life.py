"""Whether the process of a node is to end, and by when."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Optional

from . import _fork, _log
from ._errors import Abandoned

if TYPE_CHECKING:
    from ._subscriber import Subscriber

# How long a node drains after SIGTERM. The runtime kills two seconds after
# SIGTERM, an engine ten.
TERM_GRACE = 8.0
ORPHAN_GRACE = 2.0
# How long a node without a runtime waits for another one that takes over.
TAKEOVER = 1.5

# The signals that ask a node to end, and what they do to other processes.
_DEFAULTS: Final[dict[int, Any]] = {signal.SIGTERM: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}


class Signals:
    """SIGTERM and SIGINT: noted at once, also while the node's thread is in C code."""

    def __init__(self) -> None:
        self.at: Optional[float] = None  # when the first one came
        # The C handler of the interpreter writes here; Python's own handler runs
        # only when the main thread is back in Python.
        self._read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        self._ours = self._on_signal  # a bound method is another object each time
        self._theirs: dict[int, Any] = {}
        for number in _DEFAULTS:
            signal.signal(number, self._ours)
        _fork.then(self._forget)

    def wait(self, seconds: float) -> None:
        """Wait for a signal, or until time is up."""
        if not select.select([self._read], [], [], seconds)[0]:
            return
        try:
            got = os.read(self._read, 64)
        except BlockingIOError:
            return
        if signal.SIGTERM in got or signal.SIGINT in got:
            self._on_signal()

    def keep(self) -> None:
        """Take the signals back from handlers that the node's code has installed; those are called too."""
        for number in _DEFAULTS:
            now = signal.getsignal(number)
            if now is not self._ours:
                self._theirs[number] = now
                signal.signal(number, self._ours)

    def _on_signal(self, number: int = 0, frame: Any = None) -> None:
        if self.at is None:
            self.at = time.monotonic()
        theirs = self._theirs.get(number)
        if not callable(theirs) or theirs is signal.default_int_handler:
            return
        try:
            theirs(number, frame)
        except BaseException:  # what it interrupts is not to blame
            import traceback

            _log.write(traceback.format_exc())

    def _forget(self) -> None:
        # A process that the node forks ends by a signal as any other, and its
        # signals are not the node's.
        signal.set_wakeup_fd(-1)
        for number, default in _DEFAULTS.items():
            if signal.getsignal(number) is self._ours:
                signal.signal(number, self._theirs.get(number, default))


class Life:
    """The signals, the runtime, and the time that is left; any thread may ask."""

    def __init__(self, control: Subscriber) -> None:
        self.signals = Signals()
        self.orphaned = False  # the runtime is gone, and no other has taken over
        self._control = control
        self._main = threading.get_ident()
        self._gone_since: Optional[float] = None
        self._deadline: Optional[float] = None

    @property
    def ending(self) -> bool:
        """Whether the process is asked to end."""
        return self.signals.at is not None or self.orphaned

    def runtime_gone(self) -> bool:
        """Say whether the runtime was there and is not any more."""
        return self._control.writer_gone()

    def within(self, seconds: float) -> None:
        """Say that nothing may wait for longer than that from now on."""
        self._deadline = min(self._deadline or float("inf"), time.monotonic() + seconds)

    def look(self, now: float) -> None:
        """Take the signals back, if this is their thread, and raise when time is up."""
        if threading.get_ident() == self._main:
            self.signals.keep()
        self.check(now)

    def check(self, now: float) -> None:
        """Raise Abandoned when time is up."""
        self.notice(now)
        if self._deadline is not None and now > self._deadline:
            raise Abandoned

    def notice(self, now: float) -> None:
        """See whether a signal has come or the runtime has gone."""
        since = self._gone_since  # another thread may find the runtime back
        if not self.runtime_gone():
            self._gone_since = None
        elif since is None:
            self._gone_since = now
        elif not self.orphaned and now - since > TAKEOVER:
            self.orphaned = True
            self.within(ORPHAN_GRACE)
        at = self.signals.at
        if at is not None and self._deadline is None:
            self._deadline = at + TERM_GRACE
