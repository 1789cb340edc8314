"""The bill of materials as the page reads it: whatever it holds, nothing but values come out."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.report.packages import Package, parse
from reproducibility.errors import InputError

DOCUMENT = {
    "packages": [
        {
            "name": "example.com/module",
            "versionInfo": "v1.2.3",
            "licenseConcluded": "NOASSERTION",
            "licenseDeclared": "MIT",
            "externalRefs": [{"referenceLocator": "pkg:golang/example.com/module@v1.2.3"}],
            "checksums": [
                {"algorithm": "SHA256", "checksumValue": "a" * 64},
                {"algorithm": "BLAKE3", "checksumValue": "b" * 64},
            ],
        },
        {"name": "plain", "versionInfo": 7, "externalRefs": "none", "checksums": [3]},
        "no package",
    ]
}
ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["packages", "name", "checksums", "algorithm", "externalRefs", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def test_packages_are_read() -> None:
    assert parse(json.dumps(DOCUMENT).encode()) == (
        Package("example.com/module", "v1.2.3", "MIT", "module", "b" * 64),
        Package("plain", "", "", "", ""),
    )


@given(ANY)
def test_other_documents_give_less(document: object) -> None:
    assert isinstance(parse(json.dumps(document).encode()), tuple)


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(InputError, match="sbom"):
        parse(b"{")
