"""Received frames are read-only, and their memory lives as long as anybody looks at it."""

from __future__ import annotations

import ctypes
import gc
import threading
from typing import Any

import numpy as np
import pytest
from fake_runtime import FakeRuntime

from medianode import Frame
from medianode._errors import HeldError
from medianode._publisher import Publisher
from medianode._subscriber import Subscriber


class Link:
    def __init__(self, runtime: FakeRuntime, hold: int = 1, buffer: int = 2) -> None:
        spec = runtime.create(runtime.spec("life", hold=hold, buffer=buffer))
        self.reader: Subscriber = runtime.subscriber(spec)
        self.writer: Publisher = runtime.publisher(spec)

    def send(self, frame: Frame) -> None:
        self.writer.send(frame._header, frame.data)

    def take(self) -> Frame:
        got = self.reader.take()
        assert got is not None
        return Frame._received(got.header, got.address, got.length, got.lease, self.reader.block, "in", "src", "output")

    @property
    def held(self) -> int:
        return len(self.reader._held)


@pytest.fixture
def link(runtime: FakeRuntime) -> Any:
    made = Link(runtime, hold=2)
    yield made
    made.reader.close()
    made.writer.close()


VIEWS = {
    "data": lambda f: f.data,
    "slice": lambda f: f.data[1:3],
    "cast": lambda f: f.data.cast("b")[::2],
    "numpy": lambda f: f.numpy(),
    "numpy slice": lambda f: f.numpy()[1:, :1][::-1],
    "numpy of data": lambda f: np.frombuffer(f.data, np.int16),
    "view of view": lambda f: f.numpy().view(np.uint8).reshape(-1)[2:],
    "memoryview of numpy": lambda f: memoryview(f.numpy()),
}


@pytest.mark.parametrize("name", VIEWS)
def test_view_keeps_the_frame(link: Link, name: str) -> None:
    for value in range(3):
        link.send(Frame.from_audio(np.full((8, 2), value, np.int16), 8000)) if value < 2 else None
    frame = link.take()
    view = VIEWS[name](frame)
    want = bytes(memoryview(np.ascontiguousarray(view)).cast("B"))
    del frame
    assert link.held == 1
    for value in range(2, 12):  # memory that is given back is written again
        other = link.take()
        del other
        link.send(Frame.from_audio(np.full((8, 2), value, np.int16), 8000))
    assert bytes(memoryview(np.ascontiguousarray(view)).cast("B")) == want
    del view
    assert link.held == 0


def test_shared_memory_is_read_only(link: Link) -> None:
    link.send(Frame.from_audio(np.ones((8, 2), np.int16), 8000))
    frame = link.take()
    array = frame.numpy()
    assert array.base is not None
    assert not array.flags.owndata
    for write in (
        lambda: array.__setitem__(0, 1),
        lambda: array.setflags(write=True),
        lambda: array.view(np.uint8).__setitem__(0, 1),
        lambda: np.asarray(array).__setitem__(0, 1),
        lambda: array.sort(),
        lambda: np.add(array, 1, out=array),
        lambda: np.frombuffer(frame.data, np.uint8).setflags(write=True),
        lambda: np.asarray(frame.data).__setitem__(0, 1),
    ):
        with pytest.raises(ValueError):  # noqa: PT011 - numpy has many words for it
            write()
    with pytest.raises(TypeError):
        frame.data[0] = 1
    with pytest.raises(TypeError):
        ctypes.c_char.from_buffer(frame.data)  # type: ignore[arg-type]
    assert (array == 1).all()


def test_hold(link: Link) -> None:
    kept = []
    for _ in range(2):
        link.send(Frame.from_text("x"))
        kept.append(link.take())
    assert link.reader.take() is None  # nothing there: nothing wrong
    link.send(Frame.from_text("y"))
    with pytest.raises(HeldError, match=r"2 frames are kept, and hold .* is 2: keep frame\.copy\(\), or raise hold"):
        link.reader.take()
    kept[0] = kept[0].copy()
    assert link.take().text == "y"
    assert [f.text for f in kept] == ["x", "x"]


def test_cycles_are_no_reason(link: Link) -> None:
    gc.disable()
    try:
        for _ in range(5):
            link.send(Frame.from_text("x"))
            cycle: list[Any] = [link.take()]
            cycle.append(cycle)
            del cycle
    finally:
        gc.enable()
    assert link.held <= 2


def test_released_by_another_thread(link: Link) -> None:
    link.send(Frame.from_text("x"))
    box = [link.take()]
    thread = threading.Thread(target=box.clear)
    thread.start()
    thread.join()
    assert link.held == 0


def test_frames_survive_their_ends(link: Link) -> None:
    link.send(Frame.from_audio(np.full((8, 2), 7, np.int16), 8000))
    array = link.take().numpy()
    link.reader.close()
    link.writer.close()
    assert (array == 7).all()


def test_empty_frames(link: Link) -> None:
    for frame in (Frame.from_bytes(b""), Frame.from_text(""), Frame.from_tensor(np.zeros((0, 3)))):
        link.send(frame)
        got = link.take()
        assert len(got.data) == 0
        if got.kind == "tensor":
            assert got.numpy().shape == (0, 3)
