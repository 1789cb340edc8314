"""The plan: every step that a build needs, and every check that must be there at its end."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from containers.engine import Capability
from orchestrator import device, plan
from orchestrator.golang import handles, probe
from orchestrator.golang.toolchain import DIST_BUILD
from orchestrator.inputs import Inputs
from orchestrator.lock import file as locks
from orchestrator.spec import model as specs
from reproducibility import codes, variations
from reproducibility.errors import InputError
from reproducibility.manifest import Tree
from reproducibility.variations import FIXED_POINT, NAMES, VARIED, varied
from tests.unit.orchestrator import samples

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.architecture import Architecture
    from orchestrator.store import Store

ABSENT = {"state": "absent", "reason": "the mirror has no such module"}
RECORDED = {"state": "recorded", "number": 1, "record": [], "tree_head": [], "proof": []}
ALL: tuple[Architecture, ...] = ("amd64", "arm64", "riscv64")


def draw(  # noqa: PLR0913 - what a plan depends on
    store: Store,
    *,
    architectures: tuple[Architecture, ...] = ALL,
    host: Architecture = "amd64",
    limits: Mapping[str, object] | None = None,
    release: Mapping[str, bytes] = samples.RELEASE,
    processors: int = 4,
    unable: Mapping[str, str] | None = None,
) -> plan.Plan:
    spec = specs.Spec.model_validate(
        {
            "image": {"epoch": samples.EPOCH, "architectures": list(architectures)},
            "go": {"version": "1.27.3", "bootstrap": "1.26.6"},
            "source": [samples.source().model_dump()],
            "limits": dict(limits or {}),
        }
    )
    lock = locks.Lock.model_validate(
        {
            "schema": 1,
            "wanted": {},
            "toolchain": {
                "version": "1.27.3",
                "bin": list(samples.PROGRAMS.binaries),
                "tool": list(samples.PROGRAMS.tools),
                "log": {"amd64": RECORDED, "arm64": RECORDED, "riscv64": ABSENT},
            },
            "inputs": [],
        }
    )
    have = Inputs(
        bootstrap=samples.tree({"bin/go": b"old go"}, store.put_bytes),
        uname=samples.tree({"bin/uname": b"uname"}, store.put_bytes),
        release=samples.tree(release, store.put_bytes),
        sources={spec.sources[0].name: samples.tree(samples.SOURCE, store.put_bytes)},
        modules={spec.sources[0].name: samples.MODULE},
        files=Tree(),
    )
    return plan.draw(
        spec,
        lock,
        have,
        store,
        host=host,
        architectures=architectures,
        processors=processors,
        capabilities={
            name: Capability("somehow", (unable or {}).get(name, "")) for name in variations.NAMES
        },
    )


def names(drawn: plan.Plan) -> list[str]:
    return [step.name for step in drawn.steps]


@pytest.mark.parametrize(
    ("host", "architectures"),
    [("amd64", ALL), ("arm64", ALL), ("amd64", ("riscv64",)), ("amd64", ("amd64",))],
)
def test_a_plan_is_whole_and_each_step_comes_after_what_it_needs(
    store: Store, host: Architecture, architectures: tuple[Architecture, ...]
) -> None:
    known: set[str] = set()
    for step in draw(store, host=host, architectures=architectures).steps:
        assert step.name not in known
        assert known.issuperset(step.needs), step
        known.add(step.name)
    assert {"F1", "F2"} <= known


def test_every_architecture_is_compared_with_something(store: Store) -> None:
    drawn = draw(store)
    found = names(drawn)
    assert {"cross/arm64", "cross/riscv64", "cross-by-F2/riscv64"} <= set(found)
    assert "cross-by-F2/arm64" not in found
    assert "cross/amd64" not in found
    assert set(drawn.expected) == {
        (codes.FIXED_POINT, "amd64"),
        (codes.GENERATED, "amd64"),
        (codes.HELPERS, "amd64"),
        *((codes.VARIATION, name) for name in probe.FIELDS),
        *((codes.RELEASE, name) for name in ALL),
        (codes.LOG, "amd64"),
        (codes.LOG, "arm64"),
        (codes.CROSS_AGAIN, "riscv64"),
    }


def test_the_builders_own_toolchain_is_compared_in_any_case(store: Store) -> None:
    drawn = draw(store, architectures=("riscv64",))
    assert {(codes.RELEASE, "amd64"), (codes.LOG, "amd64")} <= set(drawn.expected)
    assert (codes.RELEASE, "arm64") not in drawn.expected
    assert not any(name.endswith("arm64") for name in names(drawn))


def test_the_builder_image_holds_the_bootstrap_go_and_uname_only(store: Store) -> None:
    root = draw(store).chain.root
    assert [entry.path for entry in root] == ["bin/uname", "bootstrap/bin/go"]


def test_the_source_of_dist_is_patched_where_the_patch_fits(store: Store) -> None:
    patched = draw(store).chain.dist_build
    assert patched is not None
    (entry,) = patched
    assert entry.path == DIST_BUILD
    assert store.path(entry).read_text().count("\treturn\n") == 1
    other = {**samples.RELEASE, DIST_BUILD: b"package main // of another version\n"}
    assert draw(store, release=other).chain.dist_build is None


def test_a_release_without_dist_is_no_go_release(store: Store) -> None:
    other = {path: data for path, data in samples.RELEASE.items() if path != DIST_BUILD}
    with pytest.raises(InputError, match="build"):
        draw(store, release=other)


@pytest.mark.parametrize(
    ("limits", "processors", "parallelism"),
    [
        ({}, 2, 1),
        ({}, 1, 3),
        ({"cpus": 6}, 8, 3),
        ({"cpus": 6}, 2, 1),
        ({"cpus": 1}, 3, 3),
    ],
)
def test_the_varied_parallelism_is_half_of_what_the_engine_gives(
    store: Store, limits: dict[str, object], processors: int, parallelism: int
) -> None:
    """Of the engine's processors, not of this machine's, and within the limit."""
    drawn = draw(store, limits=limits, processors=processors)
    assert drawn.chain.varied.parallelism == parallelism
    assert drawn.chain.varied.work == VARIED.work
    steps = {step.name: step for step in drawn.steps}
    for name in ("F2", "cross-by-F2/riscv64"):
        assert steps[name].conditions == drawn.chain.varied


def test_what_the_engine_cannot_vary_is_not_varied_and_said(store: Store) -> None:
    drawn = draw(store, unable={"order": "no tmpfs here"})
    assert drawn.chain.varied == replace(varied(4, FIXED_POINT), order_seed=0)
    assert drawn.chain.unable == {"order": "no tmpfs here"}


def test_the_second_build_is_varied_in_six_conditions_and_no_others(store: Store) -> None:
    """More of them would forget what every store remembers, without proving more of F1 == F2."""
    drawn = draw(store, unable={"umask": "not here"})
    assert drawn.chain.varied == varied(4, FIXED_POINT)
    assert drawn.chain.unable == {}


def test_times_and_zone_are_inputs_where_an_index_of_files_is_recorded_and_nowhere_else(
    store: Store,
) -> None:
    steps = draw(store).steps
    recording = {
        step.name
        for step in steps
        if step.stage in {"seed", "commands", "standard library"} and not step.says
    }
    for step in steps:
        # The programs of T1 name the folder that they were built in.
        own = {"directory"} if step.name == "T1/toolchain" else set()
        assert set(step.fixed) == ({"mtime", "zone"} if step.name in recording else own)
        assert set(step.fixed) <= set(NAMES)


def test_only_what_others_use_is_compared_of_what_steps_say(store: Store) -> None:
    used = {step.name for step in draw(store).steps if step.says}
    assert used == {
        *(f"std/{name}/list" for name in ALL),
        *(handles.listing(samples.MODULE, name) for name in ALL),
    }


def test_userland_is_taken_without_what_an_editor_or_a_build_left_in_it(store: Store) -> None:
    userland = draw(store).chain.userland
    assert userland.get("go.mod") is not None
    assert all(entry.path.endswith((".go", ".mod", ".md")) for entry in userland)
    assert not any(entry.executable for entry in userland)
    for name in device.PREBUILT:
        assert len(userland.under(f"cmd/{name}"))
