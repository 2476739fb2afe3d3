"""A forked child has all that its parent has of channels, and owns none of it.

What iceoryx2's objects do when they go is for their process to do: in a child
it would remove the files of the living parent and give frames back a second
time. So the child keeps them for ever, and every end of a channel is closed to
it. Ledgers take care of their locks by themselves.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import weakref
from typing import Any, Callable, NoReturn

from . import _flood
from ._errors import ChannelError, FrameError
from ._log import insist
from ._user import NodeFailure

_keep = ctypes.pythonapi.Py_IncRef
_keep.argtypes = (ctypes.py_object,)
_keep.restype = None

_owners: weakref.WeakSet[Any] = weakref.WeakSet()
_samples: list[tuple[type, tuple[str, ...]]] = []
_then: list[Callable[[], None]] = []
_child = False
_here = threading.local()
_ENDING = (signal.SIGTERM, signal.SIGINT)


def owns(owner: Any) -> None:
    """Say that the attributes of an object are the parent's."""
    _owners.add(owner)


def samples(cls: type, *enders: str) -> None:
    """Say that objects of a class have a ``_sample``, which they let go when they are collected or by the enders."""
    _samples.append((cls, enders))


def then(call: Callable[[], None]) -> None:
    """Have something called in a child, at once after the fork."""
    _then.append(call)


def in_child() -> bool:
    """Say whether this is a process that the node forked."""
    return _child


def _in_child() -> None:
    global _child
    _child = True
    for owner in list(_owners):
        for value in vars(owner).values():
            _keep(value)
        owner._closed = True
    for cls, enders in _samples:
        setattr(cls, "__del__", _keep_sample)  # noqa: B010 - no type checker likes it otherwise
        for name in enders:
            setattr(cls, name, _nothing)
    for call in _then:
        call()
    _after()


def _before() -> None:
    """Hold signals back: until a child has let go of what its parent hears of them, one for it would end its parent.

    A pool that is closed at once sends SIGTERM to workers that have just begun.
    """
    _here.masks = [*getattr(_here, "masks", ()), signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)]


def _after() -> None:
    masks = getattr(_here, "masks", None)
    if masks:
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.pop())


os.register_at_fork(before=_before, after_in_child=_in_child, after_in_parent=_after)


def _keep_sample(self: Any) -> None:
    _keep(self._sample)


def _nothing(self: Any) -> None:
    """Stand for what a child must not do."""


def leave(err: BaseException) -> NoReturn:
    """End a child that came out of the node's code, by the error with which it did."""
    code, cause = 1, _cause(err)
    if isinstance(cause, SystemExit):
        if isinstance(cause.code, int):
            code = cause.code & 0xFF
        elif cause.code is None:
            code = 0
        else:
            insist(f"{cause.code}\n")
    elif isinstance(cause, ChannelError) or not isinstance(err, NodeFailure):  # no error of the node's code
        insist(
            "medianode: a process that the node forked was ended, because it came back from the node's code:"
            " it has no channels; end it by os._exit, or use subprocess or multiprocessing\n"
        )
    else:
        import traceback

        insist("".join(traceback.format_exception(type(cause), cause, cause.__traceback__)))
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass
    _flood.tell_left_out()
    os._exit(code)


def _cause(err: BaseException) -> BaseException:
    # To a child all channels are closed: each error of the SDK leads to the next, up to what ended it.
    seen = set()
    while isinstance(err, (NodeFailure, ChannelError, FrameError)) and id(err) not in seen:
        seen.add(id(err))
        err = err.__cause__ or err.__context__ or err
    return err
