"""A thread beside the node's own: it ends a node that does not come back, and sends its metrics."""

from __future__ import annotations

import faulthandler
import os
import select
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Optional

from . import _fork, _log
from ._cgroup import Usage
from ._errors import Abandoned
from ._ports import log
from ._session import Session
from ._user import NodeFailure, print_failure, stack_trace

if TYPE_CHECKING:
    from ._runner import Runner

# How often the watch looks at its longest, and takes a sample of what the container uses.
EVERY = 0.25
# A node's thread that has not come by for so long is in the node's code, or
# hangs there.
AWAY = 1.0
# When a node that does not end after SIGTERM says where it is, and when it is
# ended. The runtime kills two seconds after SIGTERM, an engine ten.
TERM_REPORT = 1.2
TERM_GRACE = 8.0
ORPHAN_GRACE = 2.0
# How long a node without a runtime waits for another one that takes over.
TAKEOVER = 1.5
# How long the watch tries to reach the runtime before it ends the process.
TELL_WITHIN = 1.0
# What faulthandler waits longer than the watch, which says more.
MARGIN = 1.0


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


class Watch:
    """Looks at a runner from a thread of its own."""

    def __init__(self, runner: Runner, timeout_ms: int, usage: Usage, alive: str = "") -> None:
        self._runner, self.usage = runner, usage
        self._alive, self._came_by = alive, -1
        self._main = threading.get_ident()
        self._limit = timeout_ms / 1000
        self._every = min(EVERY, max(0.01, self._limit / 8)) if timeout_ms else EVERY
        self._call: tuple[Optional[Session], int] = (None, 0)  # in which the node is
        self._spent = 0.0
        self._looked = time.monotonic()
        self._gone_since: Optional[float] = None
        self._reported = False
        self._told = 0.0
        self._arming = threading.Lock()
        self._armed = False

    def start(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._run, name="medianode-watch", daemon=True).start()

    def guard(self, on: bool) -> None:
        """Say whether the node is where calls of process are limited, and nothing else of its code runs."""
        if not self._limit:
            return
        with self._arming:
            self._armed = on
            if not on:
                faulthandler.cancel_dump_traceback_later()
        if on:
            self._arm()

    def _arm(self) -> None:
        # The watch itself does not run while C code keeps the interpreter lock.
        # faulthandler's timer does: it prints all tracebacks and ends the
        # process, unless the watch sets it back in time.
        with self._arming:
            if self._armed:
                faulthandler.dump_traceback_later(self._limit + 2 * self._every + MARGIN, exit=True, file=2)

    def _run(self) -> None:
        try:
            while True:
                self.usage.sample()
                self._write_came_by()
                self._runner.signals.wait(self._every)
                self._arm()
                self._look(time.monotonic())
        except (OSError, ValueError):
            pass  # closed: the process ends by itself
        finally:
            self.guard(False)
            self._limit = 0.0  # nobody sets the timer back any more

    def _write_came_by(self) -> None:
        """Leave, for the container's health check, the second since boot in which the node's thread last came by."""
        if not self._alive:
            return
        away = time.monotonic() - self._runner.came_by
        came_by = int(time.clock_gettime(time.CLOCK_BOOTTIME) - away)
        if came_by == self._came_by:
            return
        self._came_by = came_by
        try:
            # One write of one width: who reads meanwhile sees one or the other.
            file = os.open(self._alive, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                os.write(file, b"%12d\n" % came_by)
            finally:
                os.close(file)
        except OSError as e:
            log(f"node {self._runner.id}: the health check is told nothing: {e}")
            self._alive = ""

    def _look(self, now: float) -> None:
        self._look_for_runtime(now)
        self._look_at_signal(now)
        if self._limit:
            self._look_at_call(now)
        self._looked = now
        if now - self._told >= 1:
            self._told = now
            for session in list(self._runner.sessions.values()):
                try:
                    self._runner.status.tell_metrics(_give_up_at(now + TELL_WITHIN), session)
                    self._runner.status.tell_spans(_give_up_at(now + TELL_WITHIN), session)
                except Abandoned:
                    pass  # the runtime reads nothing now; the last figures are told at the end

    def _look_for_runtime(self, now: float) -> None:
        if not self._runner.runtime_gone():
            self._gone_since = None
        elif self._gone_since is None:
            self._gone_since = now
        elif now - self._gone_since > TAKEOVER + ORPHAN_GRACE * 2:
            log(f"node {self._runner.id}: the runtime is gone and the node does not return: killed")
            os._exit(1)

    def _look_at_signal(self, now: float) -> None:
        at = self._runner.signals.at
        if at is None or now - self._runner.came_by < AWAY:
            return
        since = now - at
        if since > TERM_REPORT and not self._reported:
            self._reported = True
            log(f"node {self._runner.id}: asked to end {since:.1f} s ago, and still in {self._doing()}:")
            _log.write(self._trace())
        if since > TERM_GRACE:
            self._end(NodeFailure(self._doing(), f"did not return within {TERM_GRACE:g} s of SIGTERM", self._trace()))

    def _look_at_call(self, now: float) -> None:
        """Add up the time of the call in which the node is, but for the time of waiting for readers."""
        session = self._runner.acting
        if session is None or session.cause is None:
            self._call = (None, 0)
            return
        call = (session, session.calls)
        if call != self._call:
            self._call, self._spent = call, 0.0
            return
        try:
            if session.ports.waits():
                return
        except ValueError:  # its channels are just being closed
            return
        # A process that was stopped for a while has not worked meanwhile.
        self._spent += min(now - self._looked, 4 * self._every)
        if self._spent >= self._limit:
            cause, trace = session.cause, self._trace()
            if cause is not None and call == (session, session.calls):
                text = f"one call of process took longer than timeout_ms, {self._limit * 1000:g} ms"
                self._end(NodeFailure("process", text, trace, cause.port, cause.sequence))

    def _doing(self) -> str:
        session = self._runner.acting
        return "load" if session is None else session.doing

    def _trace(self) -> str:
        return stack_trace(sys._current_frames().get(self._main), self._runner.tasks())

    def _end(self, problem: NodeFailure) -> None:
        """Tell what is wrong and end the process, which cannot be done in the node's thread."""
        self.guard(False)
        session = self._runner.acting
        name = None if session is None else session.session
        try:
            self._runner.tell_failure(problem, name, _give_up_at(time.monotonic() + TELL_WITHIN))
        except (Abandoned, Exception):  # it ends all the same
            pass
        print_failure(problem)
        log(f"node {self._runner.id}: {problem.message}: ended")
        os._exit(1)


def _give_up_at(end: float) -> Any:
    def patience() -> None:
        if time.monotonic() > end:
            raise Abandoned

    return patience
