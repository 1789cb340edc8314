"""How far a version moved: by Debian's rules, and by Go's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.nightly.versions import Step, step

DEBIAN = [
    ("1:1.37.0-6+b2", "1:1.37.0-6+b3", Step.PATCH),
    ("1:1.37.0-6", "1:1.37.1-1", Step.PATCH),
    ("1:1.37.0-6", "1:1.38.0-1", Step.FURTHER),
    ("1:1.37.0-6", "2:1.37.0-6", Step.FURTHER),
    ("1:1.37.0-6", "1:1.37.0-5", Step.BACK),
    ("1:1.37.0-6", "1.37.1-6", Step.BACK),
    ("1.0-1", "0:1.0-2", Step.PATCH),
    ("6.12.107-1", "6.12.108-1", Step.PATCH),
    ("6.12.107-1", "6.12.107-1~bpo12+1", Step.BACK),
    ("6.12.9-1", "6.12.10-1", Step.PATCH),
    ("6.12.108-1", "6.13.1-1", Step.FURTHER),
    ("6.12-1", "6.12.1-1", Step.PATCH),
    ("257.13-1~deb13u1", "257.14-1~deb13u1", Step.PATCH),
    ("257-1", "258-1", Step.FURTHER),
    ("257-1", "257.1-1", Step.PATCH),
    ("257.1-1", "257-2", Step.BACK),
    ("6.04~git20190206.bf6db5b4+dfsg1-3", "6.04~git20190206.bf6db5b4+dfsg1-3.1", Step.PATCH),
    ("6.04~git20190206.bf6db5b4+dfsg1-3", "6.04~git20200101.aaaa+dfsg1-1", Step.FURTHER),
    ("1.0", "1.0.0.1", Step.FURTHER),
    ("1.0-1", "no version", Step.FURTHER),
    ("1.0-1", "", Step.FURTHER),
    ("1.0-1", "1." + "9" * 600, Step.FURTHER),
]
SEMANTIC = [
    ("v0.16.0", "v0.16.1", Step.PATCH),
    ("v0.16.9", "v0.16.10", Step.PATCH),
    ("v0.16.0", "v0.17.0", Step.FURTHER),
    ("v1.2.3", "v2.0.0", Step.FURTHER),
    ("v1.2.3", "v1.2.2", Step.BACK),
    ("v1.2.3-rc.1", "v1.2.3", Step.PATCH),
    ("v1.2.3", "v1.2.3-rc.1", Step.BACK),
    ("v1.2.3-rc.2", "v1.2.3-rc.10", Step.PATCH),
    ("v1.2.3-rc", "v1.2.3-1", Step.BACK),
    ("v0.0.0-20230123181021-a6a12c4a31eb", "v0.0.0-20240101000000-000000000000", Step.FURTHER),
    ("v0.15.1-0.20230123181021-a6a12c4a31eb", "v0.15.1", Step.FURTHER),
    ("v0.0.1-go1.27.3.linux-amd64", "v0.0.1-go1.27.4.linux-amd64", Step.PATCH),
    ("v0.0.1-go1.27.3.linux-amd64", "v0.0.1-go1.28.0.linux-amd64", Step.FURTHER),
    ("v0.0.1-go1.27.4.linux-amd64", "v0.0.1-go1.27.3.linux-amd64", Step.BACK),
    ("v0.0.1-go1.27.3.linux-amd64", "v0.0.1-go1.27.4.linux-arm64", Step.FURTHER),
    ("1.26.6", "1.26.7", Step.PATCH),
    ("1.26", "1.26.1", Step.PATCH),
    ("v1.2.3", "local", Step.FURTHER),
]


@pytest.mark.parametrize(("before", "after", "expected"), DEBIAN)
def test_debian_versions(before: str, after: str, expected: Step) -> None:
    assert step("debian-package", before, after) is expected


@pytest.mark.parametrize(("before", "after", "expected"), SEMANTIC)
def test_semantic_versions(before: str, after: str, expected: Step) -> None:
    assert step("go-module", before, after) is expected
    assert step("python-wheel", before, after) is expected


@pytest.mark.parametrize("kind", ["debian-package", "go-module", "local-path"])
def test_the_same_version_did_not_move(kind: str) -> None:
    assert step(kind, "1.2.3-4", "1.2.3-4") is Step.SAME


NUMBERS = st.lists(st.integers(0, 12).map(str), min_size=1, max_size=4).map(".".join)
SUFFIXES = st.sampled_from(["", "-1", "-2", "-1.1", "-rc", "-rc.2", "-1~b1", "+b1"])
VERSIONS = st.builds(str.__add__, NUMBERS, SUFFIXES)


@given(st.sampled_from(["debian-package", "go-module"]), VERSIONS, VERSIONS)
def test_of_two_versions_only_one_is_newer(kind: str, first: str, second: str) -> None:
    there, back = step(kind, first, second), step(kind, second, first)
    if there is Step.BACK:
        assert back in {Step.PATCH, Step.FURTHER}
    assert (there is Step.SAME) == (back is Step.SAME) == (first == second)
