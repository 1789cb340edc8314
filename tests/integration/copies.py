"""A copy of a store that several tests of one file use in turn.

A copy takes as many hard links as the store has blobs, and what the tests' actions read has to be
checked out in it anew: both once for each file instead of for each test.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from containers.host import durable
from tests.integration import building

if TYPE_CHECKING:
    from pathlib import Path

# What tells the tests of a file apart; blobs and checkouts are named by their content.
_EACH_ITS_OWN = ("results", "damaged", "failures")


@dataclass(frozen=True)
class SharedCopy:
    """A copy of a store, and what it remembered at first, beside it."""

    store: Path
    _original: Path
    _remembered: Path

    @classmethod
    def of(cls, store: Path, folder: Path) -> SharedCopy:
        """Make a copy in an empty folder on the store's file system."""
        copy = building.clone(store, folder / "store")
        remembered = folder / "remembered"
        shutil.copytree(copy / "results", remembered, copy_function=os.link)
        return cls(copy, store, remembered)

    def as_at_first(self) -> Path:
        """The store, remembering what it did at first, no more and no less.

        A test that damages blobs puts them back (`mend`), for whoever comes next.
        """
        for part in _EACH_ITS_OWN:
            shutil.rmtree(self.store / part, ignore_errors=True)
        shutil.copytree(self._remembered, self.store / "results", copy_function=os.link)
        return self.store

    def mend(self) -> None:
        """Put back each of the original's blobs that is another file here, or none."""
        blobs = self._original / "blobs"
        for path, found in durable.files(blobs):
            copy = self.store / "blobs" / path.relative_to(blobs)
            if copy.exists() and os.path.samestat(copy.stat(), found):
                continue
            fresh = copy.with_name(f".{copy.name}")
            # Others use the original meanwhile, and may have replaced a blob there.
            with suppress(FileNotFoundError):
                fresh.hardlink_to(path)
                fresh.replace(copy)
