from __future__ import annotations

import ctypes

import pytest

from medianode import _header as h
from medianode import _ledger
from medianode._errors import CorruptError

# As C, Go and Rust lay the header out.
OFFSETS = {"version": 0, "kind": 2, "flags": 3, "sequence": 8, "pts": 16, "sent": 24, "trace_id": 32, "media": 48}
MEDIA = {
    h.AudioFormat: {"rate": 0, "channels": 4, "format": 6},
    h.VideoFormat: {"width": 0, "height": 4, "stride": 8, "fourcc": 12},
    h.TensorFormat: {"code": 0, "bits": 1, "lanes": 2, "rank": 4, "shape": 8},
}


def test_layout() -> None:
    assert (ctypes.sizeof(h.Header), ctypes.alignment(h.Header)) == (128, 8)
    assert {name: getattr(h.Header, name).offset for name in OFFSETS} == OFFSETS
    for part, offsets in MEDIA.items():
        assert {name: getattr(part, name).offset for name in offsets} == offsets
        assert ctypes.sizeof(part) <= 80
    assert h.Header.type_name() == "MedianodeFrame"
    assert h.FOURCC["rgb24"] == ord("R") | ord("G") << 8 | ord("B") << 16 | ord("3") << 24


def header(kind: int, **media: object) -> h.Header:
    made = h.new_header(kind)
    part = {h.AUDIO: made.media.audio, h.VIDEO: made.media.video, h.TENSOR: made.media.tensor}[kind]
    for name, value in media.items():
        if name == "shape":
            part.shape[: len(value)] = value  # type: ignore[arg-type]
        else:
            setattr(part, name, value)
    return made


GOOD = [
    (header(h.AUDIO, rate=16000, channels=2, format=2), 8),
    (header(h.AUDIO, rate=16000, channels=2, format=2), 0),
    (header(h.VIDEO, width=3, height=2, stride=12, fourcc=h.FOURCC["rgb24"]), 24),
    (header(h.VIDEO, width=3, height=3, stride=3, fourcc=h.FOURCC["i420"]), 9 + 2 * 2 * 2),
    (header(h.VIDEO, width=4, height=4, stride=4, fourcc=h.FOURCC["nv12"]), 24),
    (header(h.TENSOR, code=2, bits=32, lanes=1, rank=2, shape=(2, 3)), 24),
    (header(h.TENSOR, code=2, bits=32, lanes=1, rank=0), 4),
    (header(h.TENSOR, code=2, bits=32, lanes=1, rank=3, shape=(1 << 37, 0, 5)), 0),
]
BAD = [
    (header(h.AUDIO, rate=16000, channels=2, format=2), 7),
    (header(h.AUDIO, rate=0, channels=2, format=2), 8),
    (header(h.AUDIO, rate=16000, channels=0, format=2), 8),
    (header(h.AUDIO, rate=16000, channels=1, format=7), 8),
    (header(h.VIDEO, width=640, height=480, stride=1920, fourcc=h.FOURCC["rgb24"]), 3),
    (header(h.VIDEO, width=4, height=2, stride=6, fourcc=h.FOURCC["rgb24"]), 12),
    (header(h.VIDEO, width=0, height=2, stride=6, fourcc=h.FOURCC["rgb24"]), 12),
    (header(h.VIDEO, width=2, height=2, stride=6, fourcc=1), 12),
    (header(h.TENSOR, code=2, bits=32, lanes=1, rank=9), 4),
    (header(h.TENSOR, code=2, bits=32, lanes=1, rank=1, shape=(-1,)), 4),
    (header(h.TENSOR, code=2, bits=32, lanes=1, rank=2, shape=(1 << 40, 1 << 40)), 4),
    (header(h.TENSOR, code=2, bits=12, lanes=1, rank=0), 1),
]


@pytest.mark.parametrize(("made", "length"), GOOD)
def test_good(made: h.Header, length: int) -> None:
    h.check(made, length)


@pytest.mark.parametrize(("made", "length"), BAD)
def test_bad(made: h.Header, length: int) -> None:
    with pytest.raises(CorruptError):
        h.check(made, length)


def test_bad_version_and_kind() -> None:
    made = h.new_header(h.BYTES)
    made.version = 2
    with pytest.raises(CorruptError, match="version 2"):
        h.check(made, 0)
    with pytest.raises(CorruptError, match="kind"):
        h.check(h.new_header(7), 0)


def test_ledger_layout() -> None:
    assert _ledger.ledger_size(0) == _ledger.ledger_size(1) == 128 + 1152
    assert _ledger.slot_index(1) == (128 + 1152) // 8
    assert [_ledger.latency_bucket(n) for n in (0, 255, 256, 319, 320, 511, 512, 1 << 60)] == [
        0, 0, 1, 1, 2, 4, 5, 127,
    ]  # fmt: skip
