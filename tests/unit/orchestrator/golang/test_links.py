"""The chain of releases from GCC's Go: what builds which, and with what around it."""

from __future__ import annotations

import pytest

from orchestrator.golang import links
from orchestrator.golang.toolchain import DIST_BUILD
from reproducibility import digest
from reproducibility.errors import InputError
from reproducibility.manifest import Tree
from tests.unit.orchestrator import samples
from tests.unit.orchestrator.samples import made_by, result, tree

DIST = b'os.WriteFile("go.mod", []byte("module bootstrap"), 0666)'
OLD = {name: data for name, data in samples.RELEASE.items() if "preprofile" not in name}
OLD[DIST_BUILD] = DIST
NEW = {**samples.RELEASE, "src/cmd/preprofile/main.go": b"package main\n"}
COMPILER = {"bootstrap/bin/go": b"gcc's go", "usr/bin/x86_64-linux-gnu-gccgo-14": b"gccgo"}
FIRST, LAST = "root/gcc/1.21.13", "root/gcc/1.27.3"


def chain() -> tuple[links.Link, ...]:
    return links.links(
        [("1.21.13", tree(OLD)), ("1.27.3", tree(NEW))],
        host="amd64",
        compiler=tree(COMPILER),
        uname=tree({"bin/uname": b"uname"}),
        dist_build=lambda _: tree({DIST_BUILD: b"patched"}),
        read=lambda wanted: DIST if wanted == digest.of_bytes(DIST) else b"",
        put=digest.of_bytes,
    )


def results() -> dict[str, object]:
    made = samples.chain_results()
    built = {f"out/{name}": data for name, data in samples.BUILT.items()}
    old = {name: data for name, data in built.items() if "preprofile" not in name}
    found: dict[str, object] = {f"{LAST}/preprofile": result(tree({"out/preprofile": b"p"}))}
    for name, what in ((FIRST, old), (LAST, built)):
        found[f"{name}/dist"] = made["T1/dist"]
        found[f"{name}/toolchain"] = made["T1/toolchain"]
        found[f"{name}/first"] = found[name] = result(tree(what))
    return found


def actions() -> dict[str, object]:
    return {
        step.name: made_by(step, results())  # type: ignore[arg-type]
        for link in chain()
        for step in link.steps
    }


def test_each_step_waits_for_the_one_before() -> None:
    first, last = (link.steps for link in chain())
    assert [step.name for step in first] == [
        *(f"{FIRST}/dist", f"{FIRST}/toolchain", f"{FIRST}/first"),
        FIRST,
    ]
    assert [step.name for step in last] == [
        *(f"{LAST}/dist", f"{LAST}/toolchain", f"{LAST}/preprofile", f"{LAST}/first"),
        LAST,
    ]
    assert [step.needs for step in first] == [
        (),
        (f"{FIRST}/dist",),
        (f"{FIRST}/dist", f"{FIRST}/toolchain"),
        (f"{FIRST}/dist", f"{FIRST}/toolchain", f"{FIRST}/first"),
    ]
    assert last[0].needs == (FIRST,)
    assert {step.stage for step in last} == {"root gcc 1.27.3"}


def test_gcc_builds_the_first_and_is_gone_then() -> None:
    made = actions()
    for name in ("dist", "toolchain"):
        root = made[f"{FIRST}/{name}"].root  # type: ignore[attr-defined]
        assert {entry.path for entry in root} == {*COMPILER, "bin/uname"}
    root = made[f"{LAST}/toolchain"].root  # type: ignore[attr-defined]
    assert not any(entry.path.startswith("usr/") for entry in root)
    source = {path for path in OLD if not path.startswith(("bin/", "pkg/tool/"))}
    programs = {path for path in OLD if path.startswith(("bin/", "pkg/tool/"))}
    under = root.under("bootstrap")
    assert {entry.path for entry in under} == source | programs
    # Its programs are what the link before made, and no published one.
    compiler = under.get("pkg/tool/linux_amd64/compile")
    assert compiler == tree({"pkg/tool/linux_amd64/compile": b"compile"}).get(compiler.path)


def test_published_programs_are_in_no_sandbox() -> None:
    published = {
        entry.digest for entry in tree(dict.fromkeys(("go", "compile", "link"), b"published"))
    }
    release = {
        path: b"published" if path.startswith(("bin/", "pkg/tool/")) else data
        for path, data in NEW.items()
    }
    (link,) = links.links(
        [("1.27.3", tree(release))],
        host="amd64",
        compiler=tree(COMPILER),
        uname=Tree(),
        dist_build=lambda _: None,
        read=lambda _: b"",
        put=digest.of_bytes,
    )
    for step in link.steps:
        action = made_by(step, results())  # type: ignore[arg-type]
        trees = [action.root, *(mount.tree for mount in action.mounts)]
        assert not any(entry.digest in published for one in trees for entry in one), step.name


def test_the_environment_is_that_of_every_toolchain_but_for_gcc() -> None:
    made = actions()

    def variables(name: str) -> dict[str, str]:
        return dict(made[name].environment)  # type: ignore[attr-defined]

    usual = samples.chain()
    first = dict(made_by(usual.steps()[3], samples.chain_results()).environment)
    assert variables(LAST) == first
    assert variables(FIRST) == {**first, "GOGC": "200"}
    # It would be baked into the go command as its default.
    assert "CGO_ENABLED" not in variables(f"{FIRST}/toolchain")
    assert variables(f"{FIRST}/toolchain")["GOROOT_BOOTSTRAP"] == "/bootstrap"


def test_gcc_is_given_no_flags_of_the_other_compiler() -> None:
    made = actions()
    first = made[f"{FIRST}/dist"].command  # type: ignore[attr-defined]
    assert first == ("/bootstrap/bin/go", "build", "-o", "/work/dist", "./cmd/dist")
    assert any("-gcflags" in word for word in made[f"{LAST}/dist"].command)  # type: ignore[attr-defined]


def test_toolchains_are_built_in_the_module_that_dist_builds_them_in() -> None:
    made = actions()
    old, new = made[FIRST], made[LAST]
    assert (old.directory, new.directory) == ("/module", "/go/src")  # type: ignore[attr-defined]
    (module,) = (mount.tree for mount in old.mounts if mount.at == "/module")  # type: ignore[attr-defined]
    assert module == tree({"go.mod": links.GO_MOD})
    assert not any(mount.at == "/module" for mount in new.mounts)  # type: ignore[attr-defined]


def test_a_version_s_own_programs_are_built() -> None:
    made = actions()
    first, last = (made[name].command for name in (FIRST, LAST))  # type: ignore[attr-defined]
    assert "cmd/preprofile" not in first
    assert "cmd/preprofile" in last
    assert {"cmd/go", "cmd/compile"} <= {*first} & {*last}
    (goroot,) = (mount.tree for mount in made[LAST].mounts if mount.at == "/go")  # type: ignore[attr-defined]
    assert goroot.get("pkg/tool/linux_amd64/preprofile") is not None


def test_a_toolchain_compiles_itself_before_it_is_compared() -> None:
    other = {f"out/{name}": data for name, data in samples.BUILT.items()}
    other["out/compile"] = b"by another compiler"
    given = {**results(), f"{LAST}/first": result(tree(other))}
    action = made_by(chain()[1].steps[-1], given)  # type: ignore[arg-type]
    (goroot,) = (mount.tree for mount in action.mounts if mount.at == "/go")
    compiler = goroot.get("pkg/tool/linux_amd64/compile")
    assert compiler is not None
    assert compiler.digest == digest.of_bytes(other["out/compile"]).hex
    assert action.command[0] == "/go/bin/go"


def test_a_chain_has_a_link() -> None:
    with pytest.raises(InputError, match="no link"):
        links.links(
            [],
            host="amd64",
            compiler=Tree(),
            uname=Tree(),
            dist_build=lambda _: None,
            read=lambda _: b"",
            put=digest.of_bytes,
        )
