"""Every file of an image is of a part of the build; what lies beside them is found and named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from orchestrator import device
from orchestrator.architecture import FACTS, bios
from orchestrator.artifacts import model, names, recipe
from orchestrator.boot import files as boot_files
from orchestrator.boot import menus as boot_menus
from orchestrator.golang import environment
from orchestrator.lock.model import DebianPackage, LocalPath
from orchestrator.spec import model as specs
from orchestrator.verify import placed, starting
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
    from orchestrator.verify.starting import Texts
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


def kernel_of(architecture: str) -> Input:
    return next(one for one in world.published().inputs if one.name == f"kernel.{architecture}")


def of_lock(*more: Input) -> Lock:
    lock = world.lock_of(world.tree_of(world.contents()))
    return lock.model_copy(update={"inputs": (*lock.inputs, *more)})


def menus(
    spec: str = WITH_BOOT,
    kernels: tuple[Input, ...] = (KERNEL,),
    **releases: str,
) -> dict[str, bytes]:
    """The menus of that spec and lock. `releases`: of the kernels, in the order of the menus."""
    releases = releases or {"amd64": "6.12.117+deb13-amd64"}
    own = recipe.identity(specs.parse(spec).digest, of_lock(*kernels).digest)
    volume = recipe.volume_id(own)
    named = {name: one.name for name, one in FACTS.items()}
    offered = [
        boot_files.choice(
            name, release,
            boot_menus.whole_line(
                f"console=tty0 console={FACTS[named[name]].console}", named[name], volume, "shell"
            ),
            compressed=True, device_trees=False,
        )
        for name, release in releases.items()
    ]  # fmt: skip
    texts = boot_files.texts(
        offered, timeout=1, personal=bios(releases), uefi=[named[name] for name in releases]
    )
    return {path: text.encode() for path, text in texts.items()}


def accounted(
    more: dict[str, bytes],
    *,
    spec: str = world.SPEC,
    own: tuple[LocalPath, ...] = (),
    steps: dict[str, str] | None = None,
    kernels: tuple[Input, ...] = (KERNEL,),
    **root: Any,  # noqa: ANN401 - fields of the root
) -> tuple[Placed, list[tuple[str, str, str]]]:
    """What is found of an image that holds `more`. `steps`: outputs of further steps, by name."""
    tree = world.tree_of({**world.contents(), **more})
    lock = of_lock(*own, *kernels)
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
    assert (found.texts.differing, found.texts.unknown, findings) == ((), (), [])
    assert {*found.texts.menus} == {*MENUS}
    changed = {**whole, path: b"" if change is None else whole[path] + change}
    found, findings = accounted(changed, spec=WITH_BOOT, steps=steps)
    assert findings == [("tree-differs", IMAGE, f"not what spec and lock give: {path}")]


def own_kernel(architecture: str) -> LocalPath:
    return pinned({"boot/vmlinuz-6.1": b"k"}, "/kernel").model_copy(
        update={"name": f"kernel.{architecture}", "destination": None}
    )


def test_menus_for_a_kernel_of_one_s_own_are_only_stated() -> None:
    """Its release stands nowhere but in the menus themselves; what does not name it is compared."""
    kernels = (own_kernel("amd64"),)
    steps = {"boot files/amd64": boot_outputs()}
    whole = {**BOOT, **SHARED, **menus(kernels=kernels, amd64="6.1")}
    found, findings = accounted(whole, spec=WITH_BOOT, steps=steps, kernels=kernels)
    assert findings == []
    assert found.texts is not None
    assert found.texts.menus == ("loader/entries.srel", "loader/loader.conf")
    assert found.texts.unknown == ("loader/entries/amd64.conf", "syslinux/syslinux.cfg")
    evil = {**whole, "loader/loader.conf": b"evil"}
    ((code, _, _),) = accounted(evil, spec=WITH_BOOT, steps=steps, kernels=kernels)[1]
    assert code == "tree-differs"
    evil = {**whole, "loader/entries/zz.conf": b"evil"}
    assert not accounted(evil, spec=WITH_BOOT, steps=steps, kernels=kernels)[0].accounted


@pytest.mark.parametrize(
    "package",
    ["linux-image-6.9-amd64", "linux-image-6.9-amd64-unsigned", "linux-image-unsigned-6.9-amd64"],
)
def test_a_package_s_name_tells_the_release(package: str) -> None:
    kernels = (KERNEL.model_copy(update={"package": package}),)
    steps = {"boot files/amd64": boot_outputs()}
    whole = {**BOOT, **SHARED, **menus(kernels=kernels, amd64="6.9-amd64")}
    assert accounted(whole, spec=WITH_BOOT, steps=steps, kernels=kernels)[1] == []


BOARDS = ("riscv64", "arm64")
FOR_BOARDS = world.SPEC.replace('["amd64"]', '["riscv64", "arm64"]') + "".join(
    f"\n[boot.kernel.{name}]\npackage = 'linux-image-{name}'\n" for name in BOARDS
)


def texts_of_boards(local: str = "") -> Texts:
    """What is found of an image for boards whose menus a build wrote in the order of the spec."""
    kernels = tuple(own_kernel(one) if one == local else kernel_of(one) for one in BOARDS)
    told = {name: name if name == local else release(kernel_of(name)) for name in BOARDS}
    content = {
        **menus(FOR_BOARDS, kernels, **told),
        **{f"linux_{name}/environment": environment.device_file(name) for name in BOARDS},
        **{f"boot/{name}/initramfs.zst": b"initramfs" for name in BOARDS},
    }
    spec = specs.parse(FOR_BOARDS)
    return starting.check(world.tree_of(content), spec, of_lock(*kernels), spec.image.architectures)


def release(kernel: Input) -> str:
    assert isinstance(kernel, DebianPackage)
    return kernel.package.removeprefix("linux-image-")


def test_menus_are_in_the_order_of_the_spec() -> None:
    found = texts_of_boards()
    assert (found.differing, found.unknown) == ((), ())
    assert "extlinux/extlinux.conf" in found.menus
    assert "syslinux/ldlinux.c32" not in found.places


def test_a_kernel_of_one_s_own_leaves_the_others_compared() -> None:
    found = texts_of_boards("arm64")
    assert found.differing == ()
    assert found.unknown == ("extlinux/extlinux.conf", "loader/entries/arm64.conf")
    assert "loader/entries/riscv64.conf" in found.menus


def test_an_architecture_that_the_spec_does_not_name_has_no_menus() -> None:
    """It is a finding, and no mistake of the program's."""
    steps = {"boot files/amd64": boot_outputs()}
    whole = {**BOOT, **SHARED, **menus()}
    commands = {"amd64": 1, "arm64": 0}
    _, findings = accounted(whole, spec=WITH_BOOT, steps=steps, commands=commands)
    assert ("link-broken", RESULT, "it is for arm64, which the spec does not name") in findings
    assert not any(code == "tree-differs" for code, _, _ in findings)


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
