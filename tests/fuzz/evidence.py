"""Evidence: envelopes, sums, keys and bills that somebody else wrote; texts that modules bring."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from orchestrator.artifacts import sums
from orchestrator.evidence import cyclonedx, dsse, keys, licences, signable, sorting
from tests.fuzz import scratch
from tests.fuzz.target import Target
from tests.unit.orchestrator.evidence import samples

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEY = keys.generate()
_STATEMENT = b'{"subject":[{"digest":{"sha256":"' + b"0" * 64 + b'"},"name":"sourcery.img"}]}'
_BILL = {
    "creationInfo": {"created": "2023-11-14T22:13:20Z", "creators": ["Tool: orchestrate-0.1.0"]},
    "packages": [
        {
            "SPDXID": "SPDXRef-Image",
            "checksums": [{"algorithm": "SHA256", "checksumValue": "0" * 64}],
            "licenseDeclared": "MIT",
            "name": "sourcery.img",
            "primaryPackagePurpose": "OPERATING-SYSTEM",
        }
    ],
    "relationships": [
        {
            "relatedSpdxElement": "SPDXRef-Image",
            "relationshipType": "DESCRIBES",
            "spdxElementId": "SPDXRef-DOCUMENT",
        }
    ],
}


def _envelopes() -> Sequence[bytes]:
    one = dsse.Envelope(_STATEMENT)
    return dsse.dumps([one]), dsse.dumps([_KEY.sign(one), one]), b""


def _dsse(data: bytes) -> None:
    found = dsse.parse_lines(data)
    if dsse.parse_lines(dsse.dumps(found)) != found:
        raise AssertionError("envelopes do not read back")
    for one in found:
        keys.verify(one, _KEY.public)
        signable.subjects(one, "a statement")


def _sums(data: bytes) -> None:
    found = sums.parse(data, "SHA256SUMS")
    if sums.parse(sums.dumps(found), "SHA256SUMS") != found:
        raise AssertionError("sums do not read back")


def _public(data: bytes) -> None:
    keys.parse_public(data, "a key")


def _private(data: bytes) -> None:
    path = scratch.file("key", data)
    path.chmod(0o600)
    keys.load_private(path)


def _bill(data: bytes) -> None:
    cyclonedx.convert(data)


def _copyright(data: bytes) -> None:
    licences.of_debian("package", data)


def _modules(data: bytes) -> None:
    list(sorting.vendored(data.decode("utf-8", "replace")))


def _vendored() -> Sequence[bytes]:
    return [data for path, (data, _) in samples.FILES.items() if path.endswith("modules.txt")]


TARGETS = (
    Target("dsse", _dsse, _envelopes),
    Target("sums", _sums, lambda: [sums.dumps({"a": "0" * 64, "b\\c": "f" * 64})]),
    Target("public-key", _public, lambda: [_KEY.public.pem]),
    Target("private-key", _private, lambda: [_KEY.pem(None)]),
    Target("bill", _bill, lambda: [json.dumps(_BILL).encode()]),
    Target("copyright", _copyright, lambda: [samples.COPYRIGHT]),
    Target("modules-txt", _modules, _vendored),
)
