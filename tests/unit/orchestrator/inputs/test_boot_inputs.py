"""What boot files are made from: pinned, fetched, bundled, in a world without network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.inputs import bundle, ensure, resolve
from orchestrator.lock import differences
from orchestrator.lock import file as locks
from orchestrator.lock.file import DebianPackage, LocalPath
from orchestrator.spec import model as specs
from orchestrator.store import Store
from reproducibility import digest as digests
from reproducibility.errors import InfrastructureError, InputError
from tests.unit.orchestrator.inputs.world import SPEC, deb, done

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from containers.host.process import Completed
    from orchestrator.lock.file import Lock
    from orchestrator.spec.model import Spec
    from tests.unit.orchestrator.inputs.world import World

REAL = "linux-image-6.12.1+deb13-amd64"
RISCV = "pool/main/l/linux/linux-image-6.12-riscv64_6.12.0-1_riscv64.deb"
KERNEL = deb({"boot/vmlinuz-6.12": b"kernel"})
RISCV_KERNEL = deb({"boot/vmlinux-6.12": b"riscv"})
BOOT = f"""
[boot.kernel.amd64]
package = "linux-image-amd64"
[boot.kernel.riscv64]
pool = "{RISCV}"
sha256 = "{digests.sha256_of_bytes(RISCV_KERNEL).hex}"
[boot.loader.riscv64]
path = "loader"
"""


class Index:
    """The stanzas of a mirror, by package."""

    def __init__(self, world: World) -> None:
        self.stanzas: dict[str, dict[str, str]] = {}
        self._world = world
        self.answer: Completed | None = None
        self.add("linux-image-amd64", deb({}), Depends=f"{REAL} (= 6.12.1-1)")
        self.add(REAL, KERNEL, Depends="kmod, linux-base (>= 4.3~), initramfs-tools | dracut")
        for name in ("systemd-boot-efi", "syslinux", "syslinux-common"):
            self.add(name, deb({f"usr/lib/{name}": name.encode()}), Depends="libc6")
        world.packages[RISCV] = RISCV_KERNEL
        world.failing = self

    def add(self, name: str, content: bytes, **fields: str) -> None:
        where = f"pool/main/{name}.deb"
        self._world.packages[where] = content
        self.stanzas[name] = {
            "Package": name,
            "Version": "6.12.1-1",
            "Filename": where,
            "SHA256": digests.sha256_of_bytes(content).hex,
            **fields,
        }

    def __call__(self, command: Sequence[str]) -> Completed | None:
        if command[0].endswith("apt-get"):
            return self.answer
        name = command[-1].partition(":")[0]
        if command[0].endswith("apt-cache") and name in self.stanzas:
            return done("".join(f"{key}: {value}\n" for key, value in self.stanzas[name].items()))
        return None


@pytest.fixture(name="index")
def _index(world: World) -> Index:
    return Index(world)


@pytest.fixture(name="booting")
def _booting(spec: Spec) -> Spec:
    (spec.folder / "loader").mkdir()
    (spec.folder / "loader" / "one.txt").write_text("a loader")
    return specs.parse(SPEC + BOOT, spec.folder / "sourcery.toml")


@pytest.fixture(name="pinned")
def _pinned(world: World, index: Index, booting: Spec, store: Store) -> Lock:
    assert index.answer is None
    lock = resolve.lock(booting, None, store, clients=world.clients())
    world.asked.clear()
    return lock


def package(lock: Lock, name: str) -> DebianPackage:
    found = lock.find(name)
    assert isinstance(found, DebianPackage)
    return found


def test_a_metapackage_is_followed_to_the_package_that_is_pinned(pinned: Lock) -> None:
    kernel = package(pinned, "kernel.amd64")
    assert (kernel.package, kernel.version, kernel.host) == (REAL, "6.12.1-1", None)
    assert kernel.where == f"pool/main/{REAL}.deb"
    assert kernel.blake3 == digests.of_bytes(KERNEL)
    boot = [key for key in pinned.wanted if key.startswith("boot.")]
    assert [key.removeprefix("boot.") for key in sorted(boot)] == [
        found.name for found in pinned.inputs if f"boot.{found.name}" in boot
    ]


def test_a_place_in_the_pool_is_pinned_without_an_index(
    world: World, index: Index, booting: Spec, store: Store, pinned: Lock
) -> None:
    kernel = package(pinned, "kernel.riscv64")
    assert (kernel.package, kernel.version) == ("linux-image-6.12-riscv64", "6.12.0-1")
    assert (kernel.where, kernel.sha256) == (RISCV, digests.sha256_of_bytes(RISCV_KERNEL))
    index.answer = done("no index today", 1)
    again = resolve.lock(booting, pinned, store, update={"kernel.riscv64"}, clients=world.clients())
    assert again == pinned
    assert world.count("download-file") == 1
    assert world.count("update") == 0


def test_a_pool_file_with_another_hash_is_refused(
    world: World, index: Index, booting: Spec, store: Store
) -> None:
    assert index.stanzas
    world.packages[RISCV] = KERNEL
    with pytest.raises(InputError, match=r"kernel.riscv64 .*is not what was promised"):
        resolve.lock(booting, None, store, clients=world.clients())


def test_locking_again_asks_nobody(world: World, booting: Spec, store: Store, pinned: Lock) -> None:
    again = resolve.lock(booting, pinned, store, clients=world.clients())
    assert locks.dump(again) == locks.dump(pinned)
    assert world.asked == []


def test_one_of_them_is_looked_up_anew(
    world: World, index: Index, booting: Spec, store: Store, pinned: Lock
) -> None:
    newer = deb({"boot/vmlinuz-6.13": b"newer"})
    index.add("linux-image-amd64", deb({}), Depends="linux-image-6.13-amd64 (= 6.13-1)")
    index.add("linux-image-6.13-amd64", newer, Version="6.13-1")
    after = resolve.lock(booting, pinned, store, update={"kernel.amd64"}, clients=world.clients())
    (line,) = differences.moved(pinned, after)
    assert line.startswith("kernel.amd64 6.12.1-1: version 6.12.1-1 -> 6.13-1, blake3")
    with pytest.raises(InputError, match=r"no input 'kernel.arm64'") as refused:
        resolve.lock(booting, pinned, store, update={"kernel.arm64"}, clients=world.clients())
    assert "kernel.amd64, kernel.riscv64" in refused.value.remedy


def test_another_suite_moves_what_comes_from_a_suite(
    world: World, booting: Spec, store: Store, pinned: Lock
) -> None:
    text = SPEC + BOOT + '[debian]\nsuite = "forky"\n'
    other = specs.parse(text, booting.folder / "sourcery.toml")
    after = resolve.lock(other, pinned, store, clients=world.clients())
    assert package(after, "kernel.amd64").suite == "forky"
    assert package(after, "kernel.riscv64") == package(pinned, "kernel.riscv64")


@pytest.mark.parametrize(
    "depends",
    [
        "linux-image-a-amd64, linux-image-b-amd64",
        "linux-image-amd64",  # itself, again and again
    ],
)
def test_a_metapackage_that_stands_for_no_one_package_is_refused(
    world: World, index: Index, booting: Spec, store: Store, depends: str
) -> None:
    index.add("linux-image-amd64", deb({}), Depends=depends)
    with pytest.raises(InputError, match="does not stand for one package") as refused:
        resolve.lock(booting, None, store, clients=world.clients())
    assert "kernel.amd64" in refused.value.subject
    assert "name the package itself" in refused.value.remedy


def test_an_index_that_is_not_the_signed_one_is_said_with_the_way_out(
    world: World, index: Index, booting: Spec, store: Store, pinned: Lock
) -> None:
    index.answer = done("E: Failed to fetch x  File has unexpected size (1 != 2).", 100)
    with pytest.raises(InfrastructureError, match="index for amd64 is not the one") as refused:
        resolve.lock(booting, pinned, store, update={"kernel.amd64"}, clients=world.clients())
    assert "`pool` and `sha256`" in refused.value.remedy


def test_a_build_gets_them_unpacked(
    world: World, booting: Spec, store: Store, pinned: Lock
) -> None:
    found = ensure(pinned, store, folder=booting.folder, clients=world.clients()).boot
    assert {name: [entry.path for entry in tree] for name, tree in found.items()} == {
        "kernel.amd64": ["boot/vmlinuz-6.12"],
        "kernel.riscv64": ["boot/vmlinux-6.12"],
        "syslinux": ["usr/lib/syslinux"],
        "syslinux-common": ["usr/lib/syslinux-common"],
        "systemd-boot.amd64": ["usr/lib/systemd-boot-efi"],
        "systemd-boot.riscv64": ["one.txt"],
    }
    assert world.asked == []


def test_a_local_folder_that_changed_is_not_what_was_pinned(
    world: World, booting: Spec, store: Store, pinned: Lock
) -> None:
    assert isinstance(pinned.find("systemd-boot.riscv64"), LocalPath)
    (booting.folder / "loader" / "one.txt").write_text("another loader")
    with pytest.raises(InputError, match=r"systemd-boot.riscv64 is not what the lock") as refused:
        ensure(pinned, store, folder=booting.folder, clients=world.clients())
    assert refused.value.remedy.endswith("`orchestrate lock --update systemd-boot.riscv64`")
    after = resolve.lock(booting, pinned, store, clients=world.clients())
    assert [line.partition(":")[0] for line in differences.moved(pinned, after)] == [
        "systemd-boot.riscv64 local",
    ]


def test_a_bundle_carries_them(
    world: World, booting: Spec, store: Store, pinned: Lock, tmp_path: Path
) -> None:
    wanted = ensure(pinned, store, folder=booting.folder, artifacts=True, clients=world.clients())
    path = tmp_path / "inputs"
    bundle.write(pinned, store, path, "amd64")
    empty = Store(tmp_path / "other")
    bundle.read(path, pinned, empty, "amd64")
    offline = world.clients(offline=True)
    assert ensure(pinned, empty, folder=booting.folder, clients=offline) == wanted
    empty.close()


def test_offline_says_which_one_is_missing(
    world: World, booting: Spec, pinned: Lock, tmp_path: Path
) -> None:
    empty = Store(tmp_path / "other")
    with pytest.raises(InfrastructureError, match="--offline forbids to fetch it"):
        ensure(pinned, empty, folder=booting.folder, clients=world.clients(offline=True))
    empty.close()


def test_a_package_that_the_mirror_dropped_says_what_to_do(
    world: World, booting: Spec, pinned: Lock, tmp_path: Path
) -> None:
    del world.packages[RISCV]
    empty = Store(tmp_path / "other")
    with pytest.raises(InputError, match=r"no longer has kernel.riscv64 6.12.0-1") as refused:
        ensure(pinned, empty, folder=booting.folder, clients=world.clients())
    assert "`orchestrate lock --update kernel.riscv64`" in refused.value.remedy
    assert "correct that first" in refused.value.remedy
    empty.close()


def test_a_lock_without_one_of_them_contradicts_itself(pinned: Lock) -> None:
    fewer = [found for found in pinned.inputs if found.name != "syslinux"]
    with pytest.raises(InputError, match="the input syslinux is missing"):
        locks.make(pinned.wanted, pinned.toolchain, fewer)
    unwanted = {key: text for key, text in pinned.wanted.items() if key != "boot.kernel.amd64"}
    with pytest.raises(InputError, match=r"kernel.amd64 belongs to no part of the spec"):
        locks.make(unwanted, pinned.toolchain, pinned.inputs)


def test_a_lock_for_another_kernel_is_refused(booting: Spec, pinned: Lock) -> None:
    pinned.check_fits(booting)
    text = (SPEC + BOOT).replace("linux-image-amd64", "linux-image-cloud-amd64")
    with pytest.raises(InputError, match=r"boot.kernel.amd64: the spec says linux-image-cloud"):
        pinned.check_fits(specs.parse(text))


def test_an_index_is_read_once_for_all_that_is_pinned_together(
    world: World, index: Index, booting: Spec, store: Store
) -> None:
    """So all of it is of one state of the suite. The next lock is of another one."""
    resolve.lock(booting, None, store, clients=world.clients())
    read = world.count("update")
    packages = [name for name, one in index.stanzas.items() if one["Filename"] in world.packages]
    assert 1 <= read <= len(booting.image.architectures) < len(packages)
    resolve.lock(booting, None, store, clients=world.clients())
    assert world.count("update") == 2 * read
