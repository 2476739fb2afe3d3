"""Figures that a node counts itself; they are in the report beside those of its channels."""

from __future__ import annotations

import math
import re
import threading
from typing import Any, Final, Optional, TypeVar, Union

#: How many metrics one node may have: they travel in one message.
MAX_METRICS: Final = 100
_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
# Buckets of a histogram in one octave: a quantile is right to 3 %.
_STEPS: Final = 16

Number = Union[int, float]


def _finite(name: str, value: Number) -> Number:
    if not math.isfinite(value):
        raise ValueError(f"metric {name}: {value!r} is no number to count with")
    return value if isinstance(value, (int, float)) else float(value)


class Metric:
    """A figure with a name; any thread may change it."""

    kind = ""

    def __init__(self, name: str, help: str = "") -> None:
        self.name, self.help = name, help
        # Uncontended it costs some 50 ns. One that the thread may take again: a
        # metric may be changed by a finaliser in the middle of a change.
        self._lock = threading.RLock()

    def snapshot(self) -> dict[str, Any]:
        """Return name, kind and the figures."""
        raise NotImplementedError


class Counter(Metric):
    """A count that only grows, such as frames seen."""

    kind = "counter"

    def __init__(self, name: str, help: str = "") -> None:
        super().__init__(name, help)
        self._value: Number = 0

    @property
    def value(self) -> Number:
        """The count."""
        return self._value

    def inc(self, n: Number = 1) -> None:
        """Add n, which must not be negative: ValueError."""
        if not n >= 0 or n == math.inf:
            raise ValueError(f"metric {self.name}: a counter only grows, got {n!r}")
        with self._lock:
            self._value += n

    def snapshot(self) -> dict[str, Any]:
        """Return name, kind and value."""
        return {"name": self.name, "kind": self.kind, "value": _plain(self._value)}


class Gauge(Metric):
    """A value that goes up and down, such as the length of a queue."""

    kind = "gauge"

    def __init__(self, name: str, help: str = "") -> None:
        super().__init__(name, help)
        self._value: Number = 0

    @property
    def value(self) -> Number:
        """The value that was set last; 0 at first."""
        return self._value

    def set(self, v: Number) -> None:
        """Set the value; ValueError for NaN and infinity."""
        self._value = _finite(self.name, v)

    def inc(self, n: Number = 1) -> None:
        """Add n, which may be negative."""
        with self._lock:
            self._value = _finite(self.name, self._value + n)

    def snapshot(self) -> dict[str, Any]:
        """Return name, kind and value."""
        return {"name": self.name, "kind": self.kind, "value": _plain(self._value)}


class Histogram(Metric):
    """How values are distributed, such as milliseconds of an inference.

    It keeps count, sum, least and greatest, and how many values fell into each
    of sixteen steps an octave: p50 and p99 are right to 3 %.
    """

    kind = "histogram"

    def __init__(self, name: str, help: str = "") -> None:
        super().__init__(name, help)
        self._count, self._sum, self._min, self._max = 0, 0.0, math.inf, -math.inf
        self._steps: dict[int, int] = {}

    @property
    def count(self) -> int:
        """How many values were observed."""
        return self._count

    def observe(self, v: Number) -> None:
        """Take a value in; ValueError for NaN and infinity."""
        value = float(_finite(self.name, v))
        step = _step(value)
        with self._lock:
            self._count += 1
            self._sum += value
            if value < self._min:
                self._min = value
            if value > self._max:
                self._max = value
            self._steps[step] = self._steps.get(step, 0) + 1

    def quantile(self, q: float) -> float:
        """Return the value below which the part q (0 to 1) of all lies; 0.0 if there are none."""
        with self._lock:
            count, steps = self._count, sorted(self._steps.items())
            low, high = self._min, self._max
        if not count:
            return 0.0
        seen, rank = 0, max(1, math.ceil(q * count))
        for step, n in steps:
            seen += n
            if seen >= rank:
                return min(max(_middle(step), low), high)
        return high

    def snapshot(self) -> dict[str, Any]:
        """Return name, kind, count, sum, min, max, p50 and p99."""
        with self._lock:
            figures: dict[str, Any] = {"name": self.name, "kind": self.kind, "count": self._count, "sum": self._sum}
            if self._count:
                figures.update(min=self._min, max=self._max, p50=self.quantile(0.5), p99=self.quantile(0.99))
        return {k: _plain(v) if isinstance(v, float) else v for k, v in figures.items()}


# Steps are numbered in the order of their values: the negative ones below zero.
_ZERO_AT: Final = 1 << 15


def _step(value: float) -> int:
    if value == 0:
        return 0
    mantissa, exponent = math.frexp(abs(value))
    step = _ZERO_AT + exponent * _STEPS + int((mantissa - 0.5) * 2 * _STEPS)
    return step if value > 0 else -step


def _middle(step: int) -> float:
    if step == 0:
        return 0.0
    exponent, part = divmod(abs(step) - _ZERO_AT, _STEPS)
    try:
        value = math.ldexp(0.5 + (part + 0.5) / (2 * _STEPS), exponent)
    except OverflowError:
        value = math.inf
    return value if step > 0 else -value


def _plain(value: Number) -> Number:
    # What overflowed is no JSON; the greatest double says as much.
    if isinstance(value, float) and not math.isfinite(value):
        return math.copysign(1.7976931348623157e308, value)
    return value


M = TypeVar("M", Counter, Gauge, Histogram)


class Metrics:
    """``self.metrics`` of a node: makes metrics, or returns the one of that name.

        self.seen = self.metrics.counter("faces", "faces found")   # in open
        self.seen.inc(3)                                           # in process

    Names are lower case, ``[a-z_][a-z0-9_]*``, at most 63 characters; a node has
    at most 100. What ``load`` makes is counted over all sessions, what ``open``
    makes in its own.
    """

    def __init__(self, shared: Optional[Metrics] = None) -> None:
        self._shared = shared
        self._own: dict[str, Union[Counter, Gauge, Histogram]] = {}
        self._lock = threading.RLock()

    def counter(self, name: str, help: str = "") -> Counter:
        """Return the counter of that name; ValueError for a bad name, another kind, or too many."""
        return self._get(Counter, name, help)

    def gauge(self, name: str, help: str = "") -> Gauge:
        """Return the gauge of that name; errors as ``counter``."""
        return self._get(Gauge, name, help)

    def histogram(self, name: str, help: str = "") -> Histogram:
        """Return the histogram of that name; errors as ``counter``."""
        return self._get(Histogram, name, help)

    def snapshot(self) -> list[dict[str, Any]]:
        """Return the figures of all metrics by name, as they are now."""
        metrics = self._all()
        return [metrics[name].snapshot() for name in sorted(metrics)]

    def __len__(self) -> int:
        return len(self._own) + (len(self._shared) if self._shared is not None else 0)

    def _all(self) -> dict[str, Union[Counter, Gauge, Histogram]]:
        with self._lock:
            return {**(self._shared._all() if self._shared is not None else {}), **self._own}

    def _get(self, cls: type[M], name: str, help: str) -> M:
        with self._lock:
            found = self._all().get(name)
            if isinstance(found, cls):
                return found
            if found is not None:
                raise ValueError(f"metric {name} is a {found.kind} already, not a {cls.kind}")
            if not _NAME.fullmatch(name):
                raise ValueError(f"metric name {name!r}: want [a-z_][a-z0-9_]*, at most 63 characters")
            if len(self) >= MAX_METRICS:
                raise ValueError(f"metric {name}: a node has at most {MAX_METRICS} metrics")
            made = self._own[name] = cls(name, help)
            return made
