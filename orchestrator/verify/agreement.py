"""Compares several verified folders: who agrees with whom, and the first action that parts them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.diagnosis import builds

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from orchestrator.artifacts.model import BuildResult
    from orchestrator.verify.model import Verified


@dataclass(frozen=True, slots=True)
class Group:
    """Folders that have the same image, archive and tree. `keys`: ids of who signed them."""

    image: str
    folders: tuple[str, ...]
    keys: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """The group as a JSON object."""
        return {"image": self.image, "folders": list(self.folders), "keys": list(self.keys)}


@dataclass(frozen=True, slots=True)
class Parting:
    """Where two groups part, each by its first folder.

    `step`: the first in the order of the plan that gave something else; empty where none did.
    `why`: in words. `lines`: the whole comparison, for people.
    """

    first: str
    second: str
    step: str
    why: str
    lines: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """The parting as a JSON object."""
        return {
            "first": self.first,
            "second": self.second,
            "step": self.step,
            "why": self.why,
            "lines": list(self.lines),
        }


@dataclass(frozen=True)
class Agreement:
    """Groups of folders that agree, the largest first, and where the others part from it."""

    groups: tuple[Group, ...]
    partings: tuple[Parting, ...]

    def document(self) -> dict[str, Any]:
        """The agreement as a JSON object."""
        return {
            "groups": [one.document() for one in self.groups],
            "partings": [one.document() for one in self.partings],
        }


def agree(folders: Sequence[Verified]) -> Agreement:
    """Group folders by what they built. A folder without a readable result is in no group.

    A builder is a key: two folders that one key signed are one builder's.
    """
    found: dict[tuple[str, str, str], list[Verified]] = {}
    for folder in folders:
        result = folder.result
        if result is not None:
            same = (result.image.blake3, result.cpio.blake3, str(result.root.tree))
            found.setdefault(same, []).append(folder)
    ordered = sorted(found.items(), key=lambda item: -len(item[1]))
    groups = tuple(
        Group(
            same[0],
            tuple(one.path for one in those),
            tuple(sorted({key for one in those for key in one.signers})),
        )
        for same, those in ordered
    )
    first = ordered[0][1][0] if ordered else None
    partings = tuple(_parting(first, those[0]) for _, those in ordered[1:] if first is not None)
    return Agreement(groups, partings)


def builders(folders: Sequence[Verified], known: Collection[str]) -> dict[str, str]:
    """Return as many independent builders as there are: key -> the build that it stands for.

    Each has a key and a build of its own. A build is known by its result, whose times no other run
    has, and not by where it lies: a copy of a folder is no second build, whoever signed it. So a
    build that two signed is one, and so are two builds that one signed (maximum matching, by
    augmenting paths).
    """
    keys: dict[str, list[str]] = {}
    for one in folders:
        own = keys.setdefault(one.build, [])
        own += [key for key in one.signers if key in known and key not in own]
    found: dict[str, str] = {}
    for build in keys:
        _matched(build, keys, found, set())
    return found


def _matched(
    build: str, keys: Mapping[str, Sequence[str]], found: dict[str, str], tried: set[str]
) -> bool:
    for key in keys[build]:
        if key in tried:
            continue
        tried.add(key)
        if key not in found or _matched(found[key], keys, found, tried):
            found[key] = build
            return True
    return False


def _parting(one: Verified, other: Verified) -> Parting:
    if one.result is None or other.result is None:
        raise ValueError("a folder without a result is in no group")
    compared = builds.compare(one.result, other.result)
    step, why = _first(one.result, other.result, compared)
    return Parting(one.path, other.path, step, why, tuple(compared.lines()))


def _first(one: BuildResult, other: BuildResult, compared: builds.Comparison) -> tuple[str, str]:
    """The first step, as the first build's plan has them, with other outputs or another key."""
    varying = {found.name for found in compared.varying}
    changed = frozenset(compared.changed)
    following = frozenset(compared.following)
    for name in _planned(one):
        if name in varying:
            return (
                name,
                "it was given the same and made something else: not deterministic, or forged",
            )
        if name in changed:
            return name, "it was given something else, and made something else"
        if name in following:
            return name, "it was given something else"
    theirs = {step.name for step in other.steps}
    alone = next((step.name for step in one.steps if step.name not in theirs), "")
    if alone:
        return alone, "only one of the two has it"
    return "", "no step that the results name parts them"


def _planned(result: BuildResult) -> list[str]:
    """Names of the steps in the order of the plan, in which the result lists them."""
    return [step.name for step in result.steps]
