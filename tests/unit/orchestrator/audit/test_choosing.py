"""Tests of what --only chooses beside the steps: foreign toolchains, and another root."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from orchestrator.audit import choosing
from reproducibility.errors import InputError
from tests.unit.orchestrator.audit.test_request import REQUEST

if TYPE_CHECKING:
    from orchestrator.audit.request import Request
    from orchestrator.audit.subject import Finding

NATIVES = ("arm64", "riscv64")
STEPS = ("F1", "cross/arm64", "cross/riscv64", "commands/m/arm64/0", "image")


def finding(*versions: str) -> Finding:
    gcc = SimpleNamespace(versions=versions) if versions else None
    return cast(
        "Finding",
        SimpleNamespace(
            result=SimpleNamespace(steps=[SimpleNamespace(name=name) for name in STEPS]),
            architectures=("amd64", *NATIVES),
            wanted=SimpleNamespace(
                root=SimpleNamespace(gcc=gcc), go=SimpleNamespace(version="1.27.3")
            ),
        ),
    )


def asked(*only: str, root: str = "") -> Request:
    return replace(REQUEST, only=only, root=root)


@pytest.fixture(autouse=True)
def on_amd64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "host", lambda: "amd64")


@pytest.mark.parametrize(
    ("only", "wanted"),
    [
        ((), NATIVES),
        (("native/arm64",), ("arm64",)),
        (("native/*",), NATIVES),
        (("*",), NATIVES),
        (("F1", "native/riscv64"), ("riscv64",)),
    ],
)
def test_only_chooses_among_foreign_toolchains(
    only: tuple[str, ...], wanted: tuple[str, ...]
) -> None:
    assert choosing.chosen(asked(*only), finding(), cast("Any", NATIVES)) == wanted


@pytest.mark.parametrize(
    ("only", "root", "foreign", "words", "remedy"),
    [
        (("native/arm64",), "", (), "no step of the build", "add --native arm64"),
        (("F1", "native/arm64"), "", ("riscv64",), "no step", "add --native arm64"),
        (("root/*",), "", (), "no step of the build", "add --root gcc"),
        (("root/gcc/1.21.13",), "", (), "no step of the build", "add --root gcc"),
        (("native/amd64",), "", (), "name like native/amd64", "native/arm64"),
        (("nativ/arm64",), "", NATIVES, "name like nativ/arm64", "native/arm64"),
        (("F1", "croos/arm64"), "", (), "name like croos/arm64", "cross/arm64"),
        (("root/gcc/1.21",), "gcc", (), "name like root/gcc/1.21", "root/gcc/1.21.13"),
        (("F1",), "", ("arm64",), "--native arm64 and --only", "add --only 'native/arm64'"),
        (("F1",), "gcc", (), "--root gcc and --only", "add --only 'root/gcc/*'"),
        (("root/gcc/1.27.3",), "gcc", (), "chooses all of", "add --only 'root/gcc/*'"),
    ],
)
def test_a_pattern_that_matches_nothing_is_refused(
    only: tuple[str, ...], root: str, foreign: tuple[str, ...], words: str, remedy: str
) -> None:
    with pytest.raises(InputError, match=words) as caught:
        choosing.chosen(asked(*only, root=root), finding("1.21.13"), cast("Any", foreign))
    assert remedy in caught.value.remedy
    assert caught.value.subject == "--only"


def test_without_a_second_root_in_the_spec_it_is_still_known_what_is_meant() -> None:
    with pytest.raises(InputError, match="no step of the build") as caught:
        choosing.chosen(asked("root/*"), finding(), ())
    assert caught.value.remedy == "add --root gcc"


@pytest.mark.parametrize("only", [("root/*",), ("root/gcc/*",), ("root/gcc/1.*", "F1")])
def test_a_chain_is_chosen_as_a_whole(only: tuple[str, ...]) -> None:
    assert choosing.chosen(asked(*only, root="gcc"), finding("1.21.13"), ()) == ()
