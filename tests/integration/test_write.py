"""`orchestrate write` on a disk: a loop device, which the kernel treats as one."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.cli.main import run
from orchestrator.cli.views import write as writing
from orchestrator.stick import writer
from orchestrator.stick.disks import Kernel
from orchestrator.stick.medium import held
from reproducibility import digest
from reproducibility.errors import InfrastructureError
from tests import results
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.integration.building import Orchestrate
    from tests.integration.conftest import Built

pytestmark = [
    pytest.mark.needs_sandbox,
    pytest.mark.needs_network,
    pytest.mark.needs_tools("losetup", "mke2fs"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root makes loop devices"),
    pytest.mark.slow,
]

_MORE = 3 << 20
_FIRST_SECTOR = 446 + 8
_BLKRRPART = 0x125F  # linux/fs.h


@contextmanager
def loop(backing: Path, *options: str) -> Iterator[str]:
    command = ["losetup", "--find", "--show", *options, str(backing)]
    name = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    try:
        yield name
    finally:
        subprocess.run(["losetup", "--detach", name], check=True)  # noqa: S607 - found on PATH


@pytest.fixture
def backing(small_own: Built, place: Path) -> Path:
    """A file a little larger than the image, full of something."""
    path = place / "disk"
    size = (small_own.out / "sourcery.img").stat().st_size + _MORE
    with path.open("wb") as stream:
        stream.truncate(size - _MORE)
        stream.seek(size - _MORE)
        stream.write(b"r" * _MORE)
    return path


def test_a_whole_image(small: Orchestrate, small_own: Built, backing: Path) -> None:
    image = small_own.ran.document["image"]
    with loop(backing) as device:
        ran = write(small, small_own, device, status=0)
        assert ran["verdict"] == "PASS"
        assert ran["kind"] == "disk"
        assert ran["read_past_cache"] is True
        assert ran["image"]["blake3"] == image["blake3"]
        # Again: now it says what is on it.
        again = write(small, small_own, device, status=0)
        (part,) = again["lost"]["parts"]
        assert (again["lost"]["table"], part["kind"], part["label"]) == ("MBR", "FAT32", "SOURCERY")
    with backing.open("r+b") as stream:
        stream.seek(image["size"])
        assert stream.read() == bytes(_MORE), "nothing of the old disk is left at its end"
        stream.truncate(image["size"])
    assert digest.of_file(backing).hex == image["blake3"]


@pytest.mark.needs_tools("sgdisk", "wipefs", "blkid")
def test_nothing_of_the_old_disk_is_found(
    small: Orchestrate, small_own: Built, backing: Path
) -> None:
    """A GPT, whose copy lies at the end, and a file system behind the image; odd in size."""
    image = small_own.ran.document["image"]
    start = image["size"] + (12 << 20)
    with backing.open("r+b") as stream:
        stream.truncate(image["size"] + (64 << 20) + 512)

    def told(*command: str | Path) -> str:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def probed(device: str, at: int) -> str:
        return told("blkid", "-p", "--offset", str(at), device)

    with loop(backing) as device:
        parts = [f"--new=1:2048:{start // 512 - 1}", f"--new=2:{start // 512}:+40M"]
        assert "completed successfully" in told("sgdisk", *parts, "--change-name=2:data", device)
        told("mke2fs", "-q", "-F", "-L", "old", "-E", f"offset={start}", device, "40M")
        assert 'TYPE="ext2"' in probed(device, start)
        ran = write(small, small_own, device, status=0)
        lost = ran["lost"]
        assert lost["table"] == "GPT"
        assert [part["label"] for part in lost["parts"]] == ["", "old"]
        assert [one["kind"] for one in lost["signatures"]].count("gpt") == 2
        assert ran["remains"] == []
        marks = json.loads(told("wipefs", "--json", device))["signatures"]
        assert [(one["offset"], one["type"]) for one in marks] == [("0x1fe", "dos")]
        assert 'PTTYPE="dos"' in probed(device, 0)
        assert "TYPE=" not in probed(device, start)
        table = told("sgdisk", "--print", "--verify", device)
        assert "Found invalid GPT and valid MBR" in table, table
        assert "No problems found" in table, table
        # By its place: what a kernel shows as /dev/...1.
        with Path(device).open("rb") as disk:
            first = int.from_bytes(disk.read(512)[_FIRST_SECTOR:][:4], "little")
        assert 'LABEL="SOURCERY"' in probed(device, first * 512)


def write(
    small: Orchestrate, built: Built, device: str, *, status: int, within: Sequence[str] = ()
) -> dict[str, Any]:
    done = subprocess.run(
        [*within, *line(built, device, "--json")],
        capture_output=True,
        text=True,
        check=False,
        cwd=small.project,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == status, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def line(built: Built, device: str, *more: str) -> list[str]:
    program = [sys.executable, "-m", "orchestrator", "write", device]
    return [*program, "--out", str(built.out), "--yes", "--force", *more]


def test_a_mounted_disk_is_refused(small: Orchestrate, small_own: Built, place: Path) -> None:
    """Even with --force; the kernel's own account says where it is mounted."""
    backing = place / "mounted"
    with backing.open("wb") as stream:
        stream.truncate(64 << 20)
    folder = place / "at"
    folder.mkdir()
    with loop(backing) as device:
        subprocess.run(["mke2fs", "-q", device], check=True)  # noqa: S607 - found on PATH
        subprocess.run(["mount", device, str(folder)], check=True)  # noqa: S607 - found on PATH
        try:
            ran = write(small, small_own, device, status=2)
        finally:
            subprocess.run(["umount", str(folder)], check=True)  # noqa: S607 - found on PATH
        assert "in use" in ran["error"]["summary"]
        assert str(folder) in ran["error"]["subject"]


@pytest.mark.needs_tools("unshare")
def test_the_disk_of_the_system_is_refused(
    small: Orchestrate, small_own: Built, place: Path
) -> None:
    """A real disk where the system has one, whatever machine this is: in mounts of our own."""
    backing = place / "system"
    with backing.open("wb") as stream:
        stream.truncate(64 << 20)
    with loop(backing) as device:
        subprocess.run(["mke2fs", "-q", device], check=True)  # noqa: S607 - found on PATH
        before = digest.of_file(backing)
        script = 'mount "$1" /boot && shift && exec "$@"'
        command = ["unshare", "--mount", "sh", "-c", script, "sh", device]
        ran = write(small, small_own, device, status=2, within=command)
    assert ran["error"]["summary"].startswith("the running system")
    assert f"{Path(device).name} is mounted on /boot" in ran["error"]["subject"]
    after = digest.of_file(backing)
    assert after != before, "it was mounted"
    with backing.open("rb") as stream:
        assert stream.read(1024) == bytes(1024), "no boot sector was written"


def test_a_disk_that_was_changed_while_a_person_was_asked(place: Path) -> None:
    """The same name, number and size; only the kernel's sequence number tells."""
    first, second = place / "first", place / "second"
    for path in (first, second):
        path.write_bytes(b"o" * (2 << 20))
    with loop(first) as device:
        target = Kernel().examine(Path(device))
        assert target.sequence, "the kernel numbers what is plugged in, from Linux 5.15 on"
    subprocess.run(["losetup", device, str(second)], check=True)  # noqa: S607 - found on PATH
    try:
        now = Kernel().examine(Path(device))
        assert (now.number, now.size) == (target.number, target.size)
        with pytest.raises(InfrastructureError, match="not what it was"), held(target):
            pass
        with pytest.raises(InfrastructureError, match="not what it was"):
            writer.lost(target)
        with held(now):
            pass
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)  # noqa: S607 - found on PATH
    assert second.read_bytes() == b"o" * (2 << 20)


def test_nobody_gets_the_disk_before_it_is_read_back(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does the kernel read its new partition table, which has others mount what is there."""
    image, backing = place / "sourcery.img", place / "disk"
    image.write_bytes(b"i" * (1 << 20))
    backing.write_bytes(b"o" * (2 << 20))
    made = {"path": image.name, "size": 1 << 20, "blake3": digest.of_file(image).hex}
    result = results.document()
    result["image"] = {**result["image"], **made}
    (place / "result.json").write_text(json.dumps(result))
    done: list[str] = []
    ioctl = fcntl.ioctl

    def recorded(descriptor: int, what: int, *more: Any) -> Any:  # noqa: ANN401 - as ioctl
        if what == _BLKRRPART:
            done.append("table")
        return ioctl(descriptor, what, *more)

    def lines(title: str) -> Callable[[int, int], None]:
        def tell(_done: int, _total: int) -> None:
            done.append(title)
            with pytest.raises(OSError, match="busy"):
                os.close(os.open(device, os.O_RDWR | os.O_EXCL))

        return tell

    monkeypatch.setattr(fcntl, "ioctl", recorded)
    monkeypatch.setattr(writing, "_lines", lines)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    with loop(backing) as device:
        assert run(["write", device, "--out", str(place), "--yes", "--force"]) == 0
        os.close(os.open(device, os.O_RDWR | os.O_EXCL))
    # Each is told of several times: of the image, and of the zeros behind it.
    assert [what for what, _ in itertools.groupby(done)] == ["writing", "reading back", "table"]
    assert done.count("table") == 1


def test_a_disk_that_is_too_small(small: Orchestrate, small_own: Built, place: Path) -> None:
    backing = place / "small"
    with backing.open("wb") as stream:
        stream.truncate(1 << 20)
    with loop(backing) as device:
        ran = write(small, small_own, device, status=2)
    assert "does not fit" in ran["error"]["summary"]


def test_a_write_that_is_stopped_leaves_a_blank_beginning(small_own: Built, backing: Path) -> None:
    with (
        loop(backing) as device,
        subprocess.Popen(
            line(small_own, device),
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
        ) as process,
    ):
        assert process.stderr is not None
        said = ""
        while "writing: " not in said:
            part = process.stderr.readline()
            assert part, said
            said += part
        process.send_signal(signal.SIGINT)
        said += process.stderr.read()
        status = process.wait()
        # On a fast disk it may have come to the reading; then the image is whole.
        whole = "written whole" in said or status == 0
    with backing.open("rb") as stream:
        first = stream.read(512)
    if whole:
        assert first.endswith(b"\x55\xaa")
    else:
        assert status == 130
        assert "write it again to use it" in said
        assert first == bytes(512)
