"""The process of a node: what it starts with, and how it ends whatever the node's code has done to it."""

from __future__ import annotations

import atexit
import ctypes
import faulthandler
import os
import sys
import threading
import time
from typing import NoReturn

from . import _flood
from ._log import insist, tell_left_behind

_IOLBF = 1
# How long the end waits for threads of the node, and for a full log.
_PATIENCE = 1.0


def prepare() -> None:
    """Make the log complete and timely: also of C libraries, and of a crash."""
    _flood.bound()
    try:
        libc = ctypes.CDLL(None)
        libc.setvbuf(ctypes.c_void_p.in_dll(libc, "stdout"), None, _IOLBF, ctypes.c_size_t(0))
    except (OSError, ValueError, AttributeError):  # a C library that hides it
        pass
    faulthandler.enable(2)
    # Nobody is there to answer: who asks is told so at once.
    nobody = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(nobody, 0)
    if nobody != 0:
        os.close(nobody)


def break_down(err: BaseException) -> NoReturn:
    """End the process by an error that is not the node's, and print it."""
    import traceback

    text = "".join(traceback.format_exception(type(err), err, err.__traceback__))
    last = threading.Thread(target=insist, args=(text,), daemon=True)  # as in leave
    last.start()
    last.join(_PATIENCE)
    leave(1)


def leave(code: int) -> NoReturn:
    """End the process with this code, although threads and libraries of the node may not be ready for it.

    The interpreter is not taken apart: threads that go on and libraries that
    crash when they are unloaded would make another outcome of it.
    """
    _end_threads()
    atexit._run_exitfuncs()
    flush = threading.Thread(target=_flush, daemon=True)  # who left a thread in the middle of a write keeps the lock
    flush.start()
    flush.join(_PATIENCE)
    os._exit(code)


def _end_threads() -> None:
    executors = getattr(sys.modules.get("concurrent.futures.thread"), "_python_exit", None)
    if executors is not None:  # idle threads of executors end when they are told
        threading.Thread(target=executors, daemon=True).start()
    until = time.monotonic() + _PATIENCE
    left = []
    for thread in threading.enumerate():
        if thread is threading.current_thread() or thread.daemon:
            continue
        thread.join(max(0.0, until - time.monotonic()))
        if thread.is_alive():
            left.append(thread.name)
    for name in left:
        tell_left_behind(name)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # whatever the node has put in its place
            pass
    _flood.tell_left_out()
    try:
        ctypes.CDLL(None).fflush(None)
    except (OSError, AttributeError, TypeError):  # TypeError: a system that has no such library
        pass
