"""Carries out `orchestrate write`: confirmation, progress of writing and reading back, messages."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from orchestrator import terminal
from orchestrator.cli.streams import Marked, say
from orchestrator.cli.wording import quantity, short
from reproducibility.errors import ComparisonError, InfrastructureError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.artifacts.finished import Finished
    from orchestrator.cli.session import Session
    from orchestrator.stick.contents import Contents
    from orchestrator.stick.disks import Target
    from orchestrator.stick.medium import Medium
    from orchestrator.stick.signatures import Look, Signature
    from orchestrator.stick.writer import Tell
    from reproducibility.digest import Digest

SCHEMA = 1
_SHARES = 10  # lines of progress where there is no terminal


@dataclass(frozen=True)
class Options:
    """Options of the command line. `image`: None for that of the build in `out`."""

    device: Path
    out: Path
    image: Path | None
    force: bool
    yes: bool


def write(options: Options, session: Session) -> int:
    """Write; exit status 1 where the stick gives back other bytes.

    Raises:
        SourceryError: of the kind that says whose matter it is, and whether the stick is spoilt.
    """
    from orchestrator.stick import remains, signatures, writer
    from orchestrator.stick.disks import Kernel

    finished = _finished(options, session)
    image, expected = finished.image, finished.image_digest
    target = Kernel().examine(options.device, needed=(image,))
    size = image.stat().st_size
    writer.refuse(target, image, size, force=options.force, made=finished.made)
    _check_image(image, expected)
    holds, look = writer.lost(target), signatures.look(target.path)
    if not session.manner.quiet or not options.yes:
        for line in told(target, holds, look):
            say(line, errors=True)
    _confirm(target, options, session)
    begun = time.monotonic()
    zeros = remains.places(size, target.size, holds, (one.offset for one in look.found))
    past_cache, looked, between = _carry_out(finished, target, zeros, session)
    seconds = {"write": round(between - begun, 3), "check": round(time.monotonic() - between, 3)}
    document = {
        "schema": SCHEMA,
        "verdict": "PASS",
        "device": str(target.path),
        "kind": target.kind,
        "model": target.model,
        "size": target.size,
        "lost": lost(holds, look),
        "blanked": [[place.start, len(place)] for place in zeros],
        "remains": [] if looked else None,
        "image": {
            "path": str(image),
            "size": size,
            "blake3": expected.hex,
            "verdict": finished.result.verdict,
        },
        "read_past_cache": past_cache,
        "seconds": seconds,
    }
    session.result(document, _summary(document))
    return 0


def _finished(options: Options, session: Session) -> Finished:
    """The build whose image is to be written."""
    from orchestrator.artifacts.finished import Finished

    finished = Finished.load(options.out if options.image is None else options.image.parent)
    if options.image is not None and options.image.name != finished.image.name:
        raise InputError(
            f"the result beside it is that of {finished.image.name}",
            subject=str(options.image),
            remedy="an image is written where its result.json lies, so that it can be checked",
        )
    if not finished.image.is_file():
        raise InputError("there is no image", subject=str(finished.image), remedy="build again")
    if finished.doubt and not options.force:
        raise InputError(
            finished.doubt,
            subject=str(finished.out / "result.json"),
            remedy="`checks` in it says what did not hold; to write it nevertheless, give --force",
        )
    if finished.doubt:
        session.note(finished.doubt)
    return finished


def _check_image(image: Path, expected: Digest) -> None:
    from reproducibility import digest

    found = digest.of_file(image)
    if found != expected:
        raise InputError(
            f"this is not the image that was built: blake3 {found.hex}, "
            f"and its result says {expected.hex}",
            subject=str(image),
            remedy="build again; nothing was written",
        )


def told(target: Target, holds: Contents, look: Look) -> Iterator[str]:
    """Return what will be lost, for a person."""
    yield f"{target.path}: {_described(target)}"
    if holds.parts or holds.table:
        yield f"  everything on it will be lost ({holds.table or 'no'} partition table):"
        for part in holds.parts:
            number = f"{part.number}: " if part.number else ""
            yield f"  {number}{part}, {short(part.size)}"
    elif look.found:
        yield "  everything on it will be lost:"
    else:
        yield "  holds nothing that is known here; whatever it holds will be lost"
    for signature in look.found:
        yield f"  wipefs finds {signature}"
    if look.not_looked:
        yield f"  there may be more on it than is known here: {look.not_looked}"


def lost(holds: Contents, look: Look) -> dict[str, Any]:
    """The same as data; `signatures`: null where `wipefs` could not look."""
    parts = [
        {"number": part.number, "size": part.size, "kind": part.kind, "label": part.label}
        for part in holds.parts
    ]
    marks = [{"offset": one.offset, "kind": one.kind, "label": one.label} for one in look.found]
    return {
        "table": holds.table or None,
        "parts": parts,
        "signatures": None if look.not_looked else marks,
    }


def _described(target: Target) -> str:
    if target.kind == "file":
        return f"a file of {quantity(target.size)}"
    kind = "removable disk" if target.removable else "disk"
    return ", ".join(part for part in (target.model, kind, quantity(target.size)) if part)


def _confirm(target: Target, options: Options, session: Session) -> None:
    if options.yes:
        return
    if session.manner.json or not sys.stdin.isatty():
        raise InputError(
            "nobody can be asked here whether it is to be overwritten",
            subject=str(target.path),
            remedy="give --yes if it is; nothing was written",
        )
    name = target.path.name
    try:
        answer = typer.prompt(f"To overwrite it, type its name ({name})", default="", err=True)
    except typer.Abort as error:  # the end of the input
        raise InputError("nothing was written", subject=str(target.path)) from error
    if answer.strip() != name:
        raise InputError("nothing was written", subject=str(target.path))


def _carry_out(
    finished: Finished, target: Target, zeros: tuple[range, ...], session: Session
) -> tuple[bool, bool, float]:
    """Write, read back, and look what is left of the old disk.

    Gives whether it was read past the cache, whether there was such a look, and when the writing
    ended.
    """
    from orchestrator.stick import writer
    from orchestrator.stick.medium import held

    image, expected = finished.image, finished.image_digest
    stopping = session.stopping
    event = stopping.event
    try:
        with (
            stopping.gracefully(tell=True),
            held(target) as medium,
            _saying(medium),
            _progress(session) as tell,
        ):
            written = writer.write(
                image, medium, tell("writing"), event, expected=expected, zeros=zeros
            )
            between = time.monotonic()
            past_cache = writer.check(written, medium, tell("reading back"), event)
            looked = _nothing_remains(writer.remaining(image, medium), target)
            # Not before: whoever mounts it changes what is on it.
            medium.announce()
    finally:
        stopping.worked = False
    return past_cache, looked, between


def _nothing_remains(found: tuple[Signature, ...] | None, target: Target) -> bool:
    """Return whether there was a look, which found nothing."""
    if found:
        raise ComparisonError(
            "the image was written whole and read back, but wipefs still finds "
            + ", ".join(map(str, found)),
            subject=str(target.path),
            remedy="write it again: what is found before is overwritten",
        )
    return found is not None


@contextmanager
def _saying(medium: Medium) -> Iterator[None]:
    """Say what became of the stick however the work ends, with --quiet too."""
    try:
        yield
    except (ComparisonError, InfrastructureError):
        raise  # they say it themselves
    except BaseException:
        # The signal that comes second ends work of any kind by an exception of its own.
        with suppress(OSError):
            say(f"note: {medium.state}", errors=True)
        raise


@contextmanager
def _progress(session: Session) -> Iterator[Any]:
    """Gives a function of a title, which gives a function that is told (bytes done, in all)."""
    if session.manner.quiet:
        yield lambda _title: _silent
        return
    if not sys.stderr.isatty():
        yield _lines
        return
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description:12}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=terminal.console(sys.stderr)) as progress:

        def titled(title: str) -> Tell:
            task = progress.add_task(title, total=None)
            return lambda done, total: progress.update(task, completed=done, total=total)

        yield titled


def _silent(_done: int, _total: int) -> None:
    pass


def _lines(title: str) -> Tell:
    begun = time.monotonic()
    said = 0

    def tell(done: int, total: int) -> None:
        nonlocal said
        share = done * _SHARES // total
        if share > said:
            said = share
            rate = done / max(time.monotonic() - begun, 1e-9)
            say(f"{title}: {short(done)} of {short(total)}, {short(int(rate))}/s", errors=True)

    return tell


def _summary(document: dict[str, Any]) -> Iterator[str]:
    image, seconds = document["image"], document["seconds"]
    yield Marked("PASS", f"  {document['device']} holds the image, read back and compared")
    yield f"      blake3 {image['blake3']}"
    yield (
        f"      {quantity(image['size'])}, written in {seconds['write']:.0f} s, "
        f"read in {seconds['check']:.0f} s"
    )
    if document["remains"] is not None:
        yield "      wipefs finds nothing of what was on it before"
    if not document["read_past_cache"]:
        yield "      it could not be read past the kernel's cache, which may have answered"
    if document["kind"] == "disk":
        yield "      it can be taken out now"
