from __future__ import annotations

import json
import math
import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from fake_runtime import FakeRuntime
from nodes import Pipe, collect, send_text, write

from medianode import Node
from medianode._metrics import MAX_METRICS, Histogram, Metrics


def test_counter_and_gauge() -> None:
    m = Metrics()
    seen, queue = m.counter("seen", "faces"), m.gauge("queue")
    seen.inc()
    seen.inc(2)
    queue.set(5)
    queue.inc(-1.5)
    assert (seen.value, queue.value, seen.help) == (3, 3.5, "faces")
    assert m.counter("seen") is seen
    assert m.snapshot() == [
        {"name": "queue", "kind": "gauge", "value": 3.5},
        {"name": "seen", "kind": "counter", "value": 3},
    ]


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.counter("Seen"),
        lambda m: m.counter("1st"),
        lambda m: m.counter("a" * 64),
        lambda m: m.counter("a\n"),
        lambda m: m.counter("a").inc(-1),
        lambda m: m.counter("a").inc(math.nan),
        lambda m: m.gauge("a").set(math.inf),
        lambda m: m.histogram("a").observe(math.nan),
        lambda m: (m.counter("a"), m.gauge("a")),
        lambda m: [m.counter(f"m{i}") for i in range(MAX_METRICS + 1)],
    ],
)
def test_refused(call: Any) -> None:
    with pytest.raises(ValueError, match="metric"):
        call(Metrics())


def test_histogram() -> None:
    h = Histogram("ms")
    assert h.snapshot() == {"name": "ms", "kind": "histogram", "count": 0, "sum": 0.0}
    random.seed(1)
    values = [random.lognormvariate(2, 1) for _ in range(5000)]
    for v in values:
        h.observe(v)
    got, values = h.snapshot(), sorted(values)
    assert (got["count"], got["min"], got["max"]) == (5000, values[0], values[-1])
    assert got["sum"] == pytest.approx(sum(values))
    assert got["p50"] == pytest.approx(values[2499], rel=0.035)
    assert got["p99"] == pytest.approx(values[4949], rel=0.035)


@pytest.mark.parametrize(
    "values", [[0], [-5, -4, 3], [1e-320, 1e308], [7] * 3, [-1e308, 0.0, 5e-324], [1.7976931348623157e308] * 2]
)
def test_histogram_of_odd_values(values: list[float]) -> None:
    h = Histogram("x")
    for v in values:
        h.observe(v)
    got = h.snapshot()
    assert got["min"] <= got["p50"] <= got["p99"] <= got["max"]
    json.dumps(got, allow_nan=False)


def test_threads_lose_nothing() -> None:
    m = Metrics()
    counter, histogram = m.counter("c"), m.histogram("h")

    def work() -> None:
        for _ in range(20000):
            counter.inc()
            histogram.observe(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert (counter.value, histogram.count) == (80000, 80000)


def test_largest_message_fits() -> None:
    m = Metrics()
    for i in range(MAX_METRICS):
        h = m.histogram(f"{i:_>63}")
        for v in (-1.2345678901234567e-300, 1.2345678901234567e300, 1.2345678901234567e100):
            h.observe(v)
    assert len(json.dumps(m.snapshot())) < 60_000


def test_a_node_without_a_host_has_its_own() -> None:
    a, b = Node(), Node()
    a.metrics.counter("x").inc()
    assert a.metrics is a.metrics
    assert len(b.metrics) == 0


CODE = """
class N(Node):
    def __init__(self): self.metrics.counter("made")
    def load(self): self.all = self.metrics.counter("over_all_sessions")
    def open(self, session): self.own = self.metrics.counter("own"); self.size = self.metrics.histogram("size")
    def process(self, frame):
        self.all.inc(); self.own.inc(); self.size.observe(len(frame.data))
"""


def test_they_reach_the_runtime(runtime: FakeRuntime, tmp_path: Path) -> None:
    pipe = Pipe(runtime, write(tmp_path, CODE))
    pipe.node.start()
    send_text(pipe.writer, "abc")
    deadline, first = time.monotonic() + 10, {}
    while first.get("own") != 1:
        assert time.monotonic() < deadline
        message = pipe.node.expect("metrics")
        assert message["session"] == "main"
        first = {m["name"]: m.get("value", m.get("count")) for m in message["metrics"]}
    assert first == {"made": 0, "over_all_sessions": 1, "own": 1, "size": 1}
    send_text(pipe.writer, "abcdef")
    pipe.writer.end()
    collect(pipe.reader, pipe.node)
    last: dict[str, Any] = {}
    while (message := pipe.node.next())["event"] != "closed":
        last = message
    assert last["metrics"][-1] == {
        "name": "size", "kind": "histogram", "count": 2, "sum": 9.0, "min": 3.0, "max": 6.0, "p50": 3.0625, "p99": 6.0,
    }  # fmt: skip
    pipe.node.tell("exit")
    pipe.node.expect("bye")


def test_a_failing_node_tells_them_too(runtime: FakeRuntime, tmp_path: Path) -> None:
    code = """
class N(Node):
    def process(self, frame):
        self.metrics.counter("seen").inc()
        1 / 0
"""
    pipe = Pipe(runtime, write(tmp_path, code))
    pipe.node.start()
    send_text(pipe.writer, "x")
    pipe.failed("process")
    events = [s["event"] for s in pipe.node.seen]
    assert events[-3:] == ["metrics", "closed", "bye"]
    assert pipe.node.seen[-3]["metrics"] == [{"name": "seen", "kind": "counter", "value": 1}]
