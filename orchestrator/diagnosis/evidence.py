"""Judges from two texts or values that differ what kind of cause the difference has. Pure.

Most rules work alike: what a rule knows (times, paths, addresses) is taken out of both texts; where
they are the same then, the rule explains all of the difference, and else it says nothing. What no
rule explains is `unknown`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.diagnosis import moments
from orchestrator.diagnosis.model import UNKNOWN, Cause, Judgement, Sureness

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Pairs = list[tuple[str, str]]
_LONGEST = 4096
# Values shorter than this are met by chance.
_TELLING = 3

# What a condition's name holds -> the class of what depends on it; the first that fits.
_CONDITIONS = (
    (("order",), Cause.ORDER),
    (("locale", "lang", "lc_", "zone", "tz"), Cause.LOCALE),
    (("time", "clock", "date", "epoch"), Cause.TIME),
    (("cpu", "parallel", "jobs", "thread", "processor", "memory"), Cause.PARALLELISM),
    (("random", "aslr", "seed", "address"), Cause.RANDOMNESS),
    (("environment", "input"), Cause.INPUT),
    (("user", "group", "uid", "gid", "host", "domain", "umask", "kernel", "machine", "login"),
     Cause.USER),
    (("work", "directory", "home", "path", "tmp", "folder"), Cause.PATH),
)  # fmt: skip


def judge(first: str, second: str, known: Mapping[str, tuple[str, str]] | None = None) -> Judgement:
    """Return the cause of a difference between two lines or words.

    `known`: conditions whose values on the two sides are known.
    """
    first, second = first[:_LONGEST], second[:_LONGEST]
    if first == second:
        return UNKNOWN
    for rule in (_known(known or {}), *_RULES):
        found = rule(first, second)
        if found is not None:
            return found
    return UNKNOWN


def condition(name: str) -> Cause:
    """The class of what depends on a condition, by its name, as in `host name`."""
    low = name.lower()
    return next(
        (cause for words, cause in _CONDITIONS if any(word in low for word in words)),
        Cause.UNKNOWN,
    )


def order(first: list[str], second: list[str]) -> Judgement | None:
    """Judge two lists that may hold the same parts in another order; None where they do not."""
    if first == second or len(first) != len(second) or sorted(first) != sorted(second):
        return None
    for side, other in ((first, second), (second, first)):
        if side == sorted(side) and other in (_folded(other), _as_words(other)):
            return Judgement(
                Cause.LOCALE,
                Sureness.LIKELY,
                f"the same {len(first)} lines, sorted by code points on one side and as in a "
                "dictionary on the other, as sorting by locale does",
            )
    return Judgement(
        Cause.ORDER, Sureness.CERTAIN, f"the same {len(first)} parts, in another order"
    )


def _folded(lines: list[str]) -> list[str]:
    return sorted(lines, key=lambda line: (line.casefold(), line.swapcase()))


def _as_words(lines: list[str]) -> list[str]:
    """Sorted as glibc's locales do, about: signs do not count, small letters come first."""
    return sorted(
        lines,
        key=lambda line: ("".join(filter(str.isalnum, line)).casefold(), line.swapcase()),
    )


def _known(
    known: Mapping[str, tuple[str, str]],
) -> Callable[[str, str], Judgement | None]:
    ordered = sorted(known.items(), key=lambda item: -min(map(len, item[1])))

    def rule(first: str, second: str) -> Judgement | None:
        for name, (one, other) in ordered:
            if not one or not other or one == other:
                continue
            pattern = re.escape(one)
            if len(one) < _TELLING or one.isdigit():
                pattern = rf"(?<![\w.]){pattern}(?![\w.])"
            found = re.sub(pattern, lambda _, new=other: new, first)  # type: ignore[misc]
            if found == second and found != first:
                telling = min(len(one), len(other)) >= _TELLING and not one.isdigit()
                sure = Sureness.CERTAIN if telling else Sureness.LIKELY
                return Judgement(
                    condition(name), sure, f"each side holds its own {name}: {one!r} and {other!r}"
                )
        return None

    return rule


# -- rules -----------------------------------------------------------------------------------------


def _differing(pattern: re.Pattern[str], first: str, second: str) -> Pairs | None:
    """The matches that differ, where they are the whole difference; else None."""
    if pattern.sub("\0", first) != pattern.sub("\0", second):
        return None
    pairs = zip(pattern.finditer(first), pattern.finditer(second), strict=True)
    return [(a[0], b[0]) for a, b in pairs if a[0] != b[0]] or None


def _times(first: str, second: str) -> Judgement | None:
    for pattern in moments.PATTERNS:
        pairs = _differing(pattern, first, second)
        found = moments.judge(pairs) if pairs else None
        if found is None:
            continue
        if pattern is moments.NUMBERS and not _TIMELY.search(first):
            # A size can be such a number as well.
            return None if _SIZES.search(first) else replace(found, sure=Sureness.POSSIBLE)
        return found
    return None


_TIMELY = re.compile(r"time|date|epoch|stamp|built|build|created|modified|\bat\b", re.IGNORECASE)
_SIZES = re.compile(r"size|bytes|length|\blen\b|count|offset|blocks|memory|total", re.IGNORECASE)


def _said(
    pattern: str, cause: Cause, sure: Sureness, reason: str, flags: re.RegexFlag = re.NOFLAG
) -> Callable[[str, str], Judgement | None]:
    """A rule: all that differs matches a pattern."""
    compiled = re.compile(pattern, flags)

    def rule(first: str, second: str) -> Judgement | None:
        if _differing(compiled, first, second) is None:
            return None
        return Judgement(cause, sure, reason)

    return rule


def _addresses(first: str, second: str) -> Judgement | None:
    pairs = _differing(re.compile(r"\b0x[0-9a-fA-F]{6,16}\b"), first, second)
    if not pairs:
        return None
    # Address-space randomisation moves whole pages of 4096 bytes.
    pages = all(int(a, 16) % 4096 == int(b, 16) % 4096 for a, b in pairs)
    ranges = all(one.lower().startswith(_RANGES) for pair in pairs for one in pair)
    if not (pages or ranges):
        return Judgement(
            Cause.RANDOMNESS, Sureness.POSSIBLE, "numbers that look like addresses in memory"
        )
    return Judgement(
        Cause.RANDOMNESS,
        Sureness.LIKELY,
        "addresses in memory, which address-space randomisation and the heap give",
    )


# Where Linux puts stacks, libraries, programs and Go its heap.
_RANGES = ("0x7f", "0x7e", "0x55", "0x56", "0xc0", "0xffff")


def _hexadecimal(first: str, second: str) -> Judgement | None:
    pairs = _differing(re.compile(r"\b[0-9a-fA-F]{8,}\b"), first, second)
    if not pairs or any(len(a) != len(b) for a, b in pairs):
        return None
    if any(a.isdigit() and b.isdigit() for a, b in pairs):
        return None
    if any(len(a) in _DIGESTS for a, _ in pairs):
        return Judgement(
            Cause.UNKNOWN,
            Sureness.POSSIBLE,
            "hexadecimal numbers as long as a digest: they follow from something else that "
            "differs, or are random",
        )
    if any(_alike(a, b) for a, b in pairs):
        return None
    return Judgement(
        Cause.RANDOMNESS, Sureness.POSSIBLE, "hexadecimal numbers of one length, otherwise unlike"
    )


_DIGESTS = frozenset({32, 40, 56, 64, 96, 128})


def _alike(first: str, second: str) -> bool:
    """Tell whether more than half of the characters are the same."""
    return sum(a == b for a, b in zip(first, second, strict=False)) * 2 > len(first)


def _tokens(first: str, second: str) -> Judgement | None:
    """Long words of letters and digits, mixed, of one length and unlike."""
    pairs = _differing(re.compile(r"[A-Za-z0-9+/_=-]{16,}"), first, second)
    if not pairs:
        return None
    kinds = (re.compile("[0-9]"), re.compile("[a-z]"), re.compile("[A-Z]"))
    for a, b in pairs:
        mixed = all(kind.search(one) for one in (a, b) for kind in kinds)
        if len(a) != len(b) or not mixed or _alike(a, b):
            return None
    return Judgement(
        Cause.RANDOMNESS, Sureness.POSSIBLE, "words of mixed letters and digits, of one length"
    )


def _identifiers(first: str, second: str) -> Judgement | None:
    digits = "[0-9a-fA-F]"
    pattern = rf"\b{digits}{{8}}-{digits}{{4}}-{digits}{{4}}-{digits}{{4}}-{digits}{{12}}\b"
    pairs = _differing(re.compile(pattern), first, second)
    if not pairs:
        return None
    versions = {one[14] for pair in pairs for one in pair}
    if versions == {"4"}:
        return Judgement(Cause.RANDOMNESS, Sureness.LIKELY, "random identifiers (UUID, version 4)")
    if versions <= {"1", "6", "7"}:
        return Judgement(Cause.TIME, Sureness.POSSIBLE, "identifiers made from the time (UUID)")
    return Judgement(Cause.RANDOMNESS, Sureness.POSSIBLE, "identifiers (UUID)")


def _words_in_order(first: str, second: str) -> Judgement | None:
    one, other = (re.split(r"[\s,;\[\]{}()]+", text) for text in (first, second))
    # The same words in the same order differ in what stands between them.
    if len(one) < _TELLING or one == other or sorted(one) != sorted(other):
        return None
    return Judgement(Cause.ORDER, Sureness.LIKELY, "the same words in another order")


_PATH = r"(?<![\w./:-])(?:/[\w.+@~%=,-]+)+/?"
_KEY = r"[\s=:\"'\[(]{1,3}(?:name[\s=:\"']{1,3})?"
_LIKELY, _POSSIBLE = Sureness.LIKELY, Sureness.POSSIBLE

_RULES: tuple[Callable[[str, str], Judgement | None], ...] = (
    _times,
    _said(
        r"\b(?:Africa|America|Antarctica|Asia|Atlantic|Australia|Europe|Indian|Pacific|Etc)"
        r"/[A-Za-z_]+(?:/[A-Za-z_]+)?\b"
        r"|\b(?:UTC|GMT|CET|CEST|EET|EEST|WET|WEST|BST|MSK|IST|JST|AEST|EST|EDT|CST|CDT|MST|MDT"
        r"|PST|PDT)(?:[+-]\d{1,2})?\b",
        Cause.LOCALE, _LIKELY, "names of time zones",
    ),
    _said(
        r"\b[a-z]{2,3}_[A-Z]{2}(?:\.[\w-]+)?(?:@\w+)?\b|\bC(?:\.UTF-?8|\.utf8)?(?!\w)|\bPOSIX\b",
        Cause.LOCALE, _LIKELY, "names of locales",
    ),
    _identifiers,
    _addresses,
    _said(
        r"(?:go-build|go-link-|tmp[._-]?|\bcc)(?=\w{0,63}?[\dA-Z])\w{6,}",
        Cause.RANDOMNESS, _LIKELY, "names of temporary files, which are random",
    ),
    _said(_PATH, Cause.PATH, _LIKELY, "absolute paths"),
    _said(r"(?<![\w.-])[\w.-]+@[\w.-]+", Cause.USER, _LIKELY, "a user and a machine (user@host)"),
    _said(
        rf"\b(?:built[ _-]?(?:by|on)|user|login|owner|group|(?:host|user|domain|group|login)[ _-]?"
        rf"name|host|machine|builder|uname|uid|gid){_KEY}[\w.-]+",
        Cause.USER, _LIKELY, "names behind a word for a user or a machine", re.IGNORECASE,
    ),
    _said(
        r"\b(?:linux|kernel|release)\W{1,3}\d+\.\d+[\w.+-]*",
        Cause.USER, _POSSIBLE, "releases of the machine's kernel", re.IGNORECASE,
    ),
    _said(
        rf"\b(?:n?cpus?|n?proc(?:essor)?s?|jobs|threads|cores|workers|parallel\w*|gomaxprocs){_KEY}"
        r"\d{1,4}\b|\b\d{1,4} (?:cpus?|processors?|cores?|threads?|workers?|jobs)\b",
        Cause.PARALLELISM, _LIKELY, "numbers of processors or of jobs", re.IGNORECASE,
    ),
    _said(
        rf"\b(?:mem(?:ory|total|available)?|ram){_KEY}\d+\b",
        Cause.PARALLELISM, _POSSIBLE, "sizes of the memory", re.IGNORECASE,
    ),
    _said(
        rf"\b(?:seed|nonce|rand(?:om)?|salt|token){_KEY}[\w+/=-]+",
        Cause.RANDOMNESS, _LIKELY, "values behind a word for a random number", re.IGNORECASE,
    ),
    _hexadecimal,
    _tokens,
    _said(r"(?<=\d)[.,](?=\d)", Cause.LOCALE, _POSSIBLE, "signs between the digits of numbers"),
    _words_in_order,
)  # fmt: skip
