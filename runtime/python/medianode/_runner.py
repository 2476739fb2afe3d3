"""The process of a node: its life cycle, and the sessions that the runtime opens in it."""

from __future__ import annotations

import functools
import gc
import sys
import threading
import time
from typing import Any, NoReturn, Optional

from . import _fork, _iox, _process
from ._cgroup import Usage, own_cgroup
from ._commands import Command, Commands
from ._config import NodeConfig, from_environment
from ._errors import Abandoned, ChannelError, ConfigError
from ._host import LoadHost
from ._lane import Lane, Worker
from ._life import Life
from ._log import SessionStream, handle_standard_logging, mark_sessions
from ._node import Node
from ._ports import log
from ._session import Session
from ._status import Status
from ._subscriber import Subscriber
from ._user import NodeFailure, construct, failure, load_class, print_failure
from ._version import VERSION
from ._wait import Check
from ._watch import Watch

# How long after SIGTERM the inputs of a node may still come to their end. Then
# what it has given is drained, for as long as the watch allows.
TERM_DRAIN = 1.0
# How long a node drains after its own failure.
FAIL_GRACE = 5.0
# How long the end of the process waits for a thread whose session has ended.
THREAD_GRACE = 2.0
# How many ended sessions a node remembers.
MAX_ENDED = 64


class Runner:
    """Runs one node's container from hello to bye."""

    def __init__(self, config: NodeConfig, params: dict[str, Any]) -> None:
        if config.control is None or config.status is None:
            raise ConfigError("no control and status channels: this is not a node for a container")
        self.id = config.id
        self._config, self._params = config, params
        self._transport = _iox.Transport(config.domain)
        self.status = Status(self._transport, config.status)
        self._control = Subscriber(self._transport, config.control, 0)
        self.life = Life(self._control)
        self._commands = Commands(self._control, self._stop_at_once)
        # That of this thread, with all sessions unless the class is concurrent.
        self._lane = Lane(self.life, self, config.wait, self._control, self._commands.wait)
        self._lanes: dict[str, Lane] = {}  # of all open sessions
        self._deciding = threading.Lock()  # whether a session is the only one
        self._workers: list[Worker] = []
        self._prototype: Optional[Node] = None
        self._exit = False
        self._doomed = False  # the only session has failed
        self._cut = False  # inputs that went on are cut off
        self._code = 0
        self._broken: Optional[BaseException] = None
        self._ended: dict[str, str] = {}  # how the last sessions ended
        usage = Usage(config.domain.root, config.id, own_cgroup())
        self._watch = Watch(self, config.timeout_ms if config.inputs else 0, usage, config.alive)

    def run(self) -> int:
        """Run the node; the process's exit code."""
        self._watch.start()
        try:
            self._tell(self._lane, "hello", sdk=VERSION, iceoryx2=_iox.version(), python=sys.version.split()[0])
            self._load()
            self._tell(self._lane, "loaded")
            self._loop()
        except NodeFailure as problem:
            self.fails(self._lane, problem)
        except Abandoned:
            self.abandons(self._lane)
        self._end_threads()
        if self._broken is not None:
            raise self._broken
        self._watch.disarm()
        self._lane.wait_anew()
        self._lane.caller.close()
        if self.life.orphaned:
            self._code = 1
            self._clean()
        else:
            self._bye()
        self._control.close()
        self.status.close()
        self._transport.close()
        return self._code

    # -- life cycle -----------------------------------------------------------

    def _load(self) -> None:
        cls = load_class(self._config.type)
        self._tell(self._lane, "imported")
        host = LoadHost(self._stopping)
        self._prototype = construct(cls, self._config.id, self._params, bool(self._config.inputs), host)
        try:
            self._lane.caller.value(self._prototype.load())
        except BaseException as err:
            raise failure("load", err) from err
        SessionStream.apart = bool(self._prototype.concurrent)

    def _loop(self) -> None:
        lane = self._lane
        while not self._exit and self._broken is None:
            told = None
            if not self._doomed:
                told = self._commands.next()
                if told is not None:
                    self._obey(told)
            elif not self._lanes:
                return
            busy = lane.step()
            if self.life.ending and self._end_sessions():
                return
            if not busy and told is None:
                lane.rest()

    def _end_sessions(self) -> bool:
        """Stop sessions after a signal; True if all have ended."""
        sessions = [s for lane in self.lanes for s in list(lane.sessions.values())]
        for session in sessions:
            session.stop()
        since = time.monotonic() - (self.life.signals.at or float("inf"))
        if since > TERM_DRAIN and not self._cut and any(s.has_inputs for s in sessions):
            self._cut = True
            self._cut_off()
        return not self._lanes

    def _end_threads(self) -> None:
        """Let threads of sessions end that are there still; one that hangs in the node's code stays."""
        for name, lane in list(self._lanes.items()):
            if lane is not self._lane:
                lane.do(name, Session.abandon)
        until = time.monotonic() + THREAD_GRACE
        for worker in self._workers:
            worker.join(max(0.0, until - time.monotonic()))
            if worker.alive:
                self._code = 1

    def _cut_off(self) -> None:
        """End sessions whose inputs go on although the node is asked to end."""
        begun: Optional[Session] = None
        for name, lane in list(self._lanes.items()):
            if lane is not self._lane:
                lane.do(name, self._cut_short)
                continue
            session = lane.sessions[name]
            lane.act(session)
            session.finish(short=True)
            if session.started:
                begun = session
            else:
                self.closed(lane, session)
        if begun is not None:
            self._lane.act(begun)
            raise self._late()

    def _cut_short(self, session: Session) -> None:
        """End a session that has a thread of its own, on it."""
        session.finish(short=True)
        if session.started:
            self._code = 1
            raise self._late()

    def _late(self) -> NodeFailure:
        return NodeFailure("stop", f"SIGTERM came, and {TERM_DRAIN:g} s later its inputs had not ended")

    # -- commands -----------------------------------------------------------------

    def _stop_at_once(self, name: str) -> None:
        """Let a session know that it is to stop, wherever it is."""
        lane = self._lanes.get(name)
        session = None if lane is None else lane.sessions.get(name)
        if session is not None:
            session.stop()

    def _stopping(self) -> bool:
        """Say, to any thread of the node, whether it is to end."""
        if self._commands.hear_now_and_then():
            self.life.notice(time.monotonic())
        return self.life.ending

    def _obey(self, told: Command) -> None:
        """Do as a command says."""
        command, name = told.what, told.session
        lane = self._lanes.get(name)
        if command == "open":
            self._open(told)
        elif command == "start" and lane is not None:
            lane.do(name, Session.start)
        elif command == "stop" and lane is not None:
            lane.do(name, Session.stop)
        elif command == "close" and lane is not None:
            lane.do(name, Session.cut)
        elif command == "report":
            self._tell(self._lane, "report", sessions=self._states())
        elif command == "exit":
            self._exit = True

    def _states(self) -> dict[str, str]:
        """Say how every session is, for a runtime that was not there."""
        states = dict(self._ended)
        for name, lane in list(self._lanes.items()):
            session = lane.sessions.get(name)
            if session is None or session.doing == "open":  # on a thread of its own
                states[name] = "opening"
            else:
                states[name] = "running" if session.started else "ready"
        return states

    # -- sessions -------------------------------------------------------------------

    @property
    def lanes(self) -> list[Lane]:
        """All threads that run the node's code; any thread may ask."""
        return [self._lane, *(lane for lane in list(self._lanes.values()) if lane is not self._lane)]

    def _open(self, command: Command) -> None:
        name = command.session
        with self._deciding:
            if name in self._lanes or self._prototype is None or self._doomed:
                log(f"session {name} is open already")
                return
            # A session that opens again after its failure needs what the one
            # before had; an exception may keep it in a cycle.
            again = self._ended.pop(name, "") == "failed"
            self._lanes[name] = self._lane
        if again:
            gc.collect()
        try:
            if self._prototype.concurrent:
                self._open_apart(command)
            else:
                self.opens(self._lane, command)
        except NodeFailure as problem:
            self.failed(self._lane, name, problem)

    def _open_apart(self, command: Command) -> None:
        """Open a session on a thread of its own."""
        self._workers = [w for w in self._workers if w.alive]
        try:
            worker = Worker(self.life, self, self._config.wait, command)
        except OSError as err:
            raise NodeFailure("open", f"no thread for the session: {err}") from err
        self._lanes[command.session] = worker
        try:
            worker.start()
        except RuntimeError as err:  # as many as the container may have
            self._lanes[command.session] = self._lane
            worker.close()
            raise NodeFailure("open", f"no thread for the session: {err}: raise docker.resource_limits.pids") from err
        self._workers.append(worker)

    def opens(self, lane: Lane, command: Command) -> None:
        """Open a session on this thread."""
        name = command.session
        lane.begin(name)
        assert self._prototype is not None
        session = Session(
            name, self._prototype, self._config, self._transport, lane.caller,
            lane.patience, self._stopping, self._foreign_patience, lane.turn, command.params,
        )  # fmt: skip
        if command.trace:
            session.trace()
        lane.add(session)
        session.guard = functools.partial(self._watch.guard, session)
        session.gave_up = functools.partial(self._tell, lane, "given_up", name)
        session.open()
        self._tell(lane, "ready", name)

    def failed(self, lane: Lane, name: str, problem: NodeFailure) -> None:
        """End one session of several by an error of its own: the others go on. Raises that of the only one."""
        if _fork.in_child():
            raise problem
        with self._deciding:
            if not any(other != name for other in list(self._lanes)):
                self._doomed = True
                raise problem
        self.tell_failure(problem, name, lane.patience, goes_on=True)
        print_failure(problem)
        self._note_end(name, "failed")
        session = lane.sessions.get(name)
        if session is None:
            self._lanes.pop(name, None)
            self._tell(lane, "closed", name)
        elif not session.closed:
            session.leave()

    def closed(self, lane: Lane, session: Session) -> None:
        """Let a session go that has ended."""
        name = session.session
        lane.drop(session)
        self._watch.forget(session)
        self.status.tell_metrics(lane.patience, session, last=True)
        self.status.tell_spans(lane.patience, session, last=True)
        self._note_end(name, "closed")
        self._lanes.pop(name, None)
        self._tell(lane, "closed", name, unread=session.unread)

    def _note_end(self, name: str, how: str) -> None:
        with self._deciding:
            self._ended.setdefault(name, how)
            while len(self._ended) > MAX_ENDED:
                del self._ended[next(iter(self._ended))]

    def fails(self, lane: Lane, problem: NodeFailure) -> None:
        """End the process by an error; the sessions of this thread with it."""
        if _fork.in_child():
            _fork.leave(problem)
        self._code, self._doomed = 1, True
        self.life.within(FAIL_GRACE)
        self._watch.disarm()
        try:
            # Before the log, whose pipe may be full.
            self.tell_failure(problem, lane.name or None, lane.patience)
        except Abandoned:
            pass
        print_failure(problem)
        try:
            for session in list(lane.sessions.values()):
                if not session.closed:
                    session.fail()
                self.closed(lane, session)
            self._forget(lane)
        except Abandoned:
            self.abandons(lane)

    def abandons(self, lane: Lane) -> None:
        """End the sessions of a thread at once: time is up."""
        for session in list(lane.sessions.values()):
            session.abandon()
            try:
                self.closed(lane, session)
            except Abandoned:
                pass
        self._forget(lane)

    def _forget(self, lane: Lane) -> None:
        for name, its in list(self._lanes.items()):
            if its is lane:
                self._lanes.pop(name, None)

    def broke(self, err: BaseException) -> None:
        """End the process by an error that is no node's, which another thread has met."""
        if _fork.in_child():
            _fork.leave(err)
        self._broken = err

    def _bye(self) -> None:
        self._watch.usage.close()
        self.life.within(FAIL_GRACE)
        try:
            self._tell(self._lane, "bye", **self._watch.usage.whole())
            self.status.drain(self._lane.patience)
        except Abandoned:
            pass

    def _clean(self) -> None:
        log(f"node {self._config.id}: the runtime is gone, so the node has ended")
        try:
            self._transport.clean()
        except Exception as err:  # it is only tidying up, and the process ends
            log(f"cleaning up after the runtime: {err!r}")

    # -- talking --------------------------------------------------------------

    def _tell(self, lane: Lane, event: str, session: Optional[str] = None, **fields: Any) -> None:
        self.status.tell(lane.patience, event, session, **fields)

    def tell_failure(
        self, problem: NodeFailure, session: Optional[str], patience: Check, goes_on: Optional[bool] = None
    ) -> None:
        """Tell the runtime that the node has failed, or only a session of it: then it goes on; any thread."""
        self.status.tell(
            patience, "error", session, phase=problem.phase, message=problem.message,
            traceback=problem.trace, port=problem.port, sequence=problem.sequence, goes_on=goes_on,
        )  # fmt: skip

    def _foreign_patience(self) -> None:
        """Let a thread of the node wait as long as the node itself may."""
        self.life.check(time.monotonic())


def main() -> NoReturn:
    """Run the node that the environment describes, and end the process."""
    _process.prepare()
    mark_sessions()
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
        _process.break_down(err)
    del runner  # and with it the frames that the node has kept
    gc.collect()
    _process.leave(code)
