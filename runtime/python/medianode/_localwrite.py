"""Frames as files, by their suffix. A file has its name when it is complete; until then it is NAME.partial."""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Iterable
from fractions import Fraction
from typing import Any, Callable, Optional

from ._frame import Frame
from ._header import SAMPLE_BYTES, SAMPLE_FORMATS
from ._localcolor import planes_of_rgb
from ._localread import STANDARD, FileError, suffix_of

_FLOATS = ("f32", "f64")


class Sink:
    """Writes frames to one file, or as lines to stdout."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.frames = 0
        self._partial = path + ".partial"
        try:
            self._file: Any = _stdout() if path == STANDARD else open(self._partial, "wb")  # noqa: SIM115
        except OSError as err:
            raise FileError(f"{self._partial}: {err.strerror}") from err
        forms: dict[str, Callable[[Frame], Iterable[Any]]] = {
            ".txt": self._text, ".jsonl": self._jsonl, ".wav": self._wav, ".y4m": self._y4m,
        }  # fmt: skip
        self._form = self._line if path == STANDARD else forms.get(suffix_of(path), self._bytes)
        self._like: Any = None  # what all frames of the file have in common
        self._sound = 0  # bytes of sound
        self._first: Optional[Frame] = None  # picture, before the time of the second is known

    def write(self, frame: Frame) -> None:
        """Add a frame."""
        for part in self._form(frame):
            self._file.write(part)
        self.frames += 1
        if self.path == STANDARD:
            self._file.flush()

    def close(self, complete: bool) -> None:
        """End the file, and give it its name if it is complete."""
        if self.path == STANDARD:
            return
        try:
            if complete:
                self._finish()
        finally:
            self._file.close()
        if complete:
            os.replace(self._partial, self.path)

    def _finish(self) -> None:
        if self._first is not None:
            self._file.write(self._y4m_header(Fraction(25)))
            self._file.write(_picture(self._first))
        if self._form == self._wav:
            if self._like is None:
                raise FileError(f"{self.path}: no frame came, so there is no sample rate to write")
            if self._sound % 2:
                self._file.write(b"\0")
            self._file.seek(0)
            rate, channels, form = self._like
            self._file.write(_wav_header(rate, channels, form, self._sound))

    # -- forms ---------------------------------------------------------------------

    def _line(self, frame: Frame) -> Iterable[Any]:
        if frame.kind == "text":
            return ((frame.text + "\n").encode(),)
        return ((_json(frame) + "\n").encode(),)

    def _text(self, frame: Frame) -> Iterable[Any]:
        if frame.kind not in ("text", "json"):
            raise self._wrong(frame, "text")
        text = frame.text.rstrip("\r\n").replace("\r\n", " ").replace("\n", " ").replace("\r", " ")
        return (text.encode(), b"\n")

    def _jsonl(self, frame: Frame) -> Iterable[Any]:
        return ((_json(frame) + "\n").encode(),)

    def _bytes(self, frame: Frame) -> Iterable[Any]:
        return (frame.data,)

    def _wav(self, frame: Frame) -> Iterable[Any]:
        if frame.kind != "audio":
            raise self._wrong(frame, "audio")
        rate, channels, form = frame.sample_rate or 0, frame.channels or 0, frame.format or ""
        head = self._same((rate, channels, form), lambda: _wav_header(rate, channels, form, 0))
        data = bytes(frame.data)
        if frame.format == "s24":
            packed = bytearray(len(data) // 4 * 3)
            packed[0::3], packed[1::3], packed[2::3] = data[0::4], data[1::4], data[2::4]
            data = bytes(packed)
        self._sound += len(data)
        return (head, data)

    def _y4m(self, frame: Frame) -> Iterable[Any]:
        if frame.kind != "video":
            raise self._wrong(frame, "video")
        self._same((frame.width, frame.height, _space(frame)), bytes)
        if self.frames == 0:
            self._first = frame
            return ()
        if self._first is None:
            return (_picture(frame),)
        first, self._first = self._first, None
        apart = frame.pts_ns - first.pts_ns
        rate = Fraction(10**9, apart).limit_denominator(1001) if apart > 0 else Fraction(25)
        return (self._y4m_header(rate), _picture(first), _picture(frame))

    def _y4m_header(self, rate: Fraction) -> bytes:
        width, height, space = self._like
        return f"YUV4MPEG2 W{width} H{height} F{rate.numerator}:{rate.denominator} Ip A1:1 C{space}\n".encode()

    def _same(self, like: Any, first: Callable[[], bytes]) -> bytes:
        if self._like is None:
            self._like = like
            return first()
        if like != self._like:
            raise FileError(f"{self.path}: a frame of {_words(like)} after one of {_words(self._like)}")
        return b""

    def _wrong(self, frame: Frame, want: str) -> FileError:
        return FileError(f"{self.path}: frame {frame.sequence} of port {frame.port} is {frame.kind}, want {want}")


def _stdout() -> Any:
    if sys.__stdout__ is None:
        raise FileError("stdout is closed")
    return sys.__stdout__.buffer


def _words(like: Any) -> str:
    return " ".join(str(x) for x in like)


def _json(frame: Frame) -> str:
    if frame.kind == "json":
        return json.dumps(frame.json, ensure_ascii=False, separators=(",", ":"))
    if frame.kind == "text":
        return json.dumps(frame.text, ensure_ascii=False)
    header: dict[str, Any] = {
        "kind": frame.kind, "sequence": frame.sequence, "pts_ns": frame.pts_ns, "source": frame.source,
        "bytes": len(frame.data),
    }  # fmt: skip
    if frame.discontinuity:
        header["discontinuity"] = True
    if any(frame.trace_id):
        header["trace_id"] = frame.trace_id.hex()
    if frame.kind == "tensor":
        tensor = frame._header.media.tensor
        header.update(dtype=frame.format, shape=list(tensor.shape[: tensor.rank]))
    else:
        names = ("sample_rate", "channels", "width", "height", "stride", "format")
        header.update((name, getattr(frame, name)) for name in names if getattr(frame, name) is not None)
    return json.dumps(header, separators=(",", ":"))


def _wav_header(rate: int, channels: int, format: str, size: int) -> bytes:
    width = 3 if format == "s24" else SAMPLE_BYTES[SAMPLE_FORMATS[format]]
    tag = 3 if format in _FLOATS else 1
    block = width * channels
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", min(36 + size + size % 2, 0xFFFFFFFF), b"WAVE", b"fmt ", 16, tag, channels,
        rate, min(rate * block, 0xFFFFFFFF), block, width * 8, b"data", min(size, 0xFFFFFFFF),
    )  # fmt: skip


def _space(frame: Frame) -> str:
    return {"i420": "420jpeg", "nv12": "420jpeg", "gray8": "mono"}.get(frame.format or "", "444")


def _picture(frame: Frame) -> bytes:
    """Return a picture as it is in a Y4M file."""
    width, height, stride = frame.width or 0, frame.height or 0, frame.stride or 0
    form, data = frame.format, bytes(frame.data)
    if form in ("rgb24", "bgr24", "rgba"):
        return b"FRAME\n" + planes_of_rgb(frame.numpy(), swap=form == "bgr24")
    out = [b"FRAME\n", _rows(data, width, height, stride)]
    if form != "gray8":
        half, rows = (width + 1) // 2, (height + 1) // 2
        chroma = data[stride * height :]
        if form == "nv12":
            pairs = _rows(chroma, 2 * half, rows, stride + stride % 2)
            out += [pairs[0::2], pairs[1::2]]
        else:
            row = (stride + 1) // 2
            out += [_rows(chroma, half, rows, row), _rows(chroma[row * rows :], half, rows, row)]
    return b"".join(out)


def _rows(data: bytes, width: int, rows: int, stride: int) -> bytes:
    if stride == width:
        return data[: width * rows]
    return b"".join(data[y * stride : y * stride + width] for y in range(rows))
