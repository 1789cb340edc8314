"""Derives stored verdicts again, and says of each check by what right it may be believed.

A check's outcome follows from the image's bytes (read back, module hashes, the log), or from
digests and observations that the result states (F1 == F2 from the outputs of two steps). Where a
stored outcome is not one that can follow, that is a finding. The first kind of check is *derived
here*; of the second only the conclusion is, so it is no better than who signed the result.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator import plan
from orchestrator.artifacts import image, names
from orchestrator.golang import handles, probe
from orchestrator.lock import logged
from orchestrator.verify import toolchains
from orchestrator.verify.placed import Placed
from reproducibility import canonical, codes, visible
from reproducibility.compare import DIFFERS, SAME, Verdict, fold
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from orchestrator.architecture import Architecture
    from orchestrator.artifacts.model import BuildResult, Check, Step
    from orchestrator.lock.file import Lock
    from orchestrator.lock.model import GoModule
    from orchestrator.verify.contents import Contents
    from orchestrator.verify.model import Findings
    from orchestrator.verify.toolchains import Source, Toolchain
    from reproducibility.compare import CheckKind

_CONTRADICTS = "verdict-contradicts"
_STATED_DIGESTS = "follows from the digests that the result states for the two steps"
_NOT_DERIVED = "what it compares is not in the folder"
_SHOWN = 120


@dataclass(frozen=True)
class Grounds:
    """Everything that verdicts are derived from.

    `bill`: whether the bill of materials lists the files of the image, each in one package.
    `placed`: what was accounted for of the files on the image.
    """

    result: BuildResult
    lock: Lock | None
    contents: Contents
    toolchains: Mapping[Architecture, Toolchain]
    sources: Mapping[str, Source]
    bill: bool = False
    placed: Placed = field(default_factory=Placed)

    def outputs(self, step: str) -> str:
        """Digest that the result states for a step's outputs; empty without such a step."""
        return next((str(one.outputs) for one in self.result.steps if one.name == step), "")


@dataclass(frozen=True)
class Derived:
    """Outcomes that can follow; None where nothing can be said. `here`: from bytes, not words."""

    outcomes: Collection[str] | None
    here: bool
    detail: str


_UNKNOWN = Derived(None, here=False, detail=_NOT_DERIVED)


def check(grounds: Grounds, findings: Findings) -> list[tuple[Check, Derived]]:
    """Hold each stored check against what follows; returns each with what could be derived."""
    result = grounds.result
    values = []
    told: list[tuple[Check, Derived]] = []
    seen: set[tuple[CheckKind, str]] = set()
    for one in result.checks:
        try:
            value = one.value()
        except KeyError:
            findings.say(_CONTRADICTS, names.RESULT, f"there is no check {one.code}")
            continue
        values.append(value)
        place = f"{one.code} of {one.subject}"
        if one.verdict != value.verdict.name:
            reason = f"{place} is a {value.verdict.name}, and the result says {one.verdict}"
            findings.say(_CONTRADICTS, names.RESULT, reason)
        if (value.kind, one.subject) in seen:
            findings.say(_CONTRADICTS, names.RESULT, f"{place} is there twice")
        seen.add((value.kind, one.subject))
        derived = _derived(value.kind, one, grounds)
        told.append((one, derived))
        outcome = value.code.outcome
        if derived.outcomes is not None and outcome not in derived.outcomes:
            right = " or ".join(sorted(derived.outcomes)) or "no such check"
            reason = f"{place}: here it comes out as {right}"
            findings.say(_CONTRADICTS, names.RESULT, f"{reason} ({derived.detail})")
    if fold(values).name != result.verdict:
        reason = f"its checks fold to {fold(values).name}, and it says {result.verdict}"
        findings.say(_CONTRADICTS, names.RESULT, reason)
    _complete(grounds, seen, findings)
    _counts(grounds, findings)
    return told


def _complete(grounds: Grounds, seen: set[tuple[CheckKind, str]], findings: Findings) -> None:
    result, lock = grounds.result, grounds.lock
    if lock is None:
        return
    architectures = tuple(name for name in lock.toolchain.log if name in result.root.commands)
    if result.host.architecture not in lock.toolchain.log:
        reason = f"the lock is not for machines of {result.host.architecture}, which built it"
        findings.say("link-broken", names.RESULT, reason)
        return
    wanted = plan.expected(lock, result.host.architecture, architectures)
    expected = {*wanted, *image.EXPECTED}
    for kind, subject in sorted(expected - seen, key=_address):
        reason = f"such a build ends with a check {kind.code} of {subject}"
        findings.say("check-missing", names.RESULT, reason)
    again = {(codes.REBUILD, step.name) for step in result.steps}
    for kind, subject in sorted(seen - expected - again, key=_address):
        reason = f"no such build makes a check {kind.code} of {visible.line(subject)[:_SHOWN]}"
        findings.say(_CONTRADICTS, names.RESULT, reason)


def _address(check: tuple[CheckKind, str]) -> tuple[str, str]:
    return check[0].code, check[1]


def _derived(kind: CheckKind, one: Check, grounds: Grounds) -> Derived:
    if kind in {codes.FIXED_POINT, codes.CROSS_AGAIN, codes.HELPERS}:
        return _of_steps(kind, one.subject, grounds)
    if kind == codes.VARIATION:
        return _variation(one, grounds)
    if kind in {codes.LOG, codes.RELEASE, codes.SOURCE}:
        return _of_log(kind, one.subject, grounds)
    contents = grounds.contents
    found = {
        codes.IMAGE_READ_BACK: (contents.read_back, "the image was read, by pyfatfs"),
        codes.IMAGE_BYTES: (contents.bytes_hold, _bytes_detail(loader=contents.loader)),
        codes.ARCHIVE_READ_BACK: (contents.archive_holds, "the archive was read, byte by byte"),
    }.get(kind)
    if found is None or found[0] is None:
        return _UNKNOWN
    if found[0]:
        return Derived({SAME}, here=True, detail=found[1])
    failing = {outcome for outcome, code in kind.codes.items() if code.verdict is Verdict.FAIL}
    return Derived(failing, here=True, detail=found[1])


def _bytes_detail(*, loader: bool) -> str:
    left = ", but for the code of the BIOS loader, whose packages are not here" if loader else ""
    return f"every byte of the image beside its files was compared{left}"


def _of_steps(kind: CheckKind, subject: str, grounds: Grounds) -> Derived:
    pairs = {
        codes.FIXED_POINT: (handles.F1, handles.F2),
        codes.HELPERS: (handles.HELPERS, handles.HELPERS_AGAIN),
        codes.CROSS_AGAIN: (handles.cross(subject), handles.cross_again(subject)),
    }
    one, other = (grounds.outputs(step) for step in pairs[kind])
    detail = f"{_STATED_DIGESTS}, {pairs[kind][0]} and {pairs[kind][1]}"
    if subject in grounds.toolchains and kind != codes.HELPERS:
        detail += "; the first is that of the programs on the image"
    if not one or not other:
        return Derived((), here=False, detail="the result has not both steps")
    if one == other:
        return Derived({SAME, "nothing-compared"} if kind == codes.HELPERS else {SAME},
                       here=False, detail=detail)  # fmt: skip
    if kind == codes.HELPERS:  # of the helpers, some only are compared
        return Derived(None, here=False, detail=detail)
    return Derived({DIFFERS, "nothing-compared"}, here=False, detail=detail)


def _variation(one: Check, grounds: Grounds) -> Derived:
    """Fields that the observer saw in F1 and in F2 must differ where the check says so."""
    steps = {step.name: step for step in grounds.result.steps}
    first, second = (_observed(steps.get(name)) for name in (handles.F1, handles.F2))
    if one.subject not in probe.FIELDS:
        return Derived((), here=False, detail="there is no such variation")
    if first is None or second is None:
        return Derived(
            {"not-recorded", "no-effect", "unable"}, here=False, detail="nothing was observed"
        )
    field = one.subject
    detail = "follows from what the two runs saw, as the result states it"
    if field in first and field in second and first[field] != second[field]:
        return Derived({"varied", "unable", "no-effect"}, here=False, detail=detail)
    return Derived({"no-effect", "one-processor", "unable"}, here=False, detail=detail)


def _observed(step: Step | None) -> dict[str, object] | None:
    if step is None or step.provenance is None or not step.provenance.observed:
        return None
    try:
        seen = canonical.loads(step.provenance.observed)
    except InputError:
        return None
    return seen if isinstance(seen, dict) else None


def _of_log(kind: CheckKind, subject: str, grounds: Grounds) -> Derived:
    lock = grounds.lock
    if lock is None:
        return _UNKNOWN
    architecture = next((name for name in lock.toolchain.log if name == subject), None)
    if architecture is not None and kind != codes.SOURCE:
        said = logged.toolchain(lock, architecture)
        if kind == codes.LOG:
            return _logged(said)
        return _release(said, grounds.toolchains.get(architecture))
    pinned = next((one for one in logged.sources(lock) if logged.subject(one) == subject), None)
    if pinned is None:
        return Derived((), here=True, detail="the lock pins no such module")
    return _source(kind, pinned, grounds)


def _source(kind: CheckKind, pinned: GoModule, grounds: Grounds) -> Derived:
    said = logged.source(pinned)
    if kind == codes.LOG:
        return _logged(said)
    if said.absence:
        return Derived({"absent-record"}, here=True, detail="the lock has no record")
    found = grounds.sources.get(pinned.module)
    if found is not None and toolchains.is_published(found, pinned):
        detail = "the module hash of its files on the image is the recorded one"
        return Derived({SAME}, here=True, detail=detail)
    if found is not None and said.h1 and not pinned.replace:
        # Nothing of it was changed for the image, so all that was published is there.
        given = next(iter(found.hashes), "no hash")
        detail = f"its files on the image give {given}, the record says {said.h1}"
        return Derived({DIFFERS, "not-at-hand", "other-hash"}, here=True, detail=detail)
    detail = (
        "its files on the image are those that the lock pins; files of the published module that "
        "were changed for the image are not here"
    )
    return Derived({SAME, DIFFERS, "not-at-hand", "other-hash"}, here=False, detail=detail)


def _logged(said: logged.Logged) -> Derived:
    outcomes = {said.check.code.outcome} if said.check is not None else frozenset[str]()
    detail = "signature, tree head and inclusion proof in the lock were checked"
    return Derived(outcomes, here=True, detail=detail)


def _release(said: logged.Logged, found: Toolchain | None) -> Derived:
    if said.absence:
        return Derived({"absent-record"}, here=True, detail="the lock has no record")
    if not said.h1:
        return Derived((), here=True, detail="the log's record is not proved")
    if found is None:
        return Derived({SAME, DIFFERS}, here=False, detail="the toolchain is not on the image")
    if found.h1 == said.h1:
        detail = f"the module hash of its files on the image is the recorded one, {found.h1}"
        return Derived({SAME}, here=True, detail=detail)
    detail = f"its files on the image give {found.h1}, the record says {said.h1}"
    return Derived({DIFFERS}, here=True, detail=detail)


def _counts(grounds: Grounds, findings: Findings) -> None:
    """Counts of the root that follow from the tree."""
    tree, root = grounds.contents.tree, grounds.result.root
    if tree is None:
        return
    seeds = [
        entry.size
        for entry in tree.files()
        if entry.path.startswith("linux_") and entry.path.split("/")[1:2] == ["seed"]
    ]
    here = {
        "files": sum(1 for _ in tree.files()),
        "bytes": tree.size,
        "seed_files": len(seeds),
        "seed_bytes": sum(seeds),
    }
    for name, value in here.items():
        if getattr(root, name) != value:
            reason = f"root.{name} is {getattr(root, name)}, and the image gives {value}"
            findings.say(_CONTRADICTS, names.RESULT, reason)
    for architecture, paths in root.prebuilt_programs.items():
        absent = [path for path in paths if tree.get(path) is None]
        if absent or root.prebuilt.get(architecture) != len(paths):
            reason = f"root.prebuilt_programs of {architecture} are not those on the image"
            findings.say(_CONTRADICTS, names.RESULT, reason)
