"""The inputs and outputs of a node in one session."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Optional

from ._config import Input, NodeConfig
from ._errors import ChannelError, FrameError
from ._frame import Frame
from ._header import CONTROL, DISCONTINUITY, END_OF_STREAM, FAILED, KINDS, Header
from ._log import insist
from ._output import Complete, NowhereLoan, OutputPort
from ._spans import Spans
from ._wait import Check

if TYPE_CHECKING:
    from ._host import HostLoan
    from ._iox import Transport

# How often an input without frames is asked whether its writer lives.
LOOK_EVERY_NS = 250_000_000


def log(text: str) -> None:
    """Write one line to the container's log."""
    insist(f"medianode: {text}\n")


class InputPort:
    """One connection that enters the node."""

    def __init__(self, transport: Transport, config: Input, session: str) -> None:
        self.config = config
        self.subscriber = transport.subscriber(config.channel.of_session(session), config.slot)
        if self.subscriber.skipped is not None:
            log(
                f"frame {self.subscriber.skipped} of input {config.port} from {config.source}"
                " crashed the node 3 times: skipped"
            )
        self.letters: list[dict[str, Any]] = []  # of frames that were given up, not told yet
        self.ended = False
        self.failed = False  # the end came by an error or a death
        self._looked = time.monotonic_ns()

    def take(self) -> Optional[Frame]:
        """Return the next frame that has arrived, or None; never waits."""
        config = self.config
        try:
            got = self.subscriber.take()
        except ChannelError as err:
            raise FrameError(f"input {config.port} from {config.source}: {err}", config.port) from err
        if self.subscriber.skipped is not None:
            self._give_up(got is not None)
        if got is None:
            return None
        header = got.header
        if header.flags & END_OF_STREAM:
            self.ended, self.failed = True, bool(header.flags & FAILED)
            return None
        kind = header.kind
        if kind == CONTROL or (config.kind and KINDS[kind] != config.kind):
            raise FrameError(
                f"input {config.port}: frame {header.sequence} from {config.source} is {KINDS[kind]},"
                f" want {config.kind or 'media'}",
                config.port,
                header.sequence,
            )
        return Frame._received(
            header, got.address, got.length, got.lease, self.subscriber.block,
            config.port, config.source, config.source_port,
        )  # fmt: skip

    def _give_up(self, passed: bool) -> None:
        """Note a frame that was given up, once its header is known, or is not coming any more."""
        reader, config = self.subscriber, self.config
        if passed or reader.skipped_header is not None:
            letter = {
                "port": config.port, "source": config.source, "source_port": config.source_port,
                "sequence": reader.skipped, "header": reader.skipped_header,
            }  # fmt: skip
            self.letters.append(letter)
            reader.skipped = None

    def look(self) -> None:
        """End the input if its writer is gone; called when there is no frame and the session has begun."""
        now = time.monotonic_ns()
        if self.ended or now - self._looked < LOOK_EVERY_NS:
            return
        self._looked = now
        # Asked in this order: what the writer sent before it died is here now.
        gone = not self.subscriber.ledger.writer_alive() and not self.subscriber.writer_expected
        if gone and not self.subscriber.announce(True) and not self.ended:
            self.ended = self.failed = True
            log(f"input {self.config.port}: {self.config.source} is gone without an end of its stream")
        self.subscriber.announce(False)


def _sent(frame: Frame) -> int:
    return frame._header.sent


class Ports:
    """All ends of one node in one session."""

    def __init__(self, transport: Transport, config: NodeConfig, session: str) -> None:
        self._id = config.id
        self.inputs: list[InputPort] = []
        self.outputs: dict[str, OutputPort] = {}
        self.unread: dict[str, int] = {}
        self.letters: list[dict[str, Any]] = []  # of frames that were given up, not told yet
        self._turn = 0
        self.spans: Optional[Spans] = None  # nobody wants them
        try:
            for output in config.outputs:
                self.outputs[output.port] = OutputPort(transport, output, session)
            for entering in config.inputs:
                self.inputs.append(InputPort(transport, entering, session))
                self.inputs[-1].letters = self.letters
        except BaseException:
            self.close()
            raise

    @property
    def ended(self) -> bool:
        """Whether every input that the end waits for has ended."""
        return all(i.ended for i in self.inputs if not i.config.feedback)

    @property
    def failed(self) -> bool:
        """Whether an input ended early."""
        return any(i.failed for i in self.inputs if not i.config.feedback)

    def take(self) -> Optional[Frame]:
        """Return a frame of any input, by turns, or None; never waits."""
        inputs = self.inputs
        for _ in inputs:
            self._turn = (self._turn + 1) % len(inputs)
            port = inputs[self._turn]
            if not port.ended:
                frame = port.take()
                if frame is not None:
                    return frame
        return None

    def done(self) -> None:
        """Say that the node is done with every frame that was taken: a crash later does not bring it again."""
        for port in self.inputs:
            port.subscriber.finish()

    def take_all(self) -> list[Frame]:
        """Return what has arrived, as sent, of each input as much as the node may keep; never waits.

        A frame that is given again comes alone: it may be the one that crashes
        the node, and those beside it are not to be given up with it.
        """
        for port in self.inputs:
            if not port.ended and port.subscriber.again:
                frame = port.take()
                if frame is not None:
                    return [frame]
        frames = []
        for port in self.inputs:
            while not port.ended:
                frame = port.take()
                if frame is None:
                    break
                frames.append(frame)
                if port.subscriber.full:
                    break
        if len(self.inputs) > 1:
            frames.sort(key=_sent)
        return frames

    def look(self) -> None:
        """Find inputs whose writer is gone; for a session that has begun: before, it may not be there yet."""
        for port in self.inputs:
            port.look()

    def listeners(self) -> list[Any]:
        """Return what is to be waited for."""
        return [i.subscriber.listener for i in self.inputs if not i.ended]

    def credits(self) -> list[Any]:
        """Return what is to be waited for by a session that waits for its readers."""
        publishers = [p for output in self.outputs.values() for p in output.publishers]
        return [p.listener for p in publishers if p.spec.blocks and p.listener is not None]

    def starve(self, waiting: bool) -> None:
        """Say that the session sleeps until its readers take something, or is awake."""
        for output in self.outputs.values():
            for publisher in output.publishers:
                if publisher.spec.blocks:
                    publisher.starve(waiting)

    def announce(self, waiting: bool) -> bool:
        """Say that the node sleeps, or is awake; whether there is a frame already."""
        found = False
        for port in self.inputs:
            if not port.ended or not waiting:
                found = port.subscriber.announce(waiting) or found
        if waiting:
            self.refresh()
        return found

    def refresh(self) -> None:
        """Give readers that have come back the frames again that they had not finished."""
        for output in self.outputs.values():
            for publisher in output.publishers:
                publisher.refresh()

    def send(self, frame: Frame, cause: Optional[Frame], patience: Check) -> None:
        """Send a frame; what it does not say of itself it has from the frame in process.

        Any thread may call it.
        """
        output = self.outputs.get(frame._out)
        if output is None or not output.publishers:
            self._count_unread(frame._out)
            return
        header = frame._header
        if frame._source:  # received, or a copy: it stays as it came
            header = Header.from_buffer_copy(header)
            header.flags &= DISCONTINUITY
        if cause is not None:
            if frame._inherits:
                header.pts = cause._header.pts
            if frame is not cause:
                header.trace_id = cause._header.trace_id
        if self.spans is not None and self.spans.sending(header, frame._out):
            output.send(frame, header, patience)
            self.spans.sent(header)
            return
        output.send(frame, header, patience)

    def loan(self, header: Header, size: int, port: str, complete: Complete, patience: Check) -> HostLoan:
        """Return memory for a frame that is written in place."""
        output = self.outputs.get(port)
        if output is None or not output.publishers:
            return NowhereLoan(header, size, lambda: self._count_unread(port))
        return output.loan(header, size, complete, patience)

    def would_block(self, port: str) -> bool:
        """Say whether a frame sent on the port now would wait for a reader."""
        output = self.outputs.get(port)
        return output is not None and output.would_block()

    def waits(self) -> bool:
        """Say whether somebody waits for a reader right now."""
        return any(output.waits() for output in self.outputs.values())

    def _count_unread(self, port: str) -> None:
        if port not in self.unread:
            self.unread[port] = 0
            names = ", ".join(sorted(self.outputs)) or "none"
            log(f"node {self._id}: frames on port {port!r} go nowhere: nothing reads it (ports: {names})")
        self.unread[port] += 1

    def close_inputs(self, failed: bool = False, final: bool = False) -> None:
        """End the inputs, so that no producer waits for this node any longer; safe twice.

        A node that ends before they have, or by its own failure, is started
        again, or not: the runtime knows, and so do the producers. final: it does
        not come back to this session, whatever they know.
        """
        leave = not final and (failed or not self.ended)
        for port in self.inputs:
            port.subscriber.close(leave)
        for port in self.inputs:
            port.ended = True

    def finish(self, failed: bool, patience: Check, final: bool = False) -> None:
        """Send the end of every stream and wait until all is taken, or patience ends."""
        own = failed and not self.failed and not final  # not by an input
        for output in self.outputs.values():
            output.end(failed, own, patience)
        for output in self.outputs.values():
            for publisher in output.publishers:
                publisher.drain(patience)

    def close(self) -> None:
        """End everything; safe twice."""
        self.close_inputs()
        for output in self.outputs.values():
            output.close()
