"""The frame header: C layout, the same 128 bytes in Go, Rust and Python."""

from __future__ import annotations

import ctypes
from typing import Any

from ._errors import CorruptError

HEADER_VERSION = 1
HEADER_SIZE = 128

BYTES, TEXT, JSON, AUDIO, VIDEO, TENSOR, CONTROL = range(7)
KINDS = ("bytes", "text", "json", "audio", "video", "tensor", "control")

END_OF_STREAM = 1
DISCONTINUITY = 2
FAILED = 4

# Sample formats: code by name, name and bytes of one sample by code. s24 travels in 32 bits.
SAMPLE_FORMATS = {"u8": 1, "s16": 2, "s24": 3, "s32": 4, "f32": 5, "f64": 6}
SAMPLE_NAMES = {code: name for name, code in SAMPLE_FORMATS.items()}
SAMPLE_BYTES = {1: 1, 2: 2, 3: 4, 4: 4, 5: 4, 6: 8}


def _fourcc(text: str) -> int:
    return int.from_bytes(text.encode("ascii"), "little")


FOURCC = {
    "rgb24": _fourcc("RGB3"),
    "bgr24": _fourcc("BGR3"),
    "rgba": _fourcc("RGBA"),
    "gray8": _fourcc("GREY"),
    "i420": _fourcc("I420"),
    "nv12": _fourcc("NV12"),
}
FOURCC_NAMES = {code: name for name, code in FOURCC.items()}
# Bytes of one pixel in the first plane.
PIXEL_BYTES = {"rgb24": 3, "bgr24": 3, "rgba": 4, "gray8": 1, "i420": 1, "nv12": 1}

MAX_RANK = 8
MAX_SIDE = 1 << 16  # pixels


class AudioFormat(ctypes.Structure):
    """Media of an audio frame."""

    _fields_ = (
        ("rate", ctypes.c_uint32),
        ("channels", ctypes.c_uint16),
        ("format", ctypes.c_uint16),
    )


class VideoFormat(ctypes.Structure):
    """Media of a video frame; stride is the bytes from one row of the first plane to the next."""

    _fields_ = (
        ("width", ctypes.c_uint32),
        ("height", ctypes.c_uint32),
        ("stride", ctypes.c_uint32),
        ("fourcc", ctypes.c_uint32),
    )


class TensorFormat(ctypes.Structure):
    """Media of a tensor frame; code is DLPack's: 0 int, 1 uint, 2 float, 5 complex, 6 bool."""

    _fields_ = (
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("rank", ctypes.c_uint32),
        ("shape", ctypes.c_int64 * MAX_RANK),
    )


class Media(ctypes.Union):
    """The part of the header that is read by kind."""

    _fields_ = (
        ("audio", AudioFormat),
        ("video", VideoFormat),
        ("tensor", TensorFormat),
        ("raw", ctypes.c_uint8 * 80),
    )


class Header(ctypes.Structure):
    """What stands before each payload in shared memory."""

    _fields_ = (
        ("version", ctypes.c_uint16),
        ("kind", ctypes.c_uint8),
        ("flags", ctypes.c_uint8),
        ("_reserved", ctypes.c_uint32),
        ("sequence", ctypes.c_uint64),
        ("pts", ctypes.c_int64),
        ("sent", ctypes.c_uint64),
        ("trace_id", ctypes.c_uint8 * 16),
        ("media", Media),
    )

    # ctypes fields, for type checkers.
    version: int
    kind: int
    flags: int
    sequence: int
    pts: int
    sent: int
    trace_id: ctypes.Array[ctypes.c_uint8]
    media: Media

    @staticmethod
    def type_name() -> str:
        """Name under which iceoryx2 compares the type of both ends."""
        return "MedianodeFrame"


class HeaderPlace(ctypes.Structure):
    """A header in memory that is not Python's; assigning is one copy."""

    _fields_ = (("header", Header),)

    header: Header


def new_header(kind: int, flags: int = 0) -> Header:
    """Return an empty header of this version."""
    header = Header()
    header.version = HEADER_VERSION
    header.kind = kind
    header.flags = flags
    return header


def check(header: Header, length: int) -> None:
    """Raise CorruptError if header and payload length cannot be true together.

    Headers come from other processes: nothing may be indexed by them before this.
    """
    if header.version != HEADER_VERSION:
        raise CorruptError(f"corrupt frame header: version {header.version}, want {HEADER_VERSION}")
    kind = header.kind
    if kind > CONTROL:
        raise CorruptError(f"corrupt frame header: kind({kind})")
    if header.flags & END_OF_STREAM:
        return
    if kind == AUDIO:
        a = header.media.audio
        size = SAMPLE_BYTES.get(a.format, 0) * a.channels
        if size == 0 or a.rate == 0 or length % size != 0:
            raise CorruptError(
                f"corrupt frame header: {length} bytes of audio with {a.channels} channels"
                f" of format {a.format} at {a.rate} Hz"
            )
    elif kind == VIDEO:
        v = header.media.video
        if video_size(v.width, v.height, v.stride, v.fourcc) != length:
            raise CorruptError(
                f"corrupt frame header: {length} bytes of video, {v.width}x{v.height}"
                f" stride {v.stride} FourCC {v.fourcc:#x}"
            )
    elif kind == TENSOR:
        t = header.media.tensor
        if tensor_size(t) != length:
            raise CorruptError(f"corrupt frame header: {length} bytes of tensor, rank {t.rank}, {t.bits} bits")


def describe(header: Header, length: int) -> dict[str, Any]:
    """Return what a header says, as JSON has it; of one that was not checked, what can be said."""
    kind = KINDS[header.kind] if header.kind < len(KINDS) else f"kind({header.kind})"
    said: dict[str, Any] = {"kind": kind, "sequence": header.sequence, "pts_ns": header.pts, "bytes": length}
    if any(header.trace_id):
        said["trace_id"] = bytes(header.trace_id).hex()
    if header.flags & DISCONTINUITY:
        said["discontinuity"] = True
    media = header.media
    if kind == "audio":
        a = media.audio
        said.update(sample_rate=a.rate, channels=a.channels, format=SAMPLE_NAMES.get(a.format, str(a.format)))
    elif kind == "video":
        v = media.video
        said.update(width=v.width, height=v.height, stride=v.stride, format=FOURCC_NAMES.get(v.fourcc, hex(v.fourcc)))
    elif kind == "tensor":
        t = media.tensor
        name = {0: "int", 1: "uint", 2: "float", 4: "bfloat", 5: "complex", 6: "bool"}.get(t.code, f"code({t.code})")
        said.update(dtype=name if name == "bool" else f"{name}{t.bits}", shape=list(t.shape[: min(t.rank, MAX_RANK)]))
    return said


def video_size(width: int, height: int, stride: int, fourcc: int) -> int:
    """Return the payload bytes of a picture, or -1 if there is no such picture."""
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and stride <= MAX_SIDE * 8):
        return -1
    name = FOURCC_NAMES.get(fourcc)
    if name is None or stride < PIXEL_BYTES[name] * width:
        return -1
    luma, half = stride * height, (height + 1) // 2
    if name == "i420":
        return luma + 2 * half * ((stride + 1) // 2)
    if name == "nv12":
        return luma + half * (stride + stride % 2)
    return luma


def tensor_size(t: TensorFormat) -> int:
    """Return the payload bytes of a tensor, or -1 if there is no such tensor."""
    if t.rank > MAX_RANK or t.lanes != 1 or t.bits == 0 or t.bits % 8 != 0:
        return -1
    size = t.bits // 8
    for n in t.shape[: t.rank]:
        if n < 0 or (n > 0 and size > (1 << 40) // n):
            return -1
        size *= n
    return int(size)
