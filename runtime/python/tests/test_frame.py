from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medianode import Frame
from medianode._header import check

RNG = np.random.default_rng(7)


def sound(dtype: str, channels: int = 2) -> Any:
    return (RNG.random((48, channels)) * 100).astype(dtype)


@pytest.mark.parametrize(
    ("dtype", "format"),
    [("u1", "u8"), ("i2", "s16"), ("i4", "s24"), ("i4", "s32"), ("f4", "f32"), ("f8", "f64")],
)
def test_audio(dtype: str, format: str) -> None:
    array = sound(dtype)
    frame = Frame.from_audio(array, 16000, format, port="a", pts_ns=-5)
    check(frame._header, frame.data.nbytes)
    assert (frame.kind, frame.format, frame.sample_rate, frame.channels) == ("audio", format, 16000, 2)
    assert (frame.port, frame.pts_ns) == ("a", -5)
    back = frame.numpy()
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)
    assert Frame.from_audio(array[:, 0], 8000).numpy().shape == (48, 1)


def test_audio_errors() -> None:
    with pytest.raises(ValueError, match="float16"):
        Frame.from_audio(sound("f2"), 16000)
    with pytest.raises(ValueError, match="s24 has dtype int32, got int16"):
        Frame.from_audio(sound("i2"), 16000, "s24")
    with pytest.raises(ValueError, match="one of u8, s16"):
        Frame.from_audio(sound("i2"), 16000, "mp3")
    with pytest.raises(ValueError, match="shape"):
        Frame.from_audio(np.zeros((1, 2, 3), "i2"), 16000)
    with pytest.raises(ValueError, match="sample rate 0"):
        Frame.from_audio(sound("i2"), 0)


@pytest.mark.parametrize(
    ("format", "shape", "size"),
    [
        ("rgb24", (6, 4, 3), (4, 6)), ("bgr24", (6, 4, 3), (4, 6)), ("rgba", (6, 4, 4), (4, 6)),
        ("gray8", (5, 7), (7, 5)), ("i420", (9, 4), (4, 6)), ("nv12", (9, 4), (4, 6)),
    ],
)  # fmt: skip
def test_video(format: str, shape: tuple[int, ...], size: tuple[int, int]) -> None:
    array = RNG.integers(0, 255, shape, dtype=np.uint8)
    frame = Frame.from_video(array, format)
    check(frame._header, frame.data.nbytes)
    assert (frame.format, frame.width, frame.height) == (format, *size)
    np.testing.assert_array_equal(frame.numpy(), array)


def test_video_errors() -> None:
    with pytest.raises(ValueError, match=r"want \(height, width, 3\)"):
        Frame.from_video(np.zeros((4, 4), np.uint8))
    with pytest.raises(ValueError, match="even"):
        Frame.from_video(np.zeros((9, 5), np.uint8), "i420")
    with pytest.raises(ValueError, match="uint8"):
        Frame.from_video(np.zeros((4, 4, 3), np.float32))
    with pytest.raises(ValueError, match="shape"):
        Frame.from_video(np.zeros((0, 4, 3), np.uint8))


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16", "b1"])
def test_tensor(dtype: str) -> None:
    array = (RNG.random((2, 3)) * 100).astype(dtype)
    frame = Frame.from_tensor(array)
    check(frame._header, frame.data.nbytes)
    back = frame.numpy()
    assert (back.dtype, frame.format) == (array.dtype, dtype)
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize(
    "array", [np.float32(2.5), np.zeros((3, 0, 2)), np.zeros((1,) * 8), np.zeros((0,), np.complex64)]
)
def test_tensor_shapes(array: Any) -> None:
    frame = Frame.from_tensor(array)
    check(frame._header, frame.data.nbytes)
    assert frame.numpy().shape == array.shape


def test_tensor_errors() -> None:
    for bad in (np.zeros((1,) * 9), np.array(["a"]), np.array([object()]), np.zeros(2, "M8[s]"), np.zeros(2, "g")):
        with pytest.raises(ValueError, match="tensor of"):
            Frame.from_tensor(bad)


def test_made_contiguous_and_native() -> None:
    array = np.arange(24, dtype=">i4").reshape(4, 6)[::2, ::-3]
    np.testing.assert_array_equal(Frame.from_tensor(array).numpy(), array)
    fortran = np.asfortranarray(RNG.integers(0, 255, (4, 6, 3), dtype=np.uint8))
    np.testing.assert_array_equal(Frame.from_video(fortran).numpy(), fortran)


def test_text_json_bytes() -> None:
    assert Frame.from_text("héé\0").text == "héé\0"
    value = {"a": [1, None, "ü"], "n": 1 << 80}
    assert Frame.from_json(value).json == value
    assert Frame.from_json("x").text == '"x"'
    for bad in (float("nan"), [float("inf")]):
        with pytest.raises(ValueError, match="JSON compliant"):
            Frame.from_json(bad)
    for data in (b"", b"abc", bytearray(b"abc"), memoryview(b"abcdef")[::2], np.arange(6, dtype=np.int16)[::2]):
        assert bytes(Frame.from_bytes(data).data) == memoryview(data).tobytes()  # type: ignore[arg-type]
    np.testing.assert_array_equal(Frame.from_bytes(b"\1\2").numpy(), np.array([1, 2], np.uint8))
    with pytest.raises(TypeError, match="got bytes"):
        Frame.from_text(b"x")  # type: ignore[arg-type]


def test_wrong_kind() -> None:
    frame = Frame.from_bytes(b"abc")
    with pytest.raises(ValueError, match="a bytes frame has no text"):
        _ = frame.text
    with pytest.raises(ValueError, match="a text frame is no array"):
        Frame.from_text("a").numpy()
    assert (frame.sample_rate, frame.channels, frame.width, frame.height, frame.format) == (None,) * 5
    with pytest.raises(TypeError, match=r"Frame\.from_bytes"):
        Frame()


def test_read_only_and_copy() -> None:
    frame = Frame.from_audio(sound("i2"), 16000, pts_ns=9)
    array = frame.numpy()
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    with pytest.raises(TypeError):
        frame.data[0] = 1
    copied = frame.copy(port="other")
    assert (copied.pts_ns, copied.sample_rate, copied.format) == (9, 16000, "s16")
    np.testing.assert_array_equal(copied.numpy(), array)
    assert "s16 16000 Hz" in repr(copied)


def test_without_numpy(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['numpy'] = None\n"
        "from medianode import Frame\n"
        "assert Frame.from_text('a').text == 'a' and Frame.from_json([1]).json == [1]\n"
        "assert bytes(Frame.from_bytes(b'xy').copy().data) == b'xy'\n"
        "try: Frame.from_bytes(b'xy').numpy()\n"
        "except ModuleNotFoundError as err: assert 'docker.python_packages' in str(err), err\n"
        "else: raise SystemExit('numpy was there')\n"
    )
    package = str(Path(__file__).parent.parent)
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env={"PYTHONPATH": package})
