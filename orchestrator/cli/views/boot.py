"""Carries out `orchestrate boot`: the choice of machines, the summary, the exit status."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.cli.streams import Marked
from reproducibility.codes import BOOT_IMAGE
from reproducibility.compare import Verdict
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orchestrator.artifacts.finished import Finished
    from orchestrator.cli.session import Session
    from orchestrator.qemu.boot import Booted, Options, Outcome
    from orchestrator.qemu.platforms import Disk, Platform
    from reproducibility.compare import Check

_ALL = "all"
# What today's PC has.
_USUAL = "pc-uefi"
_SIZE = re.compile(r"([1-9][0-9]{0,6}) ?(?:([MG])(?:i?B)?)?")


@dataclass(frozen=True)
class Asked:
    """Options of the command line; see those of the same names."""

    platforms: tuple[str, ...]
    interactive: bool
    commands: tuple[str, ...]
    memory: str | None
    disk: Disk | None
    accelerator: str
    seconds: int
    image: Path | None
    log: Path | None
    out: Path


def boot(asked: Asked, session: Session) -> int:
    """Boot; returns the exit status of `status`, or of an interactive session.

    Raises:
        SourceryError: of the kind that says whose matter it is.
    """
    from orchestrator.qemu import boot as booting

    options = _options(asked, session)
    if asked.interactive:
        return _interact(options, session)
    with session.working("orchestrate boot") as progress:
        booted = booting.boot(options, progress, session.stopping.event)
    session.result(booted.document, summary(booted, commands=bool(asked.commands)))
    return status(booted)


def memory(text: str) -> int:
    """Bytes of `1 GiB`, `512M`, or of a plain number of MiB as QEMU takes it.

    Raises:
        InputError: it is no size.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InputError(
            f"not a size of memory: {text!r}",
            subject="--memory",
            remedy='give it as in "1 GiB" or "512 MiB"',
        )
    return int(match[1]) << (30 if match[2] == "G" else 20)


def status(booted: Booted) -> int:
    """The exit status that tells the worst of what came.

    1: the image changed; 3: a machine did not come up or down; 1: the proof does not hold; else
    that of the first command of `--run` that failed, or 0.
    """
    kinds = {check.kind: check.verdict for check in booted.checks}
    if kinds[BOOT_IMAGE] is Verdict.FAIL:
        return 1
    errors = [outcome.error for outcome in booted.outcomes if outcome.error is not None]
    if errors:
        return max(error.status for error in errors)
    if booted.verdict is Verdict.FAIL:
        return 1
    if not booted.proof:
        return next(
            (
                ran.status
                for outcome in booted.outcomes
                for ran in outcome.commands
                if ran.status != 0
            ),
            0,
        )
    return 0


def summary(booted: Booted, *, commands: bool) -> Iterator[str]:
    """Return what came of it, for a person; with `commands`, what each wrote."""
    for outcome in booted.outcomes:
        if commands:
            yield from _told(outcome, alone=len(booted.outcomes) == 1)
    for check in booted.checks:
        yield _line(check)
    yield ""
    for outcome in booted.outcomes:
        yield f"      transcript of {outcome.platform.name}: {outcome.transcript.log}"
    yield f"      all of it: {booted.path}"


def _told(outcome: Outcome, *, alone: bool) -> Iterator[str]:
    for ran in outcome.commands:
        where = "" if alone else f"{outcome.platform.name} "
        yield f"{where}> {ran.command}"
        yield from ran.output.rstrip("\n").splitlines()
        yield f"({ran.seconds:.1f} s, exit status {ran.status})"
        yield ""


def _line(check: Check) -> str:
    return Marked(check.verdict.name, f"  {check.subject}, {check.name}: {check.reason}")


def _options(asked: Asked, session: Session) -> Options:
    from orchestrator.qemu import boot as booting
    from orchestrator.qemu.command_line import Machine

    finished = _finished(asked, session)
    image = asked.image or (finished.image if finished else asked.out / "sourcery.img")
    built = finished if finished and finished.image == image else None
    if built and built.doubt:
        session.note(built.doubt)
    return booting.Options(
        image=image,
        platforms=_platforms(asked, built, session),
        log=asked.log or image.parent / "boot",
        machine=Machine(
            memory=None if asked.memory is None else memory(asked.memory),
            accelerator=asked.accelerator,
            disk=asked.disk,
        ),
        commands=asked.commands,
        seconds=asked.seconds,
        expected=built.image_digest if built else None,
        archive=built.archive if built else None,
        archive_expected=built.archive_digest if built else None,
    )


def _finished(asked: Asked, session: Session) -> Finished | None:
    """The build that the image is of; an image that is named may be there without one.

    Raises:
        InputError: there is no result, or one that does not come from a build.
        UnfinishedError: the build was interrupted while its files were put there.
    """
    from orchestrator.artifacts.finished import Finished, UnfinishedError

    if asked.image is None:
        return Finished.load(asked.out)
    try:
        return Finished.load(asked.image.parent)
    except UnfinishedError:
        raise
    except InputError as error:
        if (asked.image.parent / "result.json").exists():
            session.note(f"the image is not held against the result beside it: {error.summary}")
        return None


def _platforms(asked: Asked, built: Finished | None, session: Session) -> tuple[Platform, ...]:
    from orchestrator.qemu.platforms import BY_NAME, PLATFORMS

    if built and not built.result.root.boot_files:
        raise InputError(
            "this image has no boot files, so no machine boots from it",
            subject=str(built.image),
            remedy="write a [boot] table in the spec, `orchestrate lock`, and build again",
        )
    there = built.architectures if built else None
    able = [one for one in BY_NAME.values() if there is None or one.architecture in there]
    usual = [one for one in PLATFORMS if one in able and not _left_out(one, asked, built)]
    names = asked.platforms or ((_USUAL,) if asked.interactive else (_ALL,))
    chosen = usual if _ALL in names else [BY_NAME[name] for name in dict.fromkeys(names)]
    for platform in PLATFORMS:
        if _ALL in names and platform in able and platform not in usual:
            session.note(
                f"{platform.name} is left out: it starts the archive of a build, with "
                f"{platform.memory >> 20} MiB of memory or more and no disk"
            )
    for platform in chosen:
        if platform not in able:
            raise InputError(
                f"the image is not for {platform.architecture}, which {platform.name} is",
                subject=", ".join(there or ()),
                remedy="build that architecture too, or boot another platform",
            )
    if asked.interactive and (len(chosen) != 1 or asked.commands):
        raise InputError(
            "with --interactive it is one platform, and no --run",
            subject="--interactive",
            remedy=f"name one, such as --platform {_USUAL}",
        )
    return tuple(chosen)


def _left_out(platform: Platform, asked: Asked, built: Finished | None) -> bool:
    """Return whether all platforms, as they are asked for, cannot mean this one."""
    if not platform.from_archive:
        return False
    little = asked.memory is not None and memory(asked.memory) < platform.memory
    there = built is not None and built.archive.is_file()
    return not there or asked.disk is not None or little


def _interact(options: Options, session: Session) -> int:
    from orchestrator.qemu import boot as booting

    if session.manner.json or not sys.stdin.isatty():
        raise InputError(
            "--interactive needs a terminal, and nothing else on it",
            subject="--interactive",
            remedy="leave out --json, or use --run for a script",
        )
    (platform,) = options.platforms
    if platform.from_archive:
        session.note(f"{platform.architecture}'s part is taken out of the archive, seconds")
    session.note(f"{platform.title}; Ctrl-] leaves, `poweroff` ends it")
    streams = (sys.stdin.fileno(), sys.stdout.fileno())
    check, error = booting.interact(options, streams, session.stopping.event)
    session.result({}, ["", _line(check)])
    if check.verdict is Verdict.FAIL:
        return 1
    if error is not None:
        raise error
    return 0
