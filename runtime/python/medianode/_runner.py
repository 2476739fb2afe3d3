"""The process of a node: control protocol, life cycle, waiting."""

from __future__ import annotations

import ctypes
import functools
import gc
import json
import resource
import sys
import threading
import time
from typing import Any, NoReturn, Optional

from . import _fork, _iox, _process
from ._cgroup import Usage
from ._config import NodeConfig, from_environment
from ._errors import Abandoned, ChannelError, ConfigError, WouldBlock
from ._host import LoadHost
from ._log import handle_standard_logging
from ._node import Node
from ._ports import log
from ._session import Session
from ._status import Status
from ._subscriber import Subscriber
from ._user import Caller, NodeFailure, construct, failure, load_class, print_failure
from ._version import VERSION
from ._wait import CHECK_EVERY_MS, Check
from ._watch import ORPHAN_GRACE, TAKEOVER, TERM_GRACE, Signals, Watch

# How long after SIGTERM the inputs of a node may still come to their end. Then
# what it has given is drained, for as long as the watch allows.
TERM_DRAIN = 1.0
# How long a node drains after its own failure.
FAIL_GRACE = 5.0
# How often a busy node looks whether the runtime lives.
LOOK_EVERY = 0.05
# How often an idle node looks at all its channels again before it sleeps: some
# 20 us, about what a wake-up on another core costs. More takes the processor
# from the peer it waits for.
IDLE_SPINS = 16
SPINS_OF = {"block": 0, "adaptive": IDLE_SPINS, "spin": float("inf")}
# How many ended sessions a node remembers.
MAX_ENDED = 64
# How often node.stopping really asks.
ASK_EVERY = 0.01


class Runner:
    """Runs one node's container from hello to bye."""

    def __init__(self, config: NodeConfig, params: dict[str, Any]) -> None:
        if config.control is None or config.status is None:
            raise ConfigError("no control and status channels: this is not a node for a container")
        self.id = config.id
        self._config, self._params = config, params
        self.signals = Signals()
        self._transport = _iox.Transport(config.domain)
        self.status = Status(self._transport, config.status)
        self._control = Subscriber(self._transport, config.control, 0)
        self._hearing = threading.Lock()
        self._caller = Caller()
        self.sessions: dict[str, Session] = {}
        self.acting: Optional[Session] = None  # the session at work
        self._prototype: Optional[Node] = None
        self._pending: list[tuple[str, str, dict[str, Any]]] = []  # commands
        self._exit = False
        self._orphaned = False
        self._gone_since: Optional[float] = None  # when the runtime was found gone
        self._ended: dict[str, str] = {}  # how the last sessions ended
        self._opening = ""  # the session that is being made
        self._running = False  # a session has begun
        self._deadline: Optional[float] = None
        self.came_by = time.monotonic()  # when this thread was last here, and not in the node's code
        self._asked = 0.0
        self._waiter: Optional[_iox.Waiter] = None
        self._waiting: set[str] = set()  # the sessions that wait for their readers
        self._limit = _iox.duration(CHECK_EVERY_MS)
        self._spins = SPINS_OF[config.wait]
        usage = Usage(config.domain.root, config.id)
        self._watch = Watch(self, config.timeout_ms if config.inputs else 0, usage, config.alive)

    def run(self) -> int:
        """Run the node; the process's exit code."""
        self._watch.start()
        code = 0
        try:
            self._tell("hello", sdk=VERSION, iceoryx2=_iox.version(), python=sys.version.split()[0])
            self._load()
            self._tell("loaded")
            self._loop()
        except NodeFailure as problem:
            code = 1
            self._fail(problem)
        except Abandoned:
            self._abandon()
        self._watch.guard(False)
        self._waiter_closed()
        self._caller.close()
        if self._orphaned:
            code = 1
            self._clean()
        else:
            self._bye()
        self._control.close()
        self.status.close()
        self._transport.close()
        return code

    # -- life cycle -----------------------------------------------------------

    def _load(self) -> None:
        cls = load_class(self._config.type)
        self._tell("imported")
        host = LoadHost(self._stopping)
        self._prototype = construct(cls, self._config.id, self._params, bool(self._config.inputs), host)
        try:
            self._caller.value(self._prototype.load())
        except BaseException as err:
            raise failure("load", err) from err

    def _loop(self) -> None:
        idle = 0
        while not self._exit:
            busy = self._commands()
            for session in list(self.sessions.values()):
                self.acting = self._caller.owner = session
                try:
                    if session.step():
                        busy = True
                except NodeFailure as problem:
                    if len(self.sessions) == 1:
                        raise
                    self._end_session(session, problem)
                if session.closed:
                    self._closed(session)
            if self._look():
                for session in self.sessions.values():
                    session.ports.refresh()
                self._caller.turn()  # a busy node never sleeps
            if (self.signals.at is not None or self._orphaned) and self._end_sessions():
                return
            idle = 0 if busy else idle + 1
            if idle > self._spins or not self._running:
                self._caller.idle(self._wait)
            elif idle and self._spins > IDLE_SPINS:
                self._caller.turn()

    def _end_sessions(self) -> bool:
        """Stop sessions after a signal; True if all have ended."""
        for session in self.sessions.values():
            session.stop()
        since = time.monotonic() - (self.signals.at or float("inf"))
        if since > TERM_DRAIN and any(s.has_inputs for s in self.sessions.values()):
            self._cut_off()
        return not self.sessions

    def _cut_off(self) -> None:
        """End sessions whose inputs go on although the node is asked to end."""
        begun = False
        for session in list(self.sessions.values()):
            self.acting = session
            session.finish(short=True)
            begun = begun or session.started
            if not session.started:
                self._closed(session)
        if begun:
            raise NodeFailure("stop", f"SIGTERM came, and {TERM_DRAIN:g} s later its inputs had not ended")

    def _end_session(self, session: Session, problem: NodeFailure) -> None:
        """End one session of several by an error of its own: the others go on."""
        self._tell_end(session.session, problem)
        session.leave()

    def _tell_end(self, name: str, problem: NodeFailure) -> None:
        if _fork.in_child():
            raise problem
        self.tell_failure(problem, name, self._patience, goes_on=True)
        self._note_end(name, "failed")
        print_failure(problem)

    def _note_end(self, name: str, how: str) -> None:
        self._ended.setdefault(name, how)
        while len(self._ended) > MAX_ENDED:
            del self._ended[next(iter(self._ended))]

    def _commands(self) -> bool:
        self._hear()
        if not self._pending:
            return False
        self._obey(*self._pending.pop(0))
        return True

    def _hear(self) -> None:
        """Take a command. What only sets a mark is done at once, the rest between the node's calls."""
        if not self._hearing.acquire(False):
            return  # another thread of the node asks whether it is to stop
        try:
            got = self._control.take()
            if got is None:
                return
            command = json.loads(ctypes.string_at(got.address, got.length))
            del got
        finally:
            self._hearing.release()
        what, name = command.get("command", ""), command.get("session") or "main"
        if what == "stop" and name in self.sessions:
            self.sessions[name].stop()
        else:
            self._pending.append((what, name, command.get("params") or {}))

    def _stopping(self) -> bool:
        """Say, to any thread of the node, whether it is to end."""
        now = time.monotonic()
        if now - self._asked > ASK_EVERY:
            self._asked = now
            self._hear()
            self._notice(now)
        return self.signals.at is not None or self._orphaned

    def _obey(self, command: str, name: str, params: dict[str, Any]) -> None:
        session = self.sessions.get(name)
        if command == "open":
            try:
                self._open(name, params)
            except NodeFailure as problem:
                if not any(other != name for other in self.sessions):
                    raise
                self._opening = ""
                self._tell_end(name, problem)
                if name in self.sessions:
                    self.sessions[name].leave()
                else:
                    self._tell("closed", name)
        elif command == "start" and session is not None:
            self.acting = session
            session.start()
            self._running = True
        elif command == "close" and session is not None:
            session.cut()
        elif command == "report":
            self._tell("report", sessions=self._states())
        elif command == "exit":
            self._exit = True

    def _states(self) -> dict[str, str]:
        """Say how every session is, for a runtime that was not there."""
        states = dict(self._ended)
        for name, session in self.sessions.items():
            states[name] = "running" if session.started else "ready"
        return states

    def _open(self, name: str, params: dict[str, Any]) -> None:
        if name in self.sessions or self._prototype is None:
            log(f"session {name} is open already")
            return
        self._waiter_closed()
        self._ended.pop(name, None)
        self._opening = name
        session = Session(
            name, self._prototype, self._config, self._transport, self._caller,
            self._patience, self._stopping, self._foreign_patience, self._turn, params,
        )  # fmt: skip
        self.sessions[name] = self.acting = self._caller.owner = session
        self._opening, session.guard = "", self._watch.guard
        session.gave_up = functools.partial(self._tell, "given_up", name)
        session.open()
        self._tell("ready", name)

    def _closed(self, session: Session) -> None:
        self._waiter_closed()
        self.status.tell_metrics(self._patience, session, last=True)
        del self.sessions[session.session]
        self._note_end(session.session, "closed")
        self._running = any(s.started for s in self.sessions.values())
        self._watch.guard(self._running)
        self._tell("closed", session.session, unread=session.unread)

    def _fail(self, problem: NodeFailure) -> None:
        if _fork.in_child():
            _fork.leave(problem)
        self._deadline = min(self._deadline or float("inf"), time.monotonic() + FAIL_GRACE)
        self._watch.guard(False)
        name = None if self.acting is None else self.acting.session
        try:
            # Before the log, whose pipe may be full.
            self.tell_failure(problem, self._opening or name, self._patience)
        except Abandoned:
            pass
        print_failure(problem)
        try:
            for session in list(self.sessions.values()):
                if not session.closed:
                    session.fail()
                self._closed(session)
        except Abandoned:
            self._abandon()

    def _abandon(self) -> None:
        for session in list(self.sessions.values()):
            session.abandon()
            try:
                self._closed(session)
            except Abandoned:
                pass

    def _bye(self) -> None:
        self._watch.usage.close()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        child = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = usage.ru_utime + usage.ru_stime + child.ru_utime + child.ru_stime
        self._deadline = min(self._deadline or float("inf"), time.monotonic() + FAIL_GRACE)
        try:
            rss = usage.ru_maxrss * 1024
            self._tell("bye", cpu_s=round(cpu, 6), memory_peak=_memory_peak(), rss_peak=rss)
            self.status.drain(self._patience)
        except Abandoned:
            pass

    def _clean(self) -> None:
        log(f"node {self._config.id}: the runtime is gone, so the node has ended")
        try:
            self._transport.clean()
        except Exception as err:  # it is only tidying up, and the process ends
            log(f"cleaning up after the runtime: {err!r}")

    # -- talking --------------------------------------------------------------

    def _tell(self, event: str, session: Optional[str] = None, **fields: Any) -> None:
        self.status.tell(self._patience, event, session, **fields)

    def tell_failure(
        self, problem: NodeFailure, session: Optional[str], patience: Check, goes_on: Optional[bool] = None
    ) -> None:
        """Tell the runtime that the node has failed, or only a session of it: then it goes on; any thread."""
        self.status.tell(
            patience, "error", session, phase=problem.phase, message=problem.message,
            traceback=problem.trace, port=problem.port, sequence=problem.sequence, goes_on=goes_on,
        )  # fmt: skip

    def tasks(self) -> list[Any]:
        """Return where the node's coroutines wait."""
        return self._caller.stacks()

    def runtime_gone(self) -> bool:
        """Say whether the runtime was there and is not any more; any thread."""
        return self._control.writer_gone()

    # -- waiting --------------------------------------------------------------

    def _wait(self) -> None:
        """Sleep until there is a frame or a command, or 50 ms have passed."""
        sessions = list(self.sessions.values())
        waiting = {s.session for s in sessions if s.waits}
        if waiting != self._waiting:
            self._waiter_closed()
        if self._waiter is None:
            listeners = [self._control.listener]
            for session in sessions:
                listeners += session.listeners()
            self._waiter, self._waiting = _iox.Waiter(listeners), waiting
        self._waiter.take_events()
        found = self._control.announce(True)
        for session in sessions:
            found = session.announce(True) or found
        try:
            if not found and self.signals.at is None:
                self._waiter.wait(self._limit)
        finally:
            self._control.announce(False)
            for session in sessions:
                session.announce(False)

    def _waiter_closed(self) -> None:
        if self._waiter is not None:
            self._waiter.close()
            self._waiter = None

    def _patience(self) -> None:
        self._look()

    def _turn(self) -> None:
        """Let a session wait for its readers, unless there is something else to do."""
        self._look()
        self._hear()
        if self._pending or len(self.sessions) > 1:
            raise WouldBlock

    def _look(self) -> bool:
        """Look, now and then, for a signal and whether the runtime lives; raise when time is up.

        True if it was time to look.
        """
        now = time.monotonic()
        if now - self.came_by < LOOK_EVERY:
            return False
        self.came_by = now
        self.signals.keep()
        self._check_time(now)
        return True

    def _foreign_patience(self) -> None:
        """Let a thread of the node wait as long as the node itself may."""
        self._check_time(time.monotonic())

    def _check_time(self, now: float) -> None:
        self._notice(now)
        if self._deadline is not None and now > self._deadline:
            raise Abandoned

    def _notice(self, now: float) -> None:
        if not self._control.writer_gone():
            self._gone_since = None
        elif self._gone_since is None:
            self._gone_since = now
        elif not self._orphaned and now - self._gone_since > TAKEOVER:
            self._orphaned = True
            self._deadline = min(self._deadline or float("inf"), now + ORPHAN_GRACE)
        if self.signals.at is not None and self._deadline is None:
            self._deadline = self.signals.at + TERM_GRACE


def _memory_peak() -> Optional[int]:
    for path in ("/sys/fs/cgroup/memory.peak", "/sys/fs/cgroup/memory/memory.max_usage_in_bytes"):
        try:
            with open(path, encoding="ascii") as file:
                return int(file.read())
        except (OSError, ValueError):
            continue
    return None


def main() -> NoReturn:
    """Run the node that the environment describes, and end the process."""
    _process.prepare()
    handle_standard_logging()
    try:
        config, params = from_environment()
        runner = Runner(config, params)
    except (ConfigError, ChannelError) as err:
        log(str(err))
        _process.leave(1)
    try:
        code = runner.run()
    except BaseException as err:
        if _fork.in_child():
            _fork.leave(err)
        raise
    del runner  # and with it the frames that the node has kept
    gc.collect()
    _process.leave(code)
