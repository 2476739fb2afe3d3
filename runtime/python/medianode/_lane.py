"""A thread of the node, and the sessions that take turns on it."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any, Callable, Optional, Protocol

from . import _iox
from ._commands import Command
from ._errors import Abandoned, WouldBlock
from ._life import Life
from ._log import at_work, print_kept
from ._session import Session
from ._user import Caller, NodeFailure
from ._wait import CHECK_EVERY_MS

# How often a busy thread looks whether the runtime lives.
LOOK_EVERY = 0.05
# How often an idle thread looks at all its channels again before it sleeps:
# some 20 us, about what a wake-up on another core costs. More takes the
# processor from the peer it waits for.
IDLE_SPINS = 16
SPINS_OF = {"block": 0, "adaptive": IDLE_SPINS, "spin": float("inf")}


class Keeper(Protocol):
    """Who keeps the sessions of all lanes."""

    def failed(self, lane: Lane, name: str, problem: NodeFailure) -> None:
        """End a session by an error of its own; raises the problem if the process ends by it."""

    def closed(self, lane: Lane, session: Session) -> None:
        """Let a session go that has ended."""


class Caught(Protocol):
    """What wakes a lane besides its sessions' channels."""

    def announce(self, waiting: bool) -> bool:
        """Say that the lane sleeps, or is awake; whether there is something already."""

    @property
    def listener(self) -> Any:
        """What is to be waited for."""


class Lane:
    """Sessions that take turns on one thread.

    Only that thread works with them; what others may look at, such as the
    watch, is said where it is.
    """

    def __init__(self, life: Life, keeper: Keeper, wait: str, wakes: Caught, wanted: Callable[[], bool]) -> None:
        self.sessions: dict[str, Session] = {}
        # For the watch: the session at work, its name, also while it is being
        # made, where the thread is, and when it was last out of the node's code.
        self.acting: Optional[Session] = None
        self.name = ""
        self.thread = threading.get_ident()
        self.came_by = time.monotonic()
        self.caller = Caller()
        self._life, self._keeper, self._wakes = life, keeper, wakes
        # Whether there is something to be done that no session waits for.
        self._wanted = wanted
        self._running = False  # a session has begun
        self._between = "load"  # the phase of a thread without a session
        self._waiter: Optional[_iox.Waiter] = None
        self._waiting: set[str] = set()  # the sessions that wait for their readers
        self._limit = _iox.duration(CHECK_EVERY_MS)
        self._spins, self._idle = SPINS_OF[wait], 0

    @property
    def doing(self) -> str:
        """In which phase the thread is; any thread may ask."""
        session = self.acting
        if session is not None:
            return session.doing
        return "open" if self.name else self._between

    # -- sessions ---------------------------------------------------------------

    def add(self, session: Session) -> None:
        """Take a session on, and let it be the one at work."""
        self.wait_anew()
        self.sessions[session.session] = session
        self.act(session)

    def act(self, session: Session) -> None:
        """Say which session is at work."""
        self.begin(session.session)
        self.acting = self.caller.owner = session

    def begin(self, name: str) -> None:
        """Say for which session the thread works, also before it is made."""
        self.acting = self.caller.owner = None
        self.name = name
        at_work.set(name)

    def do(self, name: str, call: Callable[[Session], Any]) -> None:
        """Do something with a session between its calls."""
        session = self.sessions.get(name)
        if session is None:
            return
        self.act(session)
        try:
            call(session)
        except NodeFailure as problem:
            self._keeper.failed(self, name, problem)
        if session.closed:
            self._keeper.closed(self, session)
        self._running = any(s.started for s in self.sessions.values())

    def step(self) -> bool:
        """Do a piece of each session's work; False if there was nothing to do."""
        busy = False
        for session in list(self.sessions.values()):
            if self.acting is not session:
                self.act(session)
            try:
                if session.step():
                    busy = True
                    self._idle = 0
            except NodeFailure as problem:
                self._keeper.failed(self, session.session, problem)
            if session.closed:
                self._keeper.closed(self, session)
        if self.look():
            for session in self.sessions.values():
                session.ports.refresh()
            self.caller.turn()  # a busy node never sleeps
        return busy

    def rest(self) -> None:
        """Sleep, if there was nothing to do for a while."""
        self._idle += 1
        if self._idle > self._spins or not self._running:
            self.caller.idle(self._wait)
        elif self._spins > IDLE_SPINS:
            self.caller.turn()

    def drop(self, session: Session) -> None:
        """Let a session go."""
        self.wait_anew()
        self.sessions.pop(session.session, None)
        print_kept()
        self.begin("")  # what the session has is not kept by its lane
        self._between = "close"
        self._running = any(s.started for s in self.sessions.values())

    # -- waiting ------------------------------------------------------------------

    def _wait(self) -> None:
        """Sleep until there is a frame or a command, or 50 ms have passed."""
        sessions = list(self.sessions.values())
        waiting = {s.session for s in sessions if s.waits}
        if waiting != self._waiting:
            self.wait_anew()
        if self._waiter is None:
            listeners = [self._wakes.listener]
            for session in sessions:
                listeners += session.listeners()
            self._waiter, self._waiting = _iox.Waiter(listeners), waiting
        self._waiter.take_events()
        found = self._wakes.announce(True)
        for session in sessions:
            found = session.announce(True) or found
        try:
            if not found:
                self._waiter.wait(self._limit)
        finally:
            self._wakes.announce(False)
            for session in sessions:
                session.announce(False)

    def wait_anew(self) -> None:
        """Say that what is to be waited for has changed."""
        if self._waiter is not None:
            self._waiter.close()
            self._waiter = None

    def patience(self) -> None:
        """Let the thread wait, until time is up."""
        self.look()

    def turn(self) -> None:
        """Let a session wait for its readers, unless there is something else to do."""
        self.look()
        if self._wanted() or len(self.sessions) > 1:
            raise WouldBlock

    def look(self) -> bool:
        """Look, now and then, for a signal and whether the runtime lives; raise when time is up.

        True if it was time to look.
        """
        now = time.monotonic()
        if now - self.came_by < LOOK_EVERY:
            return False
        self.came_by = now
        self._life.look(now)
        return True


class Crew(Keeper, Protocol):
    """A keeper whose sessions have threads of their own."""

    def opens(self, lane: Lane, command: Command) -> None:
        """Open a session on this thread."""

    def fails(self, lane: Lane, problem: NodeFailure) -> None:
        """End the process by a session's error."""

    def abandons(self, lane: Lane) -> None:
        """End the thread's session at once: time is up."""

    def broke(self, err: BaseException) -> None:
        """Take note of an error that is no node's."""


class Worker(Lane):
    """A lane of one session, on a thread of its own.

    What others have it do waits until its session is between two calls.
    """

    def __init__(self, life: Life, crew: Crew, wait: str, command: Command) -> None:
        self._bell = _iox.Bell()
        self._asked: deque[Callable[[Session], Any]] = deque()
        super().__init__(life, crew, wait, self, lambda: bool(self._asked))
        self._crew, self._command = crew, command
        # Not waited for at the end of the process: it may hang in the node's code.
        self._thread = threading.Thread(target=self._run, name=f"medianode-{command.session}", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread has not ended."""
        return self._thread.is_alive()

    @property
    def listener(self) -> Any:
        """What wakes the thread besides its session's channels."""
        return self._bell

    def announce(self, waiting: bool) -> bool:
        """Say whether there is something to do already."""
        return bool(self._asked)

    def do(self, name: str, call: Callable[[Session], Any]) -> None:
        """Have the thread do something with its session; any thread."""
        self._asked.append(call)
        self._bell.ring()

    def join(self, seconds: float) -> None:
        """Wait for the end of the thread."""
        self._thread.join(seconds)

    def _run(self) -> None:
        self.thread, self.came_by = threading.get_ident(), time.monotonic()
        try:
            self._work()
        except NodeFailure as problem:
            self._crew.fails(self, problem)
        except Abandoned:
            self._crew.abandons(self)
        except BaseException as err:
            self._crew.broke(err)
        finally:
            self.close()

    def close(self) -> None:
        """End what the thread had; for the thread itself, or if it was never started."""
        self.wait_anew()
        self.caller.close()
        self._bell.close()

    def _work(self) -> None:
        name = self._command.session
        try:
            self._crew.opens(self, self._command)
        except NodeFailure as problem:
            self._keeper.failed(self, name, problem)
        while self.sessions:
            while self._asked:
                super().do(name, self._asked.popleft())
            if not self.step():
                self.rest()
