"""Signatures that `wipefs` of util-linux finds on a disk.

It only looks (`--no-act`). It knows all that `blkid` and udev know, which is far more than
`contents.py` does, and nothing of partitions' contents.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, NamedTuple

from containers.host import process
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from pathlib import Path

_MORE_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
# A stick that answers slowly; only to end what hangs.
_SECONDS = 120
ABSENT = "wipefs (of the package util-linux) is not installed"


class Signature(NamedTuple):
    """A mark at a byte; `kind` in the words of `wipefs`; `label` may be empty."""

    offset: int
    kind: str
    label: str = ""

    def __str__(self) -> str:
        named = f" {self.label!r}" if self.label else ""
        return f"{self.kind}{named} at byte {self.offset:,}"


class Look(NamedTuple):
    """`found`: sorted. `not_looked`: why there was no look; empty where there was one."""

    found: tuple[Signature, ...]
    not_looked: str = ""


def look(path: Path) -> Look:
    """Ask `wipefs` what a disk or a file holds; where it cannot answer, the reason is given."""
    program = shutil.which("wipefs") or shutil.which("wipefs", path=os.pathsep.join(_MORE_FOLDERS))
    if program is None:
        return Look((), ABSENT)
    try:
        done = process.run(
            [program, "--no-act", "--json", str(path.absolute())],
            environment={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
            seconds=_SECONDS,
        )
        # Older ones write nothing at all where there is nothing.
        document = json.loads(done.stdout.strip() or b'{"signatures": []}')
        found = [
            Signature(int(one["offset"], 0), str(one["type"]), _printable(one.get("label")))
            for one in document["signatures"]
        ]
    except InfrastructureError as error:
        return Look((), error.summary)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        return Look((), f"wipefs answered what is not understood: {error}")
    return Look(tuple(sorted(found)))


def _printable(label: object) -> str:
    return "".join(c for c in label if c.isprintable()) if isinstance(label, str) else ""
