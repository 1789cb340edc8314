"""The chain of builds: what each action is given, and that nothing else gets in."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.golang import build_cache, standard_library
from orchestrator.golang.toolchain import (
    DIST_BUILD,
    Chain,
    stopping_early,
)
from orchestrator.store.blobs import BLOB_TIME
from reproducibility import digest, manifest
from reproducibility.conditions import STANDARD, Conditions
from reproducibility.errors import ActionError
from reproducibility.manifest import Tree
from reproducibility.variations import VARIED
from tests.unit.orchestrator import samples
from tests.unit.orchestrator.samples import BUILD_GO, PROGRAMS, made_by

if TYPE_CHECKING:
    from containers.action import Action
    from orchestrator.execution.step import Step

USUAL = {
    "CGO_ENABLED": "0",
    "GOARCH": "amd64",
    "GOCACHE": "/tmp/cache",  # noqa: S108 - inside the sandbox
    "GOENV": "off",
    "GOFLAGS": "",
    "GOGC": "off",
    "GOMEMLIMIT": "1536MiB",
    "GOOS": "linux",
    "GOPATH": "/tmp/gopath",  # noqa: S108 - inside the sandbox
    "GOPROXY": "off",
    "GOROOT": "/go",
    "GOSUMDB": "off",
    "GOTELEMETRY": "off",
    "GOTOOLCHAIN": "local",
    "HOME": "/tmp/home",  # noqa: S108 - inside the sandbox
    "LC_ALL": "C",
    "PATH": "/bin",
    "TMPDIR": "/tmp",  # noqa: S108 - inside the sandbox
    "TZ": "UTC",
}
WITHOUT_CGO = {name: value for name, value in USUAL.items() if name != "CGO_ENABLED"}
READING = {"GOCACHEPROG": "/helper/buildcache -seed /seed/0 -cache /tmp/cache"}
RECORDING = {"GOCACHEPROG": f"/helper/buildcache -record '{VARIED.work}/out'"}
ENVIRONMENTS = {
    "T1/dist": {**USUAL, "GO111MODULE": "off", "GOROOT": "/bootstrap"},
    # With CGO_ENABLED=0 here, that would be baked into the go command as its default.
    "T1/toolchain": {
        **WITHOUT_CGO,
        "BOOT_GO_GCFLAGS": "-l -dwarf=false",
        "BOOT_GO_LDFLAGS": "-w",
        "GOHOSTARCH": "amd64",
        "GOROOT": "/work/go",
        "GOROOT_BOOTSTRAP": "/bootstrap",
    },
    "T1/helpers": {**USUAL, "GO111MODULE": "off", "GOPATH": "/helpers"},
    "F1": USUAL,
    "std/amd64": {**USUAL, **RECORDING, "GOMAXPROCS": "3"},
    "std/arm64": {
        **USUAL,
        "GOARCH": "arm64",
        "GOCACHEPROG": "/helper/buildcache -record '/work/out'",
    },
    "std/amd64/list": USUAL,
    "std/arm64/list": {**USUAL, "GOARCH": "arm64"},
    "F1/helpers": {**USUAL, **READING, "GO111MODULE": "off", "GOPATH": "/helpers"},
    "F2": {**USUAL, **READING, "GOMAXPROCS": "3"},
    "cross/arm64": {**USUAL, **READING, "GOARCH": "arm64"},
    "cross-by-F2/riscv64": {**USUAL, "GOARCH": "riscv64", "GOMAXPROCS": "3"},
}


def steps(chain: Chain) -> dict[str, Step]:
    found = [
        *chain.steps(),
        *standard_library.standard(chain, "amd64"),
        *standard_library.standard(chain, "arm64"),
        standard_library.helpers_again(chain),
        chain.second(),
        chain.cross("arm64"),
        chain.cross_again("riscv64"),
    ]
    return {step.name: step for step in found}


def actions(chain: Chain | None = None) -> dict[str, Action]:
    chain = chain or samples.chain()
    results = samples.chain_results()
    return {name: made_by(step, results) for name, step in steps(chain).items()}


def mounted(action: Action, at: str = "/go") -> Tree:
    (mount,) = (mount for mount in action.mounts if mount.at == at)
    return mount.tree


# -- isolation -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_environment_is_exactly_this(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("GOFLAGS", "GOAMD64", "GOEXPERIMENT", "CGO_ENABLED", "SOURCE_DATE_EPOCH"):
        monkeypatch.setenv(variable, "from outside")
    made = actions()
    assert set(made) == set(ENVIRONMENTS)
    assert dict(made[name].environment) == ENVIRONMENTS[name]
    assert len(made[name].environment) == len(ENVIRONMENTS[name])


def test_nothing_of_the_caller_gets_into_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: action.key for name, action in actions().items()}
    monkeypatch.setattr(os, "environ", {"GOFLAGS": "-race", "TZ": "Asia/Kathmandu"})
    mask = os.umask(0o077)
    try:
        assert {name: action.key for name, action in actions().items()} == before
    finally:
        os.umask(mask)


def test_every_action_starts_from_the_builder_image_alone() -> None:
    chain = samples.chain()
    for name, action in actions(chain).items():
        assert action.name == name
        assert action.root == chain.root
        assert action.architecture == "amd64"
        assert action.epoch == BLOB_TIME
        assert action.command[0].startswith(("/go/", "/bootstrap/bin/go", "/dist/dist"))


def test_every_action_has_a_key_of_its_own() -> None:
    keys = [action.key for action in actions().values()]
    assert len(set(keys)) == len(keys)


def test_only_the_second_builds_are_varied() -> None:
    for name, action in actions().items():
        # The host's standard library is a part of F2.
        second = name in {"std/amd64", "F2", "cross-by-F2/riscv64"}
        assert action.conditions == (VARIED if second else STANDARD)


def test_f2_differs_from_f1_in_conditions_and_compiler_only() -> None:
    made = actions()
    first, second = made["F1"], made["F2"]
    assert second.conditions != first.conditions
    assert dict(second.environment) == {**dict(first.environment), **READING, "GOMAXPROCS": "3"}

    def flags(action: Action, work: str) -> list[str]:
        return [part.replace(work, "") for part in action.command[1:]]

    assert flags(second, VARIED.work) == flags(first, STANDARD.work)
    assert first.command[0] == "/go/pkg/tool/linux_amd64/go_bootstrap"
    assert second.command[0] == "/go/bin/go"


def test_other_varied_conditions_are_those_of_every_second_build() -> None:
    around = Conditions("/x", "h", 1, 2, parallelism=2, order_seed=3)
    made = actions(replace(samples.chain(), varied=around))
    for name in ("std/amd64", "F2", "cross-by-F2/riscv64"):
        assert made[name].conditions == around
        assert dict(made[name].environment)["GOMAXPROCS"] == "2"
        assert "/x/out/" in made[name].command or name == "std/amd64"
    assert "'/x/out'" in dict(made["std/amd64"].environment)["GOCACHEPROG"]


def test_what_builds_what() -> None:
    chain = samples.chain()
    found = steps(chain)
    assert {name: step.needs for name, step in found.items()} == {
        "T1/dist": (),
        "T1/toolchain": ("T1/dist",),
        "T1/helpers": ("T1/toolchain",),
        "F1": ("T1/toolchain", "T1/helpers"),
        "std/amd64/list": ("F1",),
        "std/amd64": ("F1", "T1/helpers", "std/amd64/list"),
        "std/arm64/list": ("F1",),
        "std/arm64": ("F1", "T1/helpers", "std/arm64/list"),
        "F1/helpers": ("F1", "T1/helpers", "std/amd64"),
        "F2": ("F1", "T1/helpers", "std/amd64"),
        "cross/arm64": ("F1", "T1/helpers", "std/arm64"),
        "cross-by-F2/riscv64": ("F2",),
    }


@pytest.mark.parametrize(
    "name", ["F1", "std/amd64", "F2", "std/arm64", "cross/arm64", "cross-by-F2/riscv64"]
)
def test_a_toolchain_is_built_as_a_release_is(name: str) -> None:
    action = actions()[name]
    for flag in ("-trimpath", "-ldflags=-w", "-gcflags=cmd/...=-dwarf=false"):
        assert flag in action.command
    packages = {"fmt", "testing"} if name.startswith("std/") else set(PROGRAMS.packages)
    assert packages == {part for part in action.command[2:] if part[0] not in "-/3"}
    assert action.command[1] == "build"
    assert action.outputs == ("out",)


@pytest.mark.parametrize(("name", "architecture"), [("F2", "amd64"), ("cross/arm64", "arm64")])
def test_what_f1_builds_takes_the_standard_library_of_f1_and_nothing_else(
    name: str, architecture: str
) -> None:
    results = samples.chain_results()
    action = actions()[name]
    assert [mount.at for mount in action.mounts] == ["/go", "/helper", "/seed/0"]
    assert mounted(action, "/helper") == build_cache.helper(results)
    assert mounted(action, "/seed/0") == results[f"std/{architecture}"].tree.under("out")
    # It is compiled where and by what the rest is.
    standard = actions()[f"std/{architecture}"]
    assert mounted(standard) == mounted(action)
    assert standard.conditions == action.conditions


@pytest.mark.parametrize("name", ["F1", "cross-by-F2/riscv64"])
def test_these_compile_everything_themselves(name: str) -> None:
    action = actions()[name]
    assert [mount.at for mount in action.mounts] == ["/go"]
    assert "GOCACHEPROG" not in dict(action.environment)


def test_the_helpers_are_built_from_what_they_need_and_nothing_else() -> None:
    made = actions()
    own = ["sourcery/userland/cmd/buildcache", "sourcery/userland/cmd/compileonly"]
    for name in ("T1/helpers", "F1/helpers"):
        source = mounted(made[name], "/helpers/src/sourcery/userland")
        assert {entry.path for entry in source.files()} == {
            "cmd/buildcache/main.go",
            "cmd/compileonly/main.go",
            "internal/seed/seed.go",
        }
        assert list(made[name].command[-4:]) == ["cmd/preprofile", *own, "sourcery/observe"]
    first, again = made["T1/helpers"].command, made["F1/helpers"].command
    assert (first[0], again[0]) == ("/go/pkg/tool/linux_amd64/go_bootstrap", "/go/bin/go")
    assert first[1:] == again[1:]


def test_only_the_standard_library_of_a_listing_is_named() -> None:
    assert standard_library.standard_packages(samples.LISTED.decode()) == ("fmt", "testing")


def test_what_takes_long_beside_others() -> None:
    long = {name for name, step in steps(samples.chain()).items() if step.long}
    assert long == {"std/amd64", "std/arm64", "F2", "cross/arm64", "cross-by-F2/riscv64"}


# -- the compilers that are used -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["T1/helpers", "F1", "F2", "std/arm64", "cross/arm64"])
def test_no_published_program_is_used(name: str) -> None:
    # Else "built by itself" would be true of the published compiler.
    published = samples.tree(samples.RELEASE)
    made = {
        entry.digest for result in samples.chain_results().values() for entry in result.tree.files()
    }
    goroot = mounted(actions()[name])
    for entry in goroot.files():
        if entry.path.startswith(("bin/", "pkg/")):
            assert entry.digest in made
            if name in {"T1/helpers", "F1"}:
                assert entry.digest != getattr(published.get(entry.path), "digest", None)


def test_t1_is_what_dist_built() -> None:
    goroot = mounted(actions()["F1"])
    programs = {e.path for e in goroot.files() if e.path.startswith(("bin/", "pkg/"))}
    assert programs == {
        f"pkg/tool/linux_amd64/{name}"
        for name in ("asm", "cgo", "compile", "go_bootstrap", "link", "preprofile")
    }
    # What only cmd/dist generates is there; what it changed is not.
    assert goroot.get("src/internal/buildcfg/zbootstrap.go") is not None
    assert goroot.get(DIST_BUILD) == samples.tree(samples.RELEASE).get(DIST_BUILD)


def test_f2_and_cross_builds_use_f1_and_the_published_source() -> None:
    chain = samples.chain()
    made = actions(chain)
    goroot = mounted(made["F2"])
    assert mounted(made["cross/arm64"]) == goroot
    assert goroot.where(lambda e: not e.path.startswith(("bin/", "pkg/"))) == chain.source
    programs = {e.path for e in goroot.files() if e.path.startswith(("bin/", "pkg/"))}
    assert programs == {"bin/go", "bin/gofmt", *samples.TOOLS}


def test_the_second_cross_build_uses_f2() -> None:
    results = samples.chain_results()
    other = {**samples.BUILT, "compile": b"another"}
    results["F2"] = samples.result(samples.tree({f"out/{n}": d for n, d in other.items()}))
    chain = samples.chain()
    action = made_by(chain.cross_again("riscv64"), results)
    entry = mounted(action).get("pkg/tool/linux_amd64/compile")
    assert entry is not None
    assert entry.digest == digest.of_bytes(b"another").hex


@pytest.mark.parametrize(
    ("step", "missing", "name"),
    [
        ("F1", "T1/toolchain", "link"),
        ("F1", "T1/toolchain", "go_bootstrap"),
        ("F2", "F1", "vet"),
        ("cross-by-F2/riscv64", "F2", "gofmt"),
    ],
)
def test_a_program_that_was_not_built_is_named(step: str, missing: str, name: str) -> None:
    results = samples.chain_results()
    kept = results[missing].tree.where(lambda entry: not entry.path.endswith(f"/{name}"))
    results[missing] = samples.result(kept)
    with pytest.raises(ActionError, match=f"{name} was not built"):
        steps(samples.chain())[step].make(results)


def test_dist_is_compiled_in_haste_and_nothing_else() -> None:
    hasty = {n for n, a in actions().items() if any("-N" in part for part in a.command)}
    assert hasty == {"T1/dist"}


# -- the early stop --------------------------------------------------------------------------------


def test_the_early_stop_is_a_return_after_go_bootstrap() -> None:
    patched = stopping_early(BUILD_GO)
    assert patched is not None
    before, _, after = patched.partition("\treturn\n")
    assert before.endswith('\ttimelog("build", "go_bootstrap")\n')
    assert after.startswith('\ttimelog("build", "toolchain2")\n')
    assert before + after == BUILD_GO


@pytest.mark.parametrize(
    "source",
    [
        "",
        BUILD_GO.replace("toolchain2", "toolchain4"),
        BUILD_GO.replace("toolchain3", "toolchain2"),
        BUILD_GO.replace('\ttimelog("build", "toolchain2")', '\t\ttimelog("build", "toolchain2")'),
        BUILD_GO.replace('timelog("build", "toolchain2")', '// timelog("build", "toolchain2")'),
        BUILD_GO + BUILD_GO,
    ],
)
def test_the_early_stop_fits_in_one_place_or_not_at_all(source: str) -> None:
    assert stopping_early(source) is None


def test_where_it_does_not_fit_dist_runs_to_its_end() -> None:
    early, whole = samples.chain(), samples.chain(stops_early=False)
    results = samples.chain_results()
    for chain, outputs, go in (
        (early, ("go/pkg/tool", "go/src"), "pkg/tool/linux_amd64/go_bootstrap"),
        (whole, ("go/pkg/tool", "go/src", "go/bin"), "bin/go"),
    ):
        toolchain = made_by(steps(chain)["T1/toolchain"], results)
        assert toolchain.outputs == outputs
        first = made_by(steps(chain)["F1"], results)
        assert first.command[0] == f"/go/{go}"
        assert mounted(first).get(go) is not None
    assert whole.patches() == []


def test_the_patch_goes_into_a_private_copy_and_is_named() -> None:
    chain = samples.chain()
    toolchain = actions(chain)["T1/toolchain"]
    (mount,) = (mount for mount in toolchain.mounts if mount.at == "/work/go")
    assert mount.placement == "private"
    patched = mount.tree.get(DIST_BUILD)
    assert patched is not None
    (patch,) = chain.patches()
    assert (patch["file"], patch["blake3"]) == (DIST_BUILD, patched.digest)
    rest = mount.tree.where(lambda entry: entry.path != DIST_BUILD)
    assert rest == chain.source.where(lambda entry: entry.path != DIST_BUILD)


# -- small parts -----------------------------------------------------------------------------------


def test_the_source_is_the_release_without_its_programs() -> None:
    assert {entry.path for entry in samples.chain().source} == {
        path for path in samples.RELEASE if not path.startswith(("bin/", "pkg/tool/"))
    }


def test_programs_are_placed_by_architecture() -> None:
    placed = PROGRAMS.placed(samples.tree(samples.BUILT), "riscv64")
    assert {entry.path for entry in placed} == {
        "bin/go",
        "bin/gofmt",
        *(f"pkg/tool/linux_riscv64/{name}" for name in PROGRAMS.tools),
    }
    assert all(entry.executable for entry in placed)


def test_programs_are_executable_whatever_they_were() -> None:
    plain = Tree(manifest.file(n, digest.of_bytes(b""), 0) for n in samples.BUILT)
    assert all(entry.executable for entry in PROGRAMS.placed(plain, "amd64"))


def test_a_goroot_is_put_together_once_for_a_toolchain() -> None:
    chain = samples.chain()
    built = samples.tree(samples.BUILT)
    assert chain.goroot("F1", built) is chain.goroot("F2", built)
    other = samples.tree({**samples.BUILT, "vet": b"another"})
    assert chain.goroot("F2", other) != chain.goroot("F1", built)
