"""Finds the files that builds read beside the Python code, in a wheel or in a checkout.

A wheel carries them below `orchestrator/data/`; a checkout has its own. Nothing here reads them.
"""

from __future__ import annotations

from pathlib import Path

from containers import remote
from reproducibility.errors import InfrastructureError

# The one place that says the project's version; packaging reads this line.
VERSION = "0.1.0"

_PACKAGE = Path(__file__).resolve().parent


def userland() -> Path:
    """The folder of the Go module that goes on the image: init, installcommand, buildcache.

    Raises:
        InfrastructureError: the installation is not complete.
    """
    return _find("userland", "go.mod")


def dockerfile() -> Path:
    """`Dockerfile.builder`, from which the builder image is made.

    Raises:
        InfrastructureError: the installation is not complete.
    """
    return _find("Dockerfile.builder")


def observer() -> Path:
    """`observe.go`, the program that looks around inside an action.

    Raises:
        InfrastructureError: the installation is not complete.
    """
    return _existing(_PACKAGE / "golang" / "observe.go")


def surroundings() -> Path:
    """`surroundings.go`, the program that looks around inside an action for an audit.

    Raises:
        InfrastructureError: the installation is not complete.
    """
    return _existing(_PACKAGE / "golang" / "surroundings.go")


def launcher() -> Path:
    """The folder of the Go module that is the first program of an action on a farm's worker.

    Raises:
        InfrastructureError: the installation is not complete.
    """
    folder = Path(remote.__file__).parent / "launcher"
    _existing(folder / "go.mod")
    return folder


def _find(name: str, member: str = "") -> Path:
    """The packaged copy, or the checkout's own where there is no packaged one."""
    packaged = _PACKAGE / "data" / name
    if (packaged / member).exists():
        return packaged
    return _existing(_PACKAGE.parent / name, member)


def _existing(path: Path, member: str = "") -> Path:
    if not (path / member).exists():
        raise InfrastructureError(
            f"a part of the installation is missing: {path.name}",
            subject=str(path / member),
            remedy="install the project again, or work in a whole checkout",
        )
    return path
