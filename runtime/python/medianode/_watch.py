"""A thread beside the node's own: it ends a node that does not come back, and sends its metrics."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, NoReturn, Optional

from . import _flood
from ._cgroup import Usage
from ._errors import Abandoned
from ._lane import Lane
from ._life import ORPHAN_GRACE, TAKEOVER, TERM_GRACE
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
# When a node that does not end after SIGTERM says where it is; after TERM_GRACE it is ended.
TERM_REPORT = 1.2
# How long the watch tries to reach the runtime before it ends the process.
TELL_WITHIN = 1.0
# How long the end of the process by the watch waits for the runtime and the log in
# all: the engine gives a container ten seconds, of which TERM_GRACE is gone.
END_WITHIN = 1.5
# What faulthandler waits longer than the watch, which says more.
MARGIN = 1.0


class Watch:
    """Looks at a runner from a thread of its own."""

    def __init__(self, runner: Runner, timeout_ms: int, usage: Usage, alive: str = "") -> None:
        self._runner, self.usage = runner, usage
        self._alive, self._came_by = alive, -1
        self._limit = timeout_ms / 1000
        self._every = min(EVERY, max(0.01, self._limit / 8)) if timeout_ms else EVERY
        self._calls: dict[Lane, _Call] = {}
        self._looked = time.monotonic()
        self._gone_since: Optional[float] = None
        self._reported: set[Lane] = set()
        self._told = 0.0
        self._arming = threading.Lock()
        self._limited: dict[Session, bool] = {}  # whether of a session only process is to come

    def start(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._run, name="medianode-watch", daemon=True).start()

    def guard(self, session: Session, on: bool) -> None:
        """Say whether a session is where calls of process are limited, and nothing else of its code runs."""
        if self._limit:
            with self._arming:
                self._limited[session] = on
                self._arm()

    def forget(self, session: Session) -> None:
        """Say that a session has ended."""
        with self._arming:
            if self._limited.pop(session, None) is not None:
                self._arm()

    def disarm(self) -> None:
        """Limit nothing any more."""
        with self._arming:
            self._limit = 0.0
            self._limited.clear()
            faulthandler.cancel_dump_traceback_later()

    def _arm(self) -> None:
        # The watch itself does not run while C code keeps the interpreter lock.
        # faulthandler's timer does: it prints all tracebacks and ends the
        # process, unless the watch sets it back in time.
        if self._limited and all(self._limited.values()):
            faulthandler.dump_traceback_later(self._limit + 2 * self._every + MARGIN, exit=True, file=2)
        else:
            faulthandler.cancel_dump_traceback_later()

    def _run(self) -> None:
        try:
            while True:
                self.usage.sample()
                self._write_came_by()
                self._runner.life.signals.wait(self._every)
                if self._limit:
                    with self._arming:
                        self._arm()
                self._look(time.monotonic())
        except (OSError, ValueError):
            pass  # closed: the process ends by itself
        finally:
            self.disarm()  # nobody sets the timer back any more

    def _write_came_by(self) -> None:
        """Leave, for the container's health check, the second since boot in which the node last came by."""
        if not self._alive:
            return
        away = time.monotonic() - min(lane.came_by for lane in self._runner.lanes)
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
            _start(log, f"node {self._runner.id}: the health check is told nothing: {e}")
            self._alive = ""

    def _look(self, now: float) -> None:
        self._look_for_runtime(now)
        for stream in _flood.streams:
            if stream.overdue:
                _start(stream.tell_if_overdue)
        lanes = self._runner.lanes
        at = self._runner.life.signals.at
        for lane in lanes:
            if at is not None and now - lane.came_by >= AWAY:
                self._look_after_signal(lane, now - at)
            if self._limit:
                self._look_at_call(lane, now)
        self._calls = {lane: call for lane, call in self._calls.items() if lane in lanes}
        self._looked = now
        if now - self._told >= 1:
            self._told = now
            self._tell_metrics(lanes, now)

    def _tell_metrics(self, lanes: list[Lane], now: float) -> None:
        for session in [s for lane in lanes for s in list(lane.sessions.values())]:
            try:
                self._runner.status.tell_metrics(_give_up_at(now + TELL_WITHIN), session)
                self._runner.status.tell_spans(_give_up_at(now + TELL_WITHIN), session)
            except Abandoned:
                pass  # the runtime reads nothing now; the last figures are told at the end

    def _look_for_runtime(self, now: float) -> None:
        if not self._runner.life.runtime_gone():
            self._gone_since = None
        elif self._gone_since is None:
            self._gone_since = now
        elif now - self._gone_since > TAKEOVER + ORPHAN_GRACE * 2:
            _leave(
                f"node {self._runner.id}: the runtime is gone and the node does not return: killed", now + END_WITHIN
            )

    def _look_after_signal(self, lane: Lane, since: float) -> None:
        if since > TERM_REPORT and lane not in self._reported:
            self._reported.add(lane)
            asked = f"node {self._runner.id}: asked to end {since:.1f} s ago, and still in {lane.doing}:"
            _start(log, f"{asked}\n{_trace(lane)}".rstrip("\n"))
        if since > TERM_GRACE:
            text = f"did not return within {TERM_GRACE:g} s of SIGTERM"
            self._end(lane, NodeFailure(lane.doing, text, _trace(lane)))

    def _look_at_call(self, lane: Lane, now: float) -> None:
        """Add up the time of the call in which a thread is, but for the time of waiting for readers."""
        session = lane.acting
        if session is None or session.cause is None:
            self._calls.pop(lane, None)
            return
        call = self._calls.get(lane)
        if call is None or (call.session, call.number) != (session, session.calls):
            self._calls[lane] = _Call(session, session.calls)
            return
        try:
            if session.ports.waits():
                return
        except ValueError:  # its channels are just being closed
            return
        # A process that was stopped for a while has not worked meanwhile.
        call.spent += min(now - self._looked, 4 * self._every)
        if call.spent >= self._limit:
            cause, trace = session.cause, _trace(lane)
            if cause is not None and call.number == session.calls:
                text = f"one call of process took longer than timeout_ms, {self._limit * 1000:g} ms"
                self._end(lane, NodeFailure("process", text, trace, cause.port, cause.sequence))

    def _end(self, lane: Lane, problem: NodeFailure) -> None:
        """Tell what is wrong and end the process, which cannot be done in the node's thread."""
        self.disarm()
        now = time.monotonic()
        try:
            patience = _give_up_at(now + TELL_WITHIN)
            self._runner.tell_failure(problem, lane.name or None, patience)
            session = lane.acting
            if session is not None and session.ports.spans is not None:
                session.ports.spans.end(problem)
                self._runner.status.tell_spans(patience, session)
        except (Abandoned, Exception):  # it ends all the same
            pass
        _wait(_start(print_failure, problem), now + END_WITHIN)
        _leave(f"node {self._runner.id}: {problem.message}: ended", now + END_WITHIN)


class _Call:
    """One call of process, and for how long it has worked."""

    def __init__(self, session: Session, number: int) -> None:
        self.session, self.number, self.spent = session, number, 0.0


def _leave(why: str, until: float) -> NoReturn:
    _wait(_start(_last_words, why), until)
    os._exit(1)


def _last_words(why: str) -> None:
    log(why)
    _flood.tell_left_out()


def _start(write: Callable[..., None], *what: Any) -> threading.Thread:
    """Write to the log on a thread: its pipe may be full, or its lock be kept by who waits for that."""
    thread = threading.Thread(target=write, args=what, daemon=True)
    with contextlib.suppress(RuntimeError):  # there are as many as the container may have: nothing is said
        thread.start()
    return thread


def _wait(thread: threading.Thread, until: float) -> None:
    if thread.ident is not None:
        thread.join(max(0.0, until - time.monotonic()))


def _trace(lane: Lane) -> str:
    return stack_trace(sys._current_frames().get(lane.thread), lane.caller.stacks())


def _give_up_at(end: float) -> Any:
    def patience() -> None:
        if time.monotonic() > end:
            raise Abandoned

    return patience
