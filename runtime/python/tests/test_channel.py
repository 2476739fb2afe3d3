"""Channels between two processes, over real shared memory."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_runtime import FakeRuntime, ended, payload, until

from medianode import _iox
from medianode._config import Domain, Spec
from medianode._errors import (
    ChannelError,
    ClosedError,
    CorruptError,
    LoanedError,
    NoSpaceError,
    ReleasedError,
    TooLargeError,
)
from medianode._header import BYTES, FAILED, HeaderPlace, new_header
from medianode._ledger import DETACHED, R_NEXT, R_STATE, W_BLOCKED, W_NEXT, Ledger, slot_index
from medianode._publisher import Publisher

PEER = """
import json, os, sys, time
from medianode._config import Domain, Spec
from medianode._header import BYTES, END_OF_STREAM, new_header
from medianode._iox import Transport
from medianode._publisher import Publisher
from medianode._subscriber import Subscriber

root, prefix, role, spec = sys.argv[1:5]
transport, spec = Transport(Domain(root, prefix)), Spec.parse(json.loads(spec))
if role == "read":
    reader = Subscriber(transport, spec, 0)
    print("ready", flush=True)
    gap, n = float(sys.argv[5]), 0
    while not reader.receive().header.flags & END_OF_STREAM:
        n += 1
        time.sleep(gap)
    print(n, reader.dropped, flush=True)
else:
    writer = Publisher(transport, spec)
    if len(sys.argv) > 6 and os.fork() == 0:
        time.sleep(float(sys.argv[6]))
        os._exit(0)
    for i in range(int(sys.argv[5])):
        writer.send(new_header(BYTES), memoryview(b"%d" % i))
    print("sent", flush=True)
    time.sleep(3600)
"""


def peer(runtime: FakeRuntime, role: str, spec: Spec, *more: object) -> subprocess.Popen[str]:
    process = runtime.python(
        "-c", PEER, runtime.domain.root, runtime.domain.prefix, role, json.dumps(spec.to_json()), *map(str, more)
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() in ("ready", "sent"), process.communicate()[1]
    return process


def send(writer: Publisher, count: int = 1, data: bytes = b"x", patience: Any = None) -> None:
    for _ in range(count):
        writer.send(new_header(BYTES), memoryview(data), patience or until(10))


def finish(process: subprocess.Popen[str]) -> list[int]:
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    return [int(n) for n in out.split()]


def test_block_loses_nothing(runtime: FakeRuntime) -> None:
    spec = runtime.create(runtime.spec("c", buffer=2))
    reader = peer(runtime, "read", spec, 0.001)
    writer = runtime.publisher(spec)
    send(writer, 200)
    writer.end()
    writer.drain(until(10))
    assert writer.ledger.words[W_BLOCKED] > 50_000_000
    writer.close()
    assert finish(reader) == [200, 0]


def test_drop_oldest_counts(runtime: FakeRuntime) -> None:
    spec = runtime.create(runtime.spec("c", buffer=4, policy="drop_oldest"))
    reader = peer(runtime, "read", spec, 0.005)
    writer = runtime.publisher(spec)
    send(writer, 300)
    writer.end()
    assert writer.ledger.words[W_BLOCKED] == 0
    writer.drain(until(10))
    received, dropped = finish(reader)
    assert received + dropped == 300
    assert dropped > 100


def test_dead_reader_is_not_waited_for(runtime: FakeRuntime) -> None:
    spec = runtime.create(runtime.spec("c", buffer=2))
    reader = peer(runtime, "read", spec, 3600)
    writer = runtime.publisher(spec)
    threading.Timer(0.3, reader.kill).start()
    began = time.monotonic()
    send(writer, 10)
    assert 0.2 < time.monotonic() - began < 1
    assert writer.ledger.words[slot_index(0) + R_STATE] == DETACHED
    writer.drain(until(1))


def test_dead_writer_is_seen(runtime: FakeRuntime) -> None:
    spec = runtime.create(runtime.spec("c"))
    reader = runtime.subscriber(spec)
    assert not reader.writer_gone()
    writer = peer(runtime, "write", spec, 3)
    assert not reader.writer_gone()
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    assert reader.writer_gone()
    assert [payload(reader.receive(until(1))) for _ in range(3)] == [b"0", b"1", b"2"]


def test_forked_child_does_not_keep_the_lock(runtime: FakeRuntime) -> None:
    spec = runtime.create(runtime.spec("c"))
    reader = runtime.subscriber(spec)
    writer = peer(runtime, "write", spec, 0, 2)
    time.sleep(0.1)
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    assert reader.writer_gone()


def test_waiting_leaves_the_interpreter_free(runtime: FakeRuntime) -> None:
    spec = runtime.create(runtime.spec("c", buffer=1))
    reader, writer = runtime.subscriber(spec), runtime.publisher(spec)
    ticks, stop = [0], threading.Event()

    def tick() -> None:
        while not stop.is_set():
            time.sleep(0.001)
            ticks[0] += 1

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        for wait in (lambda: send(writer, 2, patience=until(0.4)), lambda: [reader.receive(until(0.4)) for _ in "12"]):
            before = ticks[0]
            with pytest.raises(TimeoutError):
                wait()
            assert ticks[0] - before > 50
    finally:
        stop.set()
        thread.join()


def test_late_reader_starts_at_what_is_next(runtime: FakeRuntime) -> None:
    spec = runtime.create(runtime.spec("c", buffer=2))
    writer = runtime.publisher(spec)
    send(writer, 5)
    reader = runtime.subscriber(spec)
    send(writer)
    assert reader.receive(until(1)).header.sequence == 5
    assert reader.dropped == 0


def test_end_and_drain(runtime: FakeRuntime) -> None:
    spec = runtime.create(runtime.spec("c"))
    reader, writer = runtime.subscriber(spec), runtime.publisher(spec)
    send(writer, 2)
    writer.end(failed=True)
    with pytest.raises(TimeoutError):
        writer.drain(until(0.1))
    for _ in range(2):
        assert not ended(reader.receive(until(1)))
    got = reader.receive(until(1))
    assert ended(got)
    assert got.header.flags & FAILED
    writer.drain(until(0.1))


def test_one_writer_and_one_reader_a_slot(runtime: FakeRuntime) -> None:
    spec = runtime.create(runtime.spec("c"))
    reader, writer = runtime.subscriber(spec), runtime.publisher(spec)
    with pytest.raises(ChannelError, match="has a writer already"):
        runtime.publisher(spec)
    with pytest.raises(ChannelError, match="subscribe"):
        runtime.subscriber(spec)
    with pytest.raises(ChannelError, match="reader 1 of 1"):
        runtime.subscriber(spec, 1)
    writer.close()
    writer.close()
    reader.close()
    with pytest.raises(ClosedError):
        send(writer)
    with pytest.raises(ClosedError):
        reader.take()
    runtime.publisher(spec).close()
    runtime.subscriber(spec).close()


def test_loans(runtime: FakeRuntime) -> None:
    writer = runtime.publisher(runtime.create(runtime.spec("c", max_frame=100)))
    loan = writer.loan(100)
    with pytest.raises(LoanedError):
        writer.loan(1)
    loan.release()
    for again in (loan.release, loan.send):
        with pytest.raises(ReleasedError):
            again()
    with pytest.raises(TooLargeError, match="frame of 101 bytes, max_frame of the output is 100: raise max_frame"):
        writer.loan(101)
    assert writer.ledger.words[W_NEXT] == 0
    send(writer, data=b"")


def test_segment_has_its_memory_at_once(runtime: FakeRuntime) -> None:
    writer = runtime.publisher(runtime.create(runtime.spec("c", max_frame=1 << 20, buffer=3)))
    (segment,) = Path("/dev/shm").glob(f"{runtime.domain.prefix}*.data")
    stat = segment.stat()
    assert stat.st_blocks * 512 >= stat.st_size > 4 << 20
    writer.close()


def test_no_space(runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = runtime.create(runtime.spec("c", max_frame=1 << 20))

    def full(fd: int, offset: int, size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(NoSpaceError, match=r"need \d{8} bytes, /dev/shm has \d+ left: No space left"):
        runtime.publisher(spec)
    monkeypatch.undo()
    runtime.publisher(spec).close()  # nothing of it is left in the way


def test_ledger_of_another_version(runtime: FakeRuntime) -> None:
    spec = runtime.create(runtime.spec("c"))
    path = Path(runtime.ledgers[-1])
    path.write_bytes(b"\1" + path.read_bytes()[1:])
    with pytest.raises(ChannelError, match="made by another version"):
        Ledger(spec.name, 1)
    path.write_bytes(path.read_bytes()[:1280])
    with pytest.raises(ChannelError, match="2 readers"):
        Ledger(spec.name, 2)
    with pytest.raises(ChannelError, match="No such file"):
        Ledger("absent" + spec.name, 1)


def test_conformance_worker_answers(runtime: FakeRuntime) -> None:
    requests = [
        {"id": 1, "do": "hello", "domain": vars(runtime.domain), "dir": "/dev/shm"},
        {"id": 2, "do": "no such thing", "ports": ["p"]},
        {"id": 3, "do": "exit"},
    ]
    done = subprocess.run(
        [sys.executable, "-m", "medianode.conformance"],
        input="\n".join(map(json.dumps, requests)),
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    answers = {a["id"]: a for a in map(json.loads, done.stdout.splitlines())}
    assert answers[1] == {"id": 1, "language": "python", "iceoryx2": "0.10.0"}
    assert answers[3] == {"id": 3}


class HalfSent:
    """A sample that reaches its readers and whose send fails all the same."""

    def __init__(self, sample: Any) -> None:
        self._sample = sample

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sample, name)

    def assume_init(self) -> HalfSent:
        self._sample = self._sample.assume_init()
        return self

    def send(self) -> None:
        self._sample.send()
        raise RuntimeError("broken")


def test_sequence_of_a_failed_send_is_spent(runtime: FakeRuntime) -> None:
    spec = runtime.create(runtime.spec("c"))
    reader, writer = runtime.subscriber(spec), runtime.publisher(spec)
    loan = writer.loan(0)
    place = HeaderPlace.from_address(loan._sample.user_header_ptr)
    with pytest.raises(ChannelError, match="broken"):
        writer._send(HalfSent(loan._sample), place, new_header(BYTES), 0, 0)
    loan.release()
    assert reader.receive(until(1)).header.sequence == 0
    writer.end(failed=True)
    last = reader.receive(until(1))
    assert last.header.sequence == 1
    assert ended(last)


def test_new_reader_is_not_taken_for_a_dead_one(runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = runtime.create(runtime.spec("c", buffer=1))
    reader, writer = runtime.subscriber(spec), runtime.publisher(spec)
    send(writer)
    looks = iter([False])  # dead; then another one is there
    monkeypatch.setattr(writer.ledger, "reader_alive", lambda slot: next(looks, True))
    with pytest.raises(TimeoutError):
        send(writer, patience=until(0.2))
    monkeypatch.undo()
    reader.receive(until(1))
    send(writer)
    assert reader.receive(until(1)).header.sequence == 1


def test_readers_that_come_and_go_lose_nothing(runtime: FakeRuntime) -> None:
    spec = runtime.create(runtime.spec("c", buffer=1))
    reader = runtime.subscriber(spec)
    writer = runtime.python(
        "-c", PEER, runtime.domain.root, runtime.domain.prefix, "write", json.dumps(spec.to_json()), "1000000"
    )
    for _ in range(50):
        for _ in range(3):
            reader.receive(until(10))
        reader.close()
        reader = runtime.subscriber(spec)
    assert reader.dropped == 0
    writer.kill()


def test_a_length_that_no_frame_can_have(runtime: FakeRuntime) -> None:
    spec = runtime.create(runtime.spec("c", max_frame=64))
    reader, writer = runtime.subscriber(spec), runtime.publisher(spec)
    send(writer)
    sample = reader._port.receive()
    liar = SimpleNamespace(
        user_header_ptr=sample.user_header_ptr, payload_ptr=0, header=SimpleNamespace(number_of_elements=1 << 40)
    )
    got = reader._admit(liar)
    assert isinstance(got, CorruptError)
    assert "max_frame is 64" in str(got)
    assert reader.dropped == 1


def test_a_frame_from_before_does_not_keep_a_reader_awake(runtime: FakeRuntime) -> None:
    spec = runtime.create(runtime.spec("c"))
    reader, writer = runtime.subscriber(spec), runtime.publisher(spec)
    send(writer)
    reader._words[reader._slot + R_NEXT] = 1  # as if it had joined after the claim
    assert reader.take() is None
    assert not reader.announce(True)
    send(writer)
    assert reader.announce(True)
    assert reader.receive(until(1)).header.sequence == 1


def test_clean_removes_files_of_nobody(runtime: FakeRuntime) -> None:
    spec = runtime.create(runtime.spec("c"))
    reader, writer = runtime.subscriber(spec), runtime.publisher(spec)
    dead = peer(runtime, "read", runtime.create(runtime.spec("d")), 0)
    dead.kill()
    dead.wait()
    hash_ = "0354a209029e7d094a819e2d4030ea331e6caaf0"
    orphans = [
        Path(f"/dev/shm/{runtime.domain.prefix}{hash_}_1.data"),
        Path(f"/dev/shm/{runtime.domain.prefix}{hash_}_1_2.connection"),
        Path(runtime.root, f"{runtime.domain.prefix}3.event"),
    ]
    for path in orphans:
        path.touch()
    assert runtime.transport.clean() == 4
    assert not any(path.exists() for path in orphans)
    assert runtime.transport.clean() == 0
    send(writer)
    assert reader.receive(until(1)).header.sequence == 0


def test_other_iceoryx2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "iceoryx2-0.9.1.dist-info").mkdir()
    monkeypatch.setattr(_iox, "PACKAGES", str(tmp_path))
    with pytest.raises(ChannelError, match=r"this image has iceoryx2 0\.9\.1, and the runtime has 0\.10\.0"):
        _iox.Transport(Domain(str(tmp_path), "p_"))
    pyproject = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    assert f'"iceoryx2=={_iox.WANTED}"' in pyproject
