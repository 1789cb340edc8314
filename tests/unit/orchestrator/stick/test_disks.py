"""What is found out of a disk, on a made-up /sys and /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from orchestrator.stick.disks import Kernel, Target, Use
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """A kernel that tells what a test has written down."""

    folder: Path

    @property
    def kernel(self) -> Kernel:
        return Kernel(self.folder / "proc", self.folder / "sys")

    def device(self, at: str, number: str, **facts: str) -> Path:
        """A device below /sys/devices; `facts`: files by their names, `__` for a slash."""
        place = self.folder / "sys/devices" / at
        for name, text in {"dev": number, "size": "4096", **facts}.items():
            path = place / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
        (place / "holders").mkdir()
        for folder, name in (("dev/block", number), ("class/block", place.name)):
            link = self.folder / "sys" / folder / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(place)
        return place

    def hold(self, held: Path, holder: Path) -> None:
        (held / "holders" / holder.name).symlink_to(holder)

    def mounted(self, *lines: str) -> None:
        self.put("proc/self/mountinfo", *lines)

    def put(self, name: str, *lines: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines))

    def look(self, number: str, *needed: Path) -> Target:
        return self.kernel.disk(self.folder / "node", number, needed)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.mounted("22 1 259:2 / / rw - ext4 /dev/nvme0n1p2 rw")
    return made


def stick(machine: Machine) -> Path:
    at = "pci0/usb1/1-1/host6/block/sdb"
    place = machine.device(
        at,
        "8:16",
        size="62521344",
        removable="1",
        ro="0",
        device__vendor="SanDisk ",
        device__model="Ultra Fit       ",
        queue__logical_block_size="512",
    )
    machine.device(f"{at}/sdb1", "8:17", partition="1")
    return place


def test_a_stick_that_nobody_uses(machine: Machine) -> None:
    stick(machine)
    found = machine.look("8:16")
    assert (found.kind, found.model, found.size) == ("disk", "SanDisk Ultra Fit", 62521344 * 512)
    assert found.removable
    assert not found.read_only
    assert not found.system
    assert found.uses == ()


def test_a_partition_names_its_disk(machine: Machine) -> None:
    stick(machine)
    found = machine.look("8:17")
    assert (found.kind, found.disk) == ("partition", "/dev/sdb")


def test_a_mounted_partition(machine: Machine) -> None:
    stick(machine)
    machine.mounted(r"30 1 8:17 / /media/my\040stick rw,relatime shared:1 - vfat /dev/sdb1 rw")
    found = machine.look("8:16")
    assert found.uses == (Use("sdb1", "mounted", "/media/my stick"),)
    assert str(found.uses[0]) == "sdb1 is mounted on /media/my stick"
    assert not found.system


def test_a_file_system_with_a_number_of_its_own(machine: Machine) -> None:
    stick(machine)
    machine.mounted("30 1 0:42 /@home /data rw - btrfs /dev/sdb1 rw")
    assert machine.look("8:16").uses == (Use("sdb1", "mounted", "/data"),)


def test_swap_space(machine: Machine) -> None:
    stick(machine)
    machine.put("proc/swaps", "Filename Type Size Used Priority", "/dev/sdb1 partition 1 0 -2")
    assert machine.look("8:16").uses == (Use("sdb1", "swap", ""),)


def test_an_encrypted_volume_and_what_is_mounted_from_it(machine: Machine) -> None:
    place = stick(machine)
    crypt = machine.device("virtual/block/dm-3", "253:3", dm__name="secret")
    machine.hold(place / "sdb1", crypt)
    machine.mounted("30 1 253:3 / / rw - ext4 /dev/mapper/secret rw")
    found = machine.look("8:16")
    assert Use("sdb1", "held", "secret (dm-3)") in found.uses
    assert Use("dm-3", "mounted", "/") in found.uses
    assert found.system


@pytest.mark.parametrize("where", ["/", "/boot", "/boot/efi", "/usr"])
def test_the_system_s_own_disk(machine: Machine, where: str) -> None:
    stick(machine)
    machine.mounted(f"30 1 8:17 / {where} rw - vfat /dev/sdb1 rw")
    assert machine.look("8:16").system


def test_the_disk_that_holds_the_image(machine: Machine, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.touch()
    number = image.stat().st_dev
    machine.device("virtual/block/vdz", f"{os.major(number)}:{os.minor(number)}", removable="1")
    assert machine.look(f"{os.major(number)}:{os.minor(number)}", image).system


def test_a_loop_device_that_shows_the_image(machine: Machine, tmp_path: Path) -> None:
    image, other = tmp_path / "image", tmp_path / "other"
    for path in (image, other):
        path.touch()
    machine.device("virtual/block/loop9", "7:9", loop__backing_file=str(image))
    assert machine.look("7:9", image).system
    assert not machine.look("7:9", other).system


@pytest.mark.parametrize(
    ("at", "facts", "removable"),
    [
        ("pci0/ata1/block/sda", {"removable": "0"}, False),
        ("pci0/ata1/block/sr0", {"removable": "1"}, True),
        ("pci0/usb2/2-1/block/sdc", {"removable": "0"}, True),
        ("mmc0/block/mmcblk0", {"removable": "0", "device__type": "SD"}, True),
        ("mmc1/block/mmcblk1", {"removable": "0", "device__type": "MMC"}, False),
    ],
)
def test_what_is_made_to_be_taken_out(
    machine: Machine, at: str, facts: dict[str, str], removable: bool
) -> None:
    machine.device(at, "9:9", **facts)
    assert machine.look("9:9").removable is removable


def test_write_protection_and_block_size(machine: Machine) -> None:
    machine.device("a/block/sdq", "8:0", ro="1", queue__logical_block_size="4096")
    found = machine.look("8:0")
    assert found.read_only
    assert found.block == 4096


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(1000))
    found = Kernel().examine(tmp_path / "file")
    assert (found.kind, found.size) == ("file", 1000)


def test_by_what_a_disk_is_known_again(machine: Machine) -> None:
    machine.device("a/block/sdq", "8:0", diskseq="41")
    found = machine.look("8:0")
    assert (found.number, found.sequence) == ("8:0", "41")
    machine.device("a/block/sdr", "8:16")
    assert machine.look("8:16").sequence == "", "before Linux 5.15"


def test_a_file_among_the_device_nodes(tmp_path: Path) -> None:
    for folder in ("dev", "home"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "sdz").touch()
    (tmp_path / "link").symlink_to("dev/sdz")
    kernel = Kernel(dev=tmp_path / "dev")
    assert kernel.examine(tmp_path / "dev/sdz").in_dev
    assert kernel.examine(tmp_path / "link").in_dev
    assert not kernel.examine(tmp_path / "home/sdz").in_dev


@pytest.mark.parametrize("name", ["nothing", "folder"])
def test_what_is_no_disk(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=name):
        Kernel().examine(tmp_path / name)
