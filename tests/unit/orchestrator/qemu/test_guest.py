"""A machine and its serial line, with a program in QEMU's place that plays its part."""

from __future__ import annotations

import os
import select
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.image.cpio import writer as cpio
from orchestrator.qemu import archive as taking
from orchestrator.qemu import boot as booting
from orchestrator.qemu import platforms
from orchestrator.qemu.boot import Options
from orchestrator.qemu.command_line import Machine
from orchestrator.qemu.guest import Guest
from orchestrator.qemu.transcript import Transcript
from orchestrator.store import Store
from reproducibility import digest
from reproducibility.compare import Verdict
from reproducibility.errors import ActionError, InfrastructureError, InputError, Stopped
from reproducibility.manifest import Tree, file
from tests.fakes import FakeObserver

if TYPE_CHECKING:
    from collections.abc import Iterator

PC = platforms.BY_NAME["pc-bios"]
# Reads keys as the device's line editor does, and draws what was typed again at every key.
PLAYER = r"""
import os, re, sys, time

if sys.argv[1:] == ["--version"]:
    sys.exit(print("QEMU emulator version 9.2.1 (Debian 1:9.2.1)"))

def say(text):
    os.write(1, text.encode())

def boot():
    say("SeaBIOS\r\n[    0.000000] Linux version 6.12\r\n[    1.0] Run /init as init process\r\n")
    say("\r\nSourcery: a system that is mostly source.\r\ncompiling gosh ..." + "\b \b" * 18)

def line():
    typed = ""
    while True:
        key = os.read(0, 1).decode()
        if key == "\r":
            say("\x1b[80D\x1b[2K\x1b[?25h")
            return typed
        typed += "\n" if key == "\x0f" else key
        say("\x1b[80D\x1b[2K> " + typed.replace("\n", "\r\n"))

def shell():
    while True:
        say("\x1b[?25l>      \r\n")
        typed = line()
        if typed == "poweroff":
            say("[   90.254107] reboot: Power down\r\n")
            return
        number = re.match(r'echo "<\|""(\d+)"\n', typed)[1]
        command = typed.split("\n", 1)[1].rpartition("\n")[0]
        say(f"<|{number}\r\n")
        if command == "if":
            say('error: 2:1: "if" must be followed by something\r\n')
            continue
        status = 0
        if command == "crash":
            say("Kernel panic - not syncing: Attempted to kill init!\r\n")
            time.sleep(60)
        elif command == "hang":
            say("working")
            time.sleep(60)
        elif command == "off":
            sys.exit(7)
        elif command.startswith("fill "):
            say("x" * int(command[5:]))
        elif command.startswith("say "):
            say(command[4:].replace("\n", "\r\n"))
        else:
            status = 127
        say(f"{number}|> {status}\r\n")
"""


@pytest.fixture
def transcript(tmp_path: Path) -> Iterator[Transcript]:
    with Transcript(tmp_path / "log", "pc-bios") as made:
        yield made


def start(transcript: Transcript, play: str, stop: threading.Event | None = None) -> Guest:
    command = [sys.executable, "-c", f"{PLAYER}\n{play}"]
    return Guest(PC, command, transcript, stop or threading.Event())


def gone(guest: Guest) -> bool:
    try:
        os.kill(guest._process.pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_session_from_the_boot_to_the_end(transcript: Transcript) -> None:
    with start(transcript, "boot(); shell()") as guest:
        times = guest.boot(60)
        assert list(times) == ["kernel", "initramfs", "init", "prompt"]
        assert sorted(times.values()) == list(times.values())
        ran = guest.run("say one\ntwo without an end", 60)
        assert (ran.status, ran.output) == (0, "one\ntwo without an end")
        assert guest.run("no such thing", 60).status == 127
        # A shell that cannot parse what was typed gives no mark, but a prompt.
        wrong = guest.run("if", 60)
        assert wrong.status == 2
        assert "must be followed" in wrong.output
        assert guest.run("say still there", 60).output == "still there"
        assert guest.power_off(60) >= 0
    assert gone(guest)
    assert "still there" in transcript.log.read_text()


def test_much_output_is_all_there(transcript: Transcript) -> None:
    with start(transcript, "boot(); shell()") as guest:
        guest.boot(60)
        assert guest.run("fill 500000", 60).output == "x" * 500_000
        assert guest.run(f"say {'long ' * 700}", 60).output == "long " * 700


@pytest.mark.parametrize(
    ("play", "words"),
    [
        ("say('Kernel panic - not syncing: no init\\r\\n'); time.sleep(60)", "panicked.*no init"),
        ("boot(); say('\\r\\nemergency# '); time.sleep(60)", "emergency shell"),
        ("say('\\r\\nNo bootable device.\\r\\n'); time.sleep(60)", "BIOS found nothing"),
        (
            "say('Initramfs unpacking failed: write error\\r\\n'); time.sleep(60)",
            "needs more memory.*write error",
        ),
        ("say('SeaBIOS\\r\\nstuck here\\r\\n'); time.sleep(60)", "no kernel within 1 s.*stuck"),
        ("boot(); time.sleep(60)", "no prompt within 1 s"),
        ("boot()", "went off"),
        ("time.sleep(60)", "console is empty"),
    ],
)
def test_boots_that_come_to_nothing(transcript: Transcript, play: str, words: str) -> None:
    with start(transcript, play) as guest:
        if words != "console is empty":
            # However long the program takes to start, which is not what is waited for here.
            select.select([guest.line], [], [])
        with pytest.raises(ActionError, match=words) as failed:
            guest.boot(1 if "within 1 s" in words or "empty" in words else 60)
    assert gone(guest)
    assert failed.value.subject == str(transcript.log)
    assert "pc-bios" in failed.value.summary
    assert "--interactive" in failed.value.remedy


def test_a_machine_without_a_stick_may_have_too_little_memory(tmp_path: Path) -> None:
    play = "say('Kernel panic - not syncing: System is deadlocked on memory'); time.sleep(60)"
    command = [sys.executable, "-c", f"{PLAYER}\n{play}"]
    platform = platforms.BY_NAME["initramfs"]
    with (
        Transcript(tmp_path / "log", platform.name) as transcript,
        Guest(platform, command, transcript, threading.Event()) as guest,
        pytest.raises(ActionError, match="deadlocked on memory") as failed,
    ):
        guest.boot(60)
    assert "--memory" in failed.value.remedy


def test_a_qemu_that_cannot_run_is_no_fault_of_the_image(transcript: Transcript) -> None:
    play = "print('qemu: no such machine', file=sys.stderr); sys.exit(1)"
    with (
        start(transcript, play) as guest,
        pytest.raises(InfrastructureError, match="no such machine"),
    ):
        guest.boot(60)
    with pytest.raises(InfrastructureError, match="cannot start"):
        Guest(PC, ["/no/such/qemu"], transcript, threading.Event())


@pytest.mark.parametrize(
    ("command", "seconds", "words"),
    [
        ("crash", 60, "kernel panicked"),
        ("hang", 2, "'hang' was not done within 2 s.*working"),
        ("off", 60, r"went off \(exit status 7\)"),
    ],
)
def test_commands_that_do_not_end(
    transcript: Transcript, command: str, seconds: float, words: str
) -> None:
    with start(transcript, "boot(); shell()") as guest:
        guest.boot(60)
        with pytest.raises(ActionError, match=words):
            guest.run(command, seconds)
    assert gone(guest)


def test_the_wish_to_stop_ends_the_machine(transcript: Transcript) -> None:
    stop = threading.Event()
    with start(transcript, "boot(); shell()", stop) as guest:
        guest.boot(60)
        threading.Timer(0.5, stop.set).start()
        with pytest.raises(Stopped):
            guest.run("hang", 600)
    assert gone(guest)


# -- several -------------------------------------------------------------------------------------


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "sourcery.img"
    path.write_bytes(b"an image" * 1000)
    return path


@pytest.fixture
def player(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program on PATH under QEMU's name, that plays a machine."""
    program = tmp_path / "bin" / PC.program
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\n{PLAYER}\nboot(); shell()\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    return program


def test_commands_on_a_machine_and_what_is_kept_of_it(
    tmp_path: Path, image: Path, player: Path
) -> None:
    assert player.exists()
    log = tmp_path / "log"
    asked = Options(image, (PC,), log, commands=("say hello", "nothing"), seconds=60)
    told = FakeObserver()
    booted = booting.boot(asked, told, threading.Event())
    assert booted.verdict is Verdict.PASS
    assert booted.document["image"]["blake3"] == digest.of_file(image).hex
    (outcome,) = booted.document["platforms"]
    assert [(ran["command"], ran["status"]) for ran in outcome["commands"]] == [
        ("say hello", 0),
        ("nothing", 127),
    ]
    assert outcome["error"] is None
    assert booted.path.read_bytes()
    assert Path(outcome["transcript"]).is_relative_to(log)
    names = {what: {name for did, name in told.told if did == what} for what, _ in told.told}
    assert names["planned"] == names["started"] == names["finished"]


def test_an_image_that_changes_fails(tmp_path: Path, image: Path, player: Path) -> None:
    player.write_text(
        f"#!{sys.executable}\n{PLAYER}\nopen({str(image)!r}, 'ab').write(b'x')\nboot(); shell()\n"
    )
    asked = Options(image, (PC,), tmp_path / "log", commands=("say hello",), seconds=60)
    booted = booting.boot(asked, FakeObserver(), threading.Event())
    failed = [check for check in booted.checks if check.verdict is Verdict.FAIL]
    assert [check.name for check in failed] == ["image unchanged"]


def test_an_image_that_is_not_the_built_one_fails(
    tmp_path: Path, image: Path, player: Path
) -> None:
    assert player.exists()
    other = digest.of_bytes(b"another image")
    asked = Options(image, (PC,), tmp_path / "log", commands=("say x",), seconds=60, expected=other)
    booted = booting.boot(asked, FakeObserver(), threading.Event())
    failed = [check for check in booted.checks if check.verdict is Verdict.FAIL]
    assert [check.name for check in failed] == ["image unchanged"]
    assert other.hex in failed[0].reason


def test_a_proof_that_comes_to_nothing_fails_everywhere(
    tmp_path: Path, image: Path, player: Path
) -> None:
    player.write_text(f"#!{sys.executable}\n{PLAYER}\nboot()\n")
    asked = Options(image, (PC,), tmp_path / "log", seconds=60)
    told = FakeObserver()
    booted = booting.boot(asked, told, threading.Event())
    assert booted.verdict is Verdict.FAIL
    assert booted.outcomes[0].error is not None
    assert booted.document["platforms"][0]["error"]["kind"] == "ActionError"
    assert any("went off" in text for what, text in told.told if what == "note")


@pytest.mark.parametrize(
    ("play", "said"),
    [
        (
            "print('no kvm here', file=sys.stderr); sys.exit(1)",
            (InfrastructureError, "no kvm here", "--accel kvm"),
        ),
        ("boot(); sys.exit(5)", (ActionError, "exit status 5", "transcript")),
        ("boot()", None),
    ],
)
def test_what_went_wrong_with_a_person_s_machine_is_said(
    tmp_path: Path, image: Path, player: Path, play: str, said: tuple[type, str, str] | None
) -> None:
    player.write_text(f"#!{sys.executable}\n{PLAYER}\n{play}\n")
    asked = Options(image, (PC,), tmp_path / "log", Machine(accelerator="kvm"))
    keys, screen = os.pipe()
    try:
        check, error = booting.interact(asked, (keys, screen), threading.Event())
    finally:
        os.close(keys)
        os.close(screen)
    assert check.verdict is Verdict.PASS
    if said is None:
        assert error is None
        return
    assert error is not None
    kind, words, remedy = said
    assert type(error) is kind
    assert words in error.summary
    assert remedy in error.remedy


@pytest.mark.parametrize(
    ("version", "accelerator"), [("7.2.22", "tcg,thread=single"), ("8.1.0", "tcg")]
)
def test_an_old_qemu_emulates_one_cpu_at_a_time(
    tmp_path: Path, image: Path, player: Path, version: str, accelerator: str
) -> None:
    player.write_text(player.read_text().replace("9.2.1", version))
    for disk in PC.disks:
        asked = Options(image, (PC,), tmp_path / "log", Machine(disk=disk))
        with booting._line(asked, PC, str(player), None) as line:
            assert line[line.index("-accel") + 1] == accelerator
            assert line[line.index("-cpu") + 1] == "max"


def test_no_room_for_a_card_is_told_of_that_platform(
    tmp_path: Path, image: Path, player: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert player.exists()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    asked = Options(image, (PC,), tmp_path / "log", Machine(disk="sd"), commands=("say x",))
    booted = booting.boot(asked, FakeObserver(), threading.Event())
    assert booted.verdict is Verdict.FAIL
    (error,) = [outcome.error for outcome in booted.outcomes]
    assert isinstance(error, InfrastructureError)
    assert "TMPDIR" in error.remedy
    assert booted.path.is_file()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """The archive of a build, as far as a part is taken from it."""
    store = Store(tmp_path / "store")
    entries = [
        file(name, store.put_bytes(data), len(data), executable=False)
        for name, data in (("boot/amd64/vmlinuz", b"MZ"), ("linux_amd64/bin/init", b"ELF"))
    ]
    path = tmp_path / "sourcery.cpio.zst"
    cpio.write(Tree(entries), store.path, path, epoch=0)
    store.close()
    return path


def test_the_archive_without_a_stick(
    tmp_path: Path, image: Path, player: Path, archive: Path
) -> None:
    """A flipped bit of the archive is seen, and keeps no other platform from its turn."""
    assert player.exists()
    log = tmp_path / "log"
    asked = Options(
        image,
        (platforms.BY_NAME["initramfs"], PC),
        log,
        commands=("say x",),
        archive=archive,
        archive_expected=digest.of_file(archive),
    )
    booted = booting.boot(asked, FakeObserver(), threading.Event())
    assert booted.verdict is Verdict.PASS
    first, second = booted.document["platforms"]
    assert (first["disk"], first["memory"]) == (None, platforms.ARCHIVE_MEMORY)
    assert second["archive"] is None
    part = first["archive"]
    assert part["archive"] == str(log / "initramfs" / "sourcery.cpio.zst")
    assert (log / "initramfs" / "vmlinuz").read_bytes() == b"MZ"
    checked = {one.name: one.verdict for one in booted.checks if one.subject == "initramfs"}
    assert checked["archive as built"] is Verdict.PASS

    data = bytearray(archive.read_bytes())
    # Of the checksum behind the content.
    data[-1] ^= 1
    archive.write_bytes(data)
    booted = booting.boot(asked, FakeObserver(), threading.Event())
    assert booted.verdict is Verdict.FAIL
    broken, whole = booted.outcomes
    assert broken.error is not None
    assert "not the one that was built" in broken.error.summary
    assert whole.error is None
    assert not (log / "initramfs" / "sourcery.cpio.zst").exists()

    archive.write_bytes(data[:-1] + bytes([data[-1] ^ 1]) + b"\0" * 8)
    booted = booting.boot(asked, FakeObserver(), threading.Event())
    failed = {one.name: one.verdict for one in booted.checks if one.subject == "initramfs"}
    assert failed == {"archive as built": Verdict.FAIL}

    archive.unlink()
    with pytest.raises(InputError, match="no archive for initramfs"):
        booting.boot(asked, FakeObserver(), threading.Event())


def test_an_archive_that_does_not_fit_into_memory(
    tmp_path: Path, image: Path, player: Path, archive: Path
) -> None:
    assert player.exists()
    asked = Options(
        image,
        (platforms.BY_NAME["initramfs"],),
        tmp_path / "log",
        Machine(memory=1 << 20),
        archive=archive,
    )
    monstrous = replace(taking.take(archive, "amd64", tmp_path / "part"), unpacked=1 << 40)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(taking, "take", lambda *_given: monstrous)
        booted = booting.boot(asked, FakeObserver(), threading.Event())
    (error,) = [outcome.error for outcome in booted.outcomes]
    assert isinstance(error, InputError)
    assert "does not fit into 1 MiB" in error.summary
    assert "--memory" in error.remedy


def test_what_is_missing_is_named_with_its_packages(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(booting, "_MORE_FOLDERS", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    asked = Options(image, platforms.PLATFORMS, tmp_path / "log")
    with pytest.raises(InfrastructureError) as missing:
        booting.boot(asked, FakeObserver(), threading.Event())
    for package in ("qemu-system-x86", "qemu-system-arm", "qemu-system-misc"):
        assert package in missing.value.remedy
    assert not (tmp_path / "log").exists()


def test_no_image_is_said_before_anything_starts(tmp_path: Path, player: Path) -> None:
    assert player.exists()
    asked = Options(tmp_path / "none.img", (PC,), tmp_path / "log")
    with pytest.raises(InputError, match="no image to boot") as refused:
        booting.boot(asked, FakeObserver(), threading.Event())
    assert "orchestrate build" in refused.value.remedy


def test_the_wish_to_stop_ends_every_machine(tmp_path: Path, image: Path, player: Path) -> None:
    assert player.exists()
    stop = threading.Event()
    asked = Options(
        image, (PC, replace(PC, name="pc-two")), tmp_path / "log", commands=("hang",), seconds=600
    )
    threading.Timer(1.5, stop.set).start()
    with pytest.raises(Stopped):
        booting.boot(asked, FakeObserver(), stop)
