"""What differs between two locks, as values: by name, version and digest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.lock import differences
from orchestrator.lock import file as locks
from reproducibility import digest as digests
from tests.unit.orchestrator.lock.default import DATA, changed, named

if TYPE_CHECKING:
    from orchestrator.lock.differences import Change

BEFORE = locks.parse(DATA)
OTHER = str(digests.of_bytes(b"other"))


def changes(document: locks.Lock) -> tuple[Change, ...]:
    return differences.changes(BEFORE, document)


def test_equal_locks_differ_in_nothing() -> None:
    assert changes(BEFORE) == ()


def test_a_new_version_is_told_with_both_sides() -> None:
    def newer(document: dict[str, Any]) -> None:
        named(document, "kernel.amd64").update(
            package="linux-image-6.12.999+deb13-amd64", version="6.12.999-1", blake3=OTHER
        )

    (one,) = changes(changed(newer))
    assert (one.name, one.part, one.host, one.label) == ("kernel.amd64", "", "", "kernel.amd64")
    assert one.before is not None
    assert one.after is not None
    kernel = BEFORE.find("kernel.amd64")
    assert (one.before.version, one.before.blake3) == (kernel.version, kernel.blake3)
    assert (one.after.version, str(one.after.blake3)) == ("6.12.999-1", OTHER)
    assert one.after.package == "linux-image-6.12.999+deb13-amd64"
    document = one.document()
    assert document["after"] == one.after.document()
    assert (one.after.document()["kind"], one.after.document()["record"]) == (
        "debian-package",
        None,
    )


def test_what_is_new_or_gone_has_one_side() -> None:
    all_of_them = differences.changes(None, BEFORE)
    assert all(one.before is None and one.after is not None for one in all_of_them)
    assert {one.name for one in all_of_them} >= {found.name for found in BEFORE.inputs}

    def without(document: dict[str, Any]) -> None:
        document["inputs"].remove(named(document, "u-root"))
        del document["wanted"]["source.u-root"]

    (gone,) = changes(changed(without))
    assert (gone.name, gone.after) == ("u-root", None)
    assert gone.before is not None
    source = BEFORE.find("u-root")
    assert isinstance(source, locks.GoModule)
    assert isinstance(source.log, locks.Recorded)
    assert (gone.before.package, gone.before.record) == (source.module, source.log.number)
    assert gone.before.vendored == source.vendored


def test_each_part_of_a_second_root_is_told_by_itself() -> None:
    def newer(document: dict[str, Any]) -> None:
        (root,) = document["roots"]["gcc"].values()
        root["packages"][0].update(version="99", blake3=OTHER)
        root["tree"] = OTHER

    whole, part = changes(changed(newer))
    assert (whole.name, whole.part, part.name) == ("root.gcc", "", "root.gcc")
    (host,) = BEFORE.roots[locks.GCC]
    assert part.label == f"root.gcc {part.part} for {host}"
    assert whole.after is not None
    assert str(whole.after.blake3) == OTHER
    assert part.after is not None
    assert part.after.version == "99"


def test_an_input_of_another_host_is_another_one() -> None:
    def moved(document: dict[str, Any]) -> None:
        named(document, "uname")["tree"] = OTHER

    (one,) = changes(changed(moved))
    assert one.label == f"uname for {one.host}"
    assert one.before is not None
    assert one.after is not None
    assert one.before.blake3 == one.after.blake3
    assert (one.before.tree, str(one.after.tree)) == (BEFORE.find("uname", one.host).tree, OTHER)
