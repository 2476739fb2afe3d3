"""How calls wait."""

from __future__ import annotations

from typing import Callable, Final

# A sleep is no longer than this, so that a lost wake-up or a dead peer costs
# no more.
CHECK_EVERY_MS: Final = 50

# Called at least every 50 ms while a call waits; raises to end the wait.
Check = Callable[[], None]


def patient() -> None:
    """Wait for ever."""
