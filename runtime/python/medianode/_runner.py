"""The process of a node: control protocol, life cycle, waiting."""

from __future__ import annotations

import ctypes
import glob
import json
import os
import resource
import signal
import sys
import threading
import time
from typing import Any, Optional

from . import _iox
from ._config import NodeConfig, from_environment
from ._errors import Abandoned, ChannelError, ConfigError
from ._header import CONTROL, new_header
from ._node import Node
from ._ports import log
from ._publisher import CHECK_EVERY_MS, Publisher
from ._session import Session
from ._subscriber import Subscriber
from ._user import Caller, NodeFailure, construct, failure, load_class, print_failure, shorten
from ._version import VERSION

# How long a node goes on draining after SIGTERM, after its own failure and
# after the runtime's death. An engine kills ten seconds after SIGTERM.
TERM_GRACE = 8.0
FAIL_GRACE = 5.0
ORPHAN_GRACE = 2.0
# How often a busy node looks whether the runtime lives.
LOOK_EVERY = 0.05
# How often an idle node looks at all its channels again before it sleeps: some
# 20 us, about what a wake-up on another core costs. More takes the processor
# from the peer it waits for.
IDLE_SPINS = 16


class Runner:
    """Runs one node's container from hello to bye."""

    def __init__(self, config: NodeConfig, params: dict[str, Any]) -> None:
        if config.control is None or config.status is None:
            raise ConfigError("no control and status channels: this is not a node for a container")
        self._config, self._params = config, params
        self._term = False  # set by the signal handler
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        self._transport = _iox.Transport(config.domain)
        self._status = Publisher(self._transport, config.status)
        self._control = Subscriber(self._transport, config.control, 0)
        self._caller = Caller()
        self._sessions: dict[str, Session] = {}
        self._prototype: Optional[Node] = None
        self._pending: list[tuple[str, str]] = []  # commands
        self._acting: Optional[str] = None  # the session at work
        self._exit = False
        self._orphaned = False
        self._deadline: Optional[float] = None
        self._looked = 0.0
        self._waiter: Optional[_iox.Waiter] = None
        self._limit = _iox.duration(CHECK_EVERY_MS)

    def run(self) -> int:
        """Run the node; the process's exit code."""
        threading.Thread(target=self._watch, name="medianode-watch", daemon=True).start()
        code = 0
        try:
            self._tell("hello", sdk=VERSION, iceoryx2=_iceoryx2_version(), python=sys.version.split()[0])
            self._load()
            self._tell("loaded")
            self._loop()
        except NodeFailure as problem:
            code = 1
            self._fail(problem)
        except Abandoned:
            self._abandon()
        self._waiter_closed()
        self._caller.close()
        if self._orphaned:
            code = 1
            self._clean()
        else:
            self._bye()
        self._control.close()
        self._status.close()
        self._transport.close()
        return code

    # -- life cycle -----------------------------------------------------------

    def _load(self) -> None:
        cls = load_class(self._config.type)
        self._prototype = construct(cls, self._config.id, self._params, bool(self._config.inputs))
        try:
            self._caller.value(self._prototype.load())
        except BaseException as err:
            raise failure("load", err) from err

    def _loop(self) -> None:
        idle = 0
        while not self._exit:
            busy = self._commands()
            for session in list(self._sessions.values()):
                self._acting = session.name
                if session.step():
                    busy = True
                if session.closed:
                    self._closed(session)
            self._look()
            if self._term or self._orphaned:
                for session in self._sessions.values():
                    session.stop()
                if not self._sessions:
                    return
            idle = 0 if busy else idle + 1
            if idle > IDLE_SPINS:
                self._caller.idle(self._wait)

    def _commands(self) -> bool:
        self._hear()
        if not self._pending:
            return False
        self._obey(*self._pending.pop(0))
        return True

    def _hear(self) -> None:
        """Take a command. What only sets a mark is done at once, the rest between the node's calls."""
        got = self._control.take()
        if got is None:
            return
        command = json.loads(ctypes.string_at(got.address, got.length))
        del got
        what, name = command.get("command", ""), command.get("session") or "main"
        if what == "stop" and name in self._sessions:
            self._sessions[name].stop()
        else:
            self._pending.append((what, name))

    def _stopping(self) -> bool:
        """Say, while the node's code waits, whether it is to end."""
        self._hear()
        self._notice(time.monotonic())
        return self._term or self._orphaned

    def _obey(self, command: str, name: str) -> None:
        session = self._sessions.get(name)
        self._acting = name
        if command == "open":
            if session is not None or self._prototype is None:
                log(f"session {name} is open already")
                return
            self._waiter_closed()
            self._sessions[name] = session = Session(
                name, self._prototype, self._config, self._transport, self._caller,
                self._look, self._stopping,
            )  # fmt: skip
            session.open()
            self._tell("ready", name)
        elif command == "start" and session is not None:
            session.start()
        elif command == "exit":
            self._exit = True

    def _closed(self, session: Session) -> None:
        self._waiter_closed()
        del self._sessions[session.name]
        self._tell("closed", session.name, unread=session.unread)

    def _fail(self, problem: NodeFailure) -> None:
        self._deadline = min(self._deadline or float("inf"), time.monotonic() + FAIL_GRACE)
        try:
            # Before the log, whose pipe may be full.
            self._tell(
                "error", self._acting, phase=problem.phase, message=problem.message,
                traceback=problem.trace, port=problem.port, sequence=problem.sequence,
            )  # fmt: skip
        except Abandoned:
            pass
        print_failure(problem)
        try:
            for session in list(self._sessions.values()):
                if not session.closed:
                    session.fail()
                self._closed(session)
        except Abandoned:
            self._abandon()

    def _abandon(self) -> None:
        for session in list(self._sessions.values()):
            session.abandon()
            try:
                self._closed(session)
            except Abandoned:
                pass

    def _bye(self) -> None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        child = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = usage.ru_utime + usage.ru_stime + child.ru_utime + child.ru_stime
        self._deadline = min(self._deadline or float("inf"), time.monotonic() + FAIL_GRACE)
        try:
            rss = usage.ru_maxrss * 1024
            self._tell("bye", cpu_s=round(cpu, 6), memory_peak=_memory_peak(), rss_peak=rss)
            self._status.drain(self._look)
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
        status: dict[str, Any] = {"event": event}
        if session is not None:
            status["session"] = session
        status.update((k, v) for k, v in fields.items() if v not in (None, "", {}))
        payload, limit = _encode(status), 32768
        while len(payload) > self._status.spec.max_frame:
            limit //= 2
            payload = _encode({k: shorten(v, limit) if isinstance(v, str) else v for k, v in status.items()})
        self._status.send(new_header(CONTROL), memoryview(payload), self._look)

    # -- waiting --------------------------------------------------------------

    def _wait(self) -> None:
        """Sleep until there is a frame or a command, or 50 ms have passed."""
        if self._waiter is None:
            listeners = [self._control.listener]
            for session in self._sessions.values():
                listeners += session.ports.listeners()
            self._waiter = _iox.Waiter(listeners)
        sessions = list(self._sessions.values())
        found = self._control.announce(True)
        for session in sessions:
            found = session.ports.announce(True) or found
        try:
            if not found and not self._term:
                self._waiter.wait(self._limit)
        finally:
            self._control.announce(False)
            for session in sessions:
                session.ports.announce(False)

    def _waiter_closed(self) -> None:
        if self._waiter is not None:
            self._waiter.close()
            self._waiter = None

    def _look(self) -> None:
        """Look, now and then, for a signal and whether the runtime lives; raise when time is up."""
        now = time.monotonic()
        if now - self._looked < LOOK_EVERY:
            return
        self._looked = now
        self._notice(now)
        if self._deadline is not None and now > self._deadline:
            raise Abandoned

    def _notice(self, now: float) -> None:
        if not self._orphaned and self._control.writer_gone():
            self._orphaned = True
            self._deadline = min(self._deadline or float("inf"), now + ORPHAN_GRACE)
        if self._term and self._deadline is None:
            self._deadline = now + TERM_GRACE

    def _on_signal(self, number: int, frame: object) -> None:
        self._term = True

    def _watch(self) -> None:
        """End the process if its runtime is gone and the node's code does not come back."""
        gone = 0
        while True:
            time.sleep(0.5)
            try:
                gone = gone + 1 if self._control.writer_gone() else 0
            except (OSError, ValueError):  # closed: the process ends by itself
                return
            if gone * 0.5 > ORPHAN_GRACE * 2:
                log(f"node {self._config.id}: the runtime is gone and the node does not return: killed")
                os._exit(1)


def _encode(status: dict[str, Any]) -> bytes:
    # Half of a surrogate pair is possible in a str, and not in UTF-8.
    return json.dumps(status, ensure_ascii=False).encode("utf-8", "replace")


def _memory_peak() -> Optional[int]:
    for path in ("/sys/fs/cgroup/memory.peak", "/sys/fs/cgroup/memory/memory.max_usage_in_bytes"):
        try:
            with open(path, encoding="ascii") as file:
                return int(file.read())
        except (OSError, ValueError):
            continue
    return None


def _iceoryx2_version() -> str:
    # By its directory: importlib.metadata takes longer to import than the rest of this package.
    for path in glob.glob(os.path.join(_iox.PACKAGES, "iceoryx2-*.dist-info")):
        return os.path.basename(path)[len("iceoryx2-") : -len(".dist-info")]
    return ""


def main() -> int:
    """Run the node that the environment describes."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True, write_through=True)
    try:
        config, params = from_environment()
        runner = Runner(config, params)
    except (ConfigError, ChannelError) as err:
        log(str(err))
        return 1
    code = runner.run()
    _leave_threads(code)
    return code


def _leave_threads(code: int) -> None:
    """End the process although the node's code left threads that do not end."""
    until = time.monotonic() + 1
    for thread in threading.enumerate():
        if thread is threading.current_thread() or thread.daemon:
            continue
        thread.join(max(0.0, until - time.monotonic()))
        if thread.is_alive():
            log(f"thread {thread.name!r} of the node still runs and is left behind: end it in close")
            sys.stdout.flush()
            os._exit(code)
