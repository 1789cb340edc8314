"""`orchestrate boot`: which machines, what is told, the exit status; a person at the console."""

from __future__ import annotations

import json
import os
import pty
import threading
import time
import tty
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.cli.main import run
from orchestrator.cli.views import boot as cli
from orchestrator.qemu import boot as booting
from orchestrator.qemu import console, platforms
from orchestrator.qemu.boot import Booted, Options, Outcome
from orchestrator.qemu.guest import Ran
from orchestrator.qemu.transcript import Transcript
from reproducibility import canonical, codes
from reproducibility.compare import Check, Verdict, fold
from reproducibility.errors import ActionError, InfrastructureError, SourceryError
from tests import results

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orchestrator.execution.step import Observer
    from reproducibility.compare import CheckKind, Code

Captured = pytest.CaptureFixture[str]
PC = platforms.BY_NAME["pc-bios"]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An output directory as a build leaves it, as far as booting asks."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "sourcery.img").write_bytes(b"an image")
    (folder / "sourcery.cpio.zst").write_bytes(b"an archive")
    result = results.document(cpio={"blake3": "c" * 64})
    (folder / "result.json").write_bytes(canonical.pretty(result))
    return folder


def _code(kind: CheckKind, verdict: Verdict) -> Code:
    return next(code for code in kind.codes.values() if code.verdict is verdict)


class FakeBoot:
    """Stands in for `booting.boot`: remembers what it was asked, gives what it was told to."""

    def __init__(self, log: Path) -> None:
        self.asked: list[Options] = []
        self.statuses: tuple[int, ...] = ()
        self.error: SourceryError | None = None
        self.unchanged = Verdict.PASS
        self.proof = Verdict.PASS
        self._log = log

    def __call__(self, options: Options, observer: Observer, stop: threading.Event) -> Booted:
        assert not stop.is_set()
        observer.planned([("pc-bios/0", "pc-bios", "boot")])
        self.asked.append(options)
        outcomes = []
        for platform in options.platforms:
            with Transcript(self._log, platform.name) as transcript:
                outcome = Outcome(platform, "virtio", transcript, error=self.error)
            outcome.commands = [
                Ran(f"command {n}", status, 1.5, b"its output\r\n")
                for n, status in enumerate(self.statuses)
            ]
            outcomes.append(outcome)
        checks = (
            Check(_code(codes.BOOT_IMAGE, self.unchanged), "image", "blake3"),
            Check(_code(codes.BOOT_GO_VERSION, self.proof), "pc-bios", "because"),
        )
        verdict = fold(checks)
        document = {"schema": 1, "verdict": verdict.name}
        path = self._log / "boot.json"
        return Booted(verdict, document, path, tuple(outcomes), checks, not options.commands)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeBoot:
    made = FakeBoot(tmp_path / "log")
    monkeypatch.setattr(booting, "boot", made)
    return made


def refusal(captured: Captured) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(captured.readouterr().out)["error"]
    return found


def test_by_default_all_that_the_image_is_for(fake: FakeBoot, out: Path) -> None:
    assert run(["boot", "--out", str(out), "-q"]) == 0
    (asked,) = fake.asked
    expected = ["pc-bios", "pc-uefi", "riscv64-uboot", "initramfs"]
    assert [one.name for one in asked.platforms] == expected
    assert asked.image == out / "sourcery.img"
    assert asked.log == out / "boot"
    assert asked.expected is not None
    assert asked.expected.hex == "b" * 64
    assert asked.machine.memory is None, "each platform's own"
    assert asked.archive == out / "sourcery.cpio.zst"
    assert asked.archive_expected is not None
    assert asked.archive_expected.hex == "c" * 64
    assert asked.machine.accelerator == "tcg"


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("verdict", ["PASS", "SKIP", "FAIL"])
def test_the_verdict_of_the_build_is_told(out: Path, capsys: Captured, verdict: str) -> None:
    result = canonical.loads((out / "result.json").read_bytes())
    assert isinstance(result, dict)
    (out / "result.json").write_bytes(canonical.pretty({**result, "verdict": verdict}))
    assert run(["boot", "--out", str(out)]) == 0
    told = "note: the verdict of this build is FAIL" in capsys.readouterr().err
    assert told is (verdict == "FAIL")


def test_options_of_a_machine(fake: FakeBoot, out: Path, tmp_path: Path) -> None:
    status = run(
        ["boot", "--out", str(out), "-p", "pc-uefi", "-p", "pc-uefi", "--memory", "512M",
         "--disk", "usb", "--timeout", "7", "--log", str(tmp_path / "l"), "--run", "ls", "-q"]
    )  # fmt: skip
    assert status == 0
    (asked,) = fake.asked
    assert [one.name for one in asked.platforms] == ["pc-uefi"]
    assert (asked.machine.memory, asked.machine.disk) == (512 << 20, "usb")
    assert (asked.seconds, asked.log, asked.commands) == (7, tmp_path / "l", ("ls",))


def test_an_image_without_a_result_may_be_for_every_platform(
    fake: FakeBoot, tmp_path: Path
) -> None:
    image = tmp_path / "some.img"
    image.write_bytes(b"x")
    assert run(["boot", "--image", str(image), "-q"]) == 0
    expected = [one for one in platforms.PLATFORMS if one.name != "initramfs"]
    assert list(fake.asked[0].platforms) == expected, "there is no archive beside it"
    assert fake.asked[0].expected is None


def test_a_result_that_cannot_be_read_beside_a_named_image_is_said(
    fake: FakeBoot, out: Path, capsys: Captured
) -> None:
    older = {"schema": 1, "verdict": "PASS", "image": {"path": "sourcery.img"}}
    (out / "result.json").write_bytes(canonical.pretty(older))
    assert run(["boot", "--image", str(out / "sourcery.img")]) == 0
    assert "not held against the result beside it" in capsys.readouterr().err
    assert fake.asked[0].expected is None
    assert run(["boot", "--out", str(out), "--json"]) == 2
    assert "in format 1" in refusal(capsys)["summary"]


@pytest.mark.parametrize(
    ("more", "there"),
    [([], True), (["--memory", "8 GiB"], True), (["--memory", "512 MiB"], False),
     (["--disk", "virtio"], False)],
)  # fmt: skip
def test_all_platforms_are_those_that_the_options_can_mean(
    fake: FakeBoot, out: Path, capsys: Captured, more: list[str], there: bool
) -> None:
    """A machine without a stick has no disk, and its archive takes more memory than a stick."""
    assert run(["boot", "--out", str(out), *more]) == 0
    assert ("initramfs" in [one.name for one in fake.asked[0].platforms]) is there
    assert ("initramfs is left out" in capsys.readouterr().err) is not there
    (out / "sourcery.cpio.zst").unlink()
    assert run(["boot", "--out", str(out), *more]) == 0
    assert "initramfs" not in [one.name for one in fake.asked[1].platforms]
    assert "initramfs is left out" in capsys.readouterr().err


def test_the_archive_of_an_architecture_by_name(fake: FakeBoot, out: Path) -> None:
    assert run(["boot", "--out", str(out), "-p", "initramfs-riscv64", "-q"]) == 0
    assert [one.architecture for one in fake.asked[0].platforms] == ["riscv64"]


@pytest.mark.parametrize(
    ("statuses", "error", "unchanged", "proof", "status"),
    [
        ((), None, Verdict.PASS, Verdict.PASS, 0),
        ((), None, Verdict.PASS, Verdict.FAIL, 1),
        ((), None, Verdict.FAIL, Verdict.PASS, 1),
        ((), ActionError("it did not come up"), Verdict.PASS, Verdict.FAIL, 3),
        ((), InfrastructureError("no qemu"), Verdict.PASS, Verdict.FAIL, 4),
        ((), ActionError("it did not come up"), Verdict.FAIL, Verdict.FAIL, 1),
        ((0, 42, 1), None, Verdict.PASS, Verdict.PASS, 42),
        ((0, 0), None, Verdict.PASS, Verdict.PASS, 0),
        ((42,), None, Verdict.FAIL, Verdict.PASS, 1),
    ],
)
def test_the_exit_status_tells_the_worst(  # noqa: PLR0913 - what there is to tell
    fake: FakeBoot,
    out: Path,
    statuses: tuple[int, ...],
    error: SourceryError | None,
    unchanged: Verdict,
    proof: Verdict,
    status: int,
) -> None:
    fake.statuses, fake.error, fake.unchanged, fake.proof = statuses, error, unchanged, proof
    commands = [part for n in range(len(statuses)) for part in ("--run", f"command {n}")]
    assert run(["boot", "--out", str(out), "-p", "pc-bios", "-q", *commands]) == status


def test_what_commands_wrote_is_shown(fake: FakeBoot, out: Path, capsys: Captured) -> None:
    fake.statuses = (0,)
    assert run(["boot", "--out", str(out), "-p", "pc-bios", "--run", "command 0"]) == 0
    told = capsys.readouterr().out
    assert "> command 0\nits output\n(1.5 s, exit status 0)" in told
    assert "pc-bios.log" in told
    assert "boot.json" in told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-p", "arm64-uefi"], "not for arm64"),
        (["-p", "initramfs-arm64"], "not for arm64"),
        (["-p", "pc"], "Invalid value"),
        (["--memory", "lots"], "not a size of memory"),
        (["--interactive", "-p", "all"], "one platform"),
        (["--interactive", "--run", "ls"], "no --run"),
        (["--interactive"], "needs a terminal"),
        (["--out", "nowhere"], "no result of a build"),
    ],
)
def test_what_is_refused(
    fake: FakeBoot, out: Path, capsys: Captured, arguments: list[str], words: str
) -> None:
    assert run(["boot", "--out", str(out), *arguments, "--json"]) == 2
    assert words in refusal(capsys)["summary"]
    assert fake.asked == []


def test_an_image_without_boot_files_is_refused(
    fake: FakeBoot, out: Path, capsys: Captured
) -> None:
    result = json.loads((out / "result.json").read_bytes())
    result["root"]["boot_files"] = 0
    (out / "result.json").write_bytes(canonical.pretty(result))
    assert run(["boot", "--out", str(out), "--json"]) == 2
    assert "[boot]" in refusal(capsys)["remedy"]
    assert fake.asked == []


def test_a_proof_is_summed_up_in_checks(fake: FakeBoot, out: Path, tmp_path: Path) -> None:
    options = Options(out / "sourcery.img", (PC,), tmp_path / "log")
    lines = list(cli.summary(fake(options, Silent(), threading.Event()), commands=False))
    assert any("pc-bios, go version: because" in line for line in lines)


class Silent:
    def planned(self, steps: object) -> None: ...
    def started(self, name: str) -> None: ...
    def finished(self, name: str, *, cached: bool, seconds: float) -> None: ...
    def note(self, text: str) -> None: ...


# -- a person at the console ---------------------------------------------------------------------


@pytest.fixture
def lines() -> Iterator[tuple[int, int, int, int]]:
    """A person's terminal and a machine's line: of each this side and the other one."""
    person, screen = pty.openpty()
    here, machine = pty.openpty()
    ends = (person, screen, here, machine)
    for end in (screen, machine):
        tty.setraw(end)
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


def connect(ends: tuple[int, int, int, int], log: Path) -> tuple[threading.Thread, list[bool]]:
    left: list[bool] = []

    def work() -> None:
        with Transcript(log, "pc-bios") as transcript:
            left.append(console.connect(ends[2], ends[1], ends[1], transcript))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread, left


def read(descriptor: int, wanted: bytes) -> bytes:
    came = b""
    while wanted not in came:
        came += os.read(descriptor, 100)
    return came


def test_keys_go_to_the_machine_and_its_words_come_back(
    lines: tuple[int, int, int, int], tmp_path: Path
) -> None:
    person, _, _, machine = lines
    thread, left = connect(lines, tmp_path)
    os.write(machine, b"login: ")
    assert read(person, b"login: ") == b"login: "
    os.write(person, b"ls\x03\r")
    assert read(machine, b"\r") == b"ls\x03\r"
    os.write(person, b"x" + console.LEAVE + b"not sent")
    assert read(machine, b"x") == b"x"
    thread.join(60)
    assert left == [True]
    assert "login:" in (tmp_path / "pc-bios.log").read_text()


def test_a_machine_that_ends_ends_the_session(
    lines: tuple[int, int, int, int], tmp_path: Path
) -> None:
    person, _, _, machine = lines
    thread, left = connect(lines, tmp_path)
    os.write(machine, b"reboot: Power down\r\n")
    read(person, b"down")
    time.sleep(0.1)
    os.close(machine)
    thread.join(60)
    assert left == [False]
