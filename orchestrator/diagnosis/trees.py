"""Explains how two trees differ, from their manifests and the content of the files that differ."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from orchestrator.diagnosis import evidence, files
from orchestrator.diagnosis.formats import seed
from orchestrator.diagnosis.model import UNKNOWN, Cause, Collector, Judgement, Limits, Sureness
from orchestrator.diagnosis.source import OpenFile, Pair
from orchestrator.golang import seed_index
from reproducibility import regular
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from orchestrator.diagnosis.model import Diagnosis
    from reproducibility.manifest import Entry, Tree

    Place = Callable[[Entry], Path]


def explain(  # noqa: PLR0913 - two sides, each with its files
    first: Tree,
    second: Tree,
    first_file: Place,
    second_file: Place,
    *,
    limits: Limits | None = None,
    known: Mapping[str, tuple[str, str]] | None = None,
) -> Diagnosis:
    """Return why two trees differ, and where; without findings where they are the same.

    `first_file`, `second_file`: where the content of an entry lies. `known`: the conditions under
    which they were made: name (as in `work directory`) -> value on the first and on the second
    side.

    Raises:
        OSError: a file cannot be read.
        SourceryError: what `first_file` or `second_file` raise.
    """
    to = Collector(limits or Limits(), known)
    collect(first, second, first_file, second_file, to)
    return to.diagnosis()


def explain_files(
    path: str,
    first: Path,
    second: Path,
    *,
    limits: Limits | None = None,
    known: Mapping[str, tuple[str, str]] | None = None,
) -> Diagnosis:
    """Return why two files differ, and where. `path`: their name for people. As `explain`.

    Raises:
        OSError: a file cannot be read.
    """
    to = Collector(limits or Limits(), known)
    collect_files(path, first, second, to)
    return to.diagnosis()


def collect(
    first: Tree, second: Tree, first_file: Place, second_file: Place, to: Collector
) -> None:
    """Add why two trees differ. Arguments and errors as `explain`."""
    outputs = _outputs(first, second, first_file, second_file, to)
    taken = {path for both in outputs for path in both}
    _names(first.where(lambda one: one.path not in taken or second.get(one.path) is not None),
           second.where(lambda one: one.path not in taken or first.get(one.path) is not None),
           to)  # fmt: skip
    for path, other_path in outputs:
        one, two = first.get(path), second.get(other_path)
        if one is not None and two is not None:
            collect_files(path, first_file(one), second_file(two), to)
    looked = len(outputs)
    for entry in first:
        other = second.get(entry.path)
        if other is None or other == entry:
            continue
        if entry.kind != other.kind:
            to.say(entry.path, "its kind", UNKNOWN, (entry.kind, other.kind), kind="kind")
            continue
        if entry.executable != other.executable:
            to.say(
                entry.path, "the executable bit", _mode(to),
                tuple("executable" if one.executable else "not" for one in (entry, other)),  # type: ignore[arg-type]
                kind="executable",
            )  # fmt: skip
        if entry.digest == other.digest:
            continue
        looked += 1
        if looked > to.limits.files:
            to.note(f"of the files that differ the first {to.limits.files} were looked into")
            break
        collect_files(entry.path, first_file(entry), second_file(other), to)


def _outputs(
    first: Tree, second: Tree, first_file: Place, second_file: Place, to: Collector
) -> list[tuple[str, str]]:
    """The files that the same compilation gave: a package cache names them by what they hold."""
    found: list[tuple[str, str]] = []
    for entry in first.files():
        other = second.get(entry.path)
        folder, _, name = entry.path.rpartition("/")
        if name != seed_index.INDEX or other is None or other.digest == entry.digest:
            continue
        if max(entry.size, other.size) > to.limits.whole:
            continue
        with suppress(InputError):
            pairs = seed.renamed(
                regular.read(first_file(entry), limit=to.limits.whole),
                regular.read(second_file(other), limit=to.limits.whole),
            )
            start = f"{folder}/" if folder else ""
            found += [(start + one, start + two) for one, two in pairs]
    there = [both for both in found if first.get(both[0]) and second.get(both[1])]
    return there[: to.limits.files]


def collect_files(path: str, first: Path, second: Path, to: Collector) -> None:
    """Add why two files differ.

    Raises:
        OSError: one cannot be read.
    """
    with ExitStack() as stack:
        one, other = (
            OpenFile(stream.fileno(), size)
            for stream in (stack.enter_context(regular.opened(place)) for place in (first, second))
            for size in [stream.seek(0, 2)]
        )
        files.explain(Pair(path, one, other), to)


def _mode(to: Collector) -> Judgement:
    umask = next((name for name in to.known if "umask" in name.lower()), None)
    if umask is None:
        return UNKNOWN
    one, other = to.known[umask]
    reason = f"permissions, and the sides had other file mode masks: {one} and {other}"
    return Judgement(Cause.USER, Sureness.LIKELY, reason)


def _names(first: Tree, second: Tree, to: Collector) -> None:
    """The paths that only one side has; those with the same content were renamed."""
    only = [entry for entry in first if second.get(entry.path) is None]
    others = [entry for entry in second if first.get(entry.path) is None]
    paired = len(only) == len(others)
    # They say little of a cause: what is said of the files that differ needs room, too.
    room = iter(range(to.limits.findings // 2))
    for number, entry in enumerate(only):
        if next(room, None) is None:
            to.count()
        elif paired and _same(entry, others[number]):
            other = others[number]
            judged = evidence.judge(entry.path, other.path, to.known)
            to.say(entry.path, "its name", judged, (entry.path, other.path), kind="name")
        else:
            to.say(entry.path, "only in the first", _ALONE, (entry.kind, None), kind="only")
    for number, entry in enumerate(others):
        if paired and _same(only[number], entry):
            continue
        if next(room, None) is None:
            to.count()
        else:
            to.say(entry.path, "only in the second", _ALONE, (None, entry.kind), kind="only")


def _same(one: Entry, other: Entry) -> bool:
    return (one.kind, one.digest) == (other.kind, other.digest)


_ALONE = Judgement(Cause.UNKNOWN, Sureness.POSSIBLE, "a path that only one side has")
