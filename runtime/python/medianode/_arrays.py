"""Frames as numpy arrays and back. numpy is imported when the first array is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from ._header import (
    AUDIO,
    BYTES,
    FOURCC,
    FOURCC_NAMES,
    KINDS,
    MAX_RANK,
    MAX_SIDE,
    PIXEL_BYTES,
    SAMPLE_FORMATS,
    SAMPLE_NAMES,
    TENSOR,
    VIDEO,
    Header,
    video_size,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike, NDArray

    Array = NDArray[Any]

# numpy's names of the audio sample formats, native-endian.
_SAMPLE_DTYPES = {"u8": "u1", "s16": "i2", "s24": "i4", "s32": "i4", "f32": "f4", "f64": "f8"}
_DTYPE_SAMPLES = {"u1": "u8", "i2": "s16", "i4": "s32", "f4": "f32", "f8": "f64"}
# DLPack's type codes by numpy's kinds, and the sizes in bytes that both have.
_TENSOR_CODES = {"i": 0, "u": 1, "f": 2, "c": 5, "b": 6}
_TENSOR_KINDS = {code: kind for kind, code in _TENSOR_CODES.items()}
_TENSOR_SIZES = {"i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8), "c": (8, 16), "b": (1,)}
PLANAR = ("i420", "nv12")


def _numpy() -> Any:
    try:
        import numpy
    except ModuleNotFoundError as err:
        raise ModuleNotFoundError(
            "arrays need numpy: add it to docker.python_packages of the node", name="numpy"
        ) from err
    return numpy


def native(array: ArrayLike) -> Array:
    """Return a contiguous array in the machine's byte order; copies only if it must."""
    np = _numpy()
    a: Array = np.asarray(array, order="C")
    if not a.dtype.isnative:
        a = a.astype(a.dtype.newbyteorder("="))
    return a


def data_of(array: Array) -> memoryview:
    """Return the bytes of a contiguous array."""
    if array.size == 0:
        return memoryview(b"")
    flat: Any = array.reshape(-1).view("u1")
    return memoryview(flat).toreadonly()


def _code(array: Array) -> str:
    return f"{array.dtype.kind}{array.dtype.itemsize}"


def describe_audio(header: Header, array: Array, sample_rate: int, format: Optional[str]) -> None:
    """Write the format of an array of audio into a header."""
    if array.ndim not in (1, 2):
        raise ValueError(f"audio of shape {array.shape}: want (frames,) or (frames, channels)")
    found = _DTYPE_SAMPLES.get(_code(array))
    if format is None:
        if found is None:
            raise ValueError(f"audio of dtype {array.dtype}: want uint8, int16, int32, float32 or float64")
        format = found
    elif format not in SAMPLE_FORMATS:
        raise ValueError(f"audio format {format!r}: want one of {', '.join(SAMPLE_FORMATS)}")
    elif _SAMPLE_DTYPES[format] != _code(array):
        want = _numpy().dtype(_SAMPLE_DTYPES[format])
        raise ValueError(f"audio format {format} has dtype {want}, got {array.dtype}")
    set_audio(header, array.shape[1] if array.ndim == 2 else 1, sample_rate, format)


def set_audio(header: Header, channels: int, sample_rate: int, format: str) -> None:
    """Write a format of audio into a header."""
    if not 0 < channels < 1 << 16:
        raise ValueError(f"audio with {channels} channels: want 1 to 65535; the shape is (frames, channels)")
    if not 0 < sample_rate < 1 << 32:
        raise ValueError(f"sample rate {sample_rate}: want Hz, at least 1")
    audio = header.media.audio
    audio.rate, audio.channels, audio.format = int(sample_rate), channels, SAMPLE_FORMATS[format]


def describe_video(header: Header, array: Array, format: str) -> None:
    """Write the format of a picture into a header."""
    if format not in FOURCC:
        raise ValueError(f"video format {format!r}: want one of {', '.join(FOURCC)}")
    if _code(array) != "u1":
        raise ValueError(f"video of dtype {array.dtype}: want uint8")
    shape = array.shape
    pixel = PIXEL_BYTES[format]
    if pixel > 1:
        good, want = len(shape) == 3 and shape[2] == pixel, f"(height, width, {pixel})"
    else:
        good, want = len(shape) == 2, "(height, width)"
    if format in PLANAR:
        want = "(height * 3 // 2, width) with even height and width"
        good = good and shape[0] % 3 == 0 and shape[1] % 2 == 0
    if not good or not all(0 < n <= MAX_SIDE for n in shape[:2]):
        raise ValueError(f"{format} picture of shape {shape}: want {want}")
    video = header.media.video
    video.height = shape[0] // 3 * 2 if format in PLANAR else shape[0]
    video.width, video.stride, video.fourcc = shape[1], shape[1] * pixel, FOURCC[format]


def describe_tensor(header: Header, array: Array) -> None:
    """Write dtype and shape of an array into a header."""
    set_tensor(header, array.shape, array.dtype)


def set_tensor(header: Header, shape: tuple[int, ...], dtype: Any) -> None:
    """Write dtype and shape of a tensor into a header."""
    kind, size, rank = dtype.kind, dtype.itemsize, len(shape)
    if size not in _TENSOR_SIZES.get(kind, ()):
        raise ValueError(f"tensor of dtype {dtype}: want integers, floats, complex numbers or bool")
    if rank > MAX_RANK:
        raise ValueError(f"tensor of rank {rank}: want at most {MAX_RANK}")
    tensor = header.media.tensor
    tensor.code, tensor.bits, tensor.lanes, tensor.rank = _TENSOR_CODES[kind], size * 8, 1, rank
    tensor.shape[:rank] = shape


def native_dtype(dtype: DTypeLike) -> Any:
    """Return the dtype in the machine's byte order."""
    return _numpy().dtype(dtype).newbyteorder("=")


Layout = tuple[str, tuple[int, ...], Optional[tuple[int, ...]]]


def layout(header: Header, length: int) -> Layout:
    """Return numpy's typestr, shape and strides (None: contiguous) of a checked frame."""
    kind = header.kind
    if kind == BYTES:
        return "|u1", (length,), None
    if kind == AUDIO:
        audio = header.media.audio
        dtype = _SAMPLE_DTYPES[SAMPLE_NAMES[audio.format]]
        return _order(dtype), (length // (int(dtype[1]) * audio.channels), audio.channels), None
    if kind == VIDEO:
        return _video_layout(header)
    if kind == TENSOR:
        return _tensor_layout(header)
    raise ValueError(f"a {KINDS[kind]} frame is no array: use text or json")


def _video_layout(header: Header) -> Layout:
    video = header.media.video
    name = FOURCC_NAMES[video.fourcc]
    width, height, stride = video.width, video.height, video.stride
    if name not in PLANAR:
        pixel = PIXEL_BYTES[name]
        strides = None if stride == width * pixel else (stride, pixel, 1)
        if pixel == 1:
            return "|u1", (height, width), strides and strides[::2]
        return "|u1", (height, width, pixel), strides
    if height % 2 or stride % 2 or (name == "i420" and stride != width):
        raise ValueError(
            f"{name} picture of {width}x{height} with rows of {stride} bytes is no array:"
            " use data, with planes one after the other"
        )
    rows = video_size(width, height, stride, video.fourcc) // stride
    return "|u1", (rows, width), None if stride == width else (stride, 1)


def tensor_dtype(header: Header) -> str:
    """Return numpy's code of a tensor's dtype, like f4."""
    tensor = header.media.tensor
    kind, size = _TENSOR_KINDS.get(tensor.code, ""), tensor.bits // 8
    if size not in _TENSOR_SIZES.get(kind, ()):
        raise ValueError(
            f"tensor of DLPack type {tensor.code} with {tensor.bits} bits: numpy has no such dtype; use data"
        )
    return f"{kind}{size}"


def _tensor_layout(header: Header) -> Layout:
    tensor = header.media.tensor
    return _order(tensor_dtype(header)), tuple(tensor.shape[: tensor.rank]), None


def _order(dtype: str) -> str:
    return ("|" if dtype[1:] == "1" else "=") + dtype


def from_exporter(exporter: Any) -> Array:
    """Return the array over an object that has the array interface, which it keeps."""
    array: Array = _numpy().asarray(exporter)
    return array


def from_data(data: memoryview, shape_of: Layout, writable: bool = False) -> Array:
    """Return an array over bytes, which it keeps; read-only unless writable."""
    np = _numpy()
    typestr, shape, strides = shape_of
    array: Array = np.ndarray(shape, np.dtype(typestr), buffer=data, strides=strides)
    array.flags.writeable = writable
    return array
