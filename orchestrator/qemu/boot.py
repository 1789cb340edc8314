"""Boots an image in QEMU on one or several platforms, and reports each (`boot.json`).

The image's bytes are compared before and after. Schema 1 of `boot.json`: `schema`, `verdict`,
`image` (`path`, `size`, `blake3`), `machine` (`memory`, null for each platform's usual one,
`accelerator`), `platforms` (`name`, `architecture`, `disk`, null without a stick, `memory`,
`processors`, `archive`, what was started without a stick (`architecture`, `kernel`, `archive`,
`size`, `unpacked`, `blake3`), `times`: seconds from power-on to each milestone that was seen,
`off`: seconds from `poweroff` to the end, `commands` (`command`, `status`, `seconds`, `compiled`,
`output`), `error`, `transcript`, `recording`), `checks` (`name`, `subject`, `verdict`, `reason`),
`seconds`. Sizes are bytes.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from containers.host import durable
from orchestrator import emulator
from orchestrator.qemu import (
    archive,
    proof,
    script,
)
from orchestrator.qemu import (
    command_line as machine,
)
from orchestrator.qemu.guest import Guest
from orchestrator.qemu.transcript import Transcript
from reproducibility import canonical, codes, digest
from reproducibility.compare import Check, Difference, Verdict, fold
from reproducibility.errors import (
    ComparisonError,
    InfrastructureError,
    InputError,
    SourceryError,
    Stopped,
)

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence

    from orchestrator.execution.step import Observer
    from orchestrator.qemu.archive import Part
    from orchestrator.qemu.command_line import Machine
    from orchestrator.qemu.guest import Ran
    from orchestrator.qemu.platforms import Platform

SCHEMA = 1
DOCUMENT = "boot.json"
# Emulated machines at once: each keeps up to two CPUs busy.
AT_ONCE = 2
_MORE_FOLDERS = ("/usr/local/bin", "/usr/bin")


@dataclass(frozen=True, slots=True)
class Options:
    """Options: what to boot, on which platforms, and what to do there.

    `commands`: none means the session that proves that all works. `others`: images of further
    sticks in the same machine. `log`: the folder for transcripts. `seconds`: how long the boot, and
    then each command, may take. `expected`: what the image's digest is to be, where that is known.
    `archive`, `archive_expected`: the same tree as an archive, for platforms that start it.
    """

    image: Path
    platforms: tuple[Platform, ...]
    log: Path
    machine: Machine = field(default_factory=machine.Machine)
    commands: tuple[str, ...] = ()
    others: tuple[Path, ...] = ()
    seconds: float = 600
    expected: digest.Digest | None = None
    archive: Path | None = None
    archive_expected: digest.Digest | None = None


@dataclass
class Outcome:
    """Outcome of one platform, filled in as it comes."""

    platform: Platform
    disk: str | None
    transcript: Transcript
    memory: int = 0
    part: Part | None = None
    times: dict[str, float] = field(default_factory=dict)
    off: float | None = None
    commands: list[Ran] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    error: SourceryError | None = None

    def document(self) -> dict[str, Any]:
        """The outcome as a JSON object."""
        error = self.error
        return {
            "name": self.platform.name,
            "architecture": self.platform.architecture,
            "disk": self.disk,
            "memory": self.memory,
            "processors": self.platform.processors,
            "archive": None if self.part is None else self.part.document(),
            "times": self.times,
            "off": None if self.off is None else round(self.off, 3),
            "commands": [ran.document() for ran in self.commands],
            "error": None if error is None else {"kind": type(error).__name__, "text": str(error)},
            "transcript": str(self.transcript.log),
            "recording": str(self.transcript.cast),
        }


@dataclass(frozen=True, slots=True)
class Booted:
    """Outcomes of all platforms, and the worst verdict.

    `document`: the content of `boot.json`, which lies at `path`. `proof`: whether the session was
    the one that proves that all works.
    """

    verdict: Verdict
    document: dict[str, Any]
    path: Path
    outcomes: tuple[Outcome, ...]
    checks: tuple[Check, ...]
    proof: bool


def programs(platforms: Sequence[Platform]) -> dict[str, str]:
    """The path of QEMU for each platform's name.

    Raises:
        InfrastructureError: QEMU or firmware is not there; names every package that lacks.
    """
    found: dict[str, str] = {}
    missing: list[str] = []
    packages: dict[str, None] = {}
    for platform in platforms:
        path = shutil.which(platform.program) or shutil.which(
            platform.program, path=os.pathsep.join(_MORE_FOLDERS)
        )
        if path is None:
            missing.append(platform.program)
            packages[platform.package] = None
        else:
            found[platform.name] = path
        for firmware in platform.firmware:
            if not Path(firmware.path).is_file():
                missing.append(firmware.path)
                packages[firmware.package] = None
    if missing:
        raise InfrastructureError(
            "what boots an image is not all there",
            subject=", ".join(dict.fromkeys(missing)),
            remedy=f"install it: `apt install {' '.join(packages)}`",
        )
    return found


def boot(options: Options, observer: Observer, stop: threading.Event) -> Booted:
    """Boot the image on every platform, two at once.

    What fails on one platform is told in its outcome, and keeps no other from its turn.

    Raises:
        InputError: there is no such image, or a command cannot be typed, or a disk does not suit.
        InfrastructureError: QEMU or firmware is missing, or the transcripts cannot be written.
        Stopped: `stop` was set.
    """
    since = time.monotonic()
    commands = options.commands or proof.SESSION
    for command in commands:
        script.check(command)
    found = programs(options.platforms)
    for platform in options.platforms:
        machine.chosen_disk(platform, options.machine)
        machine.chosen_memory(platform, options.machine)
        if platform.from_archive:
            _archive(options, platform)
    observer.planned(_steps(options.platforms, commands))
    before = _digest(options.image, "before", observer)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures = [
            pool.submit(_turn, options, platform, found[platform.name], observer, stop)
            for platform in options.platforms
        ]
        outcomes = tuple(future.result() for future in futures)
    after = _digest(options.image, "after", observer)
    checks = [_unchanged(before, after, options.expected)]
    checks += [check for outcome in outcomes for check in outcome.checks]
    verdict = fold(checks)
    document = {
        "schema": SCHEMA,
        "verdict": verdict.name,
        "image": {
            "path": str(options.image),
            "size": options.image.stat().st_size,
            "blake3": after.hex,
        },
        "machine": options.machine.document(),
        "platforms": [outcome.document() for outcome in outcomes],
        "checks": [check.document() for check in checks],
        "seconds": round(time.monotonic() - since, 3),
    }
    path = options.log / DOCUMENT
    durable.write(path, canonical.pretty(document))
    return Booted(verdict, document, path, outcomes, tuple(checks), not options.commands)


def interact(
    options: Options, console: tuple[int, int], stop: threading.Event
) -> tuple[Check, SourceryError | None]:
    """Hand one platform's serial line to a terminal until the machine ends or the person leaves.

    `console`: the file descriptors to read keys from and to write to. Gives the check that the
    image is unchanged, and what went wrong with the machine; None where it was powered off or left.

    Raises:
        InputError: there is no such image, or the disk does not suit.
        InfrastructureError: QEMU or firmware is missing, or the transcript cannot be written.
    """
    from orchestrator.qemu import console as terminal  # noqa: PLC0415 - not in the others' way

    (platform,) = options.platforms
    program = programs(options.platforms)[platform.name]
    before = digest.of_file(_existing(options.image))
    part = _part(options, platform) if platform.from_archive else None
    with (
        Transcript(options.log, platform.name) as transcript,
        _line(options, platform, program, part) as line,
        Guest(platform, line, transcript, stop) as guest,
    ):
        left = terminal.connect(guest.line, *console, transcript)
        error = None if left else guest.failure()
    return _unchanged(before, digest.of_file(options.image), options.expected), error


def _steps(platforms: Sequence[Platform], commands: Sequence[str]) -> list[tuple[str, str, str]]:
    steps = [("image/before", "image", "digest before")]
    steps += [
        (f"{platform.name}/archive", platform.name, "one architecture's archive")
        for platform in platforms
        if platform.from_archive
    ]
    for platform in platforms:
        subjects = ["boot", *(command.splitlines()[0] for command in commands), "poweroff"]
        steps += [
            (f"{platform.name}/{number}", platform.name, subject)
            for number, subject in enumerate(subjects)
        ]
    return [*steps, ("image/after", "image", "digest after")]


def _existing(image: Path) -> Path:
    if not image.is_file():
        raise InputError(
            "there is no image to boot",
            subject=str(image),
            remedy="build one with `orchestrate build`, or name another with --out or --image",
        )
    return image


def _archive(options: Options, platform: Platform) -> Path:
    if options.archive is None or not options.archive.is_file():
        raise InputError(
            f"there is no archive for {platform.name} to start",
            subject=str(options.archive or options.image),
            remedy="build with `orchestrate build`, and name its output directory with --out",
        )
    return options.archive


def _part(options: Options, platform: Platform) -> Part:
    """Return what a platform without a stick starts from."""
    return archive.take(
        _archive(options, platform),
        platform.architecture,
        options.log / platform.name,
        options.archive_expected,
    )


def _digest(image: Path, when: str, observer: Observer) -> digest.Digest:
    with _step(f"image/{when}", observer):
        return digest.of_file(_existing(image))


def _unchanged(
    before: digest.Digest, after: digest.Digest, expected: digest.Digest | None
) -> Check:
    subject = "image"
    if before != after:
        reason = f"blake3 {before.hex} before, {after.hex} after"
        differs = Difference("", "blake3", before.hex, after.hex)
        return Check(codes.BOOT_IMAGE["changed"], subject, reason, (differs,))
    if expected is not None and after != expected:
        reason = f"blake3 {after.hex}, but its build says {expected.hex}"
        differs = Difference("", "blake3", after.hex, expected.hex)
        return Check(codes.BOOT_IMAGE["not-as-built"], subject, reason, (differs,))
    same = "before, after and as built" if expected is not None else "before and after"
    return Check(codes.BOOT_IMAGE["same"], subject, f"blake3 {after.hex}, {same}")


@contextmanager
def _step(name: str, observer: Observer) -> Iterator[None]:
    observer.started(name)
    since = time.monotonic()
    yield
    observer.finished(name, cached=False, seconds=time.monotonic() - since)


def _turn(
    options: Options, platform: Platform, program: str, observer: Observer, stop: threading.Event
) -> Outcome:
    """One platform from power-on to power-off."""
    disk = machine.chosen_disk(platform, options.machine)
    memory = machine.chosen_memory(platform, options.machine)
    if stop.is_set():
        raise Stopped("stopped")
    # Before the transcript, whose times count from power-on.
    part, unfit = _tried(options, platform, observer)
    with Transcript(options.log, platform.name) as transcript:
        outcome = Outcome(platform, disk, transcript, memory, part)
        if stop.is_set():
            raise Stopped("stopped")
        if part is not None:
            outcome.checks.append(proof.taken(platform, part.whole, options.archive_expected))
        try:
            if unfit is not None:
                raise unfit
            with (
                _line(options, platform, program, part) as line,
                Guest(platform, line, transcript, stop) as guest,
            ):
                _session(guest, outcome, options, observer)
        except Stopped:
            raise
        except SourceryError as error:
            outcome.error = error
            observer.note(str(error))
            up = bool(outcome.times)
            missed = codes.BOOT_POWER_OFF["not-off"] if up else codes.BOOT_PROMPT["not-reached"]
            if isinstance(unfit, ComparisonError):
                missed = codes.BOOT_ARCHIVE["differs"]
            outcome.checks.append(Check(missed, platform.name, error.summary))
        if not options.commands and outcome.times:
            outcome.checks += proof.judge(platform, outcome.commands)
    return outcome


def _tried(
    options: Options, platform: Platform, observer: Observer
) -> tuple[Part | None, SourceryError | None]:
    """Return what a platform without a stick starts from, or why that cannot be had."""
    if not platform.from_archive:
        return None, None
    try:
        with _step(f"{platform.name}/archive", observer):
            return _part(options, platform), None
    except SourceryError as error:
        return None, error


def _session(guest: Guest, outcome: Outcome, options: Options, observer: Observer) -> None:
    name = outcome.platform.name
    with _step(f"{name}/0", observer):
        outcome.times = guest.boot(options.seconds)
    outcome.checks.append(proof.booted(outcome.platform, outcome.times))
    commands = options.commands or proof.SESSION
    for number, command in enumerate(commands, 1):
        with _step(f"{name}/{number}", observer):
            outcome.commands.append(guest.run(command, options.seconds))
    with _step(f"{name}/{len(commands) + 1}", observer):
        outcome.off = guest.power_off(options.seconds)
    outcome.checks.append(proof.powered_off(outcome.platform, outcome.off))


@contextmanager
def _line(
    options: Options, platform: Platform, program: str, part: Part | None
) -> Iterator[list[str]]:
    """QEMU's command line, with such copies of images as the disk needs.

    Raises:
        InfrastructureError: there is no room for the copies.
    """
    images = [_existing(image) for image in (options.image, *options.others)]
    with ExitStack() as stack:
        if machine.chosen_disk(platform, options.machine) == "sd":
            images = _cards(images, stack)
        threads = machine.has_sound_threads(emulator.version(Path(program)))
        asked = replace(options.machine, threads=threads)
        yield machine.command(platform, asked, program, images, part)


def _cards(images: Sequence[Path], stack: ExitStack) -> list[Path]:
    """Copies that are as large as an SD card is; `stack` removes them."""
    try:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="orchestrate-boot-"))
        return [_card(image, Path(folder, f"{n}.img")) for n, image in enumerate(images)]
    except OSError as error:
        size = 1 + (sum(image.stat().st_size for image in images) >> 20)
        raise InfrastructureError(
            f"cannot make the copy that an SD card needs: {error.strerror}",
            subject=tempfile.gettempdir(),
            remedy=f"set TMPDIR to a folder with {size} MiB of room, or leave out --disk sd",
        ) from error


def _card(image: Path, copy: Path) -> Path:
    """A copy as large as an SD card is: QEMU takes only powers of two."""
    shutil.copyfile(image, copy)
    size = copy.stat().st_size
    os.truncate(copy, 1 << (size - 1).bit_length())
    return copy
