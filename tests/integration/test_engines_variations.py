"""Every variation of conditions on every engine: seen from inside an action, or refused."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from containers.action import Mount
from containers.policy import Limits, Share
from containers.sandbox import capability
from containers.sandbox.engine import SandboxEngine
from reproducibility import variations
from reproducibility.conditions import STANDARD, STDIN_LINE
from reproducibility.variations import VARIATIONS, Variation, varied
from tests.integration.engine_fixtures import EPOCH, Bench

if TYPE_CHECKING:
    from reproducibility.conditions import Conditions
    from tests.integration.engine_fixtures import Builder, Engines

APPLIED = [variation for variation in VARIATIONS if not variation.refusal]
ENVIRONMENT = (("A", "1"), ("B", "2"), ("LC_ALL", "C"), ("PATH", "/bin"), ("TZ", "UTC"))
# Variables that variations set, by the variation's name.
VARIABLES = {
    "environment": {"CAPTURED_ENVIRONMENT": "somebody exported this"},
    "home": {"HOME": "/tmp/another home"},  # noqa: S108 - a path inside
    "locale": {"LANG": "tr_TR.UTF-8", "LC_ALL": "tr_TR.UTF-8"},
    "path": {"PATH": "/bin:/nonexistent/bin:/usr/local/another folder/bin"},
    "zone": {"TZ": "Asia/Kathmandu"},
}
# What a variation changes besides: a Go program uses as many threads as there are CPUs.
BESIDES = {"cpus": {"parallelism"}}
# What no container engine can do.
NEVER_ON_DOCKER = {"aslr", "kernel", "umask"}


def look(bench: Bench, conditions: Conditions) -> dict[str, Any]:
    """What the probe sees, with what has no meaning by itself made into words."""
    tree = bench.input({f"{name}": name for name in "abcdefghij"})
    action = bench.builder.action(
        *("surroundings", "/input", "/input/c"),
        conditions=conditions,
        directory=conditions.work,
        environment=ENVIRONMENT,
        mounts=(Mount("/input", tree),),
    )
    outcome = bench.run(action.placed())
    assert outcome.exit_status == 0, outcome.stderr.read_text()
    seen: dict[str, Any] = json.loads(outcome.stdout.read_text())
    first, second = seen["aslr"]
    kind, content = seen["stdin"]
    variables = seen.pop("variables")
    variables.pop("PWD")
    # The one that carries the number of threads is seen as that.
    variables.pop("GOMAXPROCS", None)
    order = [name for name in seen["environment"] if name not in {"GOMAXPROCS", "PWD"}]
    return seen | {
        "aslr": "fixed" if first == second else "random",
        "stdin": (stat.S_IFMT(kind), content),
        "variables": variables,
        "environment": order,
    }


def able(bench: Bench, variation: Variation) -> bool:
    found = bench.engine.capabilities()[variation.name]
    assert found.how
    return not found.refusal


@pytest.mark.parametrize("variation", APPLIED, ids=lambda variation: variation.name)
def test_a_variation_is_seen_from_inside_and_changes_nothing_else(
    bench: Bench, variation: Variation
) -> None:
    if not able(bench, variation):
        assert variation.name in may_be_refused(bench)
        return
    conditions = varied(bench.engine.processors, [variation.name])
    assert set(conditions.describe()) == {variation.condition}
    usual, other = look(bench, STANDARD), look(bench, conditions)
    named = VARIABLES.get(variation.name, {})
    assert other["variables"] == usual["variables"] | named
    differ = {name for name in usual if usual[name] != other[name]} - {"variables"}
    if named:
        # In the opposite order, or a new one.
        differ -= {"environment"}
        assert not differ
    else:
        assert differ - BESIDES.get(variation.name, set()) == {variation.name}


def may_be_refused(bench: Bench) -> set[str]:
    """The variations that an engine may refuse on a machine as the tests have one."""
    found = {"cpus"} if bench.engine.processors == 1 else set()
    if bench.engine.name == "docker":
        return found | NEVER_ON_DOCKER
    # A filter around all of this, as container engines have one, may know fewer personalities.
    return found | {
        name
        for name, flag in (("aslr", 0x0040000), ("kernel", 0x0020000))
        if capability.refused_flag(flag)
    }


def test_all_variations_at_once(bench: Bench) -> None:
    names = [variation.name for variation in APPLIED if able(bench, variation)]
    processors = bench.engine.processors
    conditions = varied(processors, names)
    usual, seen = look(bench, STANDARD), look(bench, conditions)
    for of in (usual, seen):
        # A container engine puts one in front, whose value is then another.
        of["environment"].remove("PATH")
    assert usual["environment"] == ["A", "B", "HOME", "LC_ALL", "TZ"]
    assert seen["environment"] == [
        *("TZ", "LC_ALL", "LANG", "HOME", "CAPTURED_ENVIRONMENT", "B", "A")
    ]
    expected = {name: value for of in VARIABLES.values() for name, value in of.items()}
    assert seen["variables"] == {"A": "1", "B": "2", **expected}
    assert seen["domain"] == "another.domain"
    assert (usual["mtime"], seen["mtime"]) == (EPOCH, 1_234_567_891)
    assert (usual["stdin"], seen["stdin"]) == ((stat.S_IFCHR, "0 EOF"), (stat.S_IFIFO, "1 <nil>"))
    assert seen["tmp"] < usual["tmp"] == bench.limits.tmp
    assert int(seen["memory"]) == bench.limits.memory * 9 // 10
    assert sorted(seen["order"]) == sorted(usual["order"])
    if processors > 1:
        assert (usual["cpus"], seen["cpus"]) == (processors, processors // 2)
    if "umask" in names:
        assert (usual["umask"], seen["umask"]) == (0o022, 0o077)
    if "kernel" in names:
        assert seen["kernel"].startswith("2.6.")
        assert usual["kernel"] == os.uname().release
    if "aslr" in names:
        assert (usual["aslr"], seen["aslr"]) == ("random", "fixed")


@pytest.mark.parametrize("share", [None, Share(1, 2)], ids=["all", "share"])
def test_the_number_of_cpus_that_is_recorded_is_the_one_that_is_seen(
    bench: Bench, share: Share | None
) -> None:
    tree = bench.input({"a": "a"})
    for wanted in (0,) if bench.engine.capabilities()["cpus"].refusal else (0, 1):
        action = bench.builder.action(
            *("surroundings", "/input", "/input/a"),
            conditions=replace(STANDARD, processors=wanted),
            environment=ENVIRONMENT,
            mounts=(Mount("/input", tree),),
        )
        ended = bench.run(action.placed(), share=share)
        assert json.loads(ended.stdout.read_text())["cpus"] == ended.cpus


def test_what_no_engine_can_do_is_refused_with_its_reason(bench: Bench) -> None:
    found = bench.engine.capabilities()
    assert set(found) == set(variations.NAMES)
    assert found["time"].refusal == variations.REFUSED["time"]
    refused = {name for name, one in found.items() if one.refusal}
    assert refused <= may_be_refused(bench) | {"time"}


def test_an_action_leaves_the_same_outputs_under_every_condition(bench: Bench) -> None:
    """Files that only their owner may read, times of inputs: nothing of it gets into a tree."""
    names = [variation.name for variation in APPLIED if able(bench, variation)]
    tree = bench.input({"file": "content"})
    trees = []
    for conditions in (STANDARD, varied(bench.engine.processors, names)):
        work = conditions.work
        action = bench.builder.action(
            *("scatter", f"{work}/copy", "2"),
            conditions=conditions,
            mounts=(Mount(f"{work}/copy", tree, "private"),),
            outputs=("copy",),
        )
        outcome = bench.run(action)
        assert outcome.exit_status == 0, outcome.stderr.read_text()
        trees.append(bench.builder.store.put_tree(outcome.outputs))
    assert trees[0] == trees[1]
    assert {entry.path for entry in trees[0].files()} == {"copy/0", "copy/1", "copy/file"}


def test_what_standard_input_holds_can_be_read_to_its_end(bench: Bench) -> None:
    seen = bench.probe("read", conditions=varied(2, ["stdin"]))
    assert seen["text"] == STDIN_LINE.decode()
    assert bench.probe("read")["text"] == ""


def test_the_limits_that_are_varied_hold(bench: Bench) -> None:
    limits = Limits(tmp=20 << 20, seconds=60)
    seen = bench.probe(
        *("fill", "/tmp/large"),  # noqa: S108 - a path inside
        limits=limits,
        conditions=varied(2, ["tmp"]),
    )
    assert "no space left" in seen["error"]
    assert (17 << 20) < seen["written"] <= (18 << 20)


def test_times_of_inputs_are_varied_where_their_order_is_too(bench: Bench) -> None:
    tree = bench.input({"file": "content", "folder/inner": "inner"})
    for names in (["mtime"], ["mtime", "order"]):
        conditions = varied(2, names)
        mounts = (Mount("/input", tree), Mount("/work/copy", tree, "private"))
        seen = bench.probe("modes", "/input", "/work/copy", mounts=mounts, conditions=conditions)
        assert len(seen) == 8
        assert {one["Time"] for one in seen.values()} == {1_234_567_891}


@pytest.mark.needs_sandbox
def test_the_domain_name_of_the_machine_stays(
    engines: Engines, builder: Builder, tmp_path: Path
) -> None:
    bench = Bench(engines["sandbox"], builder, tmp_path)
    assert isinstance(bench.engine, SandboxEngine)
    machine = Path("/proc/sys/kernel/domainname")
    before = os.uname(), machine.read_text()
    assert look(bench, varied(2, ["domain", "host"]))["domain"] == "another.domain"
    assert before == (os.uname(), machine.read_text())
