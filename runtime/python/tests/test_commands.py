"""What the runtime has a node do, heard by any thread."""

from __future__ import annotations

import ctypes
import json
import threading
from types import SimpleNamespace
from typing import Any

from medianode._commands import Commands
from medianode._subscriber import Subscriber


class Control(Subscriber):
    """A control channel with these commands in it."""

    def __init__(self, *commands: str) -> None:
        self.left = [ctypes.create_string_buffer(json.dumps({"command": c}).encode()) for c in commands]

    def has_all(self) -> bool:
        return not self.left

    def take(self) -> Any:
        text = self.left.pop(0)
        return SimpleNamespace(address=ctypes.addressof(text), length=len(text) - 1, keeps=text)


def test_two_threads_hear_in_order() -> None:
    def stop(session: str) -> None:  # another thread of the node asks just now
        other = threading.Thread(target=commands.wait)
        other.start()
        other.join()

    commands = Commands(Control("stop", "close"), stop)
    assert [commands.next().what, commands.next().what] == ["stop", "close"]  # type: ignore[union-attr]
