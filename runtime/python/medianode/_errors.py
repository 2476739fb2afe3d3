"""Errors of channels and frames."""

from __future__ import annotations

from typing import Callable, Optional


class ChannelError(Exception):
    """A channel cannot be opened or used; the text names the channel and the numbers."""


class TooLargeError(ChannelError):
    """A frame is larger than ``max_frame`` of its output port."""


class HeldError(ChannelError):
    """A node keeps as many frames of a connection as its ``hold`` allows."""


class LoanedError(ChannelError):
    """A writer has as many unsent frames as it may loan."""


class ReleasedError(ChannelError):
    """A loan or a frame was sent or released before."""


class ClosedError(ChannelError):
    """The port or the session is closed, or was while a call waited in it."""


class NoSpaceError(ChannelError):
    """Shared memory for a channel does not fit."""


class CorruptError(ChannelError):
    """A peer wrote a frame header that cannot be true."""


class ConfigError(Exception):
    """What the container was told is not usable; the text says what and what to do."""


class Abandoned(BaseException):
    """The process must end and may not wait any longer for a peer.

    No Exception: a node's code that handles those must not catch it.
    """


class FrameError(Exception):
    """A frame cannot be received or sent; port and sequence say which."""

    def __init__(self, message: str, port: str, sequence: Optional[int] = None) -> None:
        super().__init__(message)
        self.port, self.sequence = port, sequence


class WouldBlock(Exception):
    """A session would wait for its readers, and others have something to do meanwhile.

    ready says whether the wait is over.
    """

    def __init__(self, ready: Callable[[], bool] = lambda: True) -> None:
        super().__init__("would block")
        self.ready = ready
