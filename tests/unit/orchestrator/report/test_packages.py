"""The bill of materials as the page reads it: whatever it holds, nothing but values come out."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.evidence import sbom
from orchestrator.evidence.contents import Component
from orchestrator.report.packages import Package, parse
from reproducibility.errors import InputError
from tests.unit.orchestrator.evidence import samples

PACKAGES: list[object] = [
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
        "comment": f"fetched: blake3:{'c' * 64}; tree blake3:{'d' * 63}",
    },
    {"name": "plain", "versionInfo": 7, "externalRefs": "none", "checksums": [3]},
    "no package",
]


def laid_out(packages: list[object]) -> bytes:
    """A document in the form of `orchestrator/evidence/sbom.py`."""
    lines = ",\n".join(map(json.dumps, packages))
    return f'{{\n"name": "x",\n"packages": [\n{lines}\n],\n"spdxVersion": "2"\n}}\n'.encode()


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
    digests = [letter * 64 for letter in "abc"]
    assert parse(laid_out(PACKAGES)) == (
        Package("example.com/module", "v1.2.3", "MIT", "module", frozenset(digests)),
        Package("plain", "", "", ""),
    )


def test_packages_are_read_from_what_a_build_writes() -> None:
    subject = samples.subject(
        contents=[Component("a-1", "module", "m", "v1", licence="MIT", blake3="e" * 64)]
    )
    image, module = parse(sbom.document(subject, b""))
    assert (image.name, image.licence) == ("sourcery.img", "")
    assert (module.name, module.version, module.licence) == ("m", "v1", "MIT")
    assert module.digests == {"e" * 64}


@given(st.lists(ANY, max_size=4))
def test_other_packages_give_less(packages: list[object]) -> None:
    count = sum(isinstance(one, dict) for one in packages)
    assert len(parse(laid_out(packages))) == count


@given(st.binary(max_size=99))
def test_anything_else_gives_none_or_is_refused(data: bytes) -> None:
    assert parse(data) == ()
    with suppress(InputError):
        parse(b'\n"packages": [\n' + data)
        parse(b'\n"packages": [\n' + data + b"\n]")


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(InputError, match="sbom"):
        parse(b'\n"packages": [\n{\n]')


def test_the_list_of_packages_is_bounded_as_a_whole() -> None:
    """Each line is short enough, and so is their number."""
    line = b'{"name": "' + b"a" * (60 << 10) + b'"},\n'
    with pytest.raises(InputError, match="more than 16 MiB"):
        parse(b'\n"packages": [\n' + line * 300 + b"{}\n]")
