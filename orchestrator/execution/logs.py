"""Writes the logs of a build's steps as files beside the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducibility import digest

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.execution.step import Results
    from orchestrator.store import Store


# Bytes of a file's name: a disk takes 255 (NAME_MAX), and a file has a longer one while it is made.
_LONGEST = 240
_KEPT = 200


def name_of(step: str, key: str = "") -> str:
    """The file of a step in `logs/`; with its key where another step has that name.

    A name that no disk may take, such as that of a long module path, is cut, and ends with digits
    of the BLAKE3 of the step's whole name instead.
    """
    words = step.replace("/", "-")
    end = f"{f'-{key[:12]}' if key else ''}.log"
    if len(f"{words}{end}".encode()) > _LONGEST:
        kept = words.encode()[:_KEPT].decode(errors="ignore")
        words = f"{kept}-{digest.of_bytes(step.encode()).hex[:16]}"
    return f"{words}{end}"


def write(results: Results, store: Store, folder: Path) -> None:
    """Write each action's own output and errors into a folder, one file an action."""
    for name, result in sorted(results.items(), key=lambda item: item[0]):
        if result.kind == "computation":
            continue
        parts = [store.read(digest) for digest in (result.stderr, result.stdout)]
        log = folder / name_of(name)
        if log.exists():  # a/b-c and a-b/c
            log = folder / name_of(name, result.key.hex)
        log.write_bytes(b"".join(parts))
