"""Reads the folder's documents with their strict readers; what cannot be read is a finding."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from orchestrator.artifacts import model, names
from orchestrator.audit import model as audits
from orchestrator.evidence import dsse
from orchestrator.execution import logs
from orchestrator.files import text_file
from orchestrator.lock import file as locks
from orchestrator.spec import model as specs
from reproducibility import canonical, regular
from reproducibility.errors import InputError, SourceryError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orchestrator.artifacts.model import BuildResult
    from orchestrator.audit.model import AuditResult
    from orchestrator.evidence.dsse import Envelope
    from orchestrator.lock.file import Lock
    from orchestrator.spec.model import Spec
    from orchestrator.verify.model import Findings

_Read = TypeVar("_Read")
# Bytes of a document; those of the largest builds have some 100 KiB, an audit that explains much a
# few times that. One of the whole size takes 250 MB of memory, read as strictly as here.
_LARGEST = 8 << 20
# Values in actions.json; those of the default image's 50 actions are 7,000.
_MOST_VALUES = 400_000
_HOW_NAMED = "a finished folder has it"


@dataclass(frozen=True)
class Documents:
    """Documents of a folder; None where one is missing or cannot be read.

    `present`: paths of all files that are there.
    """

    result: BuildResult | None = None
    spec: Spec | None = None
    lock: Lock | None = None
    actions: Mapping[str, Any] | None = None
    audit: AuditResult | None = None
    envelopes: tuple[Envelope, ...] = ()
    present: frozenset[str] = frozenset()


def read(folder: Path, present: Mapping[str, object], findings: Findings) -> Documents:
    """Read all of them. `present`: the files that are there, by path."""

    def one(
        name: str, parse: Callable[[bytes, str], _Read], *, wanted: bool = True
    ) -> _Read | None:
        if name not in present:
            if wanted:
                findings.say("file-missing", name, _HOW_NAMED)
            return None
        try:
            return parse(regular.read(folder / name, follow=False, limit=_LARGEST), name)
        except SourceryError as error:
            where = f" ({error.subject})" if error.subject not in {"", name} else ""
            findings.say("file-unreadable", name, error.summary + where)
        except OSError as error:
            findings.say("file-unreadable", name, f"it cannot be read: {error.strerror}")
        return None

    return Documents(
        one(names.RESULT, _result),
        one(names.SPEC, _spec),
        one(names.LOCK, locks.parse),
        one(names.ACTIONS, _actions),
        one(names.AUDIT, _audit, wanted=False),
        one(names.PROVENANCE, dsse.parse_lines) or (),
        frozenset(present),
    )


def _result(data: bytes, name: str) -> BuildResult:
    found = model.parse(data, name)
    if model.dumps(found) != data:
        raise _other_form(name)
    return found


def _audit(data: bytes, name: str) -> AuditResult:
    found = audits.parse(data, name)
    if audits.dumps(found) != data:
        raise _other_form(name)
    return found


def _spec(data: bytes, name: str) -> Spec:
    return specs.parse(text_file.decoded(data, "the spec", name), Path(name))


def _actions(data: bytes, name: str) -> Mapping[str, Any]:
    found = canonical.loads(data, subject=name, most=_MOST_VALUES)
    try:
        right = isinstance(found, dict) and canonical.dumps(found) in {data, data.rstrip(b"\n")}
    except (TypeError, ValueError):
        right = False
    if not right:
        raise _other_form(name)
    return dict(found)


def _other_form(name: str) -> SourceryError:
    return InputError("it says what it says in another form than this program writes", subject=name)


def log_names(result: BuildResult) -> dict[str, str]:
    """Names in `logs/` that a build leaves, each with the step whose log it is."""
    found: dict[str, str] = {}
    for step in sorted(result.steps, key=lambda step: step.name):
        if step.kind == "computation":
            continue
        name = logs.name_of(step.name)
        found[name if name not in found else logs.name_of(step.name, step.key.hex)] = step.name
    return {f"{names.LOGS}/{name}": step for name, step in found.items()}
