"""Builds that are stopped, disks that lose data, inputs that cannot be had: and how it goes on.

They take turns on a copy of the shared store, so that they can take away and damage what they like:
each finds what was remembered at first, and the blobs that were there.
"""

from __future__ import annotations

import json
import os
import signal
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.store import Store
from reproducibility.digest import Digest
from tests.integration import building
from tests.integration.building import HOST, SMALL, Orchestrate, check_gone, check_no_trace
from tests.integration.test_build import checked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reproducibility.manifest import Entry, Tree
    from tests.integration.building import Ran
    from tests.integration.conftest import Built
    from tests.integration.copies import SharedCopy

pytestmark = [pytest.mark.needs_sandbox, pytest.mark.needs_network, pytest.mark.slow]

ARCH = ("--arch", HOST)
# The step that compiles the seed of the small source; the other one, of the standard library,
# takes a minute.
SEED = f"seed/{SMALL}/{HOST}"


@pytest.fixture
def own(small: Orchestrate, shared_copy: SharedCopy) -> Orchestrate:
    """The small project, built already, with a store that others of these tests do not use now."""
    return replace(small, store=shared_copy.as_at_first())


@pytest.fixture
def damageable(own: Orchestrate, shared_copy: SharedCopy) -> Iterator[Orchestrate]:
    """The same; what a test takes away of the store's blobs, or changes, is put back."""
    yield own
    shared_copy.mend()


def forget(store: Path, name: str) -> None:
    """Make a store forget what came of a step, so that it has to run again."""
    found = [
        path
        for path in (store / "results" / "action-sandbox").rglob("*.json")
        if json.loads(path.read_bytes())["name"] == name
    ]
    assert found, name
    for path in found:
        path.unlink()


def tree_of(store: Path, ran: Ran) -> Tree:
    """The root that a build made."""
    with closing(Store(store)) as opened:
        return opened.load_tree(Digest.parse(ran.document["root"]["tree"]))


# -- stopping ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_cleanly(
    own: Orchestrate, place: Path, number: signal.Signals, status: int
) -> None:
    forget(own.store, "F2")
    out = place / "out"
    running = own.start("build", "--engine", "sandbox", "--out", out, *ARCH)
    running.wait_for(r"started +F2 ")
    # Into the compilations: F2 itself lays out its inputs first.
    had = building.wait_for_descendant(running.process.pid, "compile")
    running.process.send_signal(number)
    ran = running.end()
    assert ran.status == status
    assert ran.error["status"] == status
    assert "finished steps are remembered" in ran.error["remedy"]
    assert f"orchestrate build --engine sandbox --out {out}" in ran.error["remedy"]
    check_gone(had)
    check_no_trace(place.name)
    check_no_trace(own.store.parent.name)
    building.check_clean(own.store)
    assert not out.exists()
    building.check_nothing_beside(out)
    assert list((own.store / "failures").iterdir()) == []


def test_going_on_after_a_signal(own: Orchestrate, small_own: Built, place: Path) -> None:
    """What was finished is not done again, what was not is; two signals end it at once."""
    forget(own.store, SEED)
    forget(own.store, "T1/helpers")
    out = place / "out"
    running = own.start("build", "--engine", "sandbox", "--out", out, *ARCH)
    running.wait_for(rf"started +seed \({SMALL} for {HOST}\)")
    # The go command is there for as long as anything compiles; a compilation of this small source
    # may be over before anybody looks.
    had = building.wait_for_descendant(running.process.pid, "go")
    running.process.send_signal(signal.SIGINT)
    running.process.send_signal(signal.SIGINT)
    ran = running.end()
    # The second one interrupts whatever goes on, or ends the process where even that is too slow.
    assert ran.status in {130, -signal.SIGINT}
    check_gone(had)
    check_no_trace(place.name)
    check_no_trace(own.store.parent.name)
    again = own.build(out, *ARCH)
    assert again.executed() == [SEED]
    assert again.image == small_own.ran.image
    building.check_clean(own.store)


# -- damage --------------------------------------------------------------------------------------


def seed_object(store: Path, ran: Ran) -> Entry:
    """The largest object of the source's seed: small ones may be what others are made of too."""
    return max(made_by(store, ran, SEED).files(), key=lambda entry: entry.size)


def entry_of(tree: Tree, path: str) -> Entry:
    """The file at a path, which is there."""
    found = tree.get(path)
    assert found is not None, path
    return found


def made_by(store: Path, ran: Ran, step: str) -> Tree:
    """The outputs of a step of a build."""
    (key,) = (found["key"] for found in ran.document["steps"] if found["name"] == step)
    with closing(Store(store)) as opened:
        record = opened.recall("action-sandbox", Digest.parse(key))
        assert record is not None
        return opened.load_tree(Digest.parse(record["outputs"]))


def test_damaged_blobs_heal(damageable: Orchestrate, small_own: Built, place: Path) -> None:
    """A flipped bit in a seed object and one in a toolchain program are noticed and mended.

    The step that compiled the object runs again. The program need not be built again: the published
    release, an input that is in the store, has the same bytes, which is what the build is about.
    """
    seed = seed_object(damageable.store, small_own.ran)
    program = entry_of(tree_of(damageable.store, small_own.ran), f"linux_{HOST}/bin/gofmt")
    for entry in (seed, program):
        building.flip(building.blob(damageable.store, entry.digest))
    ran = damageable.build(place / "out", *ARCH)
    assert ran.image == small_own.ran.image
    assert checked(ran) == checked(small_own.ran)
    # That step and no other; `executed` would only tell of the last attempt.
    assert steps(ran) == {f"seed ({SMALL} for {HOST})"}
    assert {seed.digest, program.digest} <= {
        p.name for p in (damageable.store / "damaged").iterdir()
    }
    assert damageable.run("store", "verify").document["damaged"] == []
    for entry in (seed, program):
        assert building.blob(damageable.store, entry.digest).stat().st_size == entry.size


def steps(ran: Ran) -> set[str]:
    """What was begun, without the making of the image."""
    return {name for name in ran.started if not name.startswith(("image", "cpio", "inputs"))}


def test_missing_blobs_heal(damageable: Orchestrate, small_own: Built, place: Path) -> None:
    """Of a seed, of a program, of the source: each comes back the way it came first."""
    tree = tree_of(damageable.store, small_own.ran)
    seed = seed_object(damageable.store, small_own.ran)
    program = entry_of(tree, f"linux_{HOST}/bin/installcommand")
    source = entry_of(tree, "go/src/fmt/print.go")
    for entry in (seed, program, source):
        building.blob(damageable.store, entry.digest).unlink()
    ran = damageable.build(place / "out", *ARCH)
    assert ran.image == small_own.ran.image
    assert checked(ran) == checked(small_own.ran)
    assert steps(ran) == {f"seed ({SMALL} for {HOST})", f"programs ({HOST})"}


# -- inputs --------------------------------------------------------------------------------------


def test_a_tampered_lock(own: Orchestrate, place: Path) -> None:
    project = place / "project"
    project.mkdir()
    for name in ("sourcery.toml", "sourcery.lock"):
        (project / name).write_bytes((own.project / name).read_bytes())
    lock = project / "sourcery.lock"
    pinned = own.lock.find("bootstrap", HOST).blake3.hex
    other = pinned[:-1] + ("0" if pinned[-1] != "0" else "1")
    lock.write_text(lock.read_text().replace(pinned, other))
    ran = replace(own, project=project).build(place / "out", *ARCH, status=2)
    assert "changed after it was made" in ran.error["summary"]
    assert ran.error["summary"].count("blake3:") == 2
    assert ran.error["subject"].endswith("sourcery.lock")


def test_offline_with_an_empty_store(small: Orchestrate, place: Path) -> None:
    empty = replace(small, store=place / "store")
    ran = empty.build(place / "out", *ARCH, "--offline", status=4)
    labels = [found.label for found in small.lock.inputs]
    assert any(label in ran.error["summary"] for label in labels)
    assert "--offline" in ran.error["summary"]
    assert "orchestrate fetch" in ran.error["remedy"]


def test_offline_with_a_full_store(small: Orchestrate, small_own: Built, place: Path) -> None:
    ran = small.build(place / "out", *ARCH, "--offline")
    assert ran.image == small_own.ran.image


# -- disks ---------------------------------------------------------------------------------------


@pytest.mark.needs_tools("mount", "umount")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_full_disk(small: Orchestrate, small_own: Built, place: Path) -> None:
    assert small_own.ran.status == 0
    with building.disk(place / "disk", "64m") as disk:
        ran = small.build(disk / "out", *ARCH, status=4)
        assert "space" in ran.error["summary"].lower()
        assert str(disk) in ran.error["subject"]
        assert ran.error["remedy"]
        assert list(disk.iterdir()) == []


def test_an_output_directory_that_cannot_be_written(
    small: Orchestrate, small_own: Built, place: Path
) -> None:
    assert small_own.ran.status == 0
    (place / "file").write_text("")
    ran = small.build(place / "file" / "out", *ARCH, status=4)
    assert str(place / "file") in ran.error["subject"]
    # That is said before the work, not after it.
    assert ran.started == []


def test_two_builds_at_once(own: Orchestrate, small_own: Built, place: Path) -> None:
    """Of two builds that want the same step, one does it; both end well."""
    forget(own.store, SEED)
    options = ("--engine", "sandbox", *ARCH)
    running = [own.start("build", "--out", place / f"out{n}", *options) for n in (1, 2)]
    ended = [one.end() for one in running]
    assert [ran.status for ran in ended] == [0, 0]
    assert {ran.image for ran in ended} == {small_own.ran.image}
    assert sorted(ran.executed() for ran in ended) == [[], [SEED]]
    for n in (1, 2):
        building.check_whole(place / f"out{n}", ended[n - 1].document)
