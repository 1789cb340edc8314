"""A person who works on the commands: what a change makes again, and what a mistake looks like.

The source is a folder of the person's own here, a copy of u-root. Each test has a copy for itself
(hard links; a change replaces the file).
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.lock.file import GoModule, LocalPath
from orchestrator.store import Store
from reproducibility.compare import differences
from reproducibility.digest import Digest
from tests.integration.building import HOST, U_ROOT, U_ROOT_SOURCE, Orchestrate, spec_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from reproducibility.manifest import Tree
    from tests.integration.building import Ran
    from tests.integration.conftest import Built

pytestmark = [pytest.mark.needs_sandbox, pytest.mark.needs_network, pytest.mark.slow]

FOREIGN = "arm64" if HOST != "arm64" else "amd64"
BOTH = (HOST, FOREIGN)
_EPOCH = 1_600_000_000
_ECHO = "cmds/core/echo/echo.go"
# The default source as a local folder; and the same once that folder's go.mod says itself what is
# replaced.
_FIRST_SOURCE = U_ROOT_SOURCE.replace('version = "v0.16.0"', 'path = "u-root"')
_SOURCE = re.sub(r"replace = \[.*?^\]", "", _FIRST_SOURCE, flags=re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Workplace:
    """A project with its source beside the spec."""

    command: Orchestrate
    out: Path

    @property
    def source(self) -> Path:
        return self.command.project / "u-root"

    def change(self, files: Mapping[str, str]) -> None:
        """Write files of the source, and pin them as the person would."""
        self._write(files)
        self.command.run("lock", "--update", "u-root")

    def refused(self, files: Mapping[str, str]) -> Ran:
        """Write files of the source that cannot be built; `lock` says so, and pins nothing."""
        before = (self.command.project / "sourcery.lock").read_bytes()
        self._write(files)
        ran = self.command.run("lock", "--update", "u-root", status=2)
        assert (self.command.project / "sourcery.lock").read_bytes() == before
        return ran

    def _write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.write_text(text)

    def tree(self, ran: Ran) -> Tree:
        """The root that a build made."""
        with closing(Store(self.command.store)) as store:
            return store.load_tree(Digest.parse(ran.document["root"]["tree"]))


@dataclass(frozen=True)
class Workplaces:
    """Makes copies of a project that is locked and has its dependencies in `vendor/`."""

    pristine: Orchestrate

    def copy(self, place: Path, spec: str = "") -> Workplace:
        project = place / "project"
        shutil.copytree(self.pristine.project, project, copy_function=os.link)
        if spec:
            (project / "sourcery.toml").unlink()
            (project / "sourcery.toml").write_text(spec)
        return Workplace(replace(self.pristine, project=project), place / "out")


@pytest.fixture(scope="module")
def workplaces(
    orchestrate: Orchestrate, full: Built, usable_lock: Path, workshop: Path
) -> Workplaces:
    assert full.ran.status == 0
    project = workshop / "changes"
    project.mkdir()
    (project / "sourcery.lock").write_bytes(usable_lock.read_bytes())
    (project / "sourcery.toml").write_text(spec_text(architectures=BOTH, source=_FIRST_SOURCE))
    pinned = orchestrate.lock.find("u-root")
    assert isinstance(pinned, GoModule)
    command = Orchestrate(project, orchestrate.store)
    with closing(Store(orchestrate.store)) as store:
        store.export(store.load_tree(pinned.tree), project / "u-root", _EPOCH)
        assert not (project / "u-root" / "vendor").exists()
        command.run("lock")
        local = command.lock.find("u-root")
        assert isinstance(local, LocalPath)
        # The same source, so the same dependencies, whichever way they came.
        assert local.vendored == pinned.vendored
        assert pinned.vendored is not None
        shutil.rmtree(project / "u-root")
        store.export(store.load_tree(pinned.vendored), project / "u-root", _EPOCH)
    (project / "sourcery.toml").write_text(spec_text(architectures=BOTH, source=_SOURCE))
    # From here on the source brings its dependencies along: nothing is fetched any more.
    command.run("lock")
    again = command.lock.find("u-root")
    assert isinstance(again, LocalPath)
    assert again.vendored == pinned.vendored
    return Workplaces(command)


@pytest.fixture(scope="module")
def unchanged(workplaces: Workplaces, workshop: Path) -> Built:
    """The project as it was copied."""
    from tests.integration.conftest import Built

    out = workshop / "unchanged" / "out"
    return Built(workplaces.pristine.build(out), out)


def test_a_local_copy_needs_nothing_new(unchanged: Built) -> None:
    assert unchanged.ran.executed() == []


def test_one_changed_command(workplaces: Workplaces, unchanged: Built, place: Path) -> None:
    work = workplaces.copy(place)
    # Nobody else may read what this person makes, and the sandbox's user is somebody else.
    work = replace(work, command=replace(work.command, options={"umask": 0o077}))
    text = (work.source / _ECHO).read_text()
    # A store that is kept from one session to the next remembers no such program.
    work.change({_ECHO: f"{text}\nvar changed = {secrets.randbelow(1 << 31)}\n"})
    ran = work.command.build(work.out)
    executed = set(ran.executed())
    lists = {f"list/{U_ROOT}/{name}" for name in BOTH}
    assert lists <= executed
    batches = sorted(executed - lists)
    # One batch an architecture, the same in each.
    assert len(batches) == len(BOTH)
    numbers = {name.rpartition("/")[2] for name in batches}
    assert len(numbers) == 1
    number = numbers.pop()
    assert batches == sorted(f"commands/{U_ROOT}/{name}/{number}" for name in BOTH)
    before, now = work.tree(unchanged.ran), work.tree(ran)
    paths = {difference.path for difference in differences(before, now)}
    source = f"src/{U_ROOT}/{_ECHO}"
    assert source in paths
    for name in BOTH:
        seed = {path for path in paths if path.startswith(f"linux_{name}/seed/")}
        # The index, and the few objects of one main package: old ones gone, new ones there.
        assert f"linux_{name}/seed/index" in seed
        assert 3 <= len(seed) <= 9
    assert {path for path in paths if "/seed/" not in path} == {source}


def test_a_command_that_does_not_compile(workplaces: Workplaces, place: Path) -> None:
    work = workplaces.copy(place)
    before = work.command.build(work.out, "--arch", HOST)
    text = (work.source / _ECHO).read_text()
    work.change({_ECHO: text + "\nfunc broken() int { return undefinedName }\n"})
    # `build` sees that the output directory is what it was.
    ran = work.command.build(work.out, "--arch", HOST, status=3)
    assert "undefined: undefinedName" in ran.error["summary"]
    assert "echo.go" in ran.error["summary"]
    work.change({_ECHO: text})
    mended = work.command.build(work.out, "--arch", HOST)
    assert mended.executed() == []
    assert mended.image == before.image


def test_a_command_that_cannot_be_read(workplaces: Workplaces, place: Path) -> None:
    work = workplaces.copy(place)
    text = (work.source / _ECHO).read_text()
    ran = work.refused({_ECHO: text.replace("\npackage main\n", "\npackage {\n", 1)})
    assert "echo.go" in ran.error["summary"]
    assert "cmds/core/echo" in f"{ran.error['summary']} {ran.error['subject']}"
    # The go command reads as far as the imports until it compiles.
    work.change({_ECHO: text + "\nfunc {\n"})
    ran = work.command.build(work.out, "--arch", HOST, status=3)
    assert "echo.go" in ran.error["summary"]
    assert "cmds/core/echo" in f"{ran.error['summary']} {ran.error['subject']}"
    assert not work.out.exists()


def test_build_constraints_and_own_files(workplaces: Workplaces, place: Path) -> None:
    spec = spec_text(
        architectures=BOTH,
        source=_SOURCE,
        files='[[file]]\nsource = "notes"\ndestination = "/notes"\n',
    )
    work = workplaces.copy(place, spec)
    notes = work.command.project / "notes"
    notes.mkdir()
    (notes / "Read me.txt").write_text("for the person on the device\n")
    only_here = 'package main\n\nfunc main() { println("here") }\n'
    work.change({f"cmds/exp/onlyhere/main_{HOST}.go": only_here})
    ran = work.command.build(work.out)
    tree = work.tree(ran)
    assert tree.get("notes/Read me.txt") is not None
    assert tree.get(f"linux_{HOST}/bin/onlyhere") is not None
    assert tree.get(f"linux_{FOREIGN}/bin/onlyhere") is None
    left_out = ran.document["root"]["left_out_by_build_constraints"]
    place_of = f"src/{U_ROOT}/cmds/exp/onlyhere"
    assert place_of in left_out[FOREIGN]
    assert place_of not in left_out[HOST]
    # A file that changed after it was locked is no input: both digests are told.
    (notes / "Read me.txt").write_text("something else\n")
    refused = work.command.build(work.out, status=2)
    assert refused.error["summary"].count("blake3:") == 2
    assert "/notes" in refused.error["summary"]


def test_two_commands_of_one_name(workplaces: Workplaces, place: Path) -> None:
    work = workplaces.copy(place)
    ran = work.refused({"cmds/exp/ls/main.go": "package main\n\nfunc main() {}\n"})
    for path in ("cmds/core/ls", "cmds/exp/ls"):
        assert f"src/{U_ROOT}/{path}" in ran.error["summary"]


def test_a_command_with_a_prebuilt_programs_name(workplaces: Workplaces, place: Path) -> None:
    work = workplaces.copy(place)
    ran = work.refused({"cmds/exp/buildcache/main.go": "package main\n\nfunc main() {}\n"})
    assert f"src/{U_ROOT}/cmds/exp/buildcache" in ran.error["summary"]
    assert "src/sourcery/userland/cmd/buildcache" in ran.error["summary"]
