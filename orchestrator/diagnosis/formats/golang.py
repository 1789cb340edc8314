"""Go: build information (`.go.buildinfo`), build IDs, the headers of compiled packages.

Sources: Go, debug/buildinfo (the format of the information), cmd/internal/buildid and
cmd/go/internal/work/buildid.go (build IDs), cmd/internal/archive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.diagnosis import evidence
from orchestrator.diagnosis.model import UNKNOWN, Cause, Judgement, Sureness
from orchestrator.diagnosis.source import Memory

if TYPE_CHECKING:
    from orchestrator.diagnosis.model import Collector
    from orchestrator.diagnosis.source import Pair

_MAGIC = b"\xff Go buildinf:"
_INLINE = 2
_STRINGS_AT = 32
# What stands before and behind the modules' list, so that it is found in a program's memory.
_SENTINEL = 16
_LARGEST = 1 << 20
_GNU_RANDOM = 16
_ACTION_AND_CONTENT = 2


def build_information(data: bytes) -> tuple[str, list[str]] | None:
    """Go's version and the lines of a program's build information; None where there is none.

    Only the form that Go writes since 1.18 is read, in which the strings lie behind the header.
    """
    if not data.startswith(_MAGIC) or len(data) < _STRINGS_AT or not data[15] & _INLINE:
        return None
    version, at = _string(data, _STRINGS_AT)
    modules, _ = _string(data, at)
    if len(modules) >= 2 * _SENTINEL + 1 and modules[-_SENTINEL - 1 : -_SENTINEL] == b"\n":
        modules = modules[_SENTINEL:-_SENTINEL]
    lines = modules.decode("utf-8", "replace").split("\n")
    return version.decode("utf-8", "replace"), lines


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    """A string behind its length, a number of groups of 7 bits."""
    length = shift = 0
    while at < len(data) and shift < 32:  # noqa: PLR2004 - bits
        byte = data[at]
        at += 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:  # noqa: PLR2004 - the last group
            break
    length = min(length, _LARGEST)
    return data[at : at + length], at + length


def explain_build_information(pair: Pair, to: Collector) -> bool:
    """Add what differs in two programs' build information; False where nothing is told by it."""
    whole = pair.whole(_LARGEST)
    if whole is None:
        return False
    one, other = (build_information(data) for data in whole)
    if one is None or other is None or one == other:
        return False
    if one[0] != other[0]:
        judged = Judgement(Cause.INPUT, Sureness.CERTAIN, "another version of Go made it")
        to.say(pair.path, "Go's version", judged, (one[0], other[0]))
    settings = [{line.partition("=")[0]: line for line in side[1]} for side in (one, other)]
    for key in dict.fromkeys([*settings[0], *settings[1]]):
        values = settings[0].get(key), settings[1].get(key)
        if values[0] != values[1]:
            judged = _setting(key, *values, to)
            place = f"build information, {' '.join(key.split()) or 'a line'}"
            found = whole[0].find((values[0] or "").encode()) if values[0] else None
            to.say(pair.path, place, judged, values, offset=found, kind="setting")
    if settings[0] == settings[1] and one[0] == other[0]:
        ordered = evidence.order(one[1], other[1])
        if ordered is None:
            return False
        to.say(pair.path, "the order of the build information", ordered, (None, None))
    return True


def _setting(key: str, one: str | None, other: str | None, to: Collector) -> Judgement:
    if one and other and not key.rpartition("\t")[2].startswith("vcs."):
        judged = evidence.judge(one, other, to.known)
        if judged.cause is not Cause.UNKNOWN and key.startswith("build"):
            return judged
    return Judgement(
        Cause.INPUT, Sureness.LIKELY,
        "the build information says that it was made from something else, or with other settings",
    )  # fmt: skip


def judge_build_id(first: bytes, second: bytes, *, alone: bool) -> Judgement:
    """Judge two build IDs. `alone`: nothing else differs in the file.

    A Go build ID has parts: `action ID/content ID`, of a program `action ID/main's action
    ID/main's content ID/content ID`. An action ID is a digest of what the compiler or linker was
    given. GNU's is a digest of the file before it was stripped, or random (`--build-id=uuid`).
    """
    one, other = (value.decode("ascii", "replace").split("/") for value in (first, second))
    go = len(one) == len(other) and len(one) >= _ACTION_AND_CONTENT
    if not alone:
        reason = "a build ID, which is a digest and follows from what differs elsewhere"
        return Judgement(Cause.UNKNOWN, Sureness.POSSIBLE, reason)
    if go and one[0] != other[0]:
        return Judgement(
            Cause.INPUT, Sureness.POSSIBLE,
            "the build ID's action part differs, and nothing else: the compiler was given "
            "something else that left no other trace",
        )  # fmt: skip
    if go:
        return UNKNOWN
    if len(first) == len(second) and first != second:
        words = "as long as a random one" if len(first) == _GNU_RANDOM else f"of {len(first)} bytes"
        return Judgement(
            Cause.RANDOMNESS, Sureness.POSSIBLE,
            f"a build ID, {words}; nothing else differs, so it is no digest of the rest: it is "
            "random, or of something that was taken out since",
        )  # fmt: skip
    return UNKNOWN


# -- compiled packages -----------------------------------------------------------------------------

_OBJECT = b"go object "


def is_object(data: bytes) -> bool:
    """Tell whether bytes are a member of a Go archive, with its header in text."""
    return data.startswith(_OBJECT)


def explain_object(pair: Pair, to: Collector) -> None:
    """Add what differs in the header of a compiled package, and behind it."""
    whole = pair.whole(to.limits.whole)
    if whole is None:
        return
    ends = [max(data.find(b"\n\n"), data.find(b"\n!\n")) for data in whole]
    heads = [data[: max(0, end)] for data, end in zip(whole, ends, strict=True)]
    same_rest = whole[0][len(heads[0]) :] == whole[1][len(heads[1]) :]
    lines = [head.decode("utf-8", "replace").split("\n") for head in heads]
    for number, (one, other) in enumerate(zip(*lines, strict=False)):
        if one == other:
            continue
        at = len("\n".join(lines[0][:number])) + bool(number)
        if one.startswith("build id ") and other.startswith("build id "):
            ids = [line.split('"')[1].encode() if line.count('"') > 1 else line.encode()
                   for line in (one, other)]  # fmt: skip
            judged = judge_build_id(ids[0], ids[1], alone=same_rest)
            to.say(pair.path, "build ID", judged, (one, other), offset=at, follows=not same_rest)
        else:
            judged = Judgement(Cause.INPUT, Sureness.LIKELY, "the compiler says other settings")
            to.say(pair.path, f"header, line {number + 1}", judged, (one, other), offset=at)
    if not same_rest:
        rest = [data[len(head) :] for data, head in zip(whole, heads, strict=True)]
        _rest(pair, to, rest, len(heads[0]))


def _rest(pair: Pair, to: Collector, rest: list[bytes], start: int) -> None:
    from orchestrator.diagnosis import blob  # noqa: PLC0415 - bytes only come last

    within = pair.within("compiled code and types", Memory(rest[0]), Memory(rest[1]))
    blob.explain(within, to, lambda at: f"byte {start + at} of the member")
