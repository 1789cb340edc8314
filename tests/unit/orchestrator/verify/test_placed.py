"""Every file of an image is of a part of the build; what lies beside them is found and named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from orchestrator import device
from orchestrator.artifacts import model, names, recipe
from orchestrator.boot import files as boot_files
from orchestrator.boot import menus as boot_menus
from orchestrator.lock.model import LocalPath
from orchestrator.spec import model as specs
from orchestrator.verify import placed
from orchestrator.verify.model import Findings
from reproducibility import digest
from reproducibility.manifest import Tree, file
from tests import results
from tests.unit.orchestrator.verify import world

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.lock.file import Lock
    from orchestrator.lock.model import Input
    from orchestrator.verify.placed import Placed
    from tests.unit.orchestrator.verify.conftest import Court

IMAGE, RESULT = "sourcery.img", names.RESULT
BOOT = {
    "boot/amd64/vmlinuz": b"kernel",
    "boot/amd64/initramfs.zst": b"initramfs",
    "EFI/BOOT/BOOTX64.EFI": b"loader",
}
SHARED = {
    "boot/licences/linux": b"licence",
    "syslinux/ldlinux.sys": b"loader",
    "syslinux/ldlinux.c32": b"module",
}
WITH_BOOT = f"{world.SPEC}\n[boot.kernel.amd64]\npackage = 'linux-image-amd64'\n"
KERNEL = next(one for one in world.published().inputs if one.name == "kernel.amd64")
MENUS = ("loader/loader.conf", "loader/entries.srel", "loader/entries/amd64.conf",
         "syslinux/syslinux.cfg")  # fmt: skip


def of_lock(*own: LocalPath, kernel: Input = KERNEL) -> Lock:
    lock = world.lock_of(world.tree_of(world.contents()))
    return lock.model_copy(update={"inputs": (*lock.inputs, *own, kernel)})


def menus(*, kernel: Input = KERNEL, release: str = "6.12.117+deb13-amd64") -> dict[str, bytes]:
    """The menus of that spec and lock."""
    own = recipe.identity(specs.parse(WITH_BOOT).digest, of_lock(kernel=kernel).digest)
    line = boot_menus.whole_line(
        "console=tty0 console=ttyS0,115200", "amd64", recipe.volume_id(own), "shell"
    )
    offered = boot_files.choice("amd64", release, line, compressed=True, device_trees=False)
    texts = boot_files.texts([offered], timeout=1, personal="amd64", uefi=["amd64"])
    assert {*texts} == {*MENUS}
    return {path: text.encode() for path, text in texts.items()}


def accounted(
    more: dict[str, bytes],
    *,
    spec: str = world.SPEC,
    own: tuple[LocalPath, ...] = (),
    steps: dict[str, str] | None = None,
    kernel: Input = KERNEL,
    **root: Any,  # noqa: ANN401 - fields of the root
) -> tuple[Placed, list[tuple[str, str, str]]]:
    """What is found of an image that holds `more`. `steps`: outputs of further steps, by name."""
    tree = world.tree_of({**world.contents(), **more})
    lock = of_lock(*own, kernel=kernel)
    programs = sorted(world.programs())
    known: dict[str, Any] = {
        "prebuilt": {"amd64": len(programs)}, "prebuilt_programs": {"amd64": programs},
        "commands": {"amd64": 1}, "left_out_by_build_constraints": {"amd64": []},
    }  # fmt: skip
    for one in own:
        spec += f"\n[[file]]\nsource = '{one.where}'\ndestination = '{one.destination}'\n"
    document = results.document(
        root={**known, **root},
        steps=[results.step(name, outputs=made) for name, made in (steps or {}).items()],
    )
    findings = Findings()
    found = placed.check(
        tree, model.BuildResult.model_validate(document), specs.parse(spec), lock, findings
    )
    return found, [(one.code, one.file, one.reason) for one in findings]


def boot_outputs() -> str:
    return str(world.tree_of(BOOT).digest)


def test_a_build_s_files_are_all_accounted_for() -> None:
    found, findings = accounted({})
    assert findings == []
    assert (found.accounted, found.commands) == (True, {"amd64": 1})


@pytest.mark.parametrize(
    "path",
    [
        "evil.sh",
        "src/evil/main.go",
        "bin/sh",
        "linux_amd64/evil",
        "linux_amd64/bin/deeper/evil",
        "linux_riscv64/bin/go",
        "linux_riscv64/seed/index",
        "go/pkg/tool/linux_riscv64/compile",
        "go/pkg/tool/linux_amd64/evil",
        "go/bin/go",
        "go/bin/deeper/evil",
        "boot/amd64/vmlinuz",
        "EFI/BOOT/BOOTX64.EFI",
        "loader/loader.conf",
    ],
)
def test_a_file_of_no_part_is_named(path: str) -> None:
    """The boot files too: the spec wants none."""
    found, findings = accounted({path: b"evil"})
    assert not found.accounted
    (told,) = [one for one in findings if one[0] == "tree-differs"]
    assert told[1] == IMAGE
    assert path in told[2]


@pytest.mark.parametrize(
    "line",
    [
        b"#!/linux_amd64/bin/installcommand #!/src/evil\n",
        device.stub("amd64", f"src/{world.MODULE}/cmds/core/rm"),
        device.stub("arm64", f"src/{world.MODULE}/cmds/core/ls"),
        b"#!/bin/sh\n",
    ],
)
def test_a_stub_is_of_a_package_of_its_name(line: bytes) -> None:
    rm = {f"src/{world.MODULE}/cmds/core/rm/rm.go": b"package main\n"}
    found, findings = accounted({**rm, "linux_amd64/bin/ls": line})
    assert not found.accounted
    reasons = {code: reason for code, _, reason in findings}
    assert reasons["tree-differs"] == (
        "1 files are neither programs nor stubs of commands: linux_amd64/bin/ls"
    )
    assert reasons["verdict-contradicts"] == "root.commands of amd64 is 1, and the image has 0"
    # One whose package has a major version's folder is named for the folder before it.
    place = f"src/{world.MODULE}/cmds/more/v2"
    more = {f"{place}/m.go": b"package main\n", "linux_amd64/bin/more": device.stub("amd64", place)}
    assert accounted(more, commands={"amd64": 2})[1] == []


def test_programs_are_those_that_a_build_makes() -> None:
    fewer = [path for path in sorted(world.programs()) if not path.endswith("/init")]
    found, findings = accounted({}, prebuilt_programs={"amd64": fewer})
    assert found.accounted
    reason = "root.prebuilt_programs of amd64 are not those that a build puts there"
    assert findings == [("verdict-contradicts", RESULT, reason)]


def test_architectures_are_the_spec_s_and_the_lock_s() -> None:
    """An architecture that no lock names would be compared with no record."""
    _, findings = accounted({}, commands={"amd64": 1, "riscv64": 0})
    told = {reason for code, _, reason in findings if code == "link-broken"}
    wanted = {f"it is for riscv64, which the {name} does not name" for name in ("spec", "lock")}
    assert told == wanted
    others = {reason for code, _, reason in findings if code == "verdict-contradicts"}
    assert "root.prebuilt and root.commands are of other architectures" in others


def pinned(content: dict[str, bytes], destination: str, *, single: bool = False) -> LocalPath:
    tree = world.tree_of(content)
    return LocalPath(
        name=destination, where="a/notes.txt" if single else "a/notes", size=tree.size,
        blake3=tree.digest, tree=tree.digest, destination=destination, single=single,
    )  # fmt: skip


def test_a_person_s_own_files_are_those_that_the_lock_pins() -> None:
    folder = pinned({"one": b"1", "deep/two": b"2"}, "/notes")
    single = pinned({"notes.txt": b"3"}, "/elsewhere/read.me", single=True)
    honest = {"notes/one": b"1", "notes/deep/two": b"2", "elsewhere/read.me": b"3"}
    found, findings = accounted(honest, own=(folder, single))
    assert findings == []
    assert found.accounted
    assert found.own == ("notes", "elsewhere/read.me")
    for change in ({"notes/one": b"evil"}, {"notes/three": b""}, {"elsewhere/read.me": b"evil"}):
        found, findings = accounted({**honest, **change}, own=(folder, single))
        (told,) = findings
        assert told[:2] == ("tree-differs", IMAGE)
        (path,) = change
        assert told[2].startswith(path.partition("/three")[0].partition("/one")[0])
        assert len(found.own) == 1
    # What is gone is found as well.
    del honest["elsewhere/read.me"]
    (told,) = accounted(honest, own=(folder, single))[1]
    assert told[2].startswith("elsewhere/read.me holds")


def test_own_files_are_those_of_the_spec() -> None:
    """A lock that says more than the spec makes no place for a file."""
    tree = world.tree_of({**world.contents(), "more/one": b"1"})
    lock = world.lock_of(tree)
    lock = lock.model_copy(update={"inputs": (*lock.inputs, pinned({"one": b"1"}, "/more"))})
    findings = Findings()
    result = model.BuildResult.model_validate(results.document())
    placed.check(tree, result, specs.parse(world.SPEC), lock, findings)
    assert any("no part of such a build: more/one" in one.reason for one in findings)


def test_boot_files_are_the_outputs_of_their_step() -> None:
    steps = {"boot files/amd64": boot_outputs()}
    whole = {**BOOT, **SHARED, **menus()}
    found, findings = accounted(whole, spec=WITH_BOOT, steps=steps)
    assert findings == []
    assert (found.accounted, found.boot) == (True, ("amd64",))
    for path in BOOT:
        found, findings = accounted({**whole, path: b"evil"}, spec=WITH_BOOT, steps=steps)
        (told,) = findings
        assert told[:2] == ("link-broken", RESULT)
        assert told[2].startswith("the boot files of amd64 are blake3:")
        assert found.boot == ()
    # And so it is where the result has no such step.
    assert [one[0] for one in accounted(whole, spec=WITH_BOOT)[1]] == ["link-broken"]
    # Those of another architecture have no step, and are of no part.
    other = {**whole, "boot/arm64/vmlinuz": b"evil", "EFI/BOOT/BOOTAA64.EFI": b"evil"}
    (told,) = accounted(other, spec=WITH_BOOT, steps=steps)[1]
    assert told[2].startswith("2 files are of no part of such a build: ")


@pytest.mark.parametrize(
    "path",
    [
        "loader/entries/zz.conf",
        "loader/random-seed",
        "loader/keys/auto/db.auth",
        "syslinux/evil.c32",
        "syslinux/menu/evil.cfg",
        "extlinux/extlinux.conf",
    ],
)
def test_a_loader_has_no_further_files(path: str) -> None:
    """They would start another kernel, or the same one with another first program."""
    steps = {"boot files/amd64": boot_outputs()}
    whole = {**BOOT, **SHARED, **menus(), path: b"evil"}
    found, findings = accounted(whole, spec=WITH_BOOT, steps=steps)
    assert not found.accounted
    assert findings == [("tree-differs", IMAGE, f"1 files are of no part of such a build: {path}")]


@pytest.mark.parametrize("path", [*MENUS, "linux_amd64/environment"])
@pytest.mark.parametrize("change", [b"\noptions init=/evil\n", None])
def test_what_a_device_starts_is_what_spec_and_lock_give(path: str, change: bytes | None) -> None:
    steps = {"boot files/amd64": boot_outputs()}
    whole = {**world.contents(), **BOOT, **SHARED, **menus()}
    found, findings = accounted(whole, spec=WITH_BOOT, steps=steps)
    assert found.texts is not None
    assert (found.texts.differing, found.texts.unknown, findings) == ((), "", [])
    changed = {**whole, path: b"" if change is None else whole[path] + change}
    found, findings = accounted(changed, spec=WITH_BOOT, steps=steps)
    assert findings == [("tree-differs", IMAGE, f"not what spec and lock give: {path}")]


def test_menus_for_a_kernel_of_one_s_own_are_only_stated() -> None:
    """Its release stands nowhere but in the menus themselves."""
    kernel = pinned({"boot/vmlinuz-6.1": b"k"}, "/kernel").model_copy(
        update={"name": "kernel.amd64", "destination": None}
    )
    steps = {"boot files/amd64": boot_outputs()}
    whole = {**BOOT, **SHARED, **menus(kernel=kernel, release="6.1")}
    found, findings = accounted(whole, spec=WITH_BOOT, steps=steps, kernel=kernel)
    assert findings == []
    assert found.texts is not None
    assert "amd64 is no package" in found.texts.unknown
    evil = {**whole, "loader/entries/zz.conf": b"evil"}
    assert not accounted(evil, spec=WITH_BOOT, steps=steps, kernel=kernel)[0].accounted


def test_own_files_in_a_tree_of_one_have_their_own_name() -> None:
    tree = Tree([file("notes.txt", digest.of_bytes(b"3"), 1)])
    assert pinned({"notes.txt": b"3"}, "/x", single=True).tree == tree.digest


@pytest.mark.once
def test_a_hidden_architecture(court: Court, folder: Path) -> None:
    """A planted compiler for an architecture that the result is silent about, all of it signed."""
    hidden = {
        "linux_riscv64/bin/go": b"planted",
        "go/pkg/tool/linux_riscv64/compile": b"planted",
    }
    forged = world.made(court.scratch / "hidden", hidden)
    out = forged.write(folder, court.alice)
    assert court.judge(out).refused_for() == {("tree-differs", IMAGE), ("sound", "")}


@pytest.mark.once
def test_a_check_of_what_was_not_built(court: Court, folder: Path) -> None:
    """A policy that wants the release of riscv64 is not met by a word about it."""
    forged = court.honest.copy()
    forged.result["checks"].append(world.check("release.same", "riscv64"))
    out = forged.write(folder, court.alice)
    found = court.judge(out).refused_for()
    assert {("verdict-contradicts", RESULT), ("sound", "")} == found


@pytest.mark.once
def test_a_build_that_was_made_again_has_checks_of_its_steps(court: Court, folder: Path) -> None:
    build = court.honest.copy()
    build.result["checks"].append(world.check("rebuild.same", "F1"))
    assert court.judge(build.write(folder / "one", court.alice)).judgement.held
    build.result["checks"].append(world.check("rebuild.same", "F7"))
    assert build.audit is not None
    build.audit["audited"]["result"] = results.NOTHING
    found = court.judge(build.write(folder / "two", court.alice)).refused_for()
    assert found == {("verdict-contradicts", RESULT), ("sound", "")}
