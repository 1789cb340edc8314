"""in-toto Statements v1 of a build, of its comparisons and of an audit; each in a DSSE envelope.

A subject's digests are SHA-256, which every verifier knows; BLAKE3 stands in the predicate. The
predicates are SLSA provenance v1 and two of our own, which docs/evidence.md explains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.artifacts import names
from orchestrator.artifacts.form import FORM
from orchestrator.evidence import packages, uris
from orchestrator.evidence.dsse import Envelope
from reproducibility import canonical, utc
from reproducibility.compare import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from orchestrator.artifacts.model import BuildResult, Check
    from orchestrator.audit.model import AuditResult
    from orchestrator.evidence.subject import FileDigests, Subject
    from orchestrator.lock.file import Input


def of_build(subject: Subject) -> tuple[Envelope, ...]:
    """Return the statements of a build: its provenance, then one for each kind of comparison."""
    return (provenance(subject), *comparisons(subject))


def provenance(subject: Subject) -> Envelope:
    """Return the SLSA provenance of a build. Its subjects are all files that are there before it.

    The copies of spec and lock, and the logs, are subjects too: a changed byte in any of them is
    found by who checks this statement alone.
    """
    result = subject.result
    predicate = {
        "buildDefinition": {
            "buildType": uris.BUILD_TYPE,
            "externalParameters": {
                "spec": _described(subject, names.SPEC),
                "lock": _described(subject, names.LOCK),
                "architectures": sorted(result.root.commands),
            },
            "internalParameters": {
                "spec": str(result.spec),
                "lock": str(result.lock),
                "epoch": subject.epoch,
                "engine": result.engine.model_dump(),
                "host": result.host.model_dump(),
            },
            "resolvedDependencies": [_dependency(found) for found in result.inputs],
        },
        "runDetails": {
            "builder": {
                "id": uris.BUILDER,
                "version": {"orchestrate": result.tool, "form": str(FORM)},
            },
            "metadata": {
                "startedOn": utc.of_epoch(subject.finished - round(result.seconds)),
                "finishedOn": utc.of_epoch(subject.finished),
            },
            "byproducts": [
                _described(subject, names.RESULT)
                | {
                    "annotations": {
                        "verdict": result.verdict,
                        "root": str(result.root.tree),
                        "blake3": {name: one.blake3 for name, one in subject.files.items()},
                    }
                },
                _described(subject, names.ACTIONS),
            ],
        },
    }
    files = {name: file.sha256 for name, file in subject.files.items()}
    return _envelope(files, uris.SLSA, predicate)


def comparisons(subject: Subject) -> Iterator[Envelope]:
    """Return one statement for each kind of comparison that the build made, in the order of kinds.

    It holds no time and nothing of the machine, unless a check's own words do.
    """
    result = subject.result
    families: dict[str, list[Check]] = {}
    for check in result.checks:
        families.setdefault(check.code.partition(".")[0], []).append(check)
    for family, checks in sorted(families.items()):
        predicate = {
            "comparison": family,
            "verdict": _worst(check.verdict for check in checks),
            "checks": [check.model_dump() for check in checks],
            "build": _build(result),
            "tool": result.tool,
        }
        yield _envelope(_products(result), uris.COMPARISON, predicate)


def audit(result: BuildResult, found: AuditResult, file: FileDigests, finished: int) -> Envelope:
    """Return the statement of an audit. `file`: its `audit.json`. `finished`: its end, in seconds.

    Its subjects are those of a comparison, and not `audit.json`, which a later audit replaces.
    """
    said = found.document()
    predicate = {
        "verdict": found.verdict,
        **{name: said[name] for name in ("asked", "audited", "coverage", "engine", "host", "tool")},
        "variations": [
            {name: one[name] for name in ("name", "state", "actions", "guilty")}
            for one in said["variations"]
        ],
        "checks": said["checks"],
        "build": _build(result),
        "form": str(FORM),
        "evidence": {"name": names.AUDIT, "sha256": file.sha256, "blake3": file.blake3},
        "finishedOn": utc.of_epoch(finished),
    }
    return _envelope(_products(result), uris.AUDIT, predicate)


def _products(result: BuildResult) -> dict[str, str]:
    """What a build makes: SHA-256 by file name."""
    return {one.path: one.sha256 for one in (result.cpio, result.image)}


def _build(result: BuildResult) -> dict[str, Any]:
    """Return what names a build, with the digests that are not in the subject."""
    return {
        "spec": str(result.spec),
        "lock": str(result.lock),
        "root": str(result.root.tree),
        "blake3": {one.path: one.blake3 for one in (result.cpio, result.image)},
    }


def _dependency(found: Input) -> dict[str, Any]:
    annotations: dict[str, Any] = {"input": found.name, "tree": str(found.tree)}
    if found.host is not None:
        annotations["host"] = found.host
    url = packages.purl(found)
    return {
        "name": found.label,
        **({"uri": url} if url else {}),
        "digest": packages.digests(found),
        "annotations": annotations,
    }


def _described(subject: Subject, name: str) -> dict[str, Any]:
    return {"name": name, "digest": _sha256(subject, name)}


def _sha256(subject: Subject, name: str) -> dict[str, str]:
    return {"sha256": subject.files[name].sha256}


def _worst(verdicts: Iterable[str]) -> str:
    return max(verdicts, key=lambda word: Verdict[word])


def _envelope(files: Mapping[str, str], predicate_type: str, predicate: dict[str, Any]) -> Envelope:
    statement = {
        "_type": uris.STATEMENT,
        "subject": [
            {"name": name, "digest": {"sha256": digits}} for name, digits in sorted(files.items())
        ],
        "predicateType": predicate_type,
        "predicate": predicate,
    }
    return Envelope(canonical.dumps(statement))
