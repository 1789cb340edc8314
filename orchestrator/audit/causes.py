"""Classes of causes, told by the variations that make an action differ.

What an action differs by is found by running it: that says more than its bytes do. Where it
differs without any variation, or because of several whose classes are not the same, the bytes have
to tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.diagnosis.model import Cause, Sureness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.audit.model import Explanation

CLASSES = {
    "aslr": Cause.RANDOMNESS,
    "cpus": Cause.PARALLELISM,
    "directory": Cause.PATH,
    "domain": Cause.USER,
    "environment": Cause.INPUT,
    "group": Cause.USER,
    "home": Cause.PATH,
    "host": Cause.USER,
    "kernel": Cause.USER,
    "locale": Cause.LOCALE,
    "memory": Cause.PARALLELISM,
    "mtime": Cause.TIME,
    "order": Cause.ORDER,
    "parallelism": Cause.PARALLELISM,
    "path": Cause.PATH,
    "stdin": Cause.INPUT,
    "time": Cause.TIME,
    "tmp": Cause.PARALLELISM,
    "umask": Cause.USER,
    "user": Cause.USER,
    "zone": Cause.LOCALE,
}


def of(
    names: Sequence[str], explanation: Explanation | None, *, steady: bool = True
) -> tuple[str, str]:
    """Return the class of a cause and how sure it is, in `Cause`'s and `Sureness`'s words.

    `names`: the smallest set of variations; empty where the action differs from itself.
    `explanation`: what its bytes say. `steady`: with that set it gave the same each time; where
    not, it is random too, and no class is certain.
    """
    classes = {CLASSES.get(name, Cause.UNKNOWN) for name in names}
    if len(classes) == 1:
        return classes.pop().value, (Sureness.CERTAIN if steady else Sureness.LIKELY).value
    said = explanation.document.get("cause") if explanation is not None else None
    if said is None:
        return Cause.UNKNOWN.value, Sureness.POSSIBLE.value
    return said["class"], said["sure"]
