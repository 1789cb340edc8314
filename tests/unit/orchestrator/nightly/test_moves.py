"""Which inputs moved by themselves, how far, and which of them a policy does not take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.lock import file as locks
from orchestrator.nightly import moves
from orchestrator.nightly.moves import How
from reproducibility import digest as digests
from tests.unit.orchestrator.lock.default import DATA, changed, named

if TYPE_CHECKING:
    from orchestrator.nightly.moves import Move

BASE = locks.parse(DATA)
KERNEL = BASE.find("kernel.amd64")
OTHER = str(digests.of_bytes(b"other"))


def moved(name: str, **values: str) -> tuple[Move, ...]:
    def change(document: dict[str, Any]) -> None:
        named(document, name).update({"blake3": OTHER, **values})

    return moves.moves(BASE, changed(change))


@pytest.mark.parametrize(
    ("name", "version", "package", "how"),
    [
        ("kernel.amd64", "6.12.999-1", "linux-image-6.12.999+deb13-amd64", How.PATCH),
        ("kernel.amd64", "6.13.1-1", "linux-image-6.13.1+deb13-amd64", How.FURTHER),
        ("kernel.amd64", "6.12.1-1", "linux-image-6.12.1+deb13-amd64", How.BACK),
        ("kernel.amd64", "6.12.999-1", "linux-image-rt-6.12.999+deb13-amd64", How.FURTHER),
        ("kernel.amd64", "6.12.999-1", "linux-image-6.12.999+deb14-amd64", How.FURTHER),
        ("uname", "1:1.37.0-6+b99", "busybox-static", How.PATCH),
        ("uname", "1:1.38.0-1", "busybox-static", How.FURTHER),
        ("uname", "2:1.37.0-6", "busybox-static", How.FURTHER),
    ],
)
def test_a_move_is_told_by_its_version(name: str, version: str, package: str, how: How) -> None:
    assert KERNEL.version.startswith("6.12.")
    (one,) = moved(name, version=version, package=package)
    assert (one.name, one.how) == (name, how)
    assert one.line.endswith(f" -> {version}, {how}")
    assert moves.refused((one,)) == (frozenset() if how is How.PATCH else {name})


def test_other_bytes_of_the_same_version_are_no_patch() -> None:
    (one,) = moved("uname")
    before = BASE.find("uname", "amd64")
    assert one.how is How.OTHER_BYTES
    assert moves.refused((one,)) == {"uname"}
    assert one.line == (
        f"uname for amd64: {before.version}, {before.blake3} -> {OTHER}, "
        "other bytes of the same version"
    )


def test_another_tree_of_the_same_bytes_is_no_move() -> None:
    assert moved("uname", blake3=str(BASE.find("uname", "amd64").blake3), tree=OTHER) == ()


def test_what_the_spec_asks_for_otherwise_was_moved_by_a_person() -> None:
    def change(document: dict[str, Any]) -> None:
        named(document, "kernel.amd64").update(version="6.13.1-1", blake3=OTHER)
        document["wanted"]["boot.kernel.amd64"] = "linux-image-6.13-amd64 of trixie"
        named(document, "kernel.arm64").update(version="6.13.1-1", blake3=OTHER)

    assert [one.name for one in moves.moves(BASE, changed(change))] == ["kernel.arm64"]


def test_a_second_root_is_one_name_and_moves_by_its_packages() -> None:
    def change(document: dict[str, Any]) -> None:
        (root,) = document["roots"]["gcc"].values()
        first = root["packages"][0]
        first.update(version=first["version"] + "+b9", blake3=OTHER)
        root["tree"] = OTHER

    (one,) = moves.moves(BASE, changed(change))
    assert (one.name, one.how) == ("root.gcc", How.PATCH)

    def without(document: dict[str, Any]) -> None:
        (root,) = document["roots"]["gcc"].values()
        packages = root["packages"]
        packages.remove(next(one for one in packages if one["package"].startswith("lib")))

    (one,) = moves.moves(BASE, changed(without))
    assert (one.name, one.how) == ("root.gcc", How.FURTHER)
    assert one.line.endswith(" -> nothing, more than a patch release")


def test_a_persons_own_files_have_no_version() -> None:
    def local(digest: str) -> locks.Lock:
        def change(document: dict[str, Any]) -> None:
            source = named(document, "u-root")
            keep = {key: source[key] for key in ("name", "module", "size", "tree", "vendored")}
            document["inputs"][document["inputs"].index(source)] = {
                **keep, "kind": "local-path", "version": "local", "where": "own",
                "blake3": digest, "host": None, "replace": None, "destination": None,
                "single": False, "exclude": None, "nested": None,
            }  # fmt: skip
            document["wanted"]["source.u-root"] = "github.com/u-root/u-root in own"

        return changed(change)

    assert moves.moves(local(str(digests.of_bytes(b"one"))), local(OTHER)) == ()


def test_without_a_base_nothing_moved() -> None:
    assert moves.moves(None, BASE) == ()
    assert moves.moves(BASE, BASE) == ()
