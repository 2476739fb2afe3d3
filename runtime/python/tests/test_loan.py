from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_runtime import FakeRuntime, NodeProcess, entering, leaving, payload
from nodes import Pipe, collect, send_text, write

from medianode import LoanedFrame, ReleasedError
from medianode._frame import Frame
from medianode._header import FAILED, Header
from medianode._lease import Lease
from medianode._loan import audio_header, bytes_header, tensor_header, video_header


class Memory:
    """A loan of plain memory."""

    def __init__(self, header: Header, size: int) -> None:
        self.header, self.payload = header, memoryview(bytearray(size))
        self.calls: list[str] = []

    def send(self) -> None:
        self.calls.append("send")

    def release(self) -> None:
        self.calls.append("release")


def same(loan: Memory, frame: Frame) -> bool:
    return bytes(loan.header) == bytes(frame._header)


def test_headers_are_those_of_a_frame_that_is_copied() -> None:
    picture, planar = np.zeros((4, 6, 3), "u1"), np.zeros((6, 8), "u1")
    sound, tensor = np.zeros((10, 2), "i2"), np.zeros((2, 0, 3), ">f4")
    for (header, size), frame in (
        (video_header(6, 4, "rgb24"), Frame.from_video(picture)),
        (video_header(8, 4, "i420"), Frame.from_video(planar, "i420")),
        (audio_header(10, 2, 48000, "s16"), Frame.from_audio(sound, 48000)),
        (tensor_header((2, 0, 3), ">f4"), Frame.from_tensor(tensor)),
        (tensor_header(5, np.int64), Frame.from_tensor(np.zeros(5, "i8"))),
        (tensor_header((), bool), Frame.from_tensor(np.array(True))),
        (bytes_header(7), Frame.from_bytes(bytes(7))),
    ):
        assert size == len(frame.data)
        assert bytes(header) == bytes(frame._header)
        loan = Memory(header, size)
        with LoanedFrame(loan) as f:
            a = f.numpy()
            assert (a.shape, a.dtype) == (frame.numpy().shape, frame.numpy().dtype)
            assert a.flags.writeable
            assert f.kind == frame.kind


@pytest.mark.parametrize(
    "call",
    [
        lambda: video_header(0, 4, "rgb24"),
        lambda: video_header(4, 1 << 17, "rgb24"),
        lambda: video_header(5, 4, "nv12"),
        lambda: video_header(4, 4, "rgb"),
        lambda: audio_header(-1, 2, 48000, "s16"),
        lambda: audio_header(10, 0, 48000, "s16"),
        lambda: audio_header(10, 1, 0, "s16"),
        lambda: audio_header(10, 1, 48000, "s17"),
        lambda: tensor_header((1,) * 9, "f4"),
        lambda: tensor_header((-1,), "f4"),
        lambda: tensor_header((1 << 30, 1 << 30), "f4"),
        lambda: tensor_header((1,), "U4"),
        lambda: bytes_header(-1),
    ],
)
def test_what_cannot_be(call: Any) -> None:
    with pytest.raises(ValueError, match=r"want|too large"):
        call()


def test_the_end_of_a_loan() -> None:
    loan = Memory(*bytes_header(4))
    with LoanedFrame(loan) as f:
        array, view = f.numpy(), f.data
        array[:] = 7
        view[0] = 9
        assert f.data is view
    assert (loan.calls, bytes(loan.payload)) == (["send"], b"\x09\x07\x07\x07")
    with pytest.raises(ReleasedError, match="ends with its with block"):
        f.numpy()
    with pytest.raises(ReleasedError):
        _ = f.data
    with pytest.raises(ReleasedError):
        f.__enter__()
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    with pytest.raises(ValueError, match="released"):
        view[0] = 1


def test_nothing_is_sent_after_an_error() -> None:
    loan = Memory(*bytes_header(4))
    with pytest.raises(KeyError), LoanedFrame(loan):
        raise KeyError
    discarded = Memory(*bytes_header(4))
    with LoanedFrame(discarded) as f:
        f.discard()
        f.discard()
    forgotten = Memory(*bytes_header(4))
    LoanedFrame(forgotten)
    assert [x.calls for x in (loan, discarded, forgotten)] == [["release"]] * 3


CODE = """
import numpy as np, threading
class N(Node):
    n = 0
    def process(self, frame):
        what = frame.text
        if what == "video":
            with self.loan_video(8, 4) as f: f.numpy()[:] = 3
        elif what == "audio":
            with self.loan_audio(5, 2, 16000, pts_ns=9) as f: f.numpy()[:] = -1
        elif what == "tensor":
            with self.loan_tensor((2, 3), "f4") as f: f.numpy()[:] = 0.5
        elif what == "bytes":
            with self.loan_bytes(4) as f: f.data[:] = b"abcd"
        elif what == "empty":
            with self.loan_bytes(0) as f: assert f.numpy().shape == (0,)
        elif what == "error":
            try:
                with self.loan_bytes(4) as f: raise KeyError
            except KeyError: pass
        elif what == "two":
            try:
                with self.loan_bytes(4) as f:
                    f.data[:] = b"wxyz"
                    self.emit(frame)
            except Exception as err: yield Frame.from_text(f"{type(err).__name__}: {err}")
        elif what == "large":
            try: self.loan_bytes(70000)
            except Exception as err: yield Frame.from_text(f"{type(err).__name__}: {err}")
        elif what == "nowhere":
            with self.loan_bytes(4, port="typo") as f: f.data[:] = b"abcd"
        elif what == "late":
            with self.loan_bytes(4) as f: self.kept = f.numpy()[1:]; f.data[:] = b"late"
        elif what == "other":
            def work():
                self.emit(Frame.from_text("from a thread"))
            t = threading.Thread(target=work)
            with self.loan_bytes(5) as f:
                t.start()
                t.join(0.2)
                f.data[:] = b"first"
            t.join()
    def close(self):
        if hasattr(self, "kept"): print(self.kept.tobytes())
"""


def test_they_arrive(runtime: FakeRuntime, tmp_path: Path) -> None:
    pipe = Pipe(runtime, write(tmp_path, CODE))
    pipe.node.start()
    for what in ("video", "error", "audio", "tensor", "bytes", "empty", "two", "large", "nowhere", "other", "late"):
        send_text(pipe.writer, what, pts=500)
        if what == "video":
            got = pipe.next()
            frame = Frame._received(
                got.header, got.address, got.length, Lease(None, pipe.reader._held), pipe.reader.block, "", "", ""
            )
            assert (frame.kind, frame.width, frame.pts_ns, frame.sequence) == ("video", 8, 500, 0)
            assert frame.numpy().shape == (4, 8, 3)
            assert (frame.numpy() == 3).all()
            del frame, got
    pipe.writer.end()
    frames = []
    for want in (9, 500, 500, 500, 500, 500, 500, 0, 500):
        got = pipe.next()
        frames.append(payload(got))
        assert (got.header.sequence, got.header.pts) == (len(frames), want)
        del got
    assert frames[:4] == [b"\xff" * 20, np.full(6, 0.5, "f4").tobytes(), b"abcd", b""]
    assert frames[4].startswith(b"FrameError: output output: a frame that is written in place is open")
    assert frames[5].startswith(b"FrameError: output output: frame of 70000 bytes, max_frame of the output is 65536")
    assert frames[6:] == [b"first", b"from a thread", b"late"]
    assert not collect(pipe.reader, pipe.node)[1].flags & FAILED
    assert pipe.done()["unread"] == {"typo": 1}
    assert pipe.out == "b'ate'\n"


def test_two_channels_get_it(runtime: FakeRuntime, tmp_path: Path) -> None:
    code = """
class N(Node):
    def process(self, frame):
        with self.loan_bytes(4) as f: f.data[:] = frame.data
"""
    into = runtime.create(runtime.spec("in", buffer=32))
    block, drop = runtime.create(runtime.spec("b")), runtime.create(runtime.spec("d", policy="drop_oldest", buffer=4))
    writer, reader, lossy = runtime.publisher(into), runtime.subscriber(block), runtime.subscriber(drop)
    node = NodeProcess(
        runtime, "user:N", write(tmp_path, code), inputs=[entering(into)], outputs=[leaving(drop, block)]
    )
    node.start()
    for i in range(20):
        send_text(writer, f"{i:04}")
    writer.end()
    assert collect(reader, node)[0] == [b"%04d" % i for i in range(20)]
    frames, _ = collect(lossy, node)
    assert frames[-1] == b"0019"
    assert len(frames) + lossy.dropped == 20
    node.expect("closed")


def test_a_loan_that_is_open_at_the_end(runtime: FakeRuntime, tmp_path: Path) -> None:
    code = """
import threading
class N(Node):
    def process(self, frame):
        if not hasattr(self, "thread"):
            self.opened, self.go = threading.Event(), threading.Event()
            self.thread = threading.Thread(target=self.work)
            self.thread.start()
            self.opened.wait()
    def work(self):
        try:
            with self.loan_bytes(1000) as f:
                self.opened.set()
                while not self.stopping: pass
                self.go.wait(0.5)
                f.data[:] = bytes(1000)
        except Exception as err: print(type(err).__name__)
"""
    pipe = Pipe(runtime, write(tmp_path, code))
    assert pipe.run("x", "y")[0] == []
    pipe.done()
    assert pipe.out == "ClosedError\n"
