"""Parts of a spec that decide what is locked, as text by key, and what inputs hang on them. Pure.

A lock holds the parts that it was made for. An input keeps its pin for as long as its part stays
the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.architecture import Architecture
    from orchestrator.spec.boot import Origin
    from orchestrator.spec.model import Spec

# The second root: its part, and its name for `orchestrate lock --update`.
GCC = "root.gcc"
# What isolates on a farm's workers: likewise.
WORKERS = "workers"
# Inputs of every build. `uname` comes from the suite.
_ALWAYS = {"bootstrap": "go.bootstrap", "go": "go.version", "uname": "debian.suite"}
_KINDS = ("boot", "file", "source")


def wanted(spec: Spec) -> dict[str, str]:
    """Return the parts of a spec that decide what is locked, as text by key."""
    found = {
        "go.version": spec.go.version,
        "go.bootstrap": spec.go.bootstrap,
        "debian.suite": spec.debian.suite,
        "image.architectures": " ".join(sorted(spec.image.architectures)),
    }
    for source in spec.sources:
        place = f"@{source.version}" if source.version else f" in {source.path}"
        told = f"{source.module}{place}{replaced(source.replace)}{_without(source.left_out)}"
        found[f"source.{source.name}"] = told
    for file in spec.files:
        found[f"file.{file.destination}"] = f"{file.source}{_without(file.exclude)}"
    for name, (_, origin) in boot_origins(spec).items():
        suite = f" of {spec.debian.suite}" if origin.package else ""
        found[f"boot.{name}"] = f"{origin}{suite}"
    if spec.root.gcc is not None:
        root = spec.root.gcc
        found[GCC] = (
            f"{' '.join(root.packages)} of {spec.debian.suite}, then {' '.join(root.versions)}"
        )
    if spec.workers.architectures:
        told = " ".join(sorted(spec.workers.architectures))
        found[WORKERS] = f"bubblewrap of {spec.debian.suite} for {told}"
    return found


def names(parts: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of all inputs that can be looked up anew, sorted; each once.

    `parts`: as `wanted`. An input that several hosts have is one name. Local files and folders are
    among them, although they are read anew whenever a lock is made.
    """
    found = {*_ALWAYS}
    for key in parts:
        kind, _, name = key.partition(".")
        if kind in _KINDS:
            found.add(name)
        elif key in {GCC, WORKERS}:
            found.add(key)
    return tuple(sorted(found))


def of_input(name: str, parts: Mapping[str, str]) -> str:
    """Return the key of the part that an input of this name hangs on; empty where there is none.

    `parts`: as `wanted`.
    """
    keys = (_ALWAYS.get(name, ""), *(f"{kind}.{name}" for kind in _KINDS), name)
    return next((key for key in keys if key in parts), "")


def boot_origins(spec: Spec) -> dict[str, tuple[Architecture, Origin]]:
    """Return the origins of the boot files (`Boot.origins`); empty without `[boot]`."""
    return spec.boot.origins(spec.image.architectures) if spec.boot else {}


def replaced(replace: Sequence[str] | None) -> str:
    """Return the versions of dependencies that a source is taken with, as a part tells them."""
    return f" with {' '.join(replace)}" if replace else ""


def _without(exclude: Sequence[str]) -> str:
    return f" without {' '.join(exclude)}" if exclude else ""
