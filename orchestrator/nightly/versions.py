"""Tells how far an input's version moved: a patch release, further, or back. Pure.

Debian versions (deb-version(7)) are ordered as dpkg does it, all others as semver.org says.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TypeAlias

from debian.debian_support import NativeVersion

_LONGEST = 500
_NUMBER = r"(0|[1-9][0-9]{0,17})"
_SEMANTIC = re.compile(
    rf"v?{_NUMBER}\.{_NUMBER}(?:\.{_NUMBER})?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?"
)
# golang.org/x/mod/module: a commit, of which only the time is known.
_PSEUDO = re.compile(r"(?:.*\.)?(?:0\.)?[0-9]{14}-[0-9A-Za-z]+")
# The published toolchain's module: reproducibility/gomodule.py.
_TOOLCHAIN = re.compile(r"v0\.0\.1-go([^-]+)\.linux-([a-z0-9]+)")

# Order of pre-releases (semver.org, 11): none is the last; of identifiers, numbers come first.
_Order: TypeAlias = tuple[bool, tuple[tuple[bool, int, str], ...]]


class Step(StrEnum):
    """Step from one version to another. `FURTHER`: than a patch release, or not to be told."""

    SAME = "same"
    PATCH = "patch"
    FURTHER = "further"
    BACK = "back"


def step(kind: str, before: str, after: str) -> Step:
    """Return how far a version moved. `kind`: of the input, as in a lock.

    A patch release moves the Debian revision or the last part of the upstream version; elsewhere
    the third number, or from a pre-release to the release. What is no version of its kind moves
    further.
    """
    if before == after:
        return Step.SAME
    if max(len(before), len(after)) > _LONGEST:
        return Step.FURTHER
    return _debian(before, after) if kind == "debian-package" else _semantic(before, after)


def _debian(before: str, after: str) -> Step:
    try:
        first, second = NativeVersion(before), NativeVersion(after)
        back = second < first
    except ValueError:
        return Step.FURTHER
    if back:
        return Step.BACK
    if (first.epoch or "0") != (second.epoch or "0"):
        return Step.FURTHER
    old, new = ((one.upstream_version or "").split(".") for one in (first, second))
    if old == new:
        return Step.PATCH
    # 6.12 to 6.12.1 is one; 257 to 258 is none, since nothing comes before the last part.
    same = old[:-1] == new[:-1] if len(old) == len(new) else old == new[:-1]
    return Step.PATCH if same and len(new) > 1 else Step.FURTHER


def _semantic(before: str, after: str) -> Step:
    told, now = _TOOLCHAIN.fullmatch(before), _TOOLCHAIN.fullmatch(after)
    if told or now:
        if not told or not now or told[2] != now[2]:
            return Step.FURTHER
        before, after = told[1], now[1]
    first, second = _SEMANTIC.fullmatch(before), _SEMANTIC.fullmatch(after)
    if not first or not second:
        return Step.FURTHER
    old, new = (tuple(int(part or 0) for part in one.groups()[:3]) for one in (first, second))
    if (new, _order(second[4])) < (old, _order(first[4])):
        return Step.BACK
    pseudo = any(_PSEUDO.fullmatch(one[4] or "") for one in (first, second))
    return Step.PATCH if old[:2] == new[:2] and not pseudo else Step.FURTHER


def _order(pre_release: str | None) -> _Order:
    parts = (pre_release or "").split(".") if pre_release else []
    return pre_release is None, tuple(
        (not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts
    )
