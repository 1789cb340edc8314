"""`[root.gcc]` of the spec: what is read, what it asks of the lock, what is refused and how."""

from __future__ import annotations

import pytest

from orchestrator.lock import file as lock
from orchestrator.spec import model as spec
from reproducibility.errors import InputError

BEFORE = """\
[image]
epoch = 2026-01-01T00:00:00Z
architectures = ["amd64"]
[go]
version = "1.27.3"
bootstrap = "1.26.6"
"""
GOOD = f"""{BEFORE}\
[root.gcc]
packages = ["gccgo-14"]
versions = ["1.21.13", "1.22.10", "1.24.11"]
"""


def test_it_is_read_and_asks_the_lock_for_it() -> None:
    found = spec.parse(GOOD)
    assert found.root.gcc is not None
    assert found.root.gcc.packages == ("gccgo-14",)
    told = lock.wanted(found)["root.gcc"]
    assert told == "gccgo-14 of trixie, then 1.21.13 1.22.10 1.24.11"


def test_no_bit_of_the_image_depends_on_it() -> None:
    without = spec.parse(BEFORE)
    assert without.root.gcc is None
    assert "root.gcc" not in lock.wanted(without)
    assert spec.parse(GOOD).digest == without.digest


@pytest.mark.parametrize(
    ("versions", "words"),
    [
        ('"1.22.10", "1.24.11"', "Go 1.22.10 cannot be the first: GCC's Go cannot build it"),
        ('"1.20.1", "1.22.1", "1.24.1"', "Go 1.20.1 cannot be the first: no module has it"),
        ('"1.21.13", "1.24.11"', r"Go 1.21.13 cannot build Go 1.24.11(.|\n)*expected 1.22.0"),
        ('"1.21.13", "1.22.10"', r"Go 1.22.10 cannot build Go 1.27.3(.|\n)*expected 1.24.0"),
        ('"1.21.13", "1.22.10", "1.24.11", "1.27.3"', "1.27.3 does not come before Go 1.27.3"),
        ('"1.21.13", "1.22.10", "1.22.9", "1.24.1"', "1.22.10 does not come before Go 1.22.9"),
        ('"1.21"', "root.gcc.versions"),
        ("", "root.gcc.versions"),
    ],
)
def test_versions_that_do_not_build_each_other(versions: str, words: str) -> None:
    text = GOOD.replace('"1.21.13", "1.22.10", "1.24.11"', versions)
    with pytest.raises(InputError, match=words):
        spec.parse(text)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("packages", "package", "root.gcc.package"),
        ('["gccgo-14"]', "[]", "root.gcc.packages"),
        ('["gccgo-14"]', '["--fix-broken"]', "root.gcc.packages"),
        ("root.gcc", "root.clang", "root.clang"),
    ],
)
def test_mistakes_are_named(old: str, new: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        spec.parse(GOOD.replace(old, new))


def test_its_name_is_taken() -> None:
    source = '[[source]]\nmodule = "example.org/x"\nversion = "v1.0.0"\nname = "root.gcc"\n'
    with pytest.raises(InputError, match=r"'root\.gcc' is taken"):
        spec.parse(f'{GOOD}{source}commands = ["*"]\n')
