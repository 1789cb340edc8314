"""Explains why what an action made differs from what it made before.

One function, so that what explains can be exchanged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.audit.model import Explanation
from reproducibility.compare import KEPT, differences, in_words

if TYPE_CHECKING:
    from orchestrator.store import Store
    from reproducibility.manifest import Tree


def explain(first: Tree, store: Store, second: Tree, other: Store) -> Explanation:
    """Why two trees differ, the build's first; each with the store in which its files lie."""
    del store, other
    found = differences(first, second)
    return Explanation(
        lines=tuple(in_words(found)[:KEPT]),
        document={"differences": [one.document() for one in found[:KEPT]]},
    )
