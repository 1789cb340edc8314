"""What a lock refuses because it could not be built, or not be written onto a stick."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from containers.host.process import Completed
from orchestrator.inputs import resolve
from orchestrator.inputs.ensure import ensure
from orchestrator.lock import file as locks
from orchestrator.lock.file import GoModule
from orchestrator.spec import model as specs
from reproducibility.errors import InputError
from tests.unit.orchestrator.inputs.test_resolve import (
    LOCAL,
    changed,
    local,
    make,
)
from tests.unit.orchestrator.inputs.world import TOOLS, h1, module_zip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.spec.model import Spec
    from orchestrator.store import Store
    from tests.unit.orchestrator.inputs.world import World


def nested(spec: Spec, place: str, *, required: bool = True) -> Spec:
    need = "require example.org/lib v0.0.0\n" if required else ""
    text = f"module example.org/tools\n{need}replace example.org/lib => {place}\n"
    mine = local(spec, text)
    for name in ("own/lib", "lib"):
        (spec.folder / name).mkdir()
        (spec.folder / name / "go.mod").write_text("module example.org/lib\n")
        (spec.folder / name / "lib.go").write_text("package lib\n")
    return mine


def test_a_folder_that_go_mod_names_is_pinned_with_the_module_and_lies_in_vendor(
    world: World, spec: Spec, store: Store
) -> None:
    mine = nested(spec, "./lib")
    lock = make(world, mine, store)
    found = lock.find("tools")
    assert found.kind == "local-path"
    assert found.nested == ("lib",)
    assert store.load_tree(found.tree).get("lib/lib.go") is not None
    assert found.vendored is not None
    paths = {entry.path for entry in store.load_tree(found.vendored)}
    assert "vendor/x/x.go" in paths
    assert not any(path.startswith("lib/") for path in paths), "another module, not on the stick"
    assert make(world, mine, store, lock) == lock
    (spec.folder / "own/lib/lib.go").write_text("package lib // changed\n")
    assert make(world, mine, store, lock) != lock


@pytest.mark.parametrize("place", ["../lib", "./../lib", "./lib/../../lib", "/elsewhere/lib"])
def test_a_folder_outside_of_the_module_is_refused_with_a_remedy(
    world: World, spec: Spec, store: Store, place: str
) -> None:
    mine = nested(spec, place)
    with pytest.raises(InputError, match="lies outside of the module") as refused:
        make(world, mine, store)
    assert place in refused.value.summary
    assert refused.value.subject == "source tools"
    assert "run `go mod vendor` in own" in refused.value.remedy
    # Where that has been done, the folder is not needed.
    (spec.folder / "own/vendor").mkdir()
    (spec.folder / "own/vendor/modules.txt").write_text("# none\n")
    assert make(world, mine, store).find("tools").kind == "local-path"


def test_a_folder_outside_that_nothing_requires_is_no_matter(
    world: World, spec: Spec, store: Store
) -> None:
    found = make(world, nested(spec, "../lib", required=False), store).find("tools")
    assert found.kind == "local-path"
    assert found.nested is None


def test_a_published_module_s_own_vendor_does_not_count(
    world: World, spec: Spec, store: Store
) -> None:
    # Archives of modules have had the list of what was vendored, without the packages.
    files = {"go.mod": b"module example.org/tools\n", "cmd/ls/main.go": b"package main\n"}
    with_list = module_zip(*TOOLS, {**files, "vendor/modules.txt": b"# stale\n"})
    world.modules[TOOLS] = with_list
    world.log.add(*TOOLS, h1(with_list))
    found = make(world, spec, store).find("tools")
    assert isinstance(found, GoModule)
    assert found.vendored is not None
    assert store.load_tree(found.vendored).get("vendor/x/x.go") is not None
    assert world.count("vendor") == 1


# -- what the go command refuses -------------------------------------------------------------------


def answering(world: World, answer: str, status: int = 0, architecture: str = "") -> None:
    def fail(command: Sequence[str]) -> Completed | None:
        asked = command[1] == "list" and "-deps" in command
        here = world.environments[-1].get("GOARCH", "")
        if not asked or architecture not in {"", here}:
            return None
        return Completed(status, b"" if status else answer.encode(), answer.encode())

    world.failing = fail


def test_the_go_command_is_asked_for_every_architecture_under_the_devices_settings(
    world: World, spec: Spec, store: Store
) -> None:
    make(world, spec, store)
    asked = [
        environment
        for command, environment in zip(world.asked, world.environments, strict=True)
        if command[1] == "list"
    ]
    assert [environment["GOARCH"] for environment in asked] == ["amd64", "riscv64"]
    for environment in asked:
        assert "-mod=vendor" in environment["GOFLAGS"].split()
        assert (environment["GOPROXY"], environment["GOWORK"]) == ("off", "off")
        assert (environment["GOOS"], environment["CGO_ENABLED"]) == ("linux", "0")


def test_what_it_refuses_for_one_architecture_refuses_the_lock(
    world: World, spec: Spec, store: Store
) -> None:
    answering(world, "go: inconsistent vendoring in x", 1, "riscv64")
    mine = local(spec)
    (spec.folder / "own/vendor").mkdir()
    (spec.folder / "own/vendor/modules.txt").write_text("# stale\n")
    for _ in range(2):  # a refusal is not remembered as anything
        with pytest.raises(InputError, match=r"refuses example\.org/tools for riscv64") as refused:
            make(world, mine, store)
        assert "run `go mod vendor` in own" in refused.value.remedy
    world.failing = lambda _: None
    make(world, mine, store)


@pytest.mark.parametrize(
    ("package", "words"),
    [
        ('"Match": ["./cmd/ls", "./..."], "Error": {"Err": "no package"}', "no package"),
        ('"Match": ["./cmd/ls", "./..."], "GoFiles": ["a.go"], "Imports": ["x"]', "nothing of x"),
        ('"Match": ["./cmd/ls"], "Name": "main", "GoFiles": ["a.go"]', "takes nothing that"),
        ('"Match": ["./cmd/ls"], "IgnoredGoFiles": ["a.go"]', "no command of example.org/tools"),
        ('"Match": ["./cmd/ls", "./..."], "Name": "ls", "GoFiles": ["a.go"]', "no command of"),
    ],
)
def test_a_command_that_cannot_be_loaded_refuses_the_lock(
    world: World, spec: Spec, store: Store, package: str, words: str
) -> None:
    answering(world, f'{{"ImportPath": "example.org/tools/cmd/ls", {package}}}')
    with pytest.raises(InputError, match=words) as refused:
        make(world, spec, store)
    assert refused.value.status == 2
    assert refused.value.subject
    assert refused.value.remedy


def test_a_change_of_the_patterns_asks_again(world: World, spec: Spec, store: Store) -> None:
    lock = make(world, spec, store)
    world.asked.clear()
    with pytest.raises(InputError, match="'cmds/\\*' matches no folder"):
        make(world, changed(spec, "cmd/*", "cmds/*"), store, lock)
    make(world, changed(spec, "cmd/*", "cmd/ls"), store, lock)
    assert world.count("list") == 2
    assert all(command[1] == "list" for command in world.asked)


@pytest.mark.parametrize("commands", [None, 7, "cmd/ls", [1], {"cmd/ls": 1}])
def test_a_record_of_another_shape_asks_again(
    world: World, spec: Spec, store: Store, commands: object
) -> None:
    lock = make(world, spec, store)
    for record in (store.root / "results" / "commands").rglob("*.json"):
        record.write_text(json.dumps({"commands": commands}))
    world.asked.clear()
    make(world, spec, store, lock)
    assert world.count("list") == 2


# -- what cannot lie on the stick ------------------------------------------------------------------


def test_names_that_fat_forbids_are_refused(world: World, spec: Spec, store: Store) -> None:
    (spec.folder / "notes/what?.txt").write_text("")
    with pytest.raises(InputError, match=r"notes/what\?\.txt"):
        make(world, spec, store)
    (spec.folder / "notes/what?.txt").unlink()
    (spec.folder / "notes/ONE.txt").write_text("")
    with pytest.raises(InputError, match=r"notes/ONE\.txt and notes/one\.txt"):
        make(world, spec, store)
    left_out = changed(spec, 'source = "notes"', 'source = "notes"\nexclude = ["ONE.txt"]')
    found = make(world, left_out, store).find("/notes")
    assert found.kind == "local-path"
    assert found.exclude == ("ONE.txt",)


def test_names_of_programs_that_collide_are_refused(world: World, spec: Spec, store: Store) -> None:
    mine = local(spec)
    (spec.folder / "own/cmd/gofmt").mkdir()
    (spec.folder / "own/cmd/gofmt/main.go").write_text("package main\n")
    with pytest.raises(InputError, match="two programs have the name 'gofmt'") as refused:
        make(world, mine, store)
    assert "go/src/cmd/gofmt" in refused.value.subject


def test_links_of_a_module_are_left_out_and_told(world: World, spec: Spec, store: Store) -> None:
    mine = local(spec)
    before = make(world, mine, store)
    (spec.folder / "own/cmd/link").symlink_to("ls")
    told: list[str] = []
    lock = resolve.lock(mine, before, store, clients=world.clients(), note=told.append)
    assert lock == before
    assert told == ["tools: a module goes without links; left out: cmd/link (a link)"]


def test_what_a_project_makes_in_its_modules_folder_moves_no_lock(
    world: World, spec: Spec, store: Store
) -> None:
    local(spec)
    text = LOCAL.replace('path = "own"', 'path = "."').replace('"cmd/*"', '"cmd/ls"')
    (spec.folder / "own").rename(spec.folder.parent / "module")
    for path in (spec.folder.parent / "module").iterdir():
        path.rename(spec.folder / path.name)
    (spec.folder / "sourcery.toml").write_text(text)
    mine = specs.load(spec.folder / "sourcery.toml")
    place = spec.folder / "my.lock"
    own = (spec.folder / "sourcery.toml", place, spec.folder / "out")
    first = resolve.lock(mine, None, store, clients=world.clients(), own=own)
    locks.save(first, place)
    (spec.folder / "out").mkdir()
    (spec.folder / "out/sourcery.img").write_text("image")
    assert resolve.lock(mine, first, store, clients=world.clients(), own=own) == first
    found = ensure(first, store, folder=spec.folder, clients=world.clients(), own=own)
    made = {"sourcery.toml", "my.lock", "out/sourcery.img"}
    assert not made & {entry.path for entry in found.sources["tools"]}
