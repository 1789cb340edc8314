"""What the store remembers of audits: when each action was audited last, and what came of it.

Records lie beside the results, one for each action's key: its last audit, whatever was asked. That
of an audit as a whole says whether it came to its end: if not, the same request goes on where it
was, by records of its own, which another request does not overwrite, and which go when it ends.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orchestrator.audit import model
from orchestrator.store import HeldError
from reproducibility import canonical, utc
from reproducibility import digest as digests
from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orchestrator.store import Store
    from reproducibility.digest import Digest

_ACTION = "audited"
_AUDIT = "audit"
_OWN = "audit-step"


@dataclass(frozen=True)
class Last:
    """The last audit of an action. `audit`: which one, as `History.audit`."""

    when: str
    audit: str
    step: model.Step


class History:
    """The audits that a store remembers; one of them is going on.

    `audit`: names the one that is going on; it stays the same when that was interrupted and goes
    on.
    """

    def __init__(self, store: Store, key: Digest) -> None:
        """`key`: digest of what is asked for (`Request.key`)."""
        self._store = store
        self._key = key
        self._own: set[Digest] = set()
        before = store.recall(_AUDIT, key) or {}
        began = before.get("began")
        if not isinstance(began, str) or before.get("ended") is not False:
            began = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
            self._write(began, ended=False)
        self.audit = f"{key.hex} {began}"
        self._began = began

    def last(self, key: Digest) -> Last | None:
        """The last audit of an action; None where there was none, or it cannot be read."""
        return self._recalled(_ACTION, key)

    def _recalled(self, kind: str, key: Digest) -> Last | None:
        found = self._store.recall(kind, key) or {}
        step = _step(found.get("step"))
        when, audit = found.get("when"), found.get("audit")
        if step is None or not isinstance(when, str) or not isinstance(audit, str):
            return None
        return Last(when, audit, step)

    def before(self, key: Digest) -> model.Step | None:
        """Return what this audit itself found of an action before it was interrupted."""
        last = self._recalled(_OWN, self._of(key))
        if last is None or last.audit != self.audit:
            return None
        return last.step.model_copy(update={"went_on": True})

    def remember(self, key: Digest, step: model.Step, *, whole: bool = True) -> None:
        """Write down what was found of an action.

        `whole`: all of it that was asked for. Else this audit, when it goes on, tries it again.
        """
        document: dict[str, Any] = {
            "name": step.name,
            "audit": self.audit,
            "when": step.when,
            # What differs is kept for `compare` as long as this is.
            "outputs": [str(one.outputs) for one in step.rounds if one.outputs is not None],
            # As one text: it quotes what actions made, and nothing in it is a digest to go by.
            "step": canonical.pretty(step.model_dump(mode="json")).decode(),
        }
        if whole:
            self._store.remember(_OWN, self._of(key), document)
        self._store.remember(_ACTION, key, document)

    def _of(self, key: Digest) -> Digest:
        """The key of this audit's own record of an action."""
        own = digests.of_bytes(f"{self._key.hex} {key.hex}".encode())
        self._own.add(own)
        return own

    def end(self) -> None:
        """The audit came to its end: the next one begins anew."""
        self._write(self._began, ended=True)
        for key in self._own:
            self._store.forget(_OWN, key)

    def _write(self, began: str, *, ended: bool) -> None:
        self._store.remember(_AUDIT, self._key, {"began": began, "ended": ended})


@contextmanager
def alone(store: Store, key: Digest, out: Path) -> Iterator[History]:
    """Hold an audit's lock, so that it does not run twice at once. `out`: the build's folder.

    Raises:
        InfrastructureError: it is running already; says in which process.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(store.alone(key))
        except HeldError as error:
            raise InfrastructureError(
                f"this audit is already running, in {error.process}",
                subject=str(out),
                remedy="wait until it is done, or stop it first; another choice of steps, "
                "variations, --native or --root is another audit",
            ) from error
        yield History(store, key)


def _step(text: object) -> model.Step | None:
    if not isinstance(text, str):
        return None
    try:
        return model.step_of(canonical.loads(text, subject="an audit"))
    except InputError:
        return None


def now() -> str:
    """The present time, `2026-01-01T00:00:00Z`."""
    return utc.written(datetime.now(UTC))
