"""The logs of a build's steps, as files beside the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.execution.step import Results
    from orchestrator.store import Store


def name_of(step: str, key: str = "") -> str:
    """The file of a step in `logs/`; with its key where another step has that name."""
    return f"{step.replace('/', '-')}{f'-{key[:12]}' if key else ''}.log"


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
