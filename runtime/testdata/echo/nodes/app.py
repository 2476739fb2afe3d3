"""The nodes of the runtime's tests on a real engine."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

from medianode import Frame, Node


class Echo(Node):
    """Sends on what comes, or does what params say."""

    def open(self, session: str) -> None:
        self.kept: list[Frame] = []

    def process(self, frame: Frame) -> Iterator[Frame]:
        if self.params.get("raise"):
            raise ValueError("asked to")
        # The process is killed while it has this frame in its hands; with a
        # file, once only: the next process finds it.
        if frame.sequence == self.params.get("crash_at"):
            once = self.params.get("once")
            if not once or not os.path.exists(once):
                if once:
                    with open(once, "wb"):
                        pass
                os.kill(os.getpid(), signal.SIGKILL)
        if self.params.get("keep"):
            self.kept.append(frame)
        if self.params.get("stray"):
            yield Frame.from_text("nobody reads it", port="stray")
        grow = self.params.get("grow")
        yield Frame.from_bytes(bytes(grow)) if grow else frame


class Count(Node):
    """Sends numbers until it is told to stop."""

    def produce(self) -> Iterator[Frame]:
        number = 0
        while number < self.params.get("frames", float("inf")):
            yield Frame.from_text(str(number))
            number += 1
            time.sleep(self.params.get("pause", 0))
