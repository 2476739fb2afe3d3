"""Files as frames, by their suffix."""

from __future__ import annotations

import json
import sys
import wave
from collections.abc import Iterator
from typing import Any, BinaryIO, Optional

from ._frame import Frame
from ._header import AUDIO, FOURCC, PIXEL_BYTES, SAMPLE_FORMATS, VIDEO, Header, new_header, video_size
from ._localcolor import rgb_of_planes

STANDARD = "-"
_SECOND = 1_000_000_000
_SAMPLES = {1: "u8", 2: "s16", 3: "s24", 4: "s32"}
# The upper byte of a negative 24-bit sample in 32 bits.
_SIGN = bytes(0xFF if n & 0x80 else 0 for n in range(256))
_MAX_LINE = 4096


class FileError(Exception):
    """A file cannot be read or written as frames; the text names it."""


def suffix_of(path: str) -> str:
    """Return what says how a file is read or written: ``.wav`` and so on."""
    name = path.rpartition("/")[2]
    return "." + name.rpartition(".")[2].lower() if "." in name else ""


def frames_of(path: str, frame_ms: float, chunk: Optional[int]) -> Iterator[Frame]:
    """Read a file as frames: .wav .txt .jsonl .y4m, else bytes; ``-`` is text of stdin."""
    if path == STANDARD:
        return _text(sys.stdin.buffer, "stdin")
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed when its frames end
    except OSError as err:
        raise FileError(f"{path}: {err.strerror}") from err
    how = {".wav": lambda: _wav(file, path, frame_ms), ".txt": lambda: _text(file, path),
           ".jsonl": lambda: _json(file, path), ".y4m": lambda: _y4m(file, path)}  # fmt: skip
    return _closing(file, how.get(suffix_of(path), lambda: _bytes(file, chunk))())


def _closing(file: BinaryIO, frames: Iterator[Frame]) -> Iterator[Frame]:
    with file:
        yield from frames


def _lines(file: Any, path: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(file, 1):
        try:
            text = str(line, "utf-8")
        except UnicodeDecodeError as err:
            raise FileError(f"{path}:{number}: {err}") from err
        yield number, text.rstrip("\r\n")


def _text(file: Any, path: str) -> Iterator[Frame]:
    for _, line in _lines(file, path):
        yield Frame.from_text(line)


def _json(file: Any, path: str) -> Iterator[Frame]:
    for number, line in _lines(file, path):
        if line.strip():
            try:
                yield Frame.from_json(json.loads(line))
            except ValueError as err:
                raise FileError(f"{path}:{number}: {err}") from err


def _bytes(file: BinaryIO, chunk: Optional[int]) -> Iterator[Frame]:
    if chunk is None:
        yield Frame.from_bytes(file.read())
        return
    while data := file.read(chunk):
        yield Frame.from_bytes(data)


def _wav(file: BinaryIO, path: str, frame_ms: float) -> Iterator[Frame]:
    try:
        sound = wave.open(file)  # noqa: SIM115
    except (wave.Error, EOFError) as err:
        raise FileError(f"{path}: no WAV file of PCM: {err}") from err
    rate, channels, width = sound.getframerate(), sound.getnchannels(), sound.getsampwidth()
    if width not in _SAMPLES or not rate or not channels:
        raise FileError(f"{path}: {width * 8} bits a sample, {channels} channels, {rate} Hz: want PCM of 8 to 32 bits")
    header = new_header(AUDIO)
    audio = header.media.audio
    audio.rate, audio.channels, audio.format = rate, channels, SAMPLE_FORMATS[_SAMPLES[width]]
    step = max(1, round(rate * frame_ms / 1000))
    at = 0
    while data := sound.readframes(step):
        data = data[: len(data) - len(data) % (width * channels)]
        if width == 3:
            data = spread(data)
        yield _frame(header, data, at * _SECOND // rate)
        at += step


def spread(packed: bytes) -> bytes:
    """Return samples of 24 bits in 32 bits each."""
    out = bytearray(len(packed) // 3 * 4)
    out[0::4], out[1::4], out[2::4] = packed[0::3], packed[1::3], packed[2::3]
    out[3::4] = packed[2::3].translate(_SIGN)
    return bytes(out)


def _frame(header: Header, data: bytes, pts_ns: int) -> Frame:
    return Frame._new(Header.from_buffer_copy(header), memoryview(data), "output", pts_ns)


def _y4m(file: BinaryIO, path: str) -> Iterator[Frame]:
    fields = _header_line(file, path).split()
    if not fields or fields[0] != "YUV4MPEG2":
        raise FileError(f"{path}: no Y4M file")
    width = height = 0
    rate, scale, space, full = 25, 1, "420", False
    try:
        for name, value in ((f[:1], f[1:]) for f in fields[1:]):
            if name == "W":
                width = int(value)
            elif name == "H":
                height = int(value)
            elif name == "F":
                rate, scale = (int(n) for n in value.split(":"))
            elif name == "C":
                space = value
            elif name == "X" and value == "COLORRANGE=FULL":
                full = True
    except ValueError as err:
        raise FileError(f"{path}: header: {err}") from err
    formats = {"420": "i420", "420jpeg": "i420", "420mpeg2": "i420", "420paldv": "i420", "444": "rgb24",
               "mono": "gray8"}  # fmt: skip
    if space not in formats or width < 1 or height < 1 or rate < 1 or scale < 1:
        raise FileError(f"{path}: C{space} {width}x{height} at {rate}:{scale}: want a size, and C420, C444 or Cmono")
    header = new_header(VIDEO)
    video = header.media.video
    stride = width * PIXEL_BYTES[formats[space]]
    video.width, video.height, video.stride, video.fourcc = width, height, stride, FOURCC[formats[space]]
    size = video_size(width, height, stride, video.fourcc)
    number = 0
    while file.peek(1) if hasattr(file, "peek") else True:
        if not _header_line(file, path).startswith("FRAME"):
            raise FileError(f"{path}: picture {number}: no FRAME")
        data = file.read(size)
        if len(data) < size:
            raise FileError(f"{path}: picture {number} is cut off: {len(data)} of {size} bytes")
        if space == "444":
            data = rgb_of_planes(data, width, height, full)
        yield _frame(header, data, number * _SECOND * scale // rate)
        number += 1


def _header_line(file: BinaryIO, path: str) -> str:
    line = file.readline(_MAX_LINE)
    if not line.endswith(b"\n"):
        raise FileError(f"{path}: a line that does not end")
    return line[:-1].decode("latin-1")
