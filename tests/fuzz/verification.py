"""What `orchestrate verify` reads: policies, and statements that somebody else wrote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.evidence import dsse, keys
from orchestrator.files import text_file
from orchestrator.verify import explaining, policy, statements
from orchestrator.verify.model import Findings, Measured
from reproducibility import canonical
from tests.fuzz.target import Target
from tests.results import build_result

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


TARGETS = (
    Target("policy", _policy, lambda: [_POLICY.encode(), b"[evidence]\ndays = 1\n"]),
    Target("statement", _statements, _payloads),
)
