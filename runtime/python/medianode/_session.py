"""One session of a node: from open to the end of its streams."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Callable, Optional

from ._config import NodeConfig
from ._errors import Abandoned
from ._frame import Frame
from ._iox import Transport
from ._node import Node
from ._ports import Ports, log
from ._publisher import Check
from ._user import Caller, NodeFailure, failure


class Session:
    """A session; ``step`` does one piece of its work and never waits for frames."""

    def __init__(
        self,
        name: str,
        prototype: Node,
        config: NodeConfig,
        transport: Transport,
        caller: Caller,
        patience: Check,
        stopping: Callable[[], bool],
    ) -> None:
        self.name = name
        self.closed = False
        self._config, self._caller, self._patience = config, caller, patience
        self._node = copy.copy(prototype)
        self._started = False
        self._stop = False
        self._stopping = stopping
        self._produced: Optional[Iterator[Optional[Frame]]] = None
        try:
            self.ports = Ports(transport, config, name)
        except Exception as err:
            raise NodeFailure("open", str(err)) from err

    def open(self) -> None:
        """Call the node's open."""
        try:
            self._caller.value(self._node.open(self.name))
        except BaseException as err:
            raise failure("open", err) from err

    @property
    def unread(self) -> dict[str, int]:
        """Frames sent to ports that nothing reads."""
        return self.ports.unread

    def start(self) -> None:
        """Begin: all nodes have their ends open. A node without inputs produces from now on."""
        self._started = True

    def stop(self) -> None:
        """Stop producing; a node with inputs goes on until they end."""
        self._stop = True

    def _stopped(self) -> bool:
        return self._stopping() or self._stop

    def step(self) -> bool:
        """Do what there is to do; False if there is nothing."""
        if not self._config.inputs:
            return self._produce()
        self.ports.done()  # the call for what was taken before has returned
        try:
            frame = self.ports.take()
        except Exception as err:
            raise failure("process", err) from err
        if frame is not None:
            self._process(frame)
            return True
        if self.ports.ended:
            self.finish()
            return True
        if self._started:
            self.ports.look()
        return False

    def _process(self, frame: Frame) -> None:
        count = 0
        try:
            given = self._node.process(frame)
            if type(given) is Frame:  # the usual case needs no generator
                self.ports.send(given, frame, self._patience)
                return
            for out in self._caller.frames(given, "process"):
                if out is not None:
                    count += 1
                    self.ports.send(out, frame, self._patience)
                del out
        except Abandoned:
            raise
        except BaseException as err:
            raise failure("process", err, frame) from err
        if count != 1 and not self._config.streaming:
            raise NodeFailure(
                "process",
                f"is_streaming is false, so process must give exactly one frame for each; it gave {count}",
                port=frame.port,
                sequence=frame.sequence,
            )

    def _produce(self) -> bool:
        if self._stop:
            self._stop_producing()
            self.finish()
            return True
        if not self._started:
            return False
        try:
            if self._produced is None:
                self._produced = self._caller.frames(self._node.produce(), "produce", self._stopped)
            for out in self._produced:
                if out is not None:
                    self.ports.send(out, None, self._patience)
                return True
        except Abandoned:
            raise
        except BaseException as err:
            raise failure("produce", err) from err
        self.finish()
        return True

    def _stop_producing(self) -> None:
        produced, self._produced = self._produced, None
        if produced is None:
            return
        try:
            produced.close()  # type: ignore[attr-defined]
        except BaseException as err:
            raise failure("produce", err) from err

    def finish(self) -> None:
        """Call close, send what it gives, and end the streams."""
        try:
            for out in self._caller.frames(self._node.close(), "close"):
                if out is not None:
                    if not self._config.streaming:
                        raise NodeFailure("close", "is_streaming is false, so close must not give frames")
                    self.ports.send(out, None, self._patience)
        except Abandoned:
            raise
        except BaseException as err:
            raise failure("close", err) from err
        failed = self.ports.failed
        self.ports.close_inputs()
        self._end(failed)

    def fail(self) -> None:
        """End the streams as failed, after an error."""
        self.ports.close_inputs()
        self._end(failed=True)

    def abandon(self) -> None:
        """End at once: a peer takes nothing any more and time is up."""
        if not self.closed:
            self.closed = True
            log(f"session {self.name}: not all frames were taken in time")
            self.ports.close()

    def _end(self, failed: bool) -> None:
        self.ports.finish(failed, self._patience)
        self.ports.close()
        self.closed = True
