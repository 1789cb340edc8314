"""Version and digest of the program as a night's record has them."""

from __future__ import annotations

from orchestrator import program, resources
from orchestrator.history.model import Tool


def tool() -> Tool:
    """Return the program as it was when it was first asked, whatever is installed since.

    Raises:
        OSError: a file of the installation cannot be read.
    """
    return Tool(version=resources.VERSION, digest=program.running())


def found() -> Tool:
    """Return the program as it is installed now. Raises as `tool`."""
    return Tool(version=resources.VERSION, digest=program.installed())
