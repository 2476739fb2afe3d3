"""Cost of a frame that goes through a node, beside the iceoryx2 package doing the same by hand.

python tests/bench_echo.py prints, for two sizes: the time of one step (receive,
copy into the output, send) in this process, where nothing waits, for the ways
in which a node may give a frame; and a round trip through a node in a process
of its own, with wake-ups, for the ways of waiting. By hand is the floor.
"""

from __future__ import annotations

import ctypes
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import numpy as np
from fake_runtime import FakeRuntime, NodeProcess, entering, leaving, until

from medianode import Frame, Node, _iox
from medianode._config import Domain, NodeConfig
from medianode._header import BYTES, Header, new_header
from medianode._session import Session
from medianode._user import Caller

PLAIN = """
import ctypes, sys
from medianode import _iox
from medianode._config import Domain, Reader, Spec
from medianode._header import Header
root, prefix, into, out, size = sys.argv[1:6]
t = _iox.Transport(Domain(root, prefix))
def spec(name): return Spec(name, int(size), "block", (Reader("r", "input", 8, 1),), 1)
sub = t.pubsub(spec(into)).subscriber_builder().buffer_size(8).create()
pub = _iox.new_publisher(t.pubsub(spec(out)), spec(out), t.domain)
listener = t.events(into, spec(into)).listener_builder().create()
notifier = t.events(out, spec(out)).notifier_builder().create()
limit = _iox.duration(50)
print("ready", flush=True)
while True:
    sample = sub.receive()
    if sample is None:
        listener.timed_wait(limit)
        continue
    data = sample.payload().as_memory_view().cast("B")
    loan = pub.loan_slice_uninit(len(data))
    loan.payload().as_memory_view().cast("B")[:] = data
    ctypes.memmove(loan.user_header_ptr, sample.user_header_ptr, 128)
    loan.assume_init().send()
    notifier.notify()
    del sample, data
"""


# Between round trips: a stream with a rate, after whose frames a node sleeps.
PAUSE = 0.001


class Return(Node):
    """Gives back what it gets."""

    def process(self, frame: Any) -> Any:
        return frame


class Yield(Node):
    """Yields what it gets."""

    def process(self, frame: Any) -> Any:
        yield frame


class Emit(Node):
    """Sends what it gets by itself."""

    def process(self, frame: Any) -> Any:
        self.emit(frame)


class Make(Node):
    """Makes a frame of bytes."""

    def process(self, frame: Any) -> Any:
        return Frame.from_bytes(frame.data)


class Invert(Node):
    """Computes an array and gives it."""

    def process(self, frame: Any) -> Any:
        return Frame.from_bytes(np.invert(frame.numpy()))


class InPlace(Node):
    """Computes the same where it is read."""

    def process(self, frame: Any) -> Any:
        with self.loan_bytes(len(frame.data)) as f:
            np.invert(frame.numpy(), out=f.numpy())


class Batch(Node):
    """Gives back what it gets, as a batch of one."""

    def process_batch(self, frames: Any) -> Any:
        return frames


NODES = (Return, Yield, Emit, Make, Batch, Invert, InPlace)


def measure(step: Callable[[], Any], before: Callable[[], Any], after: Callable[[], Any], count: int) -> float:
    """Return the median time of a step in microseconds."""
    times = []
    for _ in range(count):
        before()
        began = time.perf_counter_ns()
        step()
        times.append(time.perf_counter_ns() - began)
        after()
    return statistics.median(times) / 1000


def plain_step(runtime: FakeRuntime, into: Any, out: Any, send: Callable[[], Any], count: int) -> float:
    sub = runtime.transport.pubsub(into).subscriber_builder().buffer_size(8).create()
    pub = _iox.new_publisher(runtime.transport.pubsub(out), out, runtime.domain)
    back = runtime.transport.pubsub(out).subscriber_builder().buffer_size(8).create()

    def by_hand() -> None:
        sample = sub.receive()
        data = sample.payload().as_memory_view().cast("B")
        loan = pub.loan_slice_uninit(len(data))
        loan.payload().as_memory_view().cast("B")[:] = data
        ctypes.memmove(loan.user_header_ptr, sample.user_header_ptr, 128)
        loan.assume_init().send()

    return measure(by_hand, send, back.receive, count)


def steps(runtime: FakeRuntime, size: int, count: int) -> dict[str, float]:
    into = runtime.create(runtime.spec("in", max_frame=size))
    out = runtime.create(runtime.spec("out", max_frame=size))
    writer = runtime.publisher(into)
    payload = memoryview(bytes(size))

    def send() -> None:
        writer.send(new_header(BYTES), payload)

    found = {"by hand": plain_step(runtime, into, out, send, count)}
    config = NodeConfig.parse(
        {
            "version": 1, "id": "n", "type": "m:C", "domain": vars(runtime.domain),
            "inputs": [entering(into)], "outputs": [leaving(out, max_frame=size)],
        }
    )  # fmt: skip
    for node in NODES:
        session = Session("main", node(), config, runtime.transport, Caller(), lambda: None, lambda: False)
        reader = runtime.subscriber(out)
        found[node.__name__] = measure(session.step, send, reader.take, count)
        session.ports.close()
        reader.close()
    writer.close()
    return found


def round_trip(runtime: FakeRuntime, size: int, count: int, wait: str) -> float:
    plain, mark = wait == "by hand", f"{size}{wait.replace(' ', '')}"
    into = runtime.create(runtime.spec("rin" + mark, max_frame=size))
    out = runtime.create(runtime.spec("rout" + mark, max_frame=size))
    reader, writer = runtime.subscriber(out), runtime.publisher(into)
    if plain:
        domain: Domain = runtime.domain
        # By hand there is no ledger: the writer wakes it by every frame.
        process = runtime.python("-c", PLAIN, domain.root, domain.prefix, into.name, out.name, str(size))
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()
    else:
        source = Path(tempfile.mkdtemp(dir=runtime.root))
        (source / "user.py").write_text(
            "from medianode import Node\nclass Echo(Node):\n    def process(self, frame): return frame\n"
        )
        node = NodeProcess(
            runtime, "user:Echo", source, inputs=[entering(into, wait=wait)],
            outputs=[leaving(out, max_frame=size)], node_id="n" + mark,
        )  # fmt: skip
        node.start()
    payload = memoryview(bytes(size))
    times = []
    for i in range(count):
        header: Header = new_header(BYTES)
        began = time.perf_counter_ns()
        writer.send(header, payload)
        if plain:
            _iox.notify(writer._notifier)
            while (got := receive_plain(reader)) is None:
                _iox.listen(reader.listener, reader._limit)
        else:
            got = reader.receive(until(5))
        if i >= count // 10:
            times.append(time.perf_counter_ns() - began)
        del got
        time.sleep(PAUSE)
    writer.close()
    reader.close()
    return statistics.median(times) / 1000


def receive_plain(reader: Any) -> Any:
    sample = reader._port.receive()
    if sample is not None:
        reader._words[reader._slot + 2] += 1  # credits of the other direction are not kept by hand
    return sample


def table() -> None:
    print(f"python {sys.version.split()[0]}: microseconds a frame, median")
    for size, count in ((640, 10000), (3 << 20, 300)):
        runtime = FakeRuntime()
        try:
            rows = {"step": steps(runtime, size, count)}
            trips = {w: round_trip(runtime, size, count // 10, w) for w in ("by hand", "block", "adaptive", "spin")}
            rows["round trip"] = trips
        finally:
            runtime.close()
        for name, figures in rows.items():
            print(f"{size:>8} bytes  {name:<10}  " + "  ".join(f"{k} {v:.1f}" for k, v in figures.items()))


if __name__ == "__main__":
    table()
