"""Licences of what is on an image, as SPDX expressions: recognised in texts, or read from Debian's.

`identify` compares a text with those that are in common use, which is fast; what it does not know,
`spdx-matcher` holds against every text of the SPDX list by that list's matching guidelines. Neither
decides what a licence means: what is not recognised is NOASSERTION.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, cast

from debian.copyright import Copyright, Error
from identify.identify import license_id

from orchestrator.evidence.contents import NO_ASSERTION
from reproducibility import regular

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import ModuleType

    from debian.copyright import FilesParagraph, License, LicenseParagraph

# Bytes. The longest text of the SPDX list that modules come with has some 35 KiB (GPL-3.0).
_LARGEST = 64 << 10
# Characters. Below it, a licence's short form may stand for the licence ("Licensed under the Apache
# License"); the licences that have such a form are longer, and it is part of their text.
_SHORT = 4 << 10
# How much of a text must be that of licences; the rest are names, years and headings.
_ENOUGH = 0.8
# As the go command and pkg.go.dev look for them: at the top of a module.
_FILE = re.compile(r"(?:.*[_-])?(?:licen[cs]e|copying|unlicense)(?:[._-].*)?", re.IGNORECASE)
_NO_TEXT = re.compile(r"\.(?:go|py|json|docs|sh)$")
_WHOSE = re.compile(r"\s*copyright\s+(?:\(c\)|©|[0-9])", re.IGNORECASE)
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9.]+")


def is_licence(name: str) -> bool:
    """Return whether a file's name is that of a licence's text."""
    return _FILE.fullmatch(name) is not None and not _NO_TEXT.search(name)


def recognised(path: Path) -> str:
    """Return the licences whose text a file holds, as an SPDX expression.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        data = regular.read(path, limit=_LARGEST)
    except regular.LargeFileError:
        return NO_ASSERTION
    try:
        known = license_id(str(path))
    except UnicodeDecodeError:
        known = None
    # Whose it is says nothing of which it is (SPDX matching guidelines), and so alike ones are one.
    lines = data.decode("utf-8", "replace").splitlines()
    return known or _by_guidelines("\n".join(one for one in lines if not _WHOSE.match(one)))


def together(found: list[str]) -> str:
    """Return the expression for a component whose texts say each of these."""
    known = sorted({one for one in found if one != NO_ASSERTION})
    if not known:
        return NO_ASSERTION
    return " AND ".join(dict.fromkeys(part for one in known for part in one.split(" AND ")))


def of_debian(package: str, data: bytes) -> tuple[str, dict[str, str]]:
    """Return the licences of a Debian package by its copyright file, and the text of each.

    The file's own names are kept, as references (`LicenseRef-`): they are not SPDX's, and to take
    one for the other would be to judge.
    """
    try:
        # `strict` off: it warns of small mistakes otherwise, of which there are many.
        parsed = Copyright(data.decode("utf-8", "replace").splitlines(keepends=True), strict=False)
        texts = _told(parsed.all_license_paragraphs())
        named = _told(parsed.all_files_paragraphs())
    except (Error, ValueError):
        return NO_ASSERTION, {}
    extracted = {
        _reference(package, name): (text or texts.get(name, "")).strip()
        or f"The package's copyright file names it: {name}"
        for name, text in sorted(named.items())
    }
    return " AND ".join(extracted) or NO_ASSERTION, extracted


def _told(paragraphs: Iterable[LicenseParagraph | FilesParagraph]) -> dict[str, str]:
    """The text of each licence that paragraphs name, empty where they say no more."""
    found = [cast("License | None", one.license) for one in paragraphs]
    return {one.synopsis: one.text or "" for one in found if one is not None and one.synopsis}


@functools.cache
def _matcher() -> ModuleType:
    """Load spdx-matcher: a second for its texts, and a build with nothing to do needs none."""
    import spdx_matcher  # noqa: PLC0415

    # It normalises the text again for each of its 700 licences, three quarters of all its work.
    spdx_matcher.normalize = functools.lru_cache(maxsize=16)(spdx_matcher.normalize)
    loaded: ModuleType = spdx_matcher
    return loaded


@functools.lru_cache(maxsize=1024)
def _by_guidelines(text: str) -> str:
    analysed = _matcher().analyse_license_text
    found, part = analysed(text, include_header_match=False)
    if part < _ENOUGH:
        return NO_ASSERTION
    names = {*found["licenses"]}
    if len(text) < _SHORT:
        names |= {*analysed(text)[0]["licenses"]}
    return " AND ".join(sorted(names)) or NO_ASSERTION


def _reference(package: str, name: str) -> str:
    readable = _NOT_IN_IDS.sub("-", name.replace("+", "-plus ")).strip("-")
    return f"LicenseRef-Debian-{_NOT_IN_IDS.sub('-', package)}-{readable}"
