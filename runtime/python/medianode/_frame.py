"""Frames: what nodes receive and send."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Optional, Union

from . import _arrays
from ._header import (
    AUDIO,
    BYTES,
    DISCONTINUITY,
    FOURCC_NAMES,
    JSON,
    KINDS,
    SAMPLE_NAMES,
    TENSOR,
    TEXT,
    VIDEO,
    Header,
    new_header,
)
from ._lease import EMPTY, ArrayExporter, Lease, view

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._arrays import Array

DEFAULT_OUTPUT = "output"


class Frame:
    """One unit of media: a header and bytes.

    A received frame is read-only shared memory: reading costs no copy, writing
    raises. The memory goes back to its producer when the frame and all its views
    are gone; a node may keep as many frames of a connection as the connection's
    ``hold`` says (1 unless the pipeline says otherwise), and keeps more by
    :meth:`copy`.

    Frames to be sent are made by the ``from_…`` constructors. Those take two
    things more: ``port``, the output port (default ``output``), and ``pts_ns``,
    the presentation time in nanoseconds (default: that of the frame in process,
    else 0). Bytes and arrays are not copied by them but read when the frame is
    sent, that is, when ``process`` gives it away. All raise ValueError for a time
    beyond 64 bits; those of arrays need numpy, and are an ImportError without.
    """

    __slots__ = (
        "__weakref__", "_address", "_block", "_data", "_header", "_inherits", "_lease",
        "_length", "_out", "_port", "_source", "_source_port",
    )  # fmt: skip

    _header: Header
    _length: int
    _data: Optional[memoryview]
    # Of a received frame: who keeps the memory, where it is, how it is exported.
    _lease: Optional[Lease]
    _address: int
    _block: Any
    _port: str
    _out: str  # the output port by which it goes
    _inherits: bool  # takes its time from the frame in process
    _source: str
    _source_port: str

    def __init__(self) -> None:
        raise TypeError("make frames by Frame.from_bytes, from_text, from_json and so on")

    # -- making frames to send ------------------------------------------------

    @classmethod
    def from_bytes(cls, data: Any, *, port: str = DEFAULT_OUTPUT, pts_ns: Optional[int] = None) -> Frame:
        """Make a frame of any bytes: bytes, bytearray, memoryview, or an array as it lies in memory.

        ``numpy`` of it is uint8 of shape (length,), whatever the array's was. Raises
        TypeError for what has no bytes, such as a str.
        """
        raw = memoryview(data)
        if raw.nbytes == 0:
            raw = EMPTY
        elif not raw.c_contiguous or raw.ndim == 0:
            raw = memoryview(raw.tobytes())
        try:
            raw = raw.cast("B")
        except TypeError:  # an element type that memoryview cannot cast
            raw = memoryview(raw.tobytes())
        return cls._new(new_header(BYTES), raw.toreadonly(), port, pts_ns)

    @classmethod
    def from_text(cls, text: str, *, port: str = DEFAULT_OUTPUT, pts_ns: Optional[int] = None) -> Frame:
        """Make a frame of text; travels as UTF-8.

        Raises TypeError for what is no str, UnicodeEncodeError (a ValueError) for
        half of a surrogate pair.
        """
        if not isinstance(text, str):
            raise TypeError(f"from_text takes a str, got {type(text).__name__}")
        return cls._new(new_header(TEXT), memoryview(text.encode("utf-8")), port, pts_ns)

    @classmethod
    def from_json(cls, value: Any, *, port: str = DEFAULT_OUTPUT, pts_ns: Optional[int] = None) -> Frame:
        """Make a frame of one JSON value: dict, list, str, int, float, bool or None.

        Raises ValueError for NaN and infinity, which JSON has not, and TypeError for
        what it cannot hold, such as a set or an array.
        """
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return cls._new(new_header(JSON), memoryview(text.encode("utf-8")), port, pts_ns)

    @classmethod
    def from_audio(
        cls,
        array: ArrayLike,
        sample_rate: int,
        format: Optional[str] = None,
        *,
        port: str = DEFAULT_OUTPUT,
        pts_ns: Optional[int] = None,
    ) -> Frame:
        """Make a frame of audio.

        array: shape (frames, channels), or (frames,) for one channel.
        sample_rate: Hz.
        format: u8 (uint8), s16 (int16), s24 (int32), s32 (int32), f32 (float32)
        or f64 (float64); default: by the dtype, where int32 is s32.

        Raises ValueError for another shape or dtype, a format that is not that of
        the dtype, and a rate below 1 Hz.
        """
        a = _arrays.native(array)
        header = new_header(AUDIO)
        _arrays.describe_audio(header, a, sample_rate, format)
        return cls._new(header, _arrays.data_of(a), port, pts_ns)

    @classmethod
    def from_video(
        cls,
        array: ArrayLike,
        format: str = "rgb24",
        *,
        port: str = DEFAULT_OUTPUT,
        pts_ns: Optional[int] = None,
    ) -> Frame:
        """Make a frame of one picture.

        array: uint8, shape (height, width, 3) for rgb24 and bgr24, (height,
        width, 4) for rgba, (height, width) for gray8, (height * 3 // 2, width)
        for the planar i420 and nv12, whose height and width must be even.

        Raises ValueError for another shape or dtype, and for an unknown format.
        """
        a = _arrays.native(array)
        header = new_header(VIDEO)
        _arrays.describe_video(header, a, format)
        return cls._new(header, _arrays.data_of(a), port, pts_ns)

    @classmethod
    def from_tensor(cls, array: ArrayLike, *, port: str = DEFAULT_OUTPUT, pts_ns: Optional[int] = None) -> Frame:
        """Make a frame of an array: rank 0 to 8, of integers, floats, complex numbers or bool.

        Shape and dtype arrive as they are. Raises ValueError for a higher rank and
        other dtypes (text, objects, times).
        """
        a = _arrays.native(array)
        header = new_header(TENSOR)
        _arrays.describe_tensor(header, a)
        return cls._new(header, _arrays.data_of(a), port, pts_ns)

    @classmethod
    def _new(cls, header: Header, data: memoryview, port: str, pts_ns: Optional[int]) -> Frame:
        frame = cls.__new__(cls)
        frame._header = header
        frame._inherits = pts_ns is None
        if pts_ns is not None:
            header.pts = _int64(pts_ns)
        frame._data, frame._lease = data, None
        frame._length = data.nbytes
        frame._port = frame._out = port
        frame._source = frame._source_port = ""
        return frame

    @classmethod
    def _received(
        cls, header: Header, address: int, length: int, lease: Lease, block: Any,
        port: str, source: str, source_port: str,
    ) -> Frame:  # fmt: skip
        frame = cls.__new__(cls)
        frame._header, frame._address, frame._length = header, address, length
        frame._lease, frame._block, frame._data = lease, block, None
        frame._port, frame._out, frame._inherits = port, DEFAULT_OUTPUT, False
        frame._source, frame._source_port = source, source_port
        return frame

    # -- what every frame has -------------------------------------------------

    @property
    def kind(self) -> str:
        """bytes, text, json, audio, video or tensor."""
        return KINDS[self._header.kind]

    @property
    def sequence(self) -> int:
        """Number of the frame, from 0, per output port of its producer and session.

        A new frame has 0 until it is sent.
        """
        return self._header.sequence

    @property
    def pts_ns(self) -> int:
        """Presentation time in nanoseconds."""
        return self._header.pts

    @property
    def port(self) -> str:
        """The input port by which the frame came; of a new frame, the output port."""
        return self._port

    @property
    def source(self) -> str:
        """Id of the node that sent the frame; empty for a new one."""
        return self._source

    @property
    def source_port(self) -> str:
        """Output port of the node that sent the frame; empty for a new one."""
        return self._source_port

    @property
    def discontinuity(self) -> bool:
        """Whether the producer says that something before this frame is missing."""
        return bool(self._header.flags & DISCONTINUITY)

    @property
    def trace_id(self) -> bytes:
        """W3C trace id, 16 bytes, zero if there is none; handed on to what process gives."""
        return bytes(self._header.trace_id)

    @property
    def data(self) -> memoryview:
        """The payload, as read-only bytes of shape (length,); keeps the frame's memory as long as it lives."""
        if self._data is None:
            assert self._lease is not None
            self._data = view(self._block, self._lease, self._address, self._length)
        return self._data

    def numpy(self) -> Array:
        """Return the payload as a read-only array, without a copy; it keeps the frame's memory.

        bytes: uint8, shape (length,). audio: dtype of the format, shape (frames,
        channels). video: uint8, (height, width, channels) or (height, width);
        planar formats (height * 3 // 2, width). tensor: as it was sent. Text and
        JSON are no arrays: ValueError. Without numpy: ImportError. Before an array
        goes to a library that writes in place, copy it.
        """
        layout = _arrays.layout(self._header, self._length)
        if self._lease is None or self._length == 0:
            return _arrays.from_data(self.data, layout)
        return _arrays.from_exporter(ArrayExporter(self._lease, self._address, *layout))

    # -- by kind --------------------------------------------------------------

    @property
    def text(self) -> str:
        """The text of a text frame, or of a JSON frame as it was sent; ValueError for other kinds."""
        self._want(TEXT, JSON)
        return str(self.data, "utf-8")

    @property
    def json(self) -> Any:
        """The value of a JSON frame, read anew each time; ValueError for other kinds."""
        self._want(JSON)
        return json.loads(str(self.data, "utf-8"), parse_constant=_refuse)

    @property
    def sample_rate(self) -> Optional[int]:
        """Hz, of audio; else None."""
        return self._header.media.audio.rate if self._header.kind == AUDIO else None

    @property
    def channels(self) -> Optional[int]:
        """Number of channels, of audio; else None."""
        return self._header.media.audio.channels if self._header.kind == AUDIO else None

    @property
    def width(self) -> Optional[int]:
        """Pixels, of video; else None."""
        return self._header.media.video.width if self._header.kind == VIDEO else None

    @property
    def height(self) -> Optional[int]:
        """Pixels, of video; else None."""
        return self._header.media.video.height if self._header.kind == VIDEO else None

    @property
    def stride(self) -> Optional[int]:
        """Bytes from one row of the first plane to the next, of video; else None."""
        return self._header.media.video.stride if self._header.kind == VIDEO else None

    @property
    def format(self) -> Optional[str]:
        """Of audio s16 and so on, of video rgb24 and so on, of a tensor numpy's f4 and so on; else None."""
        kind, media = self._header.kind, self._header.media
        if kind == AUDIO:
            return SAMPLE_NAMES[media.audio.format]
        if kind == VIDEO:
            return FOURCC_NAMES[media.video.fourcc]
        return _arrays.tensor_dtype(self._header) if kind == TENSOR else None

    def copy(self, port: Optional[str] = None) -> Frame:
        """Return the same frame in memory of its own, with its times and metadata.

        It may be kept as long as one likes. port: the output port by which it
        goes when it is sent, else that of the frame.
        """
        frame = type(self).__new__(type(self))
        frame._header = Header.from_buffer_copy(self._header)
        frame._data, frame._lease, frame._length = memoryview(bytes(self.data)), None, self._length
        frame._port, frame._inherits = self._port, self._inherits
        frame._out = self._out if port is None else port
        frame._source, frame._source_port = self._source, self._source_port
        return frame

    def _want(self, *kinds: int) -> None:
        if self._header.kind not in kinds:
            raise ValueError(f"a {self.kind} frame has no {KINDS[kinds[0]]}")

    def __repr__(self) -> str:
        what = {
            AUDIO: lambda: f" {self.format} {self.sample_rate} Hz {self.channels} channels",
            VIDEO: lambda: f" {self.format} {self.width}x{self.height}",
            TENSOR: lambda: f" {self.format} shape {_arrays.layout(self._header, self._length)[1]}",
        }.get(self._header.kind, str)()
        return (
            f"<Frame {self.kind}{what} {self._length} bytes port={self._port!r}"
            f" sequence={self.sequence} pts_ns={self.pts_ns}>"
        )


def _int64(pts_ns: Union[int, Any]) -> int:
    value = int(pts_ns)
    if not -(1 << 63) <= value < 1 << 63:
        raise ValueError(f"pts_ns {value}: want 64 bits")
    return value


def _refuse(name: str) -> Any:
    raise ValueError(f"a JSON frame holds {name}, which is no JSON")
