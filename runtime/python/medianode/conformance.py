"""Worker for the conformance suite that all languages share.

It reads requests from stdin and writes answers to stdout, one JSON object a
line, and is otherwise of no use. The protocol stands in the Go package
runtime/channel/channeltest, worker.go.
"""

from __future__ import annotations

import ctypes
import json
import queue
import sys
import threading
import time
import zlib
from collections import deque
from typing import Any, Callable, Optional

from . import _errors as errors
from . import _ledger as ledger
from ._config import Domain, Spec
from ._header import AUDIO, CONTROL, END_OF_STREAM, FOURCC, KINDS, TENSOR, VIDEO, Header
from ._iox import Transport
from ._publisher import Loan, Publisher
from ._subscriber import Received, Subscriber
from ._wait import Check

Json = dict[str, Any]


class _WithinError(Exception):
    """within_ms is over."""


_ERROR_KINDS: tuple[tuple[type[Exception], str], ...] = (
    (errors.ClosedError, "closed"),
    (errors.ReleasedError, "released"),
    (errors.TooLargeError, "too_large"),
    (errors.HeldError, "held"),
    (errors.LoanedError, "loaned"),
    (errors.NoSpaceError, "no_space"),
    (errors.CorruptError, "corrupt"),
    (_WithinError, "timeout"),
)


def _pattern(length: int, seed: int) -> bytes:
    period = bytes((seed + j) & 255 for j in range(256))
    return (period * (length // 256 + 1))[:length]


class Port:
    """One named end, and a thread that does the requests to it in order."""

    def __init__(self, worker: Worker, name: str) -> None:
        self.worker, self.name = worker, name
        self.publisher: Optional[Publisher] = None
        self.subscriber: Optional[Subscriber] = None
        self.kept: deque[Received] = deque()
        self.loans: list[Loan] = []
        self.closing = False
        self.busy = threading.RLock()  # ends are closed between requests only
        self.requests: queue.SimpleQueue[Json] = queue.SimpleQueue()
        threading.Thread(target=self._serve, name=name, daemon=True).start()

    def _serve(self) -> None:
        while True:
            request = self.requests.get()
            with self.busy:
                self.worker.perform(request, getattr(self, "do_" + request["do"], None))

    def patience(self, request: Json) -> Check:
        """Return what ends a wait of this request."""
        within = request.get("within_ms", 0)
        end = time.monotonic() + within / 1000 if within else float("inf")

        def check() -> None:
            if self.closing:
                raise errors.ClosedError(f"port {self.name}: closed")
            if time.monotonic() >= end:
                raise _WithinError(f"port {self.name}: not within {within} ms")

        return check

    def writer(self) -> Publisher:
        if self.publisher is None:
            raise ValueError(f"no publisher {self.name!r}")
        return self.publisher

    def reader(self) -> Subscriber:
        if self.subscriber is None:
            raise ValueError(f"no subscriber {self.name!r}")
        return self.subscriber

    def do_publisher(self, request: Json, answer: Json) -> None:
        self.publisher = Publisher(self.worker.domain(), Spec.parse(request["spec"]))

    def do_subscriber(self, request: Json, answer: Json) -> None:
        self.subscriber = Subscriber(self.worker.domain(), Spec.parse(request["spec"]), request.get("slot", 0))

    def do_send(self, request: Json, answer: Json) -> None:
        ports = [self.worker.port(name) for name in request["ports"]]
        answer["sent"] = 0
        for i in range(request.get("count") or 1):
            for port in ports:
                port.send(request, i, self.patience(request) if port is self else port.patience(request))
            answer["sent"] += 1
            time.sleep(request.get("gap_us", 0) / 1e6)

    def send(self, request: Json, i: int, patience: Check) -> None:
        loan = self.writer().loan(request.get("length", 0))
        if loan.payload.nbytes:
            loan.payload[:] = _pattern(loan.payload.nbytes, request.get("seed", 0) + i)
        _put(request.get("frame") or {}, loan.header)
        loan.header.pts += i
        loan.send(patience)

    def do_receive(self, request: Json, answer: Json) -> None:
        reader, patience, brief = self.reader(), self.patience(request), request.get("brief", False)
        answer.update({"received": 0, "ordered": True, "ended": False, "frames": []})
        count, last, bad = 0, -1, None
        while count < (request.get("count") or 1) and not answer["ended"]:
            try:
                got = reader.receive(patience)
            except _WithinError:
                break
            except errors.CorruptError as err:
                bad = err
                continue
            header, count = got.header, count + 1
            answer["ended"] = bool(header.flags & END_OF_STREAM)
            answer["ordered"] = answer["ordered"] and header.sequence > last
            answer.setdefault("first", header.sequence)
            answer["last"] = last = header.sequence
            if not brief:
                answer["frames"].append(_take(got))
            elif not answer["ended"]:
                answer["received"] += 1
            if request.get("keep"):
                self.kept.append(got)
            del got
            if not self.kept:
                reader.finish()
            time.sleep(request.get("gap_us", 0) / 1e6)
        if bad is not None:
            raise bad

    def do_release(self, request: Json, answer: Json) -> None:
        for _ in range(min(request.get("count") or len(self.kept), len(self.kept))):
            self.kept.popleft()
        if not self.kept:
            self.reader().finish()
        if request.get("again"):
            # A lease ends when nobody has it, so there is nothing to end twice.
            raise errors.ReleasedError("already released")

    def do_loan(self, request: Json, answer: Json) -> None:
        for _ in range(request.get("count") or 1):
            self.loans.append(self.writer().loan(request.get("length", 0)))

    def do_discard(self, request: Json, answer: Json) -> None:
        loans, self.loans = self.loans, []
        for loan in loans:
            loan.release()
        if request.get("again"):
            loans[-1].release()

    def do_corrupt(self, request: Json, answer: Json) -> None:
        writer = self.writer()
        port, writer._port = writer._port, _Spy(writer._port, _CORRUPT[request["what"]])
        try:
            self.send({"length": 3}, 0, self.patience(request))
        finally:
            writer._port = port

    def do_end(self, request: Json, answer: Json) -> None:
        self.writer().end(request.get("failed", False), self.patience(request))

    def do_drain(self, request: Json, answer: Json) -> None:
        self.writer().drain(self.patience(request))

    def do_alive(self, request: Json, answer: Json) -> None:
        if self.subscriber is not None:
            answer["alive"] = self.subscriber.ledger.writer_alive()
        else:
            answer["alive"] = self.writer().ledger.reader_alive(request.get("slot", 0))

    def do_counters(self, request: Json, answer: Json) -> None:
        end = self.publisher or self.reader()
        words = end.ledger.words
        answer["counters"] = {
            "next": words[ledger.W_NEXT],
            "bytes": words[ledger.W_BYTES],
            "ended": words[ledger.W_ENDED],
            "blocked_ns": words[ledger.W_BLOCKED],
            "slots": [
                {
                    "state": words[slot + ledger.R_STATE],
                    "next": words[slot + ledger.R_NEXT],
                    "received": words[slot + ledger.R_RECEIVED],
                    "bytes": words[slot + ledger.R_BYTES],
                    "dropped": words[slot + ledger.R_DROPPED],
                }
                for slot in map(ledger.slot_index, range(len(end.spec.readers)))
            ],
        }

    def do_close(self, request: Json, answer: Json) -> None:
        self.closing = True
        with self.busy:
            for end in (self.publisher, self.subscriber):
                if end is not None:
                    end.close()


def _put(frame: Json, header: Header) -> None:
    header.kind = KINDS.index(frame.get("kind") or "bytes")
    header.flags, header.pts = frame.get("flags", 0), frame.get("pts", 0)
    trace = bytes.fromhex(frame.get("trace_id") or "00" * 16)
    header.trace_id[:] = list(trace)
    media = header.media
    for name in ("audio", "video"):
        for field, value in (frame.get(name) or {}).items():
            setattr(getattr(media, name), field, value)
    tensor = frame.get("tensor")
    if tensor:
        media.tensor.code, media.tensor.bits, media.tensor.lanes = (
            tensor["code"],
            tensor["bits"],
            tensor["lanes"],
        )
        shape = tensor.get("shape") or []
        media.tensor.rank = len(shape)
        media.tensor.shape[: len(shape)] = shape


def _take(got: Received) -> Json:
    header, media = got.header, got.header.media
    frame: Json = {
        "sequence": header.sequence,
        "kind": KINDS[header.kind],
        "flags": header.flags,
        "pts": header.pts,
        "length": got.length,
        "crc32": zlib.crc32(ctypes.string_at(got.address, got.length)),
    }
    trace = bytes(header.trace_id)
    if any(trace):
        frame["trace_id"] = trace.hex()
    if header.kind == AUDIO:
        frame["audio"] = {n: getattr(media.audio, n) for n in ("rate", "channels", "format")}
    elif header.kind == VIDEO:
        frame["video"] = {n: getattr(media.video, n) for n in ("width", "height", "stride", "fourcc")}
    elif header.kind == TENSOR:
        tensor = media.tensor
        frame["tensor"] = {n: getattr(tensor, n) for n in ("code", "bits", "lanes")}
        frame["tensor"]["shape"] = tensor.shape[: tensor.rank]
    return frame


def _corrupt_audio(h: Header) -> None:
    h.kind = AUDIO
    h.media.audio.rate, h.media.audio.channels, h.media.audio.format = 48000, 2, 2


def _corrupt_video(h: Header) -> None:
    h.kind, v = VIDEO, h.media.video
    v.width, v.height, v.stride, v.fourcc = 640, 480, 1920, FOURCC["rgb24"]


def _corrupt_tensor(h: Header) -> None:
    h.kind, t = TENSOR, h.media.tensor
    t.code, t.bits, t.lanes, t.rank = 2, 32, 1, 9


_CORRUPT: dict[str, Callable[[Header], None]] = {
    "version": lambda h: setattr(h, "version", 2),
    "kind": lambda h: setattr(h, "kind", 99),
    "audio": _corrupt_audio,
    "video": _corrupt_video,
    "tensor": _corrupt_tensor,
    "sequence": lambda h: setattr(h, "sequence", 1 << 62),
}


class _Spy:
    """A writer's port below the publisher, which sends what a publisher would not."""

    def __init__(self, port: Any, corrupt: Callable[[Header], None]) -> None:
        self._port, self._corrupt = port, corrupt

    def loan_slice_uninit(self, size: int) -> _Spy:
        self._sample = self._port.loan_slice_uninit(size)
        self.payload_ptr, self.user_header_ptr = self._sample.payload_ptr, self._sample.user_header_ptr
        return self

    def assume_init(self) -> Any:
        self._corrupt(Header.from_address(self.user_header_ptr))
        return self._sample.assume_init()


class Worker:
    """The worker: reads requests and hands them to its ports."""

    def __init__(self) -> None:
        self._transport: Optional[Transport] = None
        self._ports: dict[str, Port] = {}
        self._writing = threading.Lock()
        self._ticks = 0
        threading.Thread(target=self._tick, daemon=True).start()

    def _tick(self) -> None:
        while True:
            time.sleep(0.001)
            self._ticks += 1

    def domain(self) -> Transport:
        if self._transport is None:
            raise ValueError("a port needs hello")
        return self._transport

    def port(self, name: str) -> Port:
        if name not in self._ports:
            self._ports[name] = Port(self, name)
        return self._ports[name]

    def perform(self, request: Json, operation: Optional[Callable[[Json, Json], None]]) -> None:
        """Do a request and answer it."""
        answer: Json = {"id": request["id"]}
        try:
            if operation is None:
                raise ValueError(f"unknown operation {request['do']!r}")
            operation(request, answer)
        except Exception as err:
            kind = next((k for e, k in _ERROR_KINDS if isinstance(err, e)), "other")
            answer.update({"kind": kind, "error": str(err) or repr(err)})
        with self._writing:
            print(json.dumps(answer), flush=True)

    def hello(self, request: Json, answer: Json) -> None:
        from importlib import metadata

        if request.get("dir", "/dev/shm").rstrip("/") != "/dev/shm":
            raise ValueError(f"{request['dir']}: this worker reaches /dev/shm only")
        self._transport = Transport(Domain(**request["domain"]))
        answer.update({"language": "python", "iceoryx2": metadata.version("iceoryx2")})

    def ticks(self, request: Json, answer: Json) -> None:
        answer["ticks"] = self._ticks

    def run(self) -> None:
        """Serve until exit or the end of stdin."""
        last: Optional[Json] = None
        for line in sys.stdin:
            request = json.loads(line)
            what = request["do"]
            if what == "exit":
                last = request
                break
            if what in ("hello", "ticks") or not request.get("ports"):
                self.perform(request, {"hello": self.hello, "ticks": self.ticks}.get(what))
            elif what in ("close", "alive", "counters"):
                port = self.port(request["ports"][0])
                threading.Thread(target=self.perform, args=(request, getattr(port, "do_" + what)), daemon=True).start()
            else:
                self.port(request["ports"][0]).requests.put(request)
        for port in self._ports.values():
            port.do_close({}, {})
            port.kept.clear()
            port.loans.clear()
        self._transport = None
        if last is not None:
            self.perform(last, lambda request, answer: None)


assert len(KINDS) - 1 == CONTROL

if __name__ == "__main__":
    Worker().run()
