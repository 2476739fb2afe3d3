"""Pictures between red, green and blue and the planes of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._arrays import _numpy

if TYPE_CHECKING:
    from ._arrays import Array

# BT.601: what makes red, green and blue of luma and chroma, and back, in video range.
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))
_TO_YUV = ((0.256788, 0.504129, 0.097906), (-0.148223, -0.290993, 0.439216), (0.439216, -0.367788, -0.071427))


def rgb_of_planes(data: bytes, width: int, height: int, full: bool) -> bytes:
    """Return rgb24 of three planes of luma and chroma; full: luma of 0 to 255, else 16 to 235."""
    np = _numpy()
    planes = np.frombuffer(data, np.uint8).reshape(3, -1).astype(np.float32)
    planes[1:] -= 128
    if not full:
        planes[0] = (planes[0] - 16) * (255 / 219)
        planes[1:] *= 255 / 224
    rgb = np.array(_TO_RGB, np.float32) @ planes
    return bytes(np.clip(np.rint(rgb), 0, 255).astype(np.uint8).T.tobytes())


def planes_of_rgb(array: Array, swap: bool) -> bytes:
    """Return three planes of luma and chroma of a picture with red, green and blue; swap: blue comes first."""
    np = _numpy()
    pixels = array[..., 2::-1] if swap else array[..., :3]
    planes = np.array(_TO_YUV, np.float32) @ pixels.reshape(-1, 3).T.astype(np.float32)
    planes += np.array([[16], [128], [128]], np.float32)
    return bytes(np.clip(np.rint(planes), 0, 255).astype(np.uint8).tobytes())
