"""What is the project's own is one matter for all commands: what is locked is what is built.

The output folder and the bundle lie inside of what the spec puts on the stick.
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest

from orchestrator import build, inputs
from orchestrator.cli.views.inputs import Where
from orchestrator.inputs import bundle, resolve
from orchestrator.inputs.local_path import LocalTransport, PathRequest, refuse_output
from reproducibility.errors import InputError
from tests.fakes import FakeObserver

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.lock.file import LocalPath
    from orchestrator.spec.model import Spec
    from orchestrator.store import Store
    from tests.unit.orchestrator.inputs.world import World

RESULT = {"schema": 1, "verdict": "PASS", "image": {}}


class Project:
    """A folder of files and one of a module, with spec, lock and store beside them."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder = folder
        self.store = store
        self.where = Where(folder / "sourcery.toml", folder / "sourcery.lock", store.root)
        for name in ("files/a.txt", "module/go.mod", "module/x.go"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(name)

    def options(self, out: Path, carried: Path | None = None) -> build.Options:
        return build.Options(
            spec=self.where.spec,
            lock=self.where.lock,
            out=out,
            architectures=(),
            engine="docker",
            jobs=0,
            offline=True,
            bundle=carried,
            rebuild=False,
            store=self.where.store,
        )

    def lock(self) -> list[LocalPath]:
        """As `orchestrate lock` pins both folders."""
        local = LocalTransport(self.folder, self.where.own)
        files = PathRequest("/files", "files", destination="/files")
        module = PathRequest("module", "module", module="example.org/module")
        return [local.resolve(request, self.store) for request in (files, module)]

    def build(self, pinned: list[LocalPath], options: build.Options) -> None:
        """As `orchestrate build` looks at them; raises where they are not what was locked."""
        refuse_output(pinned, self.folder, options.out)
        local = LocalTransport(self.folder, options.own)
        for found in pinned:
            local.fetch(found, self.store)


@pytest.fixture(name="project")
def _project(tmp_path: Path, store: Store) -> Project:
    return Project(tmp_path / "project", store)


def result(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "result.json").write_text(json.dumps(RESULT))
    (out / "sourcery.img").write_text("")


@pytest.mark.parametrize("at", ["files/out", "module/out", "files/deep/er/out", "out"])
def test_an_output_folder_anywhere_changes_no_digest(project: Project, at: str) -> None:
    out = project.folder / at
    pinned = project.lock()
    options = project.options(out)
    project.build(pinned, options)
    result(out)
    for other in (options, project.options(project.folder / "elsewhere")):
        # The one that is made now, and one of an earlier build.
        project.build(pinned, other)
    assert [found.tree for found in project.lock()] == [found.tree for found in pinned]


@pytest.mark.parametrize("at", ["out", "deep/er/out"])
def test_an_empty_folder_that_was_locked_is_not_filled(project: Project, at: str) -> None:
    out = project.folder / "files" / at
    (project.folder / "files" / at.partition("/")[0]).mkdir()
    pinned = project.lock()
    with pytest.raises(InputError, match=r"would fill .*, an empty folder in files") as seen:
        project.build(pinned, project.options(out))
    assert "orchestrate lock --update /files" in seen.value.remedy
    project.build(pinned, project.options(project.folder / "files/beside"))
    # Left out by the person, or in a module, it is no content.
    left_out = pinned[0].model_copy(update={"exclude": ("out", "deep")})
    refuse_output([left_out], project.folder, out)
    (project.folder / "module/out").mkdir()
    project.build(project.lock(), project.options(project.folder / "module/out"))


@pytest.mark.parametrize("at", ["files", "module"])
def test_what_the_spec_names_is_no_output_folder(project: Project, at: str) -> None:
    pinned = project.lock()
    with pytest.raises(InputError, match=f"the output directory is {at}, which the spec"):
        project.build(pinned, project.options(project.folder / at))


def test_a_build_looks_before_it_works(
    world: World, spec: Spec, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (spec.folder / "notes/out").mkdir()
    lock = resolve.lock(spec, None, store, clients=world.clients())
    for module, given in (("orchestrator.spec.model", spec), ("orchestrator.lock.file", lock)):
        monkeypatch.setattr(f"{module}.read", lambda _: b"")
        monkeypatch.setattr(f"{module}.parse", lambda *_, given=given: given)
    monkeypatch.setattr(
        "orchestrator.store.trial.require_store", lambda _: pytest.fail("it works already")
    )
    options = Project(tmp_path / "project", store).options(spec.folder / "notes/out")
    with pytest.raises(InputError, match="would fill out, an empty folder in notes"):
        build.build(options, FakeObserver(), threading.Event())


def test_a_bundle_anywhere_changes_no_digest(world: World, spec: Spec, project: Project) -> None:
    lock = resolve.lock(spec, None, project.store, clients=world.clients())
    clients = world.clients()
    inputs.ensure(lock, project.store, folder=spec.folder, artifacts=True, clients=clients)
    pinned = project.lock()
    for at in ("files/inputs.tar.zst", "module/deep/inputs"):
        carried = project.folder / at
        carried.parent.mkdir(exist_ok=True)
        bundle.write(lock, project.store, carried, "amd64")
        # Whether this build is told of it or not.
        project.build(pinned, project.options(project.folder / "out", carried))
        project.build(pinned, project.options(project.folder / "out"))
        assert [found.tree for found in project.lock()] == [found.tree for found in pinned]
