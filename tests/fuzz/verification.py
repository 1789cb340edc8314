"""What `orchestrate verify` reads: policies, statements and bills that somebody else wrote."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.artifacts import names
from orchestrator.evidence import dsse, keys, sbom
from orchestrator.evidence.contents import Component, File
from orchestrator.files import text_file
from orchestrator.verify import bill, explaining, policy, statements
from orchestrator.verify.model import Findings, Measured
from reproducibility import canonical
from reproducibility.digest import Digest
from reproducibility.manifest import Tree, file
from tests.fuzz import scratch
from tests.fuzz.target import Target
from tests.results import build_result
from tests.unit.orchestrator.evidence import samples

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEY = keys.generate()
_PEM = _KEY.public.pem.decode()
_POLICY = f"""\
expires = 2030-01-01
[build]
lock = "blake3:{"a" * 64}"
[checks]
pass = ["release amd64", "fixed-point"]
accept = ["release.absent-record"]
[[signer]]
name = "a"
key = '''{_PEM}'''
[builders]
agree = 1
[evidence]
days = 9
[audit]
actions = 100
variations = ["host"]
"""
_FILES = {"sourcery.img": Measured(1, "b" * 64, "a" * 64)}


def _policy(data: bytes) -> None:
    loaded = policy.parse(text_file.decoded(data, "the policy", "p"), Path("/p"))
    list(explaining.explained(loaded))


def _statement(kind: str) -> bytes:
    return canonical.dumps(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "sourcery.img", "digest": {"sha256": "a" * 64}}],
            "predicateType": kind,
            "predicate": {"runDetails": {"metadata": {"finishedOn": "2026-01-01T00:00:00Z"}}},
        }
    )


def _statements(data: bytes) -> None:
    signed = _KEY.sign(dsse.Envelope(data))
    given = {_KEY.public.keyid: _KEY.public}
    statements.check([signed], build_result(), _FILES, given, Findings())


def _payloads() -> Sequence[bytes]:
    kinds = ("https://slsa.dev/provenance/v1", "urn:x-sourcery:predicate:audit:1")
    return [_statement(kind) for kind in kinds]


@cache
def _bills() -> tuple[dict[str, bytes], Tree]:
    """Both documents of a bill of materials, and the tree that they are of."""
    files = tuple(File(f"src/{n}.go", f"{n:064}", f"{n:040}") for n in range(3))
    component = Component("a", "module", "example.com/a", "v1.0.0", files=files)
    subject = samples.subject(contents=(component,))
    listed = sbom.files(subject)
    documents = {names.SBOM: sbom.document(subject, listed), names.SBOM_FILES: listed}
    return documents, Tree(file(one.path, Digest("blake3", one.blake3), 1) for one in files)


def _bill(data: bytes) -> None:
    """The same bytes as either document, beside the other one."""
    documents, tree = _bills()
    for name in documents:
        with scratch.fresh() as folder:
            for each, own in documents.items():
                (folder / each).write_bytes(data if each == name else own)
            bill.check(folder, documents, tree, Findings())


TARGETS = (
    Target("policy", _policy, lambda: [_POLICY.encode(), b"[evidence]\ndays = 1\n"]),
    Target("statement", _statements, _payloads),
    Target("bill-of-image", _bill, lambda: [*_bills()[0].values()]),
)
