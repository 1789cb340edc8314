"""The image boots on all platforms and compiles there; where it does not boot, it says why.

Emulated by software, two machines at once: no figure here says how fast a real machine is. What the
whole session wrote is kept in `.cache/boot`, for `make picture`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from orchestrator.qemu import boot as booting
from orchestrator.qemu import platforms, proof
from orchestrator.qemu.command_line import Machine
from reproducibility import digest
from reproducibility.compare import Verdict
from tests.conftest import ROOT
from tests.fakes import FakeObserver
from tests.integration import building

if TYPE_CHECKING:
    from orchestrator.qemu.boot import Booted, Options
    from orchestrator.qemu.platforms import Disk
    from tests.integration.conftest import Built

pytestmark = [
    pytest.mark.needs_sandbox,
    pytest.mark.needs_network,
    pytest.mark.needs_tools(*sorted({platform.program for platform in platforms.PLATFORMS})),
    pytest.mark.slow,
]

# Exit status, document, folder of transcripts.
Proven: TypeAlias = tuple[int, dict[str, Any], Path]
KEPT = ROOT / ".cache" / "boot"
PC = platforms.BY_NAME["pc-bios"]
_FIRMWARE = ("pc-bios", "pc-uefi")
WHOLE = os.environ.get("SOURCERY_TEST_ALL_BUSES") == "1"
# Those on which the whole session is carried out: one, since what it compiles is the same with
# another firmware. One of each further architecture comes up below, and the other firmwares, from
# other buses, as does the archive.
PROVEN = tuple(one for one in platforms.PLATFORMS if WHOLE or one.name == "pc-uefi")
FURTHER = ("arm64-uboot", "riscv64-uboot")
# The machines that a stick is attached to by each bus. One firmware each is enough to see that the
# kernel finds the stick there: what boots by AHCI runs commands of one's own, and an SD card, which
# QEMU is slow with, is one that is not the stick. With those of the session every firmware comes
# up. `make test-boot` takes every bus that a firmware knows.
BUSES: dict[Disk, tuple[str, ...]] = (
    {
        disk: tuple(name for name in _FIRMWARE if disk in platforms.BY_NAME[name].disks)
        for disk in ("ahci", "nvme", "usb", "sd")
    }
    if WHOLE
    else {"nvme": ("arm64-uefi",), "usb": ("pc-uefi",)}
)
# The bus of the machine that runs commands of one's own: one that is not among those.
OWN: Disk = "virtio" if WHOLE else "ahci"
ARCHIVE = platforms.BY_NAME["initramfs"]
# Only to end what hangs.
_SECONDS = 1200
_MBR_FIRST_SECTOR = 446 + 8
_SECTOR = 512
# Of a FAT32 volume: its ID, and the copy of its boot sector (Microsoft's FAT specification, 3.3).
_VOLUME_ID, _BACKUP = 67, 6


@pytest.fixture(scope="session")
def image(full: Built) -> Path:
    assert full.ran.status == 0
    return full.out / "sourcery.img"


def orchestrate_boot(*arguments: str | Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "orchestrator", "boot", *map(str, arguments), "--json"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def boot(options: Options) -> Booted:
    """Boot in this process."""
    return booting.boot(options, FakeObserver(), threading.Event())


def machines(image: Path) -> list[int]:
    """Processes that have the image on their command line: QEMU."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if b"qemu-system" in line and os.fsencode(image) in line:
            found.append(int(folder.name))
    return found


# -- all is well ---------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def proven(image: Path, workshop: Path) -> Proven:
    """The whole session on each of `PROVEN`: exit status, document, folder of transcripts."""
    log = workshop / "boot"
    names = [] if WHOLE else [word for one in PROVEN for word in ("--platform", one.name)]
    process = orchestrate_boot(
        *("--out", image.parent, "--log", log, "--timeout", str(_SECONDS)), *names
    )
    told, said = process.communicate()
    assert told, said.decode()
    shutil.rmtree(KEPT, ignore_errors=True)
    shutil.copytree(log, KEPT, ignore=shutil.ignore_patterns("initramfs"))
    return process.returncode, json.loads(told), log


def test_the_image_boots_and_compiles_on_every_platform(proven: Proven, full: Built) -> None:
    status, document, _ = proven
    assert status == 0, json.dumps(document["checks"], indent=1)
    assert document["verdict"] == "PASS"
    assert document["image"]["blake3"] == full.ran.image
    usual = {platform.name: platform for platform in PROVEN}
    assert {found["name"] for found in document["platforms"]} == usual.keys()
    for found in document["platforms"]:
        assert found["memory"] == usual[found["name"]].memory
    checked = {(check["subject"], check["code"]) for check in document["checks"]}
    for name, platform in usual.items():
        expected = {str(check.kind["holds"]) for check in proof.judge(platform, [])}
        expected |= {"boot-prompt.reached", "boot-poweroff.off"}
        expected |= {"boot-archive.same"} if platform.from_archive else set()
        assert {found for subject, found in checked if subject == name} == expected
    assert ("image", "boot-image.same") in checked


def test_what_came_over_the_serial_lines_is_kept(
    proven: Proven,
) -> None:
    _, document, log = proven
    assert json.loads((log / booting.DOCUMENT).read_bytes()) == document
    for found in document["platforms"]:
        transcript = Path(found["transcript"]).read_text()
        assert "Sourcery: a system that is mostly source." in transcript
        assert f"linux/{found['architecture']}, kernel " in transcript
        assert "reboot: Power down" in transcript
        header, *events = Path(found["recording"]).read_text().splitlines()
        assert json.loads(header)["version"] == 2
        assert len(events) > 100
        # A command that the device had to compile said so; once it is there, nothing compiles it.
        by_command: dict[str, list[list[str]]] = {}
        for ran in found["commands"]:
            by_command.setdefault(ran["command"], []).append(ran["compiled"])
        assert by_command["ls /"] == [["ls"]]
        assert by_command["uname -m"][1] == []


def test_the_other_architectures_boot_and_compile(image: Path, place: Path) -> None:
    names = [word for name in FURTHER for word in ("--platform", name)]
    process = orchestrate_boot(
        "--image", image, "--log", place / "log", "--timeout", str(_SECONDS), *names,
        "--run", "ls /", "--run", "go version",
    )  # fmt: skip
    told, said = process.communicate()
    assert process.returncode == 0, said.decode()
    document = json.loads(told)
    assert {check["verdict"] for check in document["checks"]} == {"PASS"}
    assert [found["name"] for found in document["platforms"]] == [*FURTHER]
    for found in document["platforms"]:
        architecture = found["architecture"]
        listed, version = found["commands"]
        assert listed["compiled"] == ["ls"]
        assert f"linux_{architecture}" in listed["output"].split()
        assert version["output"].endswith(f" linux/{architecture}\n")
        assert f"linux/{architecture}, kernel " in Path(found["transcript"]).read_text()


def test_the_archive_boots_by_itself(image: Path, place: Path, full: Built) -> None:
    """No stick, and what it started from is left to be taken elsewhere."""
    log = place / "log"
    process = orchestrate_boot(
        *("--out", image.parent, "--log", log, "--timeout", str(_SECONDS)),
        *("--platform", ARCHIVE.name, "--run", "ls /"),
    )
    told, said = process.communicate()
    assert process.returncode == 0, said.decode()
    document = json.loads(told)
    assert {check["verdict"] for check in document["checks"]} == {"PASS"}
    assert ("initramfs", "boot-archive.same") in {
        (check["subject"], check["code"]) for check in document["checks"]
    }
    (found,) = document["platforms"]
    assert found["name"] == ARCHIVE.name
    assert found["disk"] is None
    part = found["archive"]
    assert Path(part["archive"]).parent == Path(part["kernel"]).parent == log / "initramfs"
    assert digest.of_file(Path(part["archive"])).hex == part["blake3"]
    assert part["size"] < full.ran.document["cpio"]["size"] / 2
    transcript = (log / "initramfs.log").read_text()
    assert "Run /linux_amd64/bin/init as init process" in transcript
    assert "rootfstype=ramfs" in transcript
    # Compiled from the seed, as on a stick: without it that takes minutes.
    by_command = {ran["command"]: ran for ran in found["commands"]}
    assert by_command["ls /"]["compiled"] == ["ls"]
    assert "boot" not in by_command["ls /"]["output"].split()


@pytest.mark.parametrize("disk", BUSES)
def test_the_stick_may_be_on_any_bus(image: Path, place: Path, disk: Disk) -> None:
    """On the machines that `BUSES` names.

    The shell was compiled from what is on the stick, and looks into it again; what else is compiled
    there does not depend on the bus.
    """
    names = BUSES[disk]

    def one(name: str) -> Booted:
        platform = platforms.BY_NAME[name]
        machine = Machine(disk=disk)
        log = place / name
        return boot(
            booting.Options(image, (platform,), log, machine, ("echo /boot/*",), (), _SECONDS)
        )

    with ThreadPoolExecutor(2) as pool:
        for booted in pool.map(one, names):
            assert booted.verdict is Verdict.PASS, booted.document["checks"]
            (outcome,) = booted.outcomes
            (ran,) = outcome.commands
            assert ran.status == 0
            boot_files = f"/boot/{outcome.platform.architecture}"
            assert {boot_files, "/boot/licences"} <= set(ran.output.split())
            # Seconds until each of its stages: a boot that takes long should tell where.
            times = {stage: round(seconds) for stage, seconds in outcome.times.items()}
            building.remarks.append(f"{disk} on {outcome.platform.name}: {times}")


def test_commands_of_one_s_own_and_their_status(image: Path, place: Path) -> None:
    process = orchestrate_boot(
        "--image", image, "--log", place / "log", "--platform", "pc-bios", "--memory", "512 MiB",
        "--disk", OWN,
        "--run", "echo $((6 * 7)) | cat", "--run", "/linux_amd64/bin/none", "--run", "false",
    )  # fmt: skip
    told, said = process.communicate()
    assert process.returncode == 127, said.decode()
    (found,) = json.loads(told)["platforms"]
    assert [ran["status"] for ran in found["commands"]] == [0, 127, 1]
    assert found["commands"][0]["output"] == "42\n"
    assert found["commands"][0]["compiled"] == ["cat"]


# -- faults --------------------------------------------------------------------------------------


def failed(booted: Booted) -> str:
    """The transcript of a boot that ended in the emergency shell."""
    (outcome,) = booted.outcomes
    assert outcome.error is not None
    assert outcome.error.status == 3
    assert "emergency shell" in outcome.error.summary
    assert booted.verdict is Verdict.FAIL
    return outcome.transcript.log.read_text()


def test_a_stick_that_is_missing(image: Path, place: Path) -> None:
    """The volume's ID is another one than the boot files name: as good as no stick."""
    other = place / "other.img"
    shutil.copyfile(image, other)
    with other.open("r+b") as stream:
        stream.seek(_MBR_FIRST_SECTOR)
        start = int.from_bytes(stream.read(4), "little") * _SECTOR
        stream.seek(start + _VOLUME_ID)
        wanted = stream.read(4)[::-1].hex().upper()
        for sector in (0, _BACKUP):
            stream.seek(start + sector * _SECTOR + _VOLUME_ID)
            stream.write(bytes.fromhex("78563412"))
    asked = booting.Options(other, (PC,), place / "log", Machine(disk="sd"), seconds=_SECONDS)
    said = failed(boot(asked))
    assert f"no disk has the FAT32 volume {wanted[:4]}-{wanted[4:]}" in said
    seen = [line for line in said.splitlines() if line.lstrip().startswith("mmcblk0p1")]
    assert seen, said
    assert "1234-5678" in seen[-1]


def test_two_sticks_of_one_name(image: Path, place: Path) -> None:
    asked = booting.Options(image, (PC,), place / "log", others=(image,), seconds=_SECONDS)
    said = failed(boot(asked))
    assert "2 disks have the FAT32 volume " in said
    (line,) = [line for line in said.splitlines() if "2 disks have" in line]
    assert "vda1" in line
    assert "vdb1" in line


def test_a_signal_leaves_no_machine(image: Path, place: Path) -> None:
    before = digest.of_file(image)
    process = orchestrate_boot("--image", image, "--log", place / "log", "--platform", "pc-bios")
    said = b""
    assert process.stderr is not None
    while b"started     pc-bios (boot)" not in said:
        line = process.stderr.readline()
        assert line, said.decode()
        said += line
    while not (running := machines(image)):
        assert process.poll() is None, said.decode()
        time.sleep(0.05)
    assert len(running) == 1
    process.send_signal(signal.SIGTERM)
    told, _ = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert json.loads(told)["error"]["kind"] == "Stopped"
    assert machines(image) == []
    assert digest.of_file(image) == before
