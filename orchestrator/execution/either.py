"""Event that is set when either of two events is."""

from __future__ import annotations

import threading

# Seconds between two looks at the second one.
_POLL = 0.05


class Either(threading.Event):
    """An event that counts as set when either of two others is."""

    def __init__(self, first: threading.Event, second: threading.Event) -> None:
        super().__init__()
        self._both = (first, second)

    def is_set(self) -> bool:
        """Return whether one of the two is set."""
        return any(event.is_set() for event in self._both)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until one of the two is set, or for `timeout` seconds; whether one is set."""
        left = float("inf") if timeout is None else timeout
        while not self.is_set() and left > 0:
            self._both[0].wait(min(_POLL, left))
            left -= _POLL
        return self.is_set()
