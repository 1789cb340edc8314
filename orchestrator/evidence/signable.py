"""Tells which statements of a finished folder may be signed: those that its files lead to.

Who signs vouches for every word, and a folder may come from anybody. So the writers of statements,
which are pure, are asked again, and what they do not write is not signed. What another version
wrote they may write otherwise; of that, kind, subjects and the digests in it must fit, and no hash
may stand in it that the folder does not know. Which version wrote something is only what the folder
says: nothing may get by that names other bytes.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator import resources
from orchestrator.artifacts import names
from orchestrator.audit import model as audits
from orchestrator.evidence import dsse, packages, statements, uris
from orchestrator.evidence.subject import FileDigests, Subject
from orchestrator.execution import logs
from orchestrator.files import text_file
from orchestrator.lock import file as locks
from orchestrator.spec import model as specs
from reproducibility import canonical, regular, utc
from reproducibility import digest as digests
from reproducibility.errors import ComparisonError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from orchestrator.artifacts.model import BuildResult
    from orchestrator.evidence.dsse import Envelope

REMEDY = "build again: `orchestrate build`"
_VERIFY = "`orchestrate verify` says more; take the folder again from whom it came, or build again"
_KINDS = {uris.SLSA: "provenance", uris.COMPARISON: "comparison", uris.AUDIT: "audit"}
# Members of a statement, and of what it is about (in-toto Statement v1).
_MEMBERS = frozenset({"_type", "subject", "predicateType", "predicate"})
_SUBJECT = frozenset({"name", "digest"})
# Where the digests of spec, lock and tree stand in a predicate.
_OF_BUILD = (("build",), ("buildDefinition", "internalParameters"))
_SHOWN = 80
# Hexadecimal digits of SHA-1 and all longer ones, and the hash of a Go module.
_HASH = re.compile(r"[0-9A-Fa-f]{40,}|h1:[A-Za-z0-9+/]{43}=")


@dataclass(frozen=True)
class Signable:
    """Statements that may be signed.

    `names`: what each is, by its line, from 1. `earlier`: lines about audits that a later one
    replaced: nothing is left to hold them against. `version`: of another program, which wrote the
    build's statements or that of the audit, so that they were not written again; where two did,
    both; else empty. `unwritten`: the lines of those. `audit`: digests of the `audit.json` that one
    of them is about.
    """

    names: Mapping[int, str]
    earlier: tuple[int, ...]
    version: str
    unwritten: tuple[int, ...]
    audit: FileDigests | None


@dataclass(frozen=True)
class _Statement:
    place: str
    line: int
    kind: str
    subjects: Mapping[str, str]
    predicate: Mapping[str, Any]
    envelope: Envelope

    @property
    def name(self) -> str:
        """What it is, for a person."""
        said = self.predicate.get("comparison") if self.kind == uris.COMPARISON else None
        return (
            f"{_KINDS[self.kind]} {said[:_SHOWN]}" if isinstance(said, str) else _KINDS[self.kind]
        )


def judged(out: Path, result: BuildResult, envelopes: Sequence[Envelope]) -> Signable:
    """Hold every statement against the files of the folder, each of which is hashed.

    Raises:
        ComparisonError: a statement says otherwise than the files; names it.
        InputError: one is of a kind that no build and no audit writes, or a file cannot be read.
    """
    provenance = out / names.PROVENANCE
    said = [
        _parsed(envelope, line, f"{provenance}, line {line}")
        for line, envelope in enumerate(envelopes, 1)
    ]
    known = {name for one in said for name in one.subjects}
    for name in (result.image.path, result.cpio.path, names.RESULT):
        if name not in known:
            raise InputError(
                f"no statement is about {name}", subject=str(provenance), remedy=REMEDY
            )
    for one in said:
        if one.kind not in _KINDS or one.envelope.payload_type != dsse.PAYLOAD_TYPE:
            raise InputError(
                f"neither a build nor an audit makes such a statement: {one.kind[:_SHOWN]!r} in "
                f"{one.envelope.payload_type[:_SHOWN]!r}",
                subject=one.place,
                remedy="who made it signs it; take it out of a folder that you sign",
            )
    files = _hashed(out, said)
    built = [one for one in said if one.kind != uris.AUDIT]
    others: dict[int, str] = {}
    if result.tool == resources.VERSION:
        _restated(out, result, built, files)
    else:
        known_hashes = _hashes(out, result, files)
        for one in built:
            _refuse_other_digests(one, result, files)
            _refuse_unknown_hashes(one, known_hashes)
            others[one.line] = result.tool
    audited = [one for one in said if one.kind == uris.AUDIT]
    audit = None
    if audited:
        audit, tool = _audited(out, result, audited, files)
        if tool != resources.VERSION:
            others[audited[-1].line] = tool
    earlier = tuple(one.line for one in audited[:-1])
    return Signable(
        {one.line: one.name for one in said if one.line not in earlier},
        earlier,
        " and ".join(dict.fromkeys(others.values())),
        tuple(others),
        audit,
    )


def subjects(envelope: Envelope, subject: str) -> dict[str, str]:
    """Return the SHA-256 of each file that an in-toto statement is about, by name.

    Raises:
        InputError: the payload is no statement whose subjects have one and nothing else, once each.
    """
    return _subjects(canonical.loads(envelope.payload, subject=subject), subject)


def _subjects(document: Any, subject: str) -> dict[str, str]:  # noqa: ANN401 - any JSON
    """Subjects by name. Who verifies takes any of them, by any digest: so each has just the one."""
    listed = document.get("subject") if isinstance(document, dict) else None
    found: dict[str, str] = {}
    for one in listed if isinstance(listed, list) else ():
        digest = one.get("digest") if isinstance(one, dict) and one.keys() == _SUBJECT else None
        name, sha256 = (one["name"], digest.get("sha256")) if isinstance(digest, dict) else ("", "")
        if not isinstance(name, str) or not isinstance(sha256, str) or digest != {"sha256": sha256}:
            raise InputError(
                "a statement is not about files with SHA-256 and nothing else",
                subject=subject,
                remedy=REMEDY,
            )
        if name in found:
            raise InputError(
                f"a statement is about {name[:_SHOWN]} twice", subject=subject, remedy=REMEDY
            )
        found[name] = sha256
    if not found:
        raise InputError(
            "this is not an in-toto statement about files with SHA-256",
            subject=subject,
            remedy=REMEDY,
        )
    return found


def _parsed(envelope: Envelope, line: int, place: str) -> _Statement:
    document = canonical.loads(envelope.payload, subject=place)
    found = _subjects(document, place)
    for name in found:
        if name.startswith("/") or ".." in Path(name).parts or "\0" in name:
            raise InputError("a statement is about a file elsewhere", subject=name, remedy=REMEDY)
    kind, predicate = document.get("predicateType"), document.get("predicate")
    if document.keys() != _MEMBERS or document["_type"] != uris.STATEMENT:
        raise InputError("this is not an in-toto Statement v1", subject=place, remedy=REMEDY)
    return _Statement(
        place,
        line,
        kind if isinstance(kind, str) else "",
        found,
        predicate if isinstance(predicate, dict) else {},
        envelope,
    )


def _hashed(out: Path, said: Iterable[_Statement]) -> dict[str, FileDigests]:
    """Digests of every file that a statement is about, which must be those that it says."""
    found: dict[str, FileDigests] = {}
    for one in said:
        for name, digits in one.subjects.items():
            if name not in found:
                found[name] = _of_file(out / name)
            if found[name].sha256 != digits:
                raise ComparisonError(
                    f"the file is not what a statement says: sha256 {found[name].sha256}, "
                    f"stated {digits[:_SHOWN]}",
                    subject=str(out / name),
                    remedy=REMEDY,
                )
    return found


def _of_file(path: Path) -> FileDigests:
    try:
        blake3, size = digests.measured(path, follow=False)
        return FileDigests(size, blake3.hex, digests.sha256_of_file(path, follow=False).hex)
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> InputError:
    """Return the error for a file of a finished build that cannot be read."""
    return InputError(
        f"cannot read this file of a finished build: {error.strerror}",
        subject=str(path),
        remedy=REMEDY,
    )


def _restated(
    out: Path, result: BuildResult, built: Sequence[_Statement], files: Mapping[str, FileDigests]
) -> None:
    """Write the statements of the build anew, and compare."""
    builds = [one for one in built if one.kind == uris.SLSA]
    if len(builds) != 1:
        raise ComparisonError(
            f"there are {len(builds)} statements of provenance, and a build makes one",
            subject=str(out / names.PROVENANCE),
            remedy=_VERIFY,
        )
    (build,) = builds
    _require_every_file(out, build, result)
    wanted = {one.payload for one in _written(out, result, build, files)}
    found: set[bytes] = set()
    for one in built:
        if one.envelope.payload not in wanted or one.envelope.payload in found:
            raise _differs(one, f"it says otherwise than {names.RESULT}, spec and lock")
        found.add(one.envelope.payload)
    if found != wanted:
        raise ComparisonError(
            f"{len(wanted - found)} statements that such a build makes are missing",
            subject=str(out / names.PROVENANCE),
            remedy=_VERIFY,
        )


def _require_every_file(out: Path, build: _Statement, result: BuildResult) -> None:
    """Require that the provenance is about all that a build leaves before it, and nothing else."""
    wanted = {result.image.path, result.cpio.path, names.RESULT, *names.COPIES}
    wanted |= {names.ACTIONS, names.SBOM, names.JUNIT}
    if os.path.lexists(out / names.SBOM_FILES):  # earlier builds have one bill of materials
        wanted.add(names.SBOM_FILES)
    allowed = {*wanted, names.SBOM_FILES}
    for step in result.steps:
        usual = f"{names.LOGS}/{logs.name_of(step.name)}"
        own = {usual, f"{names.LOGS}/{logs.name_of(step.name, step.key.hex)}"}
        allowed |= own
        if step.kind == "action" and not build.subjects.keys() & own:
            wanted |= {usual}
    missing, more = wanted - build.subjects.keys(), build.subjects.keys() - allowed
    if missing:
        raise _differs(build, f"it is not about {min(missing)}")
    if more:
        raise _differs(build, f"it is about {min(more)[:_SHOWN]}, which no build writes")


def _written(
    out: Path, result: BuildResult, build: _Statement, files: Mapping[str, FileDigests]
) -> tuple[Envelope, ...]:
    finished = _moment(_at(build.predicate, "runDetails", "metadata", "finishedOn"))
    if finished is None:
        raise _differs(build, "it does not say when the build ended")
    spec, lock, actions = (_bytes(out / name) for name in (*names.COPIES, names.ACTIONS))
    place = str(out / names.SPEC)
    subject = Subject(
        result=result,
        spec=spec,
        lock_file=lock,
        lock=locks.parse(lock, str(out / names.LOCK)),
        epoch=specs.parse(text_file.decoded(spec, "the spec", place), Path(place)).image.epoch,
        finished=finished,
        actions=canonical.loads(actions, subject=str(out / names.ACTIONS)),
        files={name: files[name] for name in build.subjects},
    )
    try:
        return statements.of_build(subject)
    except (OSError, OverflowError, ValueError) as error:  # a time that no calendar has
        raise _differs(build, f"its times cannot be: {error}") from error


def _audited(
    out: Path,
    result: BuildResult,
    audited: Sequence[_Statement],
    files: Mapping[str, FileDigests],
) -> tuple[FileDigests, str]:
    """Compare the last statement about an audit with the audit that is here.

    Gives the digests of that, and the version that made it. Those before it are about others, which
    it replaced.
    """
    place = out / names.AUDIT
    data = _bytes(place)
    own = FileDigests(len(data), digests.of_bytes(data).hex, digests.sha256_of_bytes(data).hex)
    evidence = {"name": names.AUDIT, "sha256": own.sha256, "blake3": own.blake3}
    fitting = [one for one in audited if one.predicate.get("evidence") == evidence]
    last = audited[-1]
    if fitting != [last]:
        one = fitting[0] if fitting and fitting[0] is not last else last
        raise _differs(one, f"it is of another audit than the {names.AUDIT} that is here")
    audit = audits.parse(data, str(place))
    told = audit.audited
    if str(told.result) != f"blake3:{files[names.RESULT].blake3}" or (
        (told.spec, told.lock, told.image, told.archive)
        != (result.spec, result.lock, result.image.blake3, result.cpio.blake3)
    ):
        raise _differs(last, f"{names.AUDIT} is of another build")
    if audit.tool == resources.VERSION:
        finished = _moment(last.predicate.get("finishedOn"))
        again = statements.audit(result, audit, own, finished or 0)
        if finished is None or again.payload != last.envelope.payload:
            raise _differs(last, f"it says otherwise than {names.AUDIT}")
    elif last.predicate.get("tool") != audit.tool:
        raise _differs(last, f"it names another version than {names.AUDIT}")
    elif last.predicate.get("audited") != audit.document()["audited"]:
        raise _differs(last, f"it names another build than {names.AUDIT}")
    else:
        _refuse_other_digests(last, result, files)
        _refuse_unknown_hashes(last, _hashes(out, result, {**files, names.AUDIT: own}))
    return own, audit.tool


def _refuse_other_digests(
    one: _Statement, result: BuildResult, files: Mapping[str, FileDigests]
) -> None:
    """Require that each digest in a statement of another version is that of what it names.

    Of a file, which must be a subject too; of an input; of spec, lock and tree.
    """
    own = {name: files[name] for name in one.subjects}
    inputs = {(found.label, _listed(packages.digests(found))) for found in result.inputs}
    trees = {found.label: str(found.tree) for found in result.inputs}
    build = {"spec": str(result.spec), "lock": str(result.lock), "root": str(result.root.tree)}
    known = {(name, _listed({"sha256": file.sha256})) for name, file in own.items()} | inputs
    # What an audit's statement says of the audit's own file was compared before.
    left_out = {"evidence"} if one.kind == uris.AUDIT else ()
    said = {name: value for name, value in one.predicate.items() if name not in left_out}
    for part in _objects(said):
        blake3 = part.get("blake3", {})
        for name, digits in blake3.items() if isinstance(blake3, dict) else [("a file", None)]:
            if name not in own or own[name].blake3 != digits:
                raise _differs(one, f"it names another blake3 of {name[:_SHOWN]}")
        name, told = str(part.get("name")), part.get("annotations")
        if "digest" in part and (name, _listed(part["digest"])) not in known:
            raise _differs(one, f"it names another digest of {name[:_SHOWN]}")
        _refuse_others(one, told, {"root": build["root"], "tree": trees.get(name, "")})
    for place in _OF_BUILD:
        _refuse_others(one, _at(one.predicate, *place), build)


def _hashes(out: Path, result: BuildResult, files: Mapping[str, FileDigests]) -> frozenset[str]:
    """The hashes of the files, and those that stand in the documents that the build is told by."""
    known = {digits for file in files.values() for digits in (file.sha256, file.blake3)}
    known.update(*(packages.digests(found).values() for found in result.inputs))
    for name in (names.RESULT, *names.COPIES, names.ACTIONS, names.AUDIT):
        if name in files:
            known.update(_HASH.findall(_bytes(out / name).decode(errors="replace")))
    return frozenset(known)


def _refuse_unknown_hashes(one: _Statement, known: frozenset[str]) -> None:
    """Require that each hash in a statement of another version, wherever it stands, is known."""
    for digits in _HASH.findall(one.envelope.payload.decode(errors="replace")):
        if digits not in known:
            raise _differs(one, f"it names a hash that nothing here has: {digits[:_SHOWN]}")


def _refuse_others(one: _Statement, said: Any, wanted: Mapping[str, str]) -> None:  # noqa: ANN401 - any JSON
    """Require that what an object says is as it should be, so far as it says it."""
    for name in wanted.keys() & said.keys() if isinstance(said, dict) else ():
        if said[name] != wanted[name]:
            raise _differs(one, f"it names another {name} than {names.RESULT}")


def _listed(digest: object) -> frozenset[tuple[str, str]] | None:
    """Digests by their algorithms, as a value that can be looked up; None for anything else."""
    if not isinstance(digest, dict):
        return None
    return frozenset((name, str(digits)) for name, digits in digest.items())


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:  # noqa: ANN401 - any JSON
    """Yield every object in a value, at any depth, but those of digests by their algorithms."""
    left = [value]
    while left:
        at = left.pop()
        if isinstance(at, dict):
            yield at
            left += (one for name, one in at.items() if name != "digest")
        elif isinstance(at, list):
            left += at


def _at(value: Any, *path: str) -> Any:  # noqa: ANN401 - any JSON
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _moment(value: object) -> int | None:
    """Seconds since 1970-01-01 UTC, of a time as the statements have it; None for another."""
    try:
        found = utc.read(str(value))
    except ValueError:
        return None
    return int(found.timestamp())


def _bytes(path: Path) -> bytes:
    try:
        return regular.read(path, follow=False)
    except OSError as error:
        raise unreadable(path, error) from error


def _differs(one: _Statement, why: str) -> ComparisonError:
    return ComparisonError(
        f"the statement is not signed ({one.name}): {why}", subject=one.place, remedy=_VERIFY
    )
