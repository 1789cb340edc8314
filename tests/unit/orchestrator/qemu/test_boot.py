"""What of booting an image is pure: QEMU's command line, what a screen shows, what is typed."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.architecture import Architecture
from orchestrator.cli.commands import boot as command
from orchestrator.cli.views import boot as booting
from orchestrator.qemu import (
    command_line,
    platforms,
    proof,
    screen,
    script,
)
from orchestrator.qemu.archive import Part
from orchestrator.qemu.command_line import Machine
from orchestrator.qemu.guest import Ran
from orchestrator.qemu.transcript import Transcript
from reproducibility import digest
from reproducibility.compare import Verdict
from reproducibility.errors import InputError

PC, ARM, RISCV = (platforms.BY_NAME[name] for name in ("pc-bios", "arm64-uefi", "riscv64-uboot"))
IMAGE = Path("/a folder/sourcery.img")


def options(line: list[str], name: str) -> list[str]:
    return [value for option, value in itertools.pairwise(line) if option == name]


# -- the machine ---------------------------------------------------------------------------------


@pytest.mark.parametrize("platform", platforms.PLATFORMS, ids=lambda platform: platform.name)
def test_a_machine_has_no_network_and_leaves_the_image_alone(platform: platforms.Platform) -> None:
    for disk in platform.disks:
        line = command_line.command(platform, Machine(disk=disk), "/bin/qemu", [IMAGE])
        assert line[0] == "/bin/qemu"
        assert options(line, "-nic") == ["none"]
        assert options(line, "-display") == ["none"]
        assert options(line, "-m") == ["1024M"]
        assert options(line, "-accel") == ["tcg"]
        (drive,) = options(line, "-drive")
        assert {"snapshot=on", "format=raw", f"file={IMAGE}"} <= set(drive.split(","))
        for firmware in platform.firmware:
            assert options(line, firmware.option) == [firmware.path]
    assert platform.architecture in get_args(Architecture)


ARCHIVES = [one for one in platforms.BY_NAME.values() if one.from_archive]
NONE = digest.of_bytes(b"")
PART = Part("amd64", Path("/k"), Path("/a.zst"), 300 << 20, (700 << 20) + 1, NONE, NONE)


@pytest.mark.parametrize("platform", ARCHIVES, ids=lambda platform: platform.name)
def test_a_machine_that_starts_the_archive_has_no_disk(platform: platforms.Platform) -> None:
    line = command_line.command(platform, Machine(), "/bin/qemu", [IMAGE], PART)
    assert options(line, "-kernel") == ["/k"]
    assert options(line, "-initrd") == ["/a.zst"]
    (words,) = options(line, "-append")
    assert f"rdinit=/linux_{platform.architecture}/bin/init" in words.split()
    assert "rootfstype=ramfs" in words.split(), "a tmpfs takes no more than half of the memory"
    assert options(line, "-nic") == ["none"]
    assert options(line, "-drive") == options(line, "-device") == []
    assert options(line, "-m") == [f"{platform.memory >> 20}M"]
    with pytest.raises(InputError, match="has no stick"):
        command_line.command(platform, Machine(disk="usb"), "q", [], PART)


def test_memory_that_cannot_hold_the_archive_is_refused() -> None:
    platform = platforms.BY_NAME["initramfs"]
    with pytest.raises(InputError, match="does not fit into 1000 MiB of memory") as refused:
        command_line.command(platform, Machine(memory=1000 << 20), "q", [], PART)
    assert "1001 MiB" in refused.value.summary
    assert "--memory" in refused.value.remedy
    line = command_line.command(platform, Machine(memory=1001 << 20), "q", [], PART)
    assert options(line, "-m") == ["1001M"]


def test_commas_in_a_path_are_not_taken_for_options() -> None:
    (drive,) = options(command_line.command(PC, Machine(), "q", [Path("/a,b/c.img")]), "-drive")
    assert drive.endswith(",file=/a,,b/c.img")


def test_a_second_stick_comes_after_the_first_one() -> None:
    for disk in ("virtio", "usb", "nvme"):
        line = command_line.command(PC, Machine(disk=disk), "q", [IMAGE, Path("/other.img")])
        assert [drive.partition("file=")[2] for drive in options(line, "-drive")] == [
            str(IMAGE),
            "/other.img",
        ]
        indexes = [re.search(r"bootindex=(\d)", one) for one in options(line, "-device")]
        assert [match[1] for match in indexes if match] == ["1", "2"]


def test_the_processor_of_the_machine_itself_with_kvm() -> None:
    assert options(command_line.command(ARM, Machine(), "q", [IMAGE]), "-cpu") == ["cortex-a57"]
    kvm = command_line.command(ARM, Machine(accelerator="kvm"), "q", [IMAGE])
    assert options(kvm, "-cpu") == ["host"]


@pytest.mark.parametrize(
    ("version", "sound"),
    [
        ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)", False),
        ("QEMU emulator version 8.0.5", False),
        ("QEMU emulator version 8.1.0", True),
        ("QEMU emulator version 10.0.7 (Debian 1:10.0.7+ds-0+deb13u1)", True),
        ("", False),
        ("something else", False),
    ],
)
def test_an_old_qemu_is_not_trusted_with_threads(version: str, *, sound: bool) -> None:
    assert command_line.has_sound_threads(version) is sound
    single = command_line.command(PC, Machine(threads=sound), "q", [IMAGE])
    assert options(single, "-accel") == ["tcg" if sound else "tcg,thread=single"]
    assert options(single, "-smp") == ["2"]
    fast = Machine(accelerator="kvm", threads=sound)
    kvm = command_line.command(PC, fast, "q", [IMAGE])
    assert options(kvm, "-accel") == ["kvm"]
    for other in (ARM, RISCV):
        both = command_line.command(other, Machine(threads=sound), "q", [IMAGE])
        assert options(both, "-accel") == ["tcg"]


def test_a_firmware_that_starts_further_processors_too_early_has_none_to_start() -> None:
    for platform in platforms.BY_NAME.values():
        disk = platform.disks[0] if platform.disks else None
        line = command_line.command(platform, Machine(disk=disk), "q", [IMAGE])
        expected = "1" if platform.architecture == "riscv64" else "2"
        assert options(line, "-smp") == [expected], platform.name


def test_a_disk_that_the_firmware_does_not_know_is_refused() -> None:
    with pytest.raises(InputError, match="riscv64-uboot cannot boot from a disk on sd") as refused:
        command_line.command(RISCV, Machine(disk="sd"), "q", [IMAGE])
    assert "virtio" in refused.value.remedy


@pytest.mark.parametrize("memory", [0, 1, (1 << 20) + 1])
def test_memory_that_qemu_cannot_give_is_refused(memory: int) -> None:
    with pytest.raises(InputError, match="whole number of MiB"):
        command_line.command(PC, Machine(memory=memory), "q", [IMAGE])


def test_the_command_line_offers_what_there_is() -> None:
    assert [one.value for one in command.Platform] == [*platforms.BY_NAME, "all"]
    assert command.Disk == platforms.Disk


@pytest.mark.parametrize(
    ("text", "size"),
    [("1 GiB", 1 << 30), ("512M", 512 << 20), ("512 MiB", 512 << 20), ("2G", 2 << 30),
     ("700", 700 << 20)],
)  # fmt: skip
def test_sizes_of_memory(text: str, size: int) -> None:
    assert booting.memory(text) == size


@pytest.mark.parametrize("text", ["", "0", "much", "1.5 GiB", "-1", "1 TiB"])
def test_what_is_no_size_of_memory_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="not a size of memory"):
        booting.memory(text)


# -- the screen ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"one\r\ntwo\r\r\nthree", "one\ntwo\nthree"),
        (b"compiling ls ...\r\x1b[Kbin\r\n", "bin\n"),
        (b"compiling ls ..." + b"\b \b" * 16 + b"bin\r\n", "bin\n"),
        (b"Name: compiling ls ..." + b"\b \b" * 16 + b"bin\r\n", "Name: bin\n"),
        (b"compiling ls ...\rbin\r\n", "binpiling ls ...\n"),
        (b"\x1b[1;31mred\x1b[0m and \x1b]0;a title\x07plain\n", "red and plain\n"),
        (b"\x1b[?25l> ab\b\bc\x1b[80D\n", "> cb\n"),
        (b"a\tb\x00\x07\n", "a\tb\n"),
        (b"gr\xc3\xbcn \xff\n", "grün \N{REPLACEMENT CHARACTER}\n"),
        (b"\x1b(Bx\x1b=y\x1bPdata\x1b\\z\n", "xyz\n"),
        (b"", ""),
    ],
)
def test_what_stays_on_the_screen(raw: bytes, shown: str) -> None:
    assert screen.text(raw) == shown


@given(st.binary(max_size=300))
def test_no_control_character_stays_whatever_comes(raw: bytes) -> None:
    shown = screen.text(raw)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", shown)
    assert screen.last_line(raw) == screen.last_line(raw).strip()


@given(st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), max_size=80))
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert screen.text(text.encode()) == text


def test_the_last_line_is_the_last_one_with_something_on_it() -> None:
    assert screen.last_line(b"first\r\nsecond\r\n \r\n\x1b[0m\r\n") == "second"
    assert screen.last_line(b"\r\n") == ""


def test_what_the_device_compiled_is_told_once_each() -> None:
    raw = b"".join(
        b"compiling %s ..." % name + b"\b \b" * len(b"compiling %s ..." % name)
        for name in (b"cat", b"grep", b"cat")
    )
    raw += b"go1.27\r\n"
    assert screen.compiled(raw) == ["cat", "grep"]
    assert Ran("x", 0, 1.0, raw).document()["output"] == "go1.27\n"


# -- what is typed -------------------------------------------------------------------------------


@given(st.integers(1, 99), st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S"))))
def test_the_echo_of_what_is_typed_holds_no_mark(number: int, command: str) -> None:
    keys = script.typed(number, f"echo '{command}'")
    assert keys.count(b"\r") == 1
    assert keys.endswith(b"\r")
    # The line editor draws every beginning of it.
    for end in range(len(keys)):
        drawn = keys[:end] + b"\r\n"
        assert script.begun(number).search(drawn) is None or "<|" in command
        assert script.ended(number).search(drawn) is None or "|>" in command


def test_marks_are_found_where_the_shell_prints_them() -> None:
    came = b"\x1b[?1003l<|7\r\nsome\r\nlines7|> 3\r\n\x1b[?25l> "
    begun = script.begun(7).search(came)
    ended = script.ended(7).search(came)
    assert begun is not None
    assert ended is not None
    assert came[begun.end() : ended.start()] == b"some\r\nlines"
    assert ended[1] == b"3"
    assert script.begun(8).search(came) is None
    assert script.PROMPT.search(came) is not None


@pytest.mark.parametrize("command", ["", "  ", "a\tb", "a\x1bb", "a\rb", "a\x7f", "a\udc80"])
def test_what_cannot_be_typed_is_refused(command: str) -> None:
    with pytest.raises(InputError):
        script.check(command)
    script.check("cat <<EOF\nline\nEOF")


@pytest.mark.parametrize(
    ("came", "meaning"),
    [
        (b"Kernel panic - not syncing: VFS: Unable to mount root fs", "panicked"),
        (b"no shell\r\nemergency# ", "emergency shell"),
        (b"Booting from Hard Disk...\r\nNo bootable device.\r\n", "BIOS found nothing"),
        (b"Could not find kernel image: linux\r\n", "no kernel"),
        (b"\x1b[0mShell> ", "UEFI"),
        (b"** Booting bootflow failed **\r\n=> ", "U-Boot"),
    ],
)
def test_dead_ends_are_known(came: bytes, meaning: str) -> None:
    (found,) = [end.meaning for end in script.DEAD_ENDS if end.pattern.search(came)]
    assert meaning in found


def test_an_ordinary_boot_is_no_dead_end() -> None:
    came = (
        b"SYSLINUX 6.04\r\nboot: \r\nLoading /boot/amd64/vmlinuz... ok\r\n[    0.000000] Linux "
        b"version 6.12\r\n[    3.9] Run /init as init process\r\nSourcery: a system that is mostly "
        b"source.\r\ncompiling gosh ..." + b"\b \b" * 18 + b"\x1b[?25l>   "
    )
    assert [end for end in script.DEAD_ENDS if end.pattern.search(came)] == []
    places = [milestone.pattern.search(came) for milestone in script.MILESTONES]
    starts = [place.start() for place in places if place is not None]
    assert len(starts) == len(places)
    assert starts == sorted(starts)


# -- the transcript ------------------------------------------------------------------------------


def test_a_line_without_an_end_comes_in_pieces_and_is_not_kept(tmp_path: Path) -> None:
    with Transcript(tmp_path, "pc-bios") as transcript:
        for _ in range(100):
            transcript.write(b"x" * 10_000)
            assert len(transcript._line) < 80_000
        transcript.write(b"\nend\n")
        assert transcript.last_line == "end"
    lines = transcript.log.read_text().splitlines()
    assert "".join(lines) == "x" * 1_000_000 + "end"
    assert max(map(len, lines)) < 80_000


def test_a_transcript_is_read_and_played(tmp_path: Path) -> None:
    times = iter(range(100))
    with Transcript(tmp_path, "pc-bios", now=lambda: float(next(times))) as transcript:
        transcript.write(b"first line\r\nsec")
        assert transcript.last_line == "sec"
        transcript.write(b"ond \xc3")
        transcript.write(b"\xbc\r\n\r\n")
        transcript.flush()
        assert transcript.last_line == "second ü"
        transcript.write(b"\x1b[0mthe end")
    assert (tmp_path / "pc-bios.log").read_text() == "first line\nsecond ü\n\nthe end\n"
    header, *events = map(json.loads, (tmp_path / "pc-bios.cast").read_text().splitlines())
    assert header == {"version": 2, "width": 80, "height": 24}
    assert [kind for _, kind, _ in events] == ["o"] * 4
    assert "".join(text for *_, text in events) == ("first line\r\nsecond ü\r\n\r\n\x1b[0mthe end")
    assert [when for when, *_ in events] == sorted(when for when, *_ in events)


# -- the proof -----------------------------------------------------------------------------------

GOOD = {
    "ls /": "EFI\nbin\ngo\nlinux_amd64\nsrc\n",
    "cat /go/VERSION | grep go1": "go1.27.3\n",
    "command -v uname": "/linux_amd64/bin/uname\n",
    "uname -m": "x86_64\n",
    "go version": "go version go1.27.3 linux/amd64\n",
    "/tmp/hello": "built on the stick, for amd64\n",  # noqa: S108 - on the device
}


def session(**changes: str) -> list[Ran]:
    outputs = [GOOD.get(command, "") for command in proof.SESSION]
    outputs[4] = "/bin/uname\n"
    for number, output in changes.items():
        outputs[int(number[1:])] = output
    return [
        Ran(command, 0, 1.0, output.encode())
        for command, output in zip(proof.SESSION, outputs, strict=True)
    ]


def failing(ran: list[Ran]) -> list[str]:
    return [one.name for one in proof.judge(PC, ran) if one.verdict is Verdict.FAIL]


def test_a_session_in_which_all_is_well() -> None:
    checks = proof.judge(PC, session())
    assert {one.verdict for one in checks} == {Verdict.PASS}
    assert {one.subject for one in checks} == {"pc-bios"}
    assert len(checks) == 5


@pytest.mark.parametrize(
    ("number", "output", "name"),
    [
        ("n0", "bin\n", "lists the root"),
        ("n1", "", "a pipe of two commands"),
        ("n2", "/bin/uname\n", "compiles a command once"),
        ("n4", "/linux_amd64/bin/uname\n", "compiles a command once"),
        ("n5", "aarch64\n", "compiles a command once"),
        ("n6", "go version go1.27.3 linux/arm64\n", "go version"),
        ("n9", "built elsewhere\n", "builds a program typed in"),
    ],
)
def test_each_thing_that_is_not_well_is_found(number: str, output: str, name: str) -> None:
    assert failing(session(**{number: output})) == [name]


@pytest.mark.parametrize("number", range(len(proof.SESSION)))
def test_a_command_that_fails_is_found(number: int) -> None:
    ran = session()
    ran[number] = Ran(ran[number].command, 1, 1.0, ran[number].raw)
    assert len(failing(ran)) == 1


def test_what_was_not_run_is_not_checked() -> None:
    assert len(failing([])) == 5
    assert failing(session()[:9]) == ["builds a program typed in"]
    assert {one.reason for one in proof.judge(PC, [])} == {"not checked"}
