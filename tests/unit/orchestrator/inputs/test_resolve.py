"""Making a lock: what is kept, what is looked up anew, what is refused."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from orchestrator.inputs import resolve, sources
from orchestrator.lock import differences, logged, parts
from orchestrator.lock import file as locks
from orchestrator.lock.file import Absent, GoModule, Recorded
from orchestrator.spec import model as specs
from reproducibility import digest as digests
from reproducibility import manifest
from reproducibility.errors import InfrastructureError, InputError
from tests.unit.orchestrator.inputs.world import (
    POOL,
    SPEC,
    TOOLCHAIN,
    TOOLS,
    WHEEL,
    deb,
    done,
    h1,
    module_zip,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from containers.host.process import Completed
    from orchestrator.architecture import Architecture
    from orchestrator.lock.file import Lock
    from orchestrator.spec.model import Spec
    from orchestrator.store import Store
    from tests.unit.orchestrator.inputs.world import World


def make(  # noqa: PLR0913 - those of `resolve.lock`
    world: World,
    spec: Spec,
    store: Store,
    previous: Lock | None = None,
    *,
    update: AbstractSet[str] = frozenset(),
    hosts: Sequence[Architecture] = (),
) -> Lock:
    clients = world.clients()
    return resolve.lock(spec, previous, store, update=update, hosts=hosts, clients=clients)


def changed(spec: Spec, old: str, new: str) -> Spec:
    assert old in SPEC
    return specs.parse(SPEC.replace(old, new), spec.folder / "sourcery.toml")


def new_package(world: World) -> None:
    content = deb({"usr/bin/busybox": b"newer"})
    world.packages[POOL] = content
    world.stanza |= {"Version": "1:1.37.1", "SHA256": digests.sha256_of_bytes(content).hex}


def test_locking_twice_gives_the_same_bytes(world: World, spec: Spec, store: Store) -> None:
    first = make(world, spec, store)
    assert locks.dump(make(world, spec, store)) == locks.dump(first)
    world.asked.clear()
    assert locks.dump(make(world, spec, store, first)) == locks.dump(first)
    assert world.asked == [], "what is pinned is not looked up again"
    assert differences.moved(first, first) == []


def test_every_input_is_pinned_with_its_own_kind_of_hash(
    world: World, spec: Spec, store: Store
) -> None:
    lock = make(world, spec, store)
    wheel, go, uname = (lock.find(name, "amd64") for name in ("bootstrap", "go", "uname"))
    assert wheel.kind == "python-wheel"
    assert wheel.where == WHEEL
    assert wheel.size == len(world.wheels[WHEEL])
    assert wheel.sha256 == digests.sha256_of_bytes(world.wheels[WHEEL])
    assert wheel.blake3 == digests.of_bytes(world.wheels[WHEEL])
    assert go.kind == "go-module"
    assert (go.h1, go.log) == (h1(world.modules[TOOLCHAIN]), None)
    assert uname.kind == "debian-package"
    assert (uname.where, uname.version, uname.suite) == (POOL, "1:1.37.0", "trixie")
    tools = lock.find("tools")
    assert tools.kind == "go-module"
    assert isinstance(tools.log, Recorded)
    assert tools.vendored not in {None, tools.tree}
    assert logged.toolchain(lock, "amd64").h1 == go.h1
    assert lock.toolchain.bin == ("go", "gofmt")
    assert lock.toolchain.tool == ("compile", "link")


def test_update_looks_one_input_up_anew_and_shows_what_moved(
    world: World, spec: Spec, store: Store
) -> None:
    before = make(world, spec, store)
    new_package(world)
    assert make(world, spec, store, before) == before
    after = make(world, spec, store, before, update={"uname"})
    (line,) = differences.moved(before, after)
    assert line.startswith("uname 1:1.37.0 for amd64: version 1:1.37.0 -> 1:1.37.1, blake3 blake3:")
    assert str(digests.of_bytes(world.packages[POOL])) in line
    with pytest.raises(InputError, match="no input 'unam'") as refused:
        make(world, spec, store, before, update={"unam"})
    assert "uname" in refused.value.remedy


def test_several_inputs_are_looked_up_anew_and_no_other(
    world: World, spec: Spec, store: Store
) -> None:
    before = make(world, spec, store)
    new_package(world)
    world.asked.clear()
    after = make(world, spec, store, before, update={"uname", "tools"})
    assert [one.name for one in differences.changes(before, after)] == ["uname"]
    assert world.downloads() == [POOL]
    assert world.count("-json", "@".join(TOOLS)) == 1
    assert world.count("@".join(TOOLCHAIN)) == 0
    with pytest.raises(InputError, match="no input 'unam'"):
        make(world, spec, store, before, update={"uname", "unam"})


def test_all_names_look_everything_up_anew(world: World, spec: Spec, store: Store) -> None:
    before = make(world, spec, store)
    world.asked.clear()
    assert make(world, spec, store, before, update={*parts.names(before.wanted)}) == before
    assert sum(command[-1].startswith("--requirement=") for command in world.asked) == 1
    assert world.count("update") == 1
    assert world.count("-json", "@".join(TOOLCHAIN)) == 1
    assert world.count("-json", "@".join(TOOLS)) == 1


def test_a_new_release_moves_what_hangs_on_it(world: World, spec: Spec, store: Store) -> None:
    before = make(world, spec, store)
    name, version = TOOLCHAIN
    newer = version.replace("1.27.3", "1.27.4")
    files = {"bin/go": b"go 1.27.4", "pkg/tool/linux_amd64/compile": b"newer"}
    world.modules[name, newer] = module_zip(name, newer, files)
    world.log.add(name, newer, h1(world.modules[name, newer]))
    world.vendored["vendor/modules.txt"] = b"# by 1.27.4\n"
    after = make(world, changed(spec, "1.27.3", "1.27.4"), store, before)
    told = "\n".join(differences.moved(before, after))
    assert re.search(r"^go v0.0.1-go1.27.3\S+ for amd64: version .*go1.27.4", told, re.MULTILINE)
    assert re.search(r"^tools v1.2.3: vendored blake3:\w+ -> blake3:\w+$", told, re.MULTILINE)
    assert "public record of go for amd64: number" in told
    assert "bootstrap" not in told
    assert after.toolchain.bin == ("go",)


def test_an_older_proof_of_the_same_record_is_kept(world: World, spec: Spec, store: Store) -> None:
    before = make(world, spec, store)
    world.log.add("example.org/else", "v1.0.0", "h1:" + "A" * 43 + "=")  # the log grows
    assert make(world, spec, store) != before
    world.asked.clear()
    assert make(world, spec, store, before, update={"go"}) == before
    assert world.count("vendor") == 0, "the sources do not depend on it"
    for name in ("go", "tools"):
        assert make(world, spec, store, before, update={name}) == before


def test_an_architecture_that_comes_later_is_asked_for(
    world: World, spec: Spec, store: Store
) -> None:
    before = make(world, changed(spec, ', "riscv64"', ""), store)
    assert set(before.toolchain.log) == {"amd64"}
    after = make(world, spec, store, before)
    assert isinstance(after.toolchain.log["riscv64"], Absent)
    assert differences.moved(before, after) == [
        (
            "public record of go for riscv64: the public log answered 404 Not Found for "
            "golang.org/toolchain@v0.0.1-go1.27.3.linux-riscv64"
        )
    ]


def test_a_record_is_had_without_the_module(world: World, spec: Spec, store: Store) -> None:
    name, version = TOOLCHAIN
    riscv64 = version.replace("amd64", "riscv64")
    world.log.add(name, riscv64, "h1:" + "A" * 43 + "=")
    lock = make(world, spec, store)
    assert logged.toolchain(lock, "riscv64").h1 == "h1:" + "A" * 43 + "="
    assert world.count(f"{name}@{riscv64}") == 1


@pytest.mark.parametrize(
    "answer",
    [
        "Get https://proxy.example/sumdb/log.example/supported: dial tcp: connection refused",
        "reading https://log.example/lookup/golang.org/toolchain@v0.0.1: 502 Bad Gateway",
        "reading https://log.example/lookup/example.org/else@v1.0.0: 404 Not Found",
        "reading https://log.example/tile/8/0/x001: 404 Not Found",
    ],
)
def test_a_log_that_cannot_be_asked_is_not_one_without_a_record(
    world: World, spec: Spec, store: Store, answer: str
) -> None:
    def fail(command: Sequence[str]) -> Completed | None:
        return done(answer, 1) if command[-1].endswith("riscv64") else None

    world.failing = fail
    with pytest.raises(InfrastructureError, match="the public log's record of"):
        make(world, spec, store)


def test_other_machines_get_what_is_published_for_them(
    world: World, spec: Spec, store: Store
) -> None:
    before = make(world, spec, store, hosts=("arm64",))
    assert {found.host for found in before.inputs} == {"amd64", None}, "no wheel for arm64"
    name, version = TOOLCHAIN
    arm64 = version.replace("amd64", "arm64")
    world.wheels[WHEEL.replace("x86_64", "aarch64")] = world.wheels[WHEEL]
    world.modules[name, arm64] = module_zip(name, arm64, {"bin/go": b"arm64"})
    world.log.add(name, arm64, h1(world.modules[name, arm64]))
    after = make(world, spec, store, before, hosts=("arm64",))
    assert {found.host for found in after.inputs} == {"amd64", "arm64", None}
    assert set(after.toolchain.log) == {"amd64", "arm64", "riscv64"}
    world.asked.clear()
    assert make(world, spec, store, after) == after, "they are kept without being named again"
    assert world.asked == []


def test_modules_that_the_log_is_not_asked_for_say_so(
    world: World, spec: Spec, store: Store
) -> None:
    del world.log.records["@".join(TOOLS)]
    tools = make(world, spec, store).find("tools")
    assert isinstance(tools, GoModule)
    assert isinstance(tools.log, Absent)
    assert "told not to ask" in tools.log.reason
    del world.log.records["@".join(TOOLCHAIN)]
    with pytest.raises(InfrastructureError, match="told not to ask") as refused:
        make(world, spec, store)
    assert "GOSUMDB" in refused.value.remedy


LOCAL = SPEC.replace('version = "v1.2.3"', 'path = "own"')


def test_a_dependency_can_be_taken_in_another_version_than_the_source_asks_for(
    world: World, spec: Spec, store: Store
) -> None:
    before = make(world, spec, store)
    newer = changed(
        spec, 'commands = ["cmd/*"]', 'commands = ["cmd/*"]\nreplace = ["x.org/y@v1.2.0"]'
    )
    after = make(world, newer, store, before)
    tools = after.find("tools")
    assert tools.kind == "go-module"
    assert tools.replace == ("x.org/y@v1.2.0",)
    assert tools.vendored is not None
    go_mod = store.load_tree(tools.vendored).get("go.mod")
    assert go_mod is not None
    assert store.path(go_mod).read_text() == "replace x.org/y=x.org/y@v1.2.0\n"
    assert make(world, newer, store, after) == after
    assert make(world, spec, store, after) == before
    after.check_fits(newer)
    with pytest.raises(InputError, match=r"with x\.org/y@v1\.2\.0"):
        after.check_fits(spec)


def test_what_replacements_bring_along_is_gathered_too(
    world: World, spec: Spec, store: Store
) -> None:
    """The go command refuses to vendor where a replacement requires what nothing did before."""
    newer = changed(
        spec, 'commands = ["cmd/*"]', 'commands = ["cmd/*"]\nreplace = ["x.org/y@v1.2.0"]'
    )
    refusal = done("", 1, "go: x.org/z: missing go.sum entry for module providing package x.org/z")

    def vendoring(command: Sequence[str]) -> Completed | None:
        tidied = world.count("mod", "tidy")
        return refusal if list(command[1:3]) == ["mod", "vendor"] and not tidied else None

    world.failing = world.offline = vendoring
    tools = make(world, newer, store).find("tools")
    assert isinstance(tools, GoModule)
    assert tools.vendored is not None
    ran = [command[1:3] for command in world.asked if command[1] in {"list", "mod"}]
    start = ran.index(["mod", "edit"])
    assert ran[start : start + 6] == [
        ["mod", "edit"],
        ["list", "-mod=mod"],
        ["mod", "download"],
        ["mod", "vendor"],
        ["mod", "tidy"],
        ["mod", "vendor"],
    ]
    # Without a replacement it is the module's own matter.
    world.failing = world.offline = lambda command: (
        refusal if list(command[1:3]) == ["mod", "vendor"] else None
    )
    with pytest.raises(InputError, match=r"missing go\.sum entry"):
        make(world, spec, store)
    assert world.count("mod", "tidy") == 1


def local(spec: Spec, go_mod: str = "module example.org/tools\n") -> Spec:
    folder = spec.folder / "own"
    (folder / "cmd/ls").mkdir(parents=True)
    (folder / "go.mod").write_text(go_mod)
    (folder / "cmd/ls/main.go").write_text("package main\n")
    return specs.parse(LOCAL, spec.folder / "sourcery.toml")


def test_a_local_source_is_vendored_once(world: World, spec: Spec, store: Store) -> None:
    mine = local(spec)
    lock = make(world, mine, store)
    found = lock.find("tools")
    assert found.kind == "local-path"
    assert (found.where, found.module) == ("own", "example.org/tools")
    assert make(world, mine, store, lock) == lock
    assert world.count("vendor") == 1
    (spec.folder / "own/cmd/ls/main.go").write_text("package main // changed\n")
    moved = differences.moved(lock, make(world, mine, store, lock))
    assert len(moved) == 1
    assert moved[0].startswith("tools local: blake3 blake3:")


def test_a_local_source_with_its_dependencies_is_taken_as_it_is(
    world: World, spec: Spec, store: Store
) -> None:
    mine = local(spec)
    (spec.folder / "own" / "vendor").mkdir()
    (spec.folder / "own" / "vendor" / "modules.txt").write_text("# none\n")
    found = make(world, mine, store).find("tools")
    assert found.kind == "local-path"
    assert found.vendored == found.tree
    assert world.count("vendor") == 0


@pytest.mark.parametrize(
    ("go_mod", "words"),
    [
        ("module example.org/other\n", "does not say `module example.org/tools`"),
        ("// module example.org/tools\n", "does not say `module example.org/tools`"),
        ("", "does not say `module example.org/tools`"),
    ],
)
def test_a_local_source_of_another_module_is_refused(
    world: World, spec: Spec, store: Store, go_mod: str, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        make(world, local(spec, go_mod), store)


def test_a_local_source_that_is_no_module_is_refused(
    world: World, spec: Spec, store: Store
) -> None:
    mine = local(spec)
    (spec.folder / "own" / "go.mod").unlink()
    with pytest.raises(InputError, match=r"own is no Go module: it has no go\.mod"):
        make(world, mine, store)


def test_a_module_without_go_mod_is_refused(world: World, spec: Spec, store: Store) -> None:
    world.modules[TOOLS] = module_zip(*TOOLS, {"main.go": b"package main\n"})
    with pytest.raises(InputError, match=r"is no Go module: it has no go\.mod"):
        make(world, spec, store)


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ("go: module requires go >= 1.30 (running go 1.27.3)", InputError, "requires go >= 1.30"),
        ("go: updates to go.mod needed", InputError, "updates to go.mod needed"),
        ("go: reading https://p.example/x@v1: 403 Forbidden", InfrastructureError, "403 Forbidden"),
        ("go: example.org/x@v1: i/o timeout", InfrastructureError, "i/o timeout"),
    ],
)
def test_dependencies_that_cannot_be_had_stop_the_lock(  # noqa: PLR0913 - fixtures and cases
    world: World, spec: Spec, store: Store, answer: str, kind: type[Exception], words: str
) -> None:
    world.failing = lambda command: done(answer, 1) if "vendor" in command else None
    with pytest.raises(kind, match=re.escape(words)) as refused:
        make(world, spec, store)
    assert "tools" in str(refused.value)
    assert world.count("vendor") == (4 if "timeout" in answer else 1)


def test_a_zip_that_is_not_what_the_go_command_says_is_refused(
    world: World, spec: Spec, store: Store
) -> None:
    world.claimed = "h1:" + "A" * 43 + "="
    with pytest.raises(InfrastructureError, match=r"the go command says h1:AAA.*, its zip has h1:"):
        make(world, spec, store)


def test_an_answer_that_is_none_is_not_believed(world: World, spec: Spec, store: Store) -> None:
    for answer in ("", "[]", "{}", '{"Zip": 1, "Sum": 2}', "no JSON"):
        world.failing = lambda command, answer=answer: (  # type: ignore[misc]
            done(answer) if "download" in command and "mod" in command else None
        )
        with pytest.raises(InfrastructureError, match="answer is not understood"):
            make(world, spec, store)


def test_a_package_that_the_suite_lacks_is_refused(world: World, spec: Spec, store: Store) -> None:
    for stanza in ({}, {"Package": "busybox"}, {"Package": "busybox-static", "Version": "1"}):
        world.stanza = stanza
        with pytest.raises(InputError, match="trixie has no package busybox-static for amd64"):
            make(world, spec, store)


def test_a_lock_that_the_machine_itself_cannot_use_is_not_made(
    world: World, spec: Spec, store: Store
) -> None:
    with pytest.raises(InputError, match="no wheel for bootstrap"):
        make(world, changed(spec, "1.26.6", "1.26.7"), store)
    with pytest.raises(InputError, match=r"there is no go \(golang.org/toolchain@v0.0.1-go1.27.9"):
        make(world, changed(spec, "1.27.3", "1.27.9"), store)


def test_locking_needs_no_folder_of_a_fixed_name(
    world: World, spec: Spec, store: Store, tmp_path: Path
) -> None:
    lock = make(world, spec, store)
    other = tmp_path / "elsewhere"
    spec.folder.rename(other)
    moved = specs.parse(SPEC, other / "sourcery.toml")
    assert locks.dump(make(world, moved, store)) == locks.dump(lock)
    assert str(tmp_path) not in locks.dump(lock).decode()


def test_sources_that_are_too_many_together_are_refused(
    monkeypatch: pytest.MonkeyPatch, world: World, spec: Spec, store: Store
) -> None:
    bounds = SimpleNamespace(MOST_ENTRIES=1, too_many=manifest.too_many)
    monkeypatch.setattr(sources, "manifest", bounds)
    with pytest.raises(InputError, match="too many files") as caught:
        make(world, spec, store)
    assert "all together" in caught.value.subject
    assert "`exclude`" in caught.value.remedy
