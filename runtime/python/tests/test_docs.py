"""What the docstrings say: that there are some, and that the errors they name are those that come."""

from __future__ import annotations

import inspect
import sys
from typing import Any, Callable

import numpy as np
import pytest

import medianode
from medianode import ClosedError, Frame, Node, _log, _metrics, testing


def members() -> list[tuple[str, Any]]:
    """Return all that a node author may call, by its name."""
    found: list[tuple[str, Any]] = []
    public = [getattr(module, name) for module in (medianode, testing) for name in module.__all__ if name[0] != "_"]
    public += [_log.Log, _metrics.Metrics, _metrics.Counter, _metrics.Gauge, _metrics.Histogram]
    for thing in public:
        found.append((thing.__name__, thing))
        for name, member in vars(thing).items() if inspect.isclass(thing) else ():
            callee = getattr(member, "__func__", member)
            if not name.startswith("_") and (callable(callee) or isinstance(callee, property)):
                found.append((f"{thing.__name__}.{name}", callee))
    return found


def test_everything_public_has_a_docstring() -> None:
    assert len(members()) > 80
    assert [name for name, thing in members() if not (thing.__doc__ or "").strip()] == []


@pytest.mark.parametrize("name", [name for name, _ in members() if "from_" in name or "loan_" in name])
def test_what_makes_frames_says_its_errors(name: str) -> None:
    doc = dict(members())[name].__doc__.lower()
    assert "raises" in doc
    assert any(word in doc for word in ("shape", "size", "str", "json value"))


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Frame.from_bytes("text"), TypeError),
        (lambda: Frame.from_text(b"bytes"), TypeError),
        (lambda: Frame.from_text("\ud800"), UnicodeEncodeError),
        (lambda: Frame.from_text("x", pts_ns=1 << 63), ValueError),
        (lambda: Frame.from_json({1, 2}), TypeError),
        (lambda: Frame.from_json([float("nan")]), ValueError),
        (lambda: Frame.from_audio(np.zeros((2, 2, 2), "f4"), 16000), ValueError),
        (lambda: Frame.from_audio(np.zeros(2, "i8"), 16000), ValueError),
        (lambda: Frame.from_audio(np.zeros(2, "f4"), 16000, "s16"), ValueError),
        (lambda: Frame.from_audio(np.zeros(2, "f4"), 0), ValueError),
        (lambda: Frame.from_video(np.zeros((2, 2), "u1")), ValueError),
        (lambda: Frame.from_video(np.zeros((2, 2, 3), "f4")), ValueError),
        (lambda: Frame.from_video(np.zeros((2, 2, 3), "u1"), "yuv"), ValueError),
        (lambda: Frame.from_tensor(np.zeros((1,) * 9)), ValueError),
        (lambda: Frame.from_tensor(np.array(["text"])), ValueError),
        (lambda: Frame.from_text("x").json, ValueError),
        (lambda: Frame.from_bytes(b"x").text, ValueError),
        (lambda: Frame.from_text("x").numpy(), ValueError),
        (lambda: Node().would_block(), ClosedError),
        (lambda: Node().emit(Frame.from_text("x")), ClosedError),
        (lambda: Node().loan_bytes(1), ClosedError),
        (lambda: Node().loan_bytes(-1), ValueError),
        (lambda: Node().loan_video(3, 3, "i420"), ValueError),
        (lambda: Node().loan_audio(1, 1, 16000, "x"), ValueError),
        (lambda: Node().loan_tensor((1,) * 9, "f4"), ValueError),
    ],
)
def test_errors_are_those_of_the_docstrings(make: Callable[[], object], error: type[Exception]) -> None:
    with pytest.raises(error):
        make()


def test_what_needs_numpy_is_an_import_error_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    for make in (
        lambda: Frame.from_bytes(b"x").numpy(),
        lambda: Frame.from_audio([1], 16000),
        lambda: Frame.from_tensor(1),
    ):
        with pytest.raises(ImportError, match="arrays need numpy: add it to docker"):
            make()
