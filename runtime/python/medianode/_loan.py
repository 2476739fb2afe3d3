"""Frames that are written in place: the memory is the output's, so nothing is copied."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Optional

from . import _arrays
from ._errors import ReleasedError
from ._header import (
    AUDIO,
    BYTES,
    FOURCC,
    KINDS,
    MAX_SIDE,
    PIXEL_BYTES,
    SAMPLE_BYTES,
    SAMPLE_FORMATS,
    TENSOR,
    VIDEO,
    Header,
    new_header,
    tensor_size,
    video_size,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike

    from ._arrays import Array
    from ._host import HostLoan


class LoanedFrame:
    """A frame to be written in place, of ``self.loan_video`` and its like.

    Use it in a with block: at its end the frame is sent; if the block raises, or
    has called :meth:`discard`, nothing is sent and no sequence is used up. The
    memory is not cleared: write all of it.

    After the block the memory belongs to the readers. ``numpy`` and ``data`` then
    raise ReleasedError, and arrays that ``numpy`` returned are read-only; slices
    made of them are not, so let none of them outlive the block.
    """

    __slots__ = ("_arrays", "_loan", "_size", "_view")

    def __init__(self, loan: HostLoan) -> None:
        self._loan: Optional[HostLoan] = loan
        self._size = loan.payload.nbytes
        self._view: Optional[memoryview] = None
        self._arrays: list[Any] = []

    def __enter__(self) -> LoanedFrame:
        self._open()
        return self

    def __exit__(self, kind: Optional[type[BaseException]], *_: object) -> None:
        if self._loan is not None:
            self._end(send=kind is None)

    def __del__(self) -> None:
        # A loan that was never used in a with block would keep its memory.
        if self._loan is not None:
            self._end(send=False)

    @property
    def kind(self) -> str:
        """bytes, audio, video or tensor."""
        return KINDS[self._open().header.kind]

    @property
    def data(self) -> memoryview:
        """The payload, as writable bytes of shape (size,); ReleasedError after the block."""
        if self._view is None:
            self._view = self._open().payload[:]
        return self._view

    def numpy(self) -> Array:
        """Return the payload as a writable array; shape and dtype as of ``Frame.numpy``.

        Raises ReleasedError after the block, ImportError without numpy.
        """
        loan = self._open()
        array = _arrays.from_data(loan.payload, _arrays.layout(loan.header, self._size), writable=True)
        self._arrays.append(array)
        return array

    def discard(self) -> None:
        """End the loan without sending the frame; safe twice."""
        if self._loan is not None:
            self._end(send=False)

    def _open(self) -> HostLoan:
        if self._loan is None:
            raise ReleasedError("a loaned frame ends with its with block: it is sent or released already")
        return self._loan

    def _end(self, send: bool) -> None:
        loan, self._loan = self._open(), None
        for array in self._arrays:
            array.flags.writeable = False
        self._arrays.clear()
        view, self._view = self._view, None
        if view is not None:
            try:
                view.release()
            except BufferError:
                pass  # somebody has made an array of it, which cannot be taken away
        if not send:
            loan.release()
            return
        try:
            loan.send()
        except BaseException:
            loan.release()
            raise


def bytes_header(size: int) -> tuple[Header, int]:
    """Return the header of so many bytes, and the payload's size."""
    size = operator.index(size)
    if size < 0:
        raise ValueError(f"{size} bytes: want 0 or more")
    return new_header(BYTES), size


def video_header(width: int, height: int, format: str) -> tuple[Header, int]:
    """Return the header of a picture, and the payload's bytes."""
    if format not in FOURCC:
        raise ValueError(f"video format {format!r}: want one of {', '.join(FOURCC)}")
    width, height = operator.index(width), operator.index(height)
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise ValueError(f"picture of {width}x{height}: want 1 to {MAX_SIDE} pixels a side")
    if format in _arrays.PLANAR and (width % 2 or height % 2):
        raise ValueError(f"{format} picture of {width}x{height}: want even width and height")
    header = new_header(VIDEO)
    video = header.media.video
    video.width, video.height, video.stride, video.fourcc = width, height, width * PIXEL_BYTES[format], FOURCC[format]
    return header, video_size(width, height, video.stride, video.fourcc)


def audio_header(frames: int, channels: int, sample_rate: int, format: str) -> tuple[Header, int]:
    """Return the header of audio, and the payload's bytes."""
    if format not in SAMPLE_FORMATS:
        raise ValueError(f"audio format {format!r}: want one of {', '.join(SAMPLE_FORMATS)}")
    frames = operator.index(frames)
    if frames < 0:
        raise ValueError(f"audio of {frames} frames: want 0 or more")
    header = new_header(AUDIO)
    _arrays.set_audio(header, channels, sample_rate, format)
    return header, frames * channels * SAMPLE_BYTES[SAMPLE_FORMATS[format]]


def tensor_header(shape: Sequence[int], dtype: DTypeLike) -> tuple[Header, int]:
    """Return the header of a tensor, and the payload's bytes."""
    sides = (operator.index(shape),) if isinstance(shape, int) else tuple(operator.index(n) for n in shape)
    if any(n < 0 for n in sides):
        raise ValueError(f"tensor of shape {sides}: want 0 or more")
    header = new_header(TENSOR)
    _arrays.set_tensor(header, sides, _arrays.native_dtype(dtype))
    size = tensor_size(header.media.tensor)
    if size < 0:
        raise ValueError(f"tensor of shape {sides}: too large")
    return header, size
