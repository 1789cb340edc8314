"""The other Pythons that `pyproject.toml` names, as far as this machine has them.

    PYTHON -I .ci/other_pythons.py pyproject.toml

Prints `VERSION PATH` for each that runs, and `VERSION` alone for one that is not there. Looked for
on PATH (where a name may be a version manager's that runs nothing), and among the versions that
pyenv and uv keep. Only the standard library is used.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMED = re.compile(r"Programming Language :: Python :: (3\.\d+)")
_ASKED = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"


def others(project: Path) -> Iterator[tuple[str, str]]:
    """Each version with the path of its program, or nothing."""
    settings = tomllib.loads(project.read_text("utf-8"))
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    for classifier in settings["project"]["classifiers"]:
        named = _NAMED.fullmatch(classifier)
        if named and named[1] != here:
            able = (program for program in _places(named[1]) if _is(program, named[1]))
            yield named[1], next(able, "")


def _places(version: str) -> Iterator[str]:
    name = f"python{version}"
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        yield os.path.join(folder, name)  # noqa: PTH118 - as PATH has it
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    for kept in (
        Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions"),
        Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv" / "python"),
    ):
        yield from (str(path) for path in sorted(kept.glob(f"*/bin/{name}")))


def _is(program: str, version: str) -> bool:
    if not os.access(program, os.X_OK):
        return False
    try:
        done = subprocess.run(
            [program, "-I", "-c", _ASKED],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0 and done.stdout.decode().strip() == version


if __name__ == "__main__":
    for found in others(Path(sys.argv[1])):
        sys.stdout.write(" ".join(found).strip() + "\n")
