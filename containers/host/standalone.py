"""Starts a module of this project as a program, in a Python of its own that starts fast.

Isolated mode (`-I`) and no site-packages (`-S`): such a module, and all that it imports, uses the
standard library only. It is imported rather than run by its path, so that Python keeps it compiled
(`__pycache__`), and so that it can import others of this project.
"""

from __future__ import annotations

import sys
from pathlib import Path

# The folder that `containers` and `orchestrator` lie in. It comes last on the module search path:
# where the project is installed, other packages lie there too.
_PACKAGES = Path(__file__).resolve().parents[2]
_START = "import sys; sys.path.append(sys.argv.pop(1)); import {0}; {0}.main()"


def command(module: str, *arguments: str) -> list[str]:
    """The argv that runs `main()` of a module, whose `sys.argv[1:]` are the arguments.

    `module`: the full name, such as `containers.sandbox.confine`.
    """
    start = _START.format(module)
    return [sys.executable, "-I", "-S", "-c", start, str(_PACKAGES), *arguments]
