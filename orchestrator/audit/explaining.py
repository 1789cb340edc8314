"""Explains why what an action made differs from what it made before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.audit.model import Explanation
from orchestrator.diagnosis import trees

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.store import Store
    from reproducibility.manifest import Tree


def explain(
    first: Tree,
    store: Store,
    second: Tree,
    other: Store,
    known: Mapping[str, tuple[str, str]] | None = None,
) -> Explanation:
    """Return why two trees differ, the build's first; each with the store in which its files lie.

    `known`: conditions that are known to have been otherwise, as `diagnosis.trees.explain`.

    Raises:
        DamagedBlob: a file is missing or damaged.
    """
    found = trees.explain(first, second, store.path, other.path, known=known)
    return Explanation(lines=tuple(found.lines()), document=found.document())
