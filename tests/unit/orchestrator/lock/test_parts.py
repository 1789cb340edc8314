"""Parts of a spec that decide what is locked, and the inputs that hang on them."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.lock import file as locks
from orchestrator.lock import parts
from orchestrator.spec import model as specs
from tests.unit.orchestrator.lock.default import DATA

PROJECT = Path(__file__).parents[4]


def test_every_input_of_the_default_lock_can_be_looked_up_anew() -> None:
    wanted = parts.wanted(specs.load(PROJECT / "sourcery.toml"))
    lock = locks.parse(DATA)
    assert wanted == lock.wanted
    assert set(parts.names(wanted)) == {
        *(found.name for found in lock.inputs),
        parts.GCC,
    }


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("go", "go.version"),
        ("bootstrap", "go.bootstrap"),
        ("uname", "debian.suite"),
        ("u-root", "source.u-root"),
        ("kernel.arm64", "boot.kernel.arm64"),
        ("syslinux", "boot.syslinux"),
        ("root.gcc", "root.gcc"),
        ("/notes/a.txt", "file./notes/a.txt"),
        ("kernel", ""),
    ],
)
def test_an_input_hangs_on_one_part(name: str, key: str) -> None:
    wanted = {**locks.parse(DATA).wanted, "file./notes/a.txt": "a.txt"}
    assert parts.of_input(name, wanted) == key
    assert (name in parts.names(wanted)) == bool(key)


def test_a_part_that_is_no_input_is_no_name() -> None:
    assert parts.names({"image.architectures": "amd64", "debian.suite": "trixie"}) == (
        "bootstrap",
        "go",
        "uname",
    )
