"""Carries out `orchestrate compare`: whether and where two files or folders differ."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from orchestrator.cli.streams import Marked
from orchestrator.cli.wording import quantity
from reproducibility import digest, manifest, regular
from reproducibility.codes import CONTENT
from reproducibility.compare import Check, Verdict, differences, in_words, trees
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orchestrator.cli.session import Session

SCHEMA = 1
_PIECE = 1 << 20
_SHOWN = 50


def compare(first: Path, second: Path, session: Session) -> int:
    """Compare; exit status 1 where they differ.

    Raises:
        InputError: one is not there, or they are not of one kind.
        OSError: something cannot be read.
    """
    for path in (first, second):
        if not path.exists():
            raise InputError("there is no such file or folder", subject=str(path))
    if first.is_dir() != second.is_dir():
        raise InputError("one is a folder and the other is a file", subject=f"{first}, {second}")
    try:
        document = _folders(first, second) if first.is_dir() else _files(first, second)
    except (regular.IrregularFileError, regular.ChangedFileError) as error:
        raise InputError(
            f"cannot compare this: {error.strerror}",
            subject=str(error.filename),
            remedy="name files or folders that nobody writes to meanwhile",
        ) from error
    session.result(document, _told(document, everything=session.manner.verbose))
    return 0 if document["verdict"] == Verdict.PASS.name else 1


def _folders(first: Path, second: Path) -> dict[str, Any]:
    one, other = manifest.scan(first), manifest.scan(second)
    found = in_words(differences(one, other))
    check = trees(CONTENT, str(first), one, other)
    if found:
        # The differences are said one by one: the check's own words would repeat the first few.
        paths = "1 path differs" if len(found) == 1 else f"{len(found)} paths differ"
        check = replace(check, reason=paths)
    return _document(
        check,
        found,
        {"path": str(first), "size": one.size, "blake3": one.digest.hex},
        {"path": str(second), "size": other.size, "blake3": other.digest.hex},
    )


def _files(first: Path, second: Path) -> dict[str, Any]:
    one, other = (
        {"path": str(path), "size": path.stat().st_size, "blake3": digest.of_file(path).hex}
        for path in (first, second)
    )
    if one["blake3"] == other["blake3"]:
        same = Check(CONTENT["same"], str(first), "the files are the same")
        return _document(same, [], one, other)
    check = Check(CONTENT["differs"], str(first), "the files differ")
    return _document(check, list(_where(first, second)), one, other)


def _document(
    check: Check, found: list[str], one: dict[str, Any], other: dict[str, Any]
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "verdict": check.verdict.name,
        "reason": check.reason,
        "first": one,
        "second": other,
        "differences": found,
    }


def _where(first: Path, second: Path) -> Iterator[str]:
    """Return how two files differ: their sizes, the first place, how many bytes."""
    sizes = first.stat().st_size, second.stat().st_size
    if sizes[0] != sizes[1]:
        yield f"sizes: {sizes[0]} and {sizes[1]} bytes"
    place = count = at = 0
    with regular.opened(first) as one, regular.opened(second) as other:
        while (left := one.read(_PIECE)) and (right := other.read(_PIECE)):
            if left != right:
                unequal = [
                    n for n, pair in enumerate(zip(left, right, strict=False)) if pair[0] != pair[1]
                ]
                if not count and unequal:
                    place = at + unequal[0]
                count += len(unequal)
            at += min(len(left), len(right))
    if count:
        yield f"first different byte: at {place} (0x{place:x})"
        yield f"different bytes: {count} of the {min(sizes)} that both have"
    else:
        yield f"the shorter one is the beginning of the longer one: {min(sizes)} bytes"


def _told(document: dict[str, Any], *, everything: bool) -> Iterator[str]:
    found: list[str] = document["differences"]
    if document["verdict"] == Verdict.PASS.name:
        first = document["first"]
        yield Marked("PASS", f"  {document['reason']}, {quantity(first['size'])}")
        yield f"      blake3 {first['blake3']}"
        return
    yield Marked("FAIL", f"  {document['reason']}")
    for name in ("first", "second"):
        side = document[name]
        yield f"      {side['path']}: {quantity(side['size'])}, blake3 {side['blake3']}"
    shown = found if everything else found[:_SHOWN]
    for difference in shown:
        yield f"  {difference}"
    if len(shown) < len(found):
        yield f"  and {len(found) - len(shown)} more; -v shows all"
