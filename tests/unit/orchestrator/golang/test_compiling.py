"""Compiling for the stick: the environment is as it is there, and only what is needed is seen."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from containers.action import Action
from orchestrator import device
from orchestrator.golang import build_cache, environment, handles
from orchestrator.golang.compiling import (
    BATCHES,
    Compiling,
)
from orchestrator.spec.model import Exclusion
from reproducibility.conditions import STANDARD
from reproducibility.errors import InputError
from reproducibility.manifest import Tree
from tests.unit.orchestrator import samples
from tests.unit.orchestrator.samples import EPOCH, MODULE, Blobs, made_by

if TYPE_CHECKING:
    from orchestrator.execution.step import Result, Step

OURS = {
    "GOCACHE": "/tmp/cache",  # noqa: S108 - inside the sandbox
    "GOGC": "off",
    "GOMEMLIMIT": "1536MiB",
    "GOPATH": "/tmp/gopath",  # noqa: S108 - inside the sandbox
    "HOME": "/tmp/home",  # noqa: S108 - inside the sandbox
    "LC_ALL": "C",
    "PATH": "/bin",
    "TMPDIR": "/tmp",  # noqa: S108 - inside the sandbox
}


# How the helper is called, by kind of step.
HELPED = {
    "list": "-seed /seed/0 -cache /tmp/cache",
    "seed": "-seed /seed/0 -record '/work/out'",
    "commands": "-seed /seed/0 -seed /seed/1 -record '/work/out'",
    "programs": "-seed /seed/0 -cache /tmp/cache",
}


@pytest.fixture
def blobs() -> Blobs:
    return Blobs()


def results_of(blobs: Blobs, *architectures: str) -> dict[str, Result]:
    found = samples.chain_results(blobs.put)
    for architecture in ("amd64", *architectures):
        found |= samples.compiling_results(blobs, architecture)
    return found


def steps_of(compiling: Compiling, architecture: str) -> dict[str, Step]:
    return {step.name: step for step in compiling.steps(architecture)}


def actions_of(blobs: Blobs, architecture: str, *, seeded: bool = True) -> dict[str, Action]:
    """The actions of all steps that have something to do."""
    compiling = samples.compiling(blobs, seeded=seeded)
    results = results_of(blobs, architecture)
    made = {name: step.make(results) for name, step in steps_of(compiling, architecture).items()}
    return {name: action.placed() for name, action in made.items() if isinstance(action, Action)}


def mounts(action: Action) -> dict[str, Tree]:
    return {mount.at: mount.tree for mount in action.mounts}


def test_the_steps_of_an_architecture() -> None:
    steps = steps_of(samples.compiling(Blobs()), "arm64")
    batches = [handles.batch(MODULE, "arm64", number) for number in range(BATCHES)]
    listed, seed = handles.listing(MODULE, "arm64"), handles.seed(MODULE, "arm64")
    assert set(steps) == {"programs/arm64", listed, seed, *batches}
    assert set(steps[listed].needs) == {"F1", "T1/helpers", "std/arm64"}
    assert set(steps[seed].needs) == {listed, "F1", "T1/helpers", "std/arm64"}
    assert set(steps[batches[0]].needs) == {listed, "F1", "T1/helpers", "std/arm64", seed}
    assert set(steps["programs/arm64"].needs) == {"F1", "T1/helpers", "std/arm64"}


def test_without_a_seed_commands_are_compiled_all_the_same() -> None:
    steps = steps_of(samples.compiling(Blobs(), seeded=False), "arm64")
    assert handles.seed(MODULE, "arm64") not in steps
    needs = steps[handles.batch(MODULE, "arm64", 0)].needs
    assert set(needs) == {handles.listing(MODULE, "arm64"), "F1", "T1/helpers", "std/arm64"}


def test_steps_come_before_those_that_need_them() -> None:
    compiling = samples.compiling(Blobs())
    known = {"F1", "T1/helpers", "std/amd64", "std/arm64"}
    for step in [*compiling.steps("arm64"), *compiling.steps("amd64")]:
        assert known.issuperset(step.needs)
        known.add(step.name)


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_the_environment_is_the_devices_and_nothing_else(
    blobs: Blobs, architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOFLAGS", "-race")
    monkeypatch.setenv("CGO_ENABLED", "1")
    actions = actions_of(blobs, architecture)
    assert len(actions) > 4
    for name, action in actions.items():
        expected = {**environment.settings(architecture), **OURS}
        helped = HELPED[name.partition("/")[0]]
        expected["GOCACHEPROG"] = f"/helper/buildcache {helped}"
        assert dict(action.environment) == expected
        assert len(action.environment) == len(expected)


def test_what_the_go_command_hashes_is_as_on_the_device(blobs: Blobs) -> None:
    # Path, time and zone of each file, and what decides how it compiles.
    there = environment.device("arm64")
    chain_source = samples.chain().source
    for name, action in actions_of(blobs, "arm64").items():
        here = dict(action.environment)
        assert {key: here[key] for key in environment.settings("arm64")} == {
            key: there[key] for key in environment.settings("arm64")
        }
        assert action.epoch == EPOCH
        assert action.conditions == STANDARD
        assert action.architecture == "amd64"
        goroot = mounts(action)[device.GOROOT]
        assert goroot.where(lambda e: not e.path.startswith(("bin/", "pkg/"))) == chain_source
        module = device.USERLAND if name.startswith("programs/") else MODULE
        assert action.directory == f"/{device.source(module)}"
        assert action.directory in mounts(action)


def test_the_list_sees_the_whole_module_and_asks_for_the_candidates(blobs: Blobs) -> None:
    action = actions_of(blobs, "arm64")[handles.listing(MODULE, "arm64")]
    assert mounts(action)[f"/src/{MODULE}"] == samples.tree(samples.SOURCE)
    assert action.command[:4] == ("/go/bin/go", "list", "-e", "-deps")
    assert action.command[5:] == ("./cmds/ip", "./cmds/ls", "./cmds/w", "./...")
    assert action.outputs == ()


def test_the_seed_compiles_what_commands_import_and_sees_no_command(blobs: Blobs) -> None:
    action = actions_of(blobs, "arm64")[handles.seed(MODULE, "arm64")]
    assert action.command == ("/go/bin/go", "build", f"{MODULE}/lib", "fmt")
    assert {entry.path for entry in mounts(action)[f"/src/{MODULE}"]} == {
        "go.mod",
        "lib/lib.go",
        "lib/unused.txt",
        "vendor/modules.txt",
    }
    standard = results_of(blobs, "arm64")["std/arm64"].tree.under("out")
    assert {at: tree for at, tree in mounts(action).items() if at.startswith("/seed")} == {
        "/seed/0": standard
    }


def test_every_command_is_compiled_in_one_batch(blobs: Blobs) -> None:
    actions = actions_of(blobs, "arm64")
    batches = [action for name, action in actions.items() if name.startswith("commands/")]
    compiled = [part for action in batches for part in action.command if part.startswith("./")]
    assert sorted(compiled) == ["./cmds/ip", "./cmds/ls"]
    for action in batches:
        without_linking = "-toolexec=/helper/compileonly"
        assert action.command[:5] == ("/go/bin/go", "build", without_linking, "-o", "/dev/null")
        seed = results_of(blobs, "arm64")[handles.seed(MODULE, "arm64")].tree.under("out")
        assert mounts(action)["/seed/1"] == seed
        assert "src/main.go" not in {entry.path for entry in mounts(action)[f"/src/{MODULE}"]}


def test_what_assembler_sources_include_is_seen_wherever_it_lies(blobs: Blobs) -> None:
    files = {
        **samples.SOURCE,
        "cmds/ls/ls_arm64.s": b'#include "textflag.h"\n # include "../../asm/defs.h"\n',
        "lib/lib.s": b'#include "../asm/lib.h"\n#include "../../outside.h"\n',
        "asm/defs.h": b'#include "../ip/shared.inc"\n',  # beside the file of cmds/ls
        "asm/lib.h": b'#include "../asm/lib.h"\n',
        "asm/unused.h": b"",
        "cmds/ip/shared.inc": b"",
    }
    sources = {f"{MODULE}/cmds/ls": ["ls_arm64.s"], f"{MODULE}/lib": ["lib.s"]}
    listed = [{**one, "SFiles": sources.get(str(one["ImportPath"]))} for one in samples.LISTING]
    before = samples.compiling(blobs)
    compiling = replace(
        before, sources={MODULE: (samples.source(), samples.tree(files, blobs.put))}
    )
    results = results_of(blobs, "arm64")
    text = blobs.put("".join(map(json.dumps, listed)).encode())
    results[handles.listing(MODULE, "arm64")] = samples.result(Tree(), text)
    steps = steps_of(compiling, "arm64")
    seen = {}
    for name, step in steps.items():
        action = step.make(results)
        if isinstance(action, Action) and name.startswith(("seed/", "commands/")):
            module = mounts(action)[f"/src/{MODULE}"]
            extra = {entry.path for entry in module} & {"asm/unused.h", "asm/defs.h", "asm/lib.h"}
            seen[tuple(word for word in action.command if word.startswith("./"))] = extra
            if "./cmds/ls" in action.command:
                assert module.get("cmds/ip/shared.inc") is not None
                assert module.get("cmds/ip/ip.go") is None
    assert seen[()] == {"asm/lib.h"}
    assert seen["./cmds/ls",] == {"asm/lib.h", "asm/defs.h"}
    assert seen["./cmds/ip",] == {"asm/lib.h"}


def test_the_helper_is_the_building_machines_and_alone(blobs: Blobs) -> None:
    results = results_of(blobs, "arm64")
    helper = samples.tree({path.removeprefix("out/"): d for path, d in samples.HELPERS.items()})
    assert helper == build_cache.helper(results)
    for action in actions_of(blobs, "arm64").values():
        assert mounts(action)["/helper"] == helper


def test_a_change_of_one_command_changes_its_batch_and_the_list_only(blobs: Blobs) -> None:
    results = results_of(blobs, "arm64")
    before = samples.compiling(blobs)
    changed = {**samples.SOURCE, "cmds/ls/ls.go": b"package main // changed\n"}
    after = replace(before, sources={MODULE: (samples.source(), samples.tree(changed, blobs.put))})
    different = set()
    for (name, first), second in zip(
        steps_of(before, "arm64").items(), after.steps("arm64"), strict=True
    ):
        old, new = first.make(results), second.make(results)
        if (old and old.key) != (new and new.key):
            different.add(name)
            assert isinstance(old, Action)
            assert not name.startswith("commands/") or "./cmds/ls" in old.command
    assert different == {
        handles.listing(MODULE, "arm64"),
        *(name for name in different if name.startswith("commands/")),
    }
    assert len(different) == 2


def test_a_list_is_read_once(blobs: Blobs) -> None:
    compiling = samples.compiling(blobs)
    results = results_of(blobs, "arm64")
    for step in compiling.steps("arm64"):
        step.make(results)
    first = compiling.listing(results, MODULE, "arm64")
    assert blobs.reads == 1
    assert compiling.listing(results, MODULE, "arm64") is first
    # Another list, as after the source has changed, is another listing.
    name = handles.listing(MODULE, "arm64")
    text = blobs.read(results[name].stdout).replace(b'"print.go"', b'"other.go"') + b"\n"
    results[name] = samples.result(results[name].tree, blobs.put(text))
    assert compiling.listing(results, MODULE, "arm64") is not first


def test_a_listing_of_the_sample(blobs: Blobs) -> None:
    listing = samples.compiling(blobs).listing(results_of(blobs, "arm64"), MODULE, "arm64")
    assert set(listing.commands) == {"cmds/ip", "cmds/ls"}
    assert listing.constrained == ("cmds/w",)
    assert set(listing.needed) == {"lib"}


def test_where_every_command_is_excluded_nothing_is_asked_or_compiled(blobs: Blobs) -> None:
    excluded = samples.source().model_copy(
        update={"exclude": (Exclusion(command="cmds/*", reason="a test", architectures=()),)}
    )
    before = samples.compiling(blobs)
    compiling = replace(before, sources={MODULE: (excluded, before.sources[MODULE][1])})
    results = results_of(blobs, "arm64")
    results[handles.listing(MODULE, "arm64")] = samples.result(
        results[handles.listing(MODULE, "arm64")].tree, blobs.put(b"")
    )
    for name, step in steps_of(compiling, "arm64").items():
        assert (step.make(results) is None) == (name != "programs/arm64")


def test_a_seed_with_nothing_in_it_is_not_read(blobs: Blobs) -> None:
    results = results_of(blobs, "arm64")
    results["std/arm64"] = samples.result(Tree())
    step = steps_of(samples.compiling(blobs), "arm64")["programs/arm64"]
    action = made_by(step, results)
    assert dict(action.environment)["GOCACHEPROG"] == "/helper/buildcache -cache /tmp/cache"


def test_a_wrong_pattern_is_told_when_the_list_is_made(blobs: Blobs) -> None:
    wrong = samples.source().model_copy(update={"commands": ("cmd/*",)})
    before = samples.compiling(blobs)
    compiling = replace(before, sources={MODULE: (wrong, before.sources[MODULE][1])})
    with pytest.raises(InputError, match="'cmd/\\*'"):
        made_by(steps_of(compiling, "arm64")[handles.listing(MODULE, "arm64")], results_of(blobs))


def test_userland_programs_are_built_for_the_architecture(blobs: Blobs) -> None:
    action = actions_of(blobs, "arm64")["programs/arm64"]
    assert dict(action.environment)["GOARCH"] == "arm64"
    # stickinit too, whether or not there are boot files: a spec's `boot` changes no action.
    names = ("buildcache", "init", "installcommand", "stickinit")
    assert action.outputs == tuple(f"out/{name}" for name in names)
    assert set(action.command[4:]) == {f"{device.USERLAND}/cmd/{name}" for name in names}
