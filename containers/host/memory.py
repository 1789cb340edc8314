"""Returns freed memory to the system (malloc_trim of glibc), before the work that needs most."""

from __future__ import annotations

import ctypes

# glibc keeps what threads freed, also large pieces once it has seen some (malloc_trim(3)); other
# C libraries have no such function, and need none.
_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None)


def give_back() -> None:
    """Return to the system the memory that this process has freed and the C library keeps."""
    if _TRIM is not None:
        _TRIM(0)
