"""Checks the links of a folder: image - tree - actions - inputs - lock - spec, and the logs.

Each is a digest that one file states and another file's bytes give.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from orchestrator.artifacts import names, recipe
from orchestrator.verify.documents import log_names
from reproducibility import canonical, visible
from reproducibility import digest as digests
from reproducibility.conditions import Conditions
from reproducibility.digest import Digest
from reproducibility.errors import InputError
from reproducibility.manifest import Tree, file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from orchestrator.artifacts.model import Artifact, BuildResult, Step
    from orchestrator.verify.documents import Documents
    from orchestrator.verify.model import Findings, Measured

_BROKEN = "link-broken"
_FILES_OF_A_BUILD = frozenset(
    {
        names.RESULT, names.SPEC, names.LOCK, names.ACTIONS, names.PROVENANCE, names.SBOM,
        names.SBOM_FILES, names.JUNIT, names.REPORT, names.AUDIT, *names.SUMS,
    }
)  # fmt: skip


def check(documents: Documents, files: Mapping[str, Measured], findings: Findings) -> None:
    """Check all of them; what does not fit is a finding."""
    result = documents.result
    if result is None:
        return
    _names(result, files, findings)
    for artifact in (result.image, result.cpio):
        _artifact(artifact, files, findings)
    _pinned(documents, result, findings)
    for step in result.steps:
        for reason in _wrong_step(step, result):
            findings.say("verdict-contradicts", names.RESULT, f"step {step.name}: {reason}")
    _identifiers(result, findings)
    if documents.actions is not None:
        _actions(documents.actions, result, findings)
    if result.image.path == result.cpio.path:
        findings.say(_BROKEN, names.RESULT, "image and archive are said to be one file")
    else:
        _recipe(documents.actions or {}, result, documents, findings)


def _names(result: BuildResult, files: Mapping[str, Measured], findings: Findings) -> None:
    """Every file is one that a build leaves, and every log is a step's."""
    logs = log_names(result)
    known = _FILES_OF_A_BUILD | {result.image.path, result.cpio.path} | logs.keys()
    for path in files.keys() - known:
        findings.say("file-unnamed", visible.line(path), "it is no file that a build leaves")
    for artifact in (result.image, result.cpio):
        if artifact.path in _FILES_OF_A_BUILD | logs.keys():
            reason = f"it names {artifact.path} as image or archive, which is another file"
            findings.say(_BROKEN, names.RESULT, reason)
    for path in (names.SBOM, names.JUNIT, names.REPORT):
        if path not in files:
            findings.say("file-missing", path, "a finished folder has it")
    for path, step in logs.items():
        if path not in files:
            findings.say("file-missing", path, f"it is the log of the step {step}")


def _artifact(artifact: Artifact, files: Mapping[str, Measured], findings: Findings) -> None:
    here = files.get(artifact.path)
    if here is None:
        findings.say("file-missing", artifact.path, "the result names it")
    elif (here.size, here.blake3, here.sha256) != (
        artifact.size,
        artifact.blake3,
        artifact.sha256,
    ):
        findings.say("file-differs", artifact.path, "it is not the file that result.json names")


def _pinned(documents: Documents, result: BuildResult, findings: Findings) -> None:
    spec, lock = documents.spec, documents.lock
    if spec is not None and spec.digest != result.spec:
        reason = f"it says {spec.digest}, and the result was made from {result.spec}"
        findings.say(_BROKEN, names.SPEC, reason)
    if lock is None:
        return
    if lock.digest != result.lock:
        reason = f"it says {lock.digest}, and the result was made from {result.lock}"
        findings.say(_BROKEN, names.LOCK, reason)
    if lock.inputs != result.inputs:
        findings.say(_BROKEN, names.RESULT, "its inputs are not those that the lock pins")
    if spec is not None:
        try:
            lock.check_fits(spec)
        except InputError as error:
            findings.say(_BROKEN, names.LOCK, error.summary)


def _wrong_step(step: Step, result: BuildResult) -> Iterator[str]:
    """What a step says of itself that contradicts the rest of it."""
    if step.kind == "nothing":
        if step.action is not None or step.outputs != Tree().digest:
            yield "there was nothing to do, and it names work or outputs"
        return
    if step.action is None:
        yield "it names no action"
        return
    key: Digest | None = step.action
    if step.kind == "action":
        key = _key(step.action, step.conditions)
    if key is None:
        yield "its conditions are none, or are written otherwise than this program does"
    elif key != step.key:
        yield f"action and conditions give the key {key}, and it has {step.key}"
    if step.origin != ("remembered" if step.cached else "ran here"):
        yield "cached and origin contradict each other"
    made = step.provenance
    if made is not None and made.isolation is not None:
        known = {one.id for one in result.isolation.enforced}
        if made.isolation not in known:
            yield "its provenance names an isolation that is not there"


def _key(action: Digest, described: Mapping[str, str | int]) -> Digest | None:
    """Key of an action under conditions; None where there are no such conditions."""
    try:
        conditions = Conditions(**_typed(described)).describe()
    except (TypeError, ValueError):
        return None
    if conditions != described:
        return None
    own = digests.of_bytes(canonical.dumps(conditions))
    return digests.of_bytes(canonical.dumps({"action": str(action), "conditions": str(own)}))


def _typed(conditions: Mapping[str, str | int]) -> dict[str, Any]:
    kinds = {field.name: type(field.default) for field in fields(Conditions)}
    for name, value in conditions.items():
        if name not in kinds or type(value) is not kinds[name]:
            raise ValueError(name)
    return dict(conditions)


def _identifiers(result: BuildResult, findings: Findings) -> None:
    seen: set[str] = set()
    for step in result.steps:
        if step.name in seen:
            findings.say("verdict-contradicts", names.RESULT, f"step {step.name} is there twice")
        seen.add(step.name)
    for one in result.isolation.enforced:
        told = one.model_dump(mode="json", exclude={"id"})
        if digests.of_bytes(canonical.dumps(told)) != one.id:
            reason = f"isolation {one.id}: that is not the digest of what it says"
            findings.say("verdict-contradicts", names.RESULT, reason)


def _actions(actions: Mapping[str, Any], result: BuildResult, findings: Findings) -> None:
    """Every document is the one whose digest a step names, and none is missing or further."""
    wanted = {str(step.action): step.name for step in result.steps if step.action is not None}
    for name in sorted(actions.keys() - wanted.keys()):
        findings.say(_BROKEN, names.ACTIONS, f"no step has the action {name[:80]}")
    for name, step in sorted(wanted.items()):
        if name not in actions:
            findings.say(_BROKEN, names.ACTIONS, f"the action of {step} is missing")
            continue
        found = digests.of_bytes(canonical.dumps(actions[name]))
        if str(found) != name:
            reason = f"what it says of {step} has the digest {found}, and the step names {name}"
            findings.say(_BROKEN, names.ACTIONS, reason)


def _recipe(
    actions: Mapping[str, Any], result: BuildResult, documents: Documents, findings: Findings
) -> None:
    """The image's recipe must be that of this spec and lock; its files are the step's outputs."""
    step = next((one for one in result.steps if one.name == names.IMAGE_STEP), None)
    if step is None:
        findings.say("check-missing", names.RESULT, "there is no step that makes the image")
        return
    outputs = Tree(
        file(one.path, Digest("blake3", one.blake3), one.size)
        for one in (result.image, result.cpio)
    )
    if outputs.digest != step.outputs:
        reason = f"the image and the archive are {outputs.digest}, and the step says {step.outputs}"
        findings.say(_BROKEN, names.RESULT, reason)
    said = actions.get(str(step.action))
    spec, lock = documents.spec, documents.lock
    if isinstance(said, dict) and spec is not None and lock is not None:
        image = spec.image
        wanted = {
            "identity": str(recipe.identity(spec.digest, lock.digest)),
            "label": image.label,
            "epoch": image.epoch,
            "free_space": image.free_space,
            "compression": result.compression.archive,
        }
        for name, value in wanted.items():
            if said.get(name) != value:
                reason = f"the image's {name} is {said.get(name)!r}, and by the rest {value!r}"
                findings.say(_BROKEN, names.ACTIONS, reason)


def mounts(documents: Documents, derived: Collection[str]) -> tuple[int, int]:
    """How many input trees the actions are given, and how many of them are known.

    `derived`: digests of trees on the image. Known is also what the lock pins, and what a step
    left. The others are put together from several.
    """
    result, lock, actions = documents.result, documents.lock, documents.actions
    if result is None or lock is None or actions is None:
        return 0, 0
    known = {*derived, *(str(step.outputs) for step in result.steps)}
    for pinned in lock.inputs:
        known |= {str(pinned.tree), str(getattr(pinned, "vendored", None))}
    named: list[str] = []
    for said in actions.values():
        given = said.get("mounts") if isinstance(said, dict) else None
        named += [
            mount["tree"]
            for mount in (given if isinstance(given, list) else ())
            if isinstance(mount, dict) and isinstance(mount.get("tree"), str)
        ]
    return len(named), sum(tree in known for tree in named)
