"""One session of a node: from open to the end of its streams."""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Callable, Optional

from ._config import NodeConfig
from ._errors import Abandoned, WouldBlock
from ._frame import Frame
from ._host import attach
from ._node import Node
from ._ports import Ports, log
from ._sessionhost import SessionHost
from ._spans import Spans
from ._user import Caller, NodeFailure, failure
from ._wait import Check

if TYPE_CHECKING:
    from ._iox import Transport

# Work that is put off while it would wait for readers: it gives what says
# whether the wait is over.
Job = Generator[Callable[[], bool], None, None]


def _ignored(**_: Any) -> None:
    pass


def _unguarded(on: bool) -> None:
    """Nobody watches."""


class Session(SessionHost):
    """A session; ``step`` does one piece of its work and never waits for frames.

    It is also the host of its node. Everything but that is for the thread that
    made it; ``stop`` may be called by any.
    """

    def __init__(
        self,
        name: str,
        prototype: Node,
        config: NodeConfig,
        transport: Transport,
        caller: Caller,
        patience: Check,
        stopping: Callable[[], bool],
        foreign: Optional[Check] = None,
        turn: Optional[Check] = None,
        params: Optional[dict[str, Any]] = None,
    ) -> None:
        super().__init__(name, prototype, config.streaming, patience, foreign or patience, stopping)
        self._config, self._caller = config, caller
        # How the session waits for its readers: WouldBlock gives the turn to others.
        self._turn = turn or patience
        self._job: Optional[Job] = None
        self._ready: Optional[Callable[[], bool]] = None
        self._node = copy.copy(prototype)
        if params:
            self._node.params = {**prototype.params, **params}
        attach(self._node, self)
        self._batches = bool(config.inputs) and type(prototype).process_batch is not Node.process_batch
        self._final = False  # nobody wants the session any more, in this process or another
        self._produced: Optional[Iterator[Optional[Frame]]] = None
        self.calls = 0  # the watch tells by it, and by cause, in which call the node is
        # Called with False before code of the node that may take any time, with
        # True when only process is to come.
        self.guard: Callable[[bool], None] = _unguarded
        # Called with what is known of a frame that the node is not given again.
        self.gave_up: Callable[..., None] = _ignored
        self.doing = "open"
        try:
            self.ports = Ports(transport, config, name)
        except Exception as err:
            raise NodeFailure("open", str(err)) from err

    def trace(self) -> None:
        """Note what becomes of sampled frames; a source samples them."""
        self._spans = self.ports.spans = Spans(not self._config.inputs)

    def open(self) -> None:
        """Call the node's open."""
        try:
            self.guard(False)
            self._caller.value(self._node.open(self.session))
            self.guard(True)
        except BaseException as err:
            raise failure("open", err) from err
        self.doing = "process" if self._config.inputs else "produce"

    @property
    def unread(self) -> dict[str, int]:
        """Frames sent to ports that nothing reads."""
        return self.ports.unread

    @property
    def started(self) -> bool:
        """Whether the session has begun."""
        return self._started

    @property
    def has_inputs(self) -> bool:
        """Whether frames come to the node."""
        return bool(self._config.inputs)

    def start(self) -> None:
        """Begin: all nodes have their ends open. A node without inputs produces from now on."""
        early, self._early = self._early, []
        self._started = True
        try:
            for frame in early:
                self.ports.send(frame, None, self._patience)
        except Abandoned:
            raise
        except BaseException as err:
            raise failure("open", err) from err
        self._begun.set()

    def stop(self) -> None:
        """Stop producing; a node with inputs goes on until they end."""
        self._stop = True

    # -- what the runner calls --------------------------------------------------

    def step(self) -> bool:
        """Do what there is to do; False if there is nothing."""
        if self._job is not None:
            return self._go_on()
        if not self._config.inputs:
            return self._produce()
        self.ports.done()  # the call for what was taken before has returned
        try:
            got: Any = self.ports.take_all() if self._batches else self.ports.take()
        except Exception as err:
            raise failure("process", err) from err
        letters = self.ports.letters
        while letters:
            self.gave_up(**letters.pop(0))
        if got:
            if not self._started:  # a producer has begun, so all have; the command is on its way
                self.start()
            if self._spans is not None:
                self._spans.begin(got if self._batches else (got,))
            try:
                if self._batches:
                    self._process_batch(got)
                else:
                    self._process(got)
            except NodeFailure as problem:
                self._end_spans(problem)
                raise
            if self._spans is not None and self._job is None:
                self._spans.end()
            return True
        if self.ports.ended:
            self._begin(self._finish(short=False))
            return True
        if self._started:
            self.ports.look()
        return False

    @property
    def waits(self) -> bool:
        """Whether work is put off because it would wait for readers."""
        return self._job is not None

    def announce(self, waiting: bool) -> bool:
        """Say that the node sleeps, or is awake; whether there is something to do already."""
        if self._job is None:
            return self.ports.announce(waiting)
        self.ports.starve(waiting)
        if waiting:
            self.ports.refresh()
        return waiting and (self._ready is None or self._ready())

    def listeners(self) -> list[Any]:
        """Return what is to be waited for."""
        return self.ports.listeners() if self._job is None else self.ports.credits()

    def _begin(self, job: Job) -> None:
        self._job, self._ready = job, None
        self._go_on()

    def _go_on(self) -> bool:
        """Do what was put off, as far as it goes."""
        job = self._job
        if job is None or (self._ready is not None and not self._ready()):
            return False
        try:
            self._ready = next(job)
        except StopIteration:
            self._job = None
            self._end_spans()
        except BaseException as err:
            self._job = None
            if isinstance(err, NodeFailure):
                self._end_spans(err)
            raise
        return True

    def _end_spans(self, problem: Optional[NodeFailure] = None) -> None:
        if self._spans is not None:
            self._spans.end(problem)

    def _drop_job(self) -> None:
        job, self._job = self._job, None
        if job is not None:
            job.close()

    def _send(self, frame: Frame, cause: Optional[Frame]) -> Job:
        while True:
            try:
                self.ports.send(frame, cause, self._turn)
                return
            except WouldBlock as err:
                ready = err.ready
            call, self.cause = self.cause, None
            yield ready
            self.cause = call

    def _process(self, frame: Frame) -> None:
        self.calls += 1
        self.cause = frame
        given: Any = None
        try:
            given = self._node.process(frame)
            if type(given) is Frame:  # the usual case needs no generator
                self.ports.send(given, frame, self._turn)
                if not self._given:
                    return
                self.cause, given = None, None
                self._check_count(1, 1, frame)
                return
        except WouldBlock:
            pass
        except Abandoned:
            raise
        except BaseException as err:
            raise failure("process", err, frame) from err
        finally:
            self.cause = None
        self._begin(self._give(lambda: self._caller.frames(given, "process"), (frame,)))

    def _process_batch(self, frames: list[Frame]) -> None:
        causes = frames[:]  # the node may do with its list what it likes
        self.calls += 1
        self._begin(self._give(lambda: self._caller.frames(self._node.process_batch(frames), "process_batch"), causes))

    def _give(self, call: Callable[[], Iterator[Optional[Frame]]], causes: Sequence[Frame]) -> Job:
        """Send what a call gives for these frames."""
        count, want, first = 0, len(causes), causes[0]
        self.cause = first
        try:
            for out in call():
                if out is not None:
                    yield from self._send(out, causes[min(count, want - 1)])
                    count += 1
                del out
        except (Abandoned, GeneratorExit):
            raise
        except BaseException as err:
            raise failure("process", err, first) from err
        finally:
            self.cause = None
        self._check_count(count, want, first)

    def _check_count(self, count: int, want: int, frame: Frame) -> None:
        count, self._given = count + self._given, 0
        if count == want or self._config.streaming:
            return
        rule = "process must give exactly one frame for each"
        if self._batches:
            rule = f"process_batch must give as many frames as it got, here {want}"
        raise NodeFailure(
            "process",
            f"is_streaming is false, so {rule}; it gave {count}",
            port=frame.port,
            sequence=frame.sequence,
        )

    def _produce(self) -> bool:
        if self._stop:
            self._stop_producing()
            self._begin(self._finish(short=False))
            return True
        if not self._started:
            return False
        try:
            if self._produced is None:
                self._produced = self._caller.frames(self._node.produce(), "produce", self._stopped)
            for out in self._produced:
                if out is not None:
                    try:
                        self.ports.send(out, None, self._turn)
                        return True
                    except WouldBlock:
                        pass  # its traceback keeps the memory of the frame, so it has to go first
                    self._begin(self._give_produced(out))
                return True
        except Abandoned:
            raise
        except BaseException as err:
            raise failure("produce", err) from err
        self._begin(self._finish(short=False))
        return True

    def _give_produced(self, frame: Frame) -> Job:
        try:
            yield from self._send(frame, None)
        except (Abandoned, GeneratorExit):
            raise
        except BaseException as err:
            raise failure("produce", err) from err

    def _stopped(self) -> bool:
        return self._stopping() or self._stop

    def _stop_producing(self) -> None:
        produced, self._produced = self._produced, None
        if produced is None:
            return
        try:
            produced.close()  # type: ignore[attr-defined]
        except BaseException as err:
            raise failure("produce", err) from err

    def finish(self, short: bool = False) -> None:
        """Call close, send what it gives, and end the streams; short says that inputs had not ended."""
        self._drop_job()
        self._turn = self._patience
        for _ in self._finish(short):
            pass

    def cut(self) -> None:
        """Begin to end, although the inputs go on: whoever runs the session does not want it any more."""
        self._drop_job()
        self._final = True
        self._job, self._ready = self._finish(short=True), None

    def _finish(self, short: bool) -> Job:
        self._stop = True
        if self.doing != "close":
            self.guard(False)
            self.doing = "close"
            try:
                for out in self._caller.frames(self._node.close(), "close"):
                    if out is not None:
                        if not self._config.streaming:
                            raise NodeFailure("close", "is_streaming is false, so close must not give frames")
                        yield from self._send(out, None)
                self._caller.cancel(self)
            except (Abandoned, GeneratorExit):
                raise
            except BaseException as err:
                raise failure("close", err) from err
        failed = self.ports.failed or short
        self.ports.close_inputs(final=self._final)
        yield from self._end(failed)

    def fail(self) -> None:
        """End the streams as failed, after an error, and wait until that is done."""
        self._turn = self._patience
        self.leave()
        while self._job is not None:
            self._go_on()

    def leave(self) -> None:
        """Begin to end the streams as failed, after an error."""
        self._drop_job()
        self._stop, self.doing = True, "close"
        self.ports.close_inputs(failed=True)
        self._job, self._ready = self._end(failed=True), None

    def abandon(self) -> None:
        """End at once: a peer takes nothing any more and time is up."""
        if not self.closed:
            self._stop = self.closed = True
            log(f"session {self.session}: not all frames were taken in time")
            self.ports.close()

    def _end(self, failed: bool) -> Job:
        while True:
            try:
                self.ports.finish(failed, self._turn, self._final)
                break
            except WouldBlock as err:
                ready = err.ready
            yield ready
        self.closed = True
        self.ports.close()
