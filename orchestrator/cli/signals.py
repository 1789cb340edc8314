"""Notes SIGINT, SIGTERM and SIGHUP while the program loads, until a handler can act on them.

Nothing is raised: in the middle of an import that would be a traceback, or be lost in some
library's clean-up. A second signal of the kind ends the process by itself.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

# Ctrl-C, a request to end, the terminal's end.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Noted:
    """`number`: that of the first signal that came while nobody else listened; 0 for none."""

    def __init__(self) -> None:
        self.number = 0

    def listen(self) -> None:
        """Note the signals from now on, but those that the caller has set to be ignored."""
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._came)

    def _came(self, number: int, _frame: FrameType | None) -> None:
        self.number = self.number or number
        signal.signal(number, signal.SIG_DFL)
