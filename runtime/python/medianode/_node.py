"""The base class of nodes."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Optional

from ._errors import ClosedError
from ._frame import DEFAULT_OUTPUT, Frame, _int64
from ._loan import LoanedFrame, audio_header, bytes_header, tensor_header, video_header
from ._log import Log
from ._metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike

    from ._header import Header
    from ._host import Host


class _Stopping:
    """``self.stopping``; an attribute of that name that a node sets for itself wins."""

    def __get__(self, node: Optional[Node], owner: Optional[type] = None) -> bool:
        return node is not None and node._host is not None and node._host.stopping


class Node:
    """One processing step of a pipeline; subclass it and name it as ``module:Class``.

    An object is made once a container, without arguments; ``load`` runs on it.
    Each session then works on its own shallow copy: what ``load`` set is shared
    by sessions, what ``open`` sets is the session's own.

    ``load``, ``open``, ``process``, ``process_batch``, ``produce`` and ``close``
    may be plain functions or coroutines; the last four may also be generators or
    asynchronous generators. Coroutines and the tasks they start run on one event
    loop, which also runs while the node waits for frames. Calls come one at a
    time, unless the class says ``concurrent = True``. What is printed goes to the
    logs; an exception ends the session and is reported with its traceback.
    """

    #: The pipeline's ``params`` of this node; there before ``__init__`` runs.
    params: dict[str, Any]
    #: The node's id in the pipeline.
    id: str = ""
    #: The session's name; empty outside of a session, so in ``load``.
    session: str = ""
    #: Whether each session has a thread of its own: set it to True in the class.
    #: Calls of one session still come one at a time, those of several at once:
    #: what ``load`` set, and what is global, must bear that.
    concurrent: bool = False
    #: Whether the session is asked to end, by the runtime or by SIGTERM. Long
    #: work and threads look at it and come to an end.
    stopping = _Stopping()

    _host: Optional[Host] = None

    @cached_property
    def log(self) -> Log:
        """Log lines with level and values: ``self.log.info("loaded", seconds=1.5)``."""
        return Log()

    @cached_property
    def metrics(self) -> Metrics:
        """Figures for the report: ``self.metrics.counter("faces").inc()``."""
        return Metrics()

    def load(self) -> Any:
        """Prepare what all sessions share, once a container: load models here."""

    def open(self, session: str) -> Any:
        """Prepare one session, before its first frame. Threads and tasks that it starts, ``close`` ends."""

    def process(self, frame: Frame) -> Any:
        """Handle one frame of any input (``frame.port`` names it).

        Return a Frame, return or yield several, or give nothing. The frame that
        came in may be returned; it is then copied into the output.
        """
        raise NotImplementedError

    def process_batch(self, frames: list[Frame]) -> Any:
        """Handle all frames that have arrived, at least one, in the order in which they were sent.

        A class that has it needs no ``process``, which is then not called. There
        are at most as many frames of a connection as its ``hold`` says (1 unless
        the pipeline says otherwise). It gives frames as ``process`` does; the
        n-th new frame has the time of the n-th that came, and those beyond the
        time of the last. With ``is_streaming: false`` it must give as many as
        came.
        """
        raise NotImplementedError

    def produce(self) -> Any:
        """Yield frames; only for a node without inputs.

        At its end the stream ends. To stop early the generator is closed at its
        next yield (GeneratorExit); yielding None sends nothing and gives the
        chance to stop.
        """
        raise NotImplementedError

    def close(self) -> Any:
        """End one session, when all its inputs have ended; may give last frames."""

    # -- what a node may call -------------------------------------------------

    def emit(self, *frames: Frame) -> None:
        """Send frames now, in order, from any thread.

        If a reader that blocks has no room, it waits, and other threads run
        meanwhile; :meth:`would_block` tells beforehand. In a coroutine this holds
        the event loop up. A new frame without a time takes that of the frame in
        process if it is sent by the node's own thread. A thread that ``open``
        starts waits here until the session begins; what ``open`` itself emits is
        sent then.

        Raises ClosedError outside of a session and after its end, FrameError if
        the frame does not fit the port (larger than ``max_frame``, another kind).
        """
        host = self._hosted("emit")
        for frame in frames:
            if not isinstance(frame, Frame):
                raise TypeError(f"emit takes Frames, got {type(frame).__name__}")
            host.emit(frame)

    def would_block(self, port: str = DEFAULT_OUTPUT) -> bool:
        """Say whether a frame on the output port would have to wait for a reader now.

        False for a port that nothing reads or whose readers all drop the oldest,
        and after the end of the session. Raises ClosedError before there is one,
        so in ``load``.
        """
        return self._hosted("would_block").would_block(port)

    def loan_video(
        self,
        width: int,
        height: int,
        format: str = "rgb24",
        *,
        port: str = DEFAULT_OUTPUT,
        pts_ns: Optional[int] = None,
    ) -> LoanedFrame:
        """Lend memory for one picture, to be written where its readers read it, without a copy.

            with self.loan_video(640, 480) as f:
                f.numpy()[:] = picture

        width, height: pixels. format: rgb24, bgr24, rgba, gray8, or i420 and
        nv12, which want even sides. ``f.numpy()`` has the shapes of
        :meth:`Frame.from_video`. See :class:`LoanedFrame` for the end of a loan.

        Raises ValueError for a picture that cannot be, FrameError if it is larger
        than the port's ``max_frame`` or another loan of the port is still open,
        ClosedError outside of a session.
        """
        header, size = video_header(width, height, format)
        return self._loan(header, size, port, pts_ns)

    def loan_audio(
        self, frames: int, channels: int, sample_rate: int, format: str = "s16", *,
        port: str = DEFAULT_OUTPUT, pts_ns: Optional[int] = None,
    ) -> LoanedFrame:  # fmt: skip
        """Lend memory for audio; ``f.numpy()`` has shape (frames, channels) and the dtype of the format.

        frames: samples of each channel, 0 or more. sample_rate: Hz. format: as of
        :meth:`Frame.from_audio`. Raises as :meth:`loan_video` does.
        """
        header, size = audio_header(frames, channels, sample_rate, format)
        return self._loan(header, size, port, pts_ns)

    def loan_tensor(
        self, shape: Sequence[int], dtype: DTypeLike, *, port: str = DEFAULT_OUTPUT, pts_ns: Optional[int] = None
    ) -> LoanedFrame:
        """Lend memory for an array of a shape (rank 0 to 8) and dtype (as of :meth:`Frame.from_tensor`).

        ``f.numpy()`` has both. Raises as :meth:`loan_video` does.
        """
        header, size = tensor_header(shape, dtype)
        return self._loan(header, size, port, pts_ns)

    def loan_bytes(self, size: int, *, port: str = DEFAULT_OUTPUT, pts_ns: Optional[int] = None) -> LoanedFrame:
        """Lend memory for size bytes: ``f.data`` is a writable memoryview, ``f.numpy()`` uint8 (size,).

        Works without numpy as long as ``f.numpy()`` is not called. Raises as
        :meth:`loan_video` does.
        """
        header, size = bytes_header(size)
        return self._loan(header, size, port, pts_ns)

    def _loan(self, header: Header, size: int, port: str, pts_ns: Optional[int]) -> LoanedFrame:
        if pts_ns is not None:
            header.pts = _int64(pts_ns)
        return LoanedFrame(self._hosted("loan").loan(header, size, port, pts_ns is None))

    def _hosted(self, what: str) -> Host:
        if self._host is None:
            raise ClosedError(f"{what}: this {type(self).__name__} runs in no pipeline")
        return self._host
