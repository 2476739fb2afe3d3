"""Who keeps a received frame's memory.

The memory goes back to its writer when nobody looks at it any more: neither
the frame nor any view. iceoryx2's own views do not keep their sample, and let
one write to memory that is mapped read-only, which ends the process. The views
made here are read-only, and their buffer belongs to an object that holds the
lease.
"""

from __future__ import annotations

import ctypes
from collections import deque
from typing import Any, NamedTuple

from ._errors import HeldError
from ._header import HeaderPlace

EMPTY = memoryview(b"")


def too_many_held(count: int, hold: int) -> HeldError:
    """Return the error of a node that keeps more frames than it may."""
    return HeldError(f"{count} frames are kept, and hold of the connection is {hold}: keep frame.copy(), or raise hold")


class Lease:
    """The right to one received sample; ends when it is collected."""

    __slots__ = ("_held", "_sample")

    def __init__(self, sample: Any, held: deque[None]) -> None:
        self._sample = sample
        self._held = held
        held.append(None)

    def __del__(self) -> None:
        # The sample first: who sees the room may receive at once.
        self._sample = None
        # A deque, because this may run in any thread, in the middle of anything.
        self._held.pop()


class ArrayExporter:
    """Base of the numpy arrays over a frame; numpy keeps it as long as any view lives."""

    __slots__ = ("__array_interface__", "_lease")

    def __init__(
        self,
        lease: Lease,
        address: int,
        typestr: str,
        shape: tuple[int, ...],
        strides: tuple[int, ...] | None = None,
    ) -> None:
        self._lease = lease
        self.__array_interface__ = {
            "version": 3,
            "data": (address, True),  # read-only
            "typestr": typestr,
            "shape": shape,
            "strides": strides,
        }


def block_type(size: int) -> Any:
    """Return the ctypes type by which a channel's payloads are exported.

    One type a channel, as large as its largest frame: ctypes takes long to make
    a type, and frames of text rarely have the same length twice.
    """
    return ctypes.c_uint8 * max(1, size)


class Place(NamedTuple):
    """One slot of a segment, seen without a lease: for the copies that this package makes itself."""

    header: HeaderPlace
    payload: memoryview


class Places:
    """The slots of a segment by the address of their payload.

    A segment has some dozens of slots, and each frame is in one of them. Making
    a view takes longer than what is done with it, so each is made once.
    """

    def __init__(self, size: int) -> None:
        self.block = block_type(size)
        self._known: dict[int, Place] = {}
        self.get = self._known.get

    def add(self, address: int, header: int) -> Place:
        """Note a slot that was not seen before."""
        payload = memoryview(self.block.from_address(address)).cast("B")
        place = self._known[address] = Place(HeaderPlace.from_address(header), payload)
        return place


def writable(block: Any, keeper: Any, address: int, length: int) -> memoryview:
    """Return a view to write through; it keeps the keeper, so that the memory stays mapped."""
    if length == 0:
        return memoryview(bytearray())
    exporter = block.from_address(address)
    exporter.keeper = keeper
    return memoryview(exporter).cast("B")[:length]


def view(block: Any, lease: Lease, address: int, length: int) -> memoryview:
    """Return a read-only view that keeps the lease."""
    if length == 0:
        return EMPTY
    exporter = block.from_address(address)
    exporter.lease = lease
    return memoryview(exporter).cast("B").toreadonly()[:length]
