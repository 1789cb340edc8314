"""Judges a night: its word, its line, and the whole record of it, from what its stages gave. Pure.

The word is the worst of those that the stages, the comparison with the last build and the audits
give. A step of one key that was seen to give two outputs is not deterministic until its key is
another one: an audit that happens to agree later proves nothing against that. Only a person can
know that a fault of the machine made one of them, and says so in the configuration.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.artifacts.names import IMAGE_STEP
from orchestrator.history import model
from orchestrator.history.words import Word, worst
from orchestrator.nightly import changes as changes_
from orchestrator.nightly.facts import listed
from reproducibility import visible
from reproducibility.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from orchestrator.artifacts.model import Check as BuildCheck
    from orchestrator.artifacts.model import Word as Verdict
    from orchestrator.audit import model as audits
    from orchestrator.nightly.facts import Facts, Frame, Seen

_NAMED = 3
_LONGEST = 400
_UNKNOWN = "unknown"
_ORDER: tuple[Verdict, ...] = ("PASS", "SKIP", "FAIL")


def judge(facts: Facts, frame: Frame) -> model.Night:
    """Return the record of a night.

    One whose evidence is lost has no image: nothing later can be compared with it.
    """
    varying = list(_varying(facts, frame))
    words = [word for _, word in facts.stages if word is not None]
    if varying or _computed_otherwise(facts.audits):
        words.append(Word.NOT_DETERMINISTIC)
    if facts.build is not None and facts.build.verdict == "FAIL":
        words.append(Word.CHECK_FAILED)
    if facts.lost:
        words.append(Word.INFRASTRUCTURE)
    if facts.changes is None and facts.build is not None:
        words.append(Word.INPUTS_CHANGED)
    elif facts.changes is not None:
        unnamed = facts.changes.consequences and not facts.changes.inputs
        if facts.changes.others or unnamed:
            words.append(Word.INPUTS_CHANGED)
        if facts.changes.tool:
            words.append(Word.TOOL_CHANGED)
    word = worst(words)
    same_row = frame.last is not None and frame.last.word is word
    since = frame.last.since if same_row and frame.last else frame.number
    changes = facts.changes
    build = facts.build
    return model.Night(
        number=frame.number,
        date=frame.date,
        began=frame.began,
        ended=frame.ended,
        seconds=round(frame.seconds, 3),
        attempts=frame.attempts,
        word=word,
        line=_line(word, facts, varying, since),
        since=since,
        previous=frame.built.number if frame.built else None,
        tool=frame.tool,
        spec=build.spec if build else None,
        lock=build.lock if build else None,
        locked=facts.locked,
        image=_image(facts),
        verdict=build.verdict if build and not facts.lost else None,
        stages=tuple(stage for stage, _ in facts.stages),
        changes=changes.inputs if changes else (),
        consequences=changes.consequences if changes else (),
        varying=tuple(varying),
        steps=tuple(_steps(facts, frame)),
        checks=tuple(_checks(facts)),
        inputs=tuple(changes_.recorded(build)) if build else (),
        machines=tuple(_machines(facts.booted)),
        notes=(*(one for one in (facts.lost,) if one), *facts.notes, *_faults(facts)),
    )


def _image(facts: Facts) -> model.Image | None:
    if facts.build is None or facts.lost:
        return None
    image = facts.build.image
    return model.Image(blake3=Digest("blake3", image.blake3), size=image.size)


# -- not deterministic


def _varying(facts: Facts, frame: Frame) -> Iterator[model.Varying]:
    """Yield each step of the build whose key was seen to give more than one output."""
    if facts.build is None:
        return
    again = _again(facts)
    since = {one.step: one for one in (frame.built.varying if frame.built else ())}
    between = {
        one.name: one
        for one in (facts.changes.varying if facts.changes else ())
        if (Digest.parse(one.key), one.first) not in facts.faults
    }
    for step in facts.build.steps:
        now = again.get(step.name)
        others = now.others if now else ()
        before = facts.before.get(step.key)
        earlier = [
            (night, seen, output)
            for output, (night, seen) in (before.outputs.items() if before else ())
            if output != step.outputs and (step.key, output) not in facts.faults
        ]
        if not others and not earlier and step.name not in between:
            continue
        known = since.get(step.name)
        known = known if known is not None and known.key == step.key else None
        first_night, other = frame.number, None
        seen: model.Seen = "build"
        if earlier:
            _, seen, other = min(earlier)
            # The second of two outputs is what shows it, whichever came first.
            first_night = known.first_night if known else _first(before, step.outputs, frame)
            seen = known.seen if known else seen
        elif others:
            seen, other = "audit", others[0]
        else:
            other = between[step.name].first
        yield model.Varying(
            step=step.name,
            key=step.key,
            first=step.outputs,
            second=other,
            seen=seen,
            first_night=known.first_night if known else first_night,
            cause=now.cause if now and others else (known.cause if known else _UNKNOWN),
            lines=now.lines if now and others else (known.lines if known else ()),
        )


def _faults(facts: Facts) -> Iterator[str]:
    """Yield a note for each step of which something was seen that is said to be a fault's."""
    for step in facts.build.steps if facts.build else ():
        before = facts.before.get(step.key)
        seen = {*(before.outputs if before else ()), step.outputs}
        for (key, outputs), reason in facts.faults.items():
            if key != step.key or outputs not in seen:
                continue
            if outputs == step.outputs:
                what = "and the store still has it: `orchestrate store gc --unused-for 0` drops it"
            else:
                what = "and does not count"
            yield f"{step.name} was seen to give {outputs}, which is said to be a fault's, {what}"
            yield f"the fault: {visible.line(reason)}"


def _first(before: Seen | None, outputs: Digest, frame: Frame) -> int:
    """Return the night in which a key was first seen to have given two outputs."""
    known = before.outputs if before else {}
    nights = [night for night, _ in known.values()]
    if outputs not in known:
        nights.append(frame.number)
    return max(sorted(nights)[:2])


@dataclass(frozen=True)
class _Again:
    """What the audits of this night saw of one step, an action or a computation.

    `verdict`: the worst. `others`: outputs that are not the build's. `cause`, `lines`: of those.
    """

    verdict: Verdict
    others: tuple[Digest, ...]
    cause: str
    lines: tuple[str, ...]

    def and_also(self, other: _Again) -> _Again:
        """Both together: the first that saw something else explains it."""
        first = self if self.others else other
        return _Again(
            max(self.verdict, other.verdict, key=_ORDER.index),
            tuple(dict.fromkeys((*self.others, *other.others))),
            first.cause,
            first.lines,
        )


def _again(facts: Facts) -> Mapping[str, _Again]:
    """Return what the audits of this night saw, by the names of the build's steps.

    A computation without a step is of the image's step, which makes several things.
    """
    names = {step.name for step in facts.build.steps} if facts.build else set()
    found: dict[str, _Again] = {}
    for audit in facts.audits:
        seen = {step.name: _of_action(step) for step in audit.steps}
        computed: dict[str, list[audits.Computation]] = defaultdict(list)
        for one in audit.computations:
            computed[one.name if one.name in names else IMAGE_STEP].append(one)
        seen.update({name: _of_computation(name, those) for name, those in computed.items()})
        for name, those in seen.items():
            found[name] = found[name].and_also(those) if name in found else those
    return found


def _of_action(step: audits.Step) -> _Again:
    outputs = (one.outputs for one in step.rounds)
    others = dict.fromkeys(one for one in outputs if one is not None and one != step.outputs)
    cause = step.bisected.cause if step.bisected is not None else _UNKNOWN
    return _Again(step.verdict, tuple(others), cause, _explained(step))


def _of_computation(step: str, those: Sequence[audits.Computation]) -> _Again:
    differing = [one for one in those if _differs(one)]
    lines: list[str] = []
    for one in differing:
        lines.append(f"{one.name}: {one.check.reason}")
        lines += one.explanation.lines if one.explanation is not None else ()
    return _Again(
        max((one.check.verdict for one in those), key=_ORDER.index),
        # What has another name is a part of the step's outputs.
        tuple(one.found for one in differing if one.found is not None and one.name == step),
        _UNKNOWN,
        tuple(lines),
    )


def _differs(one: audits.Computation) -> bool:
    return one.found is not None and one.found != one.expected


def _explained(step: audits.Step) -> tuple[str, ...]:
    lines: list[str] = []
    found = step.bisected
    if found is not None and found.itself:
        lines.append(f"it differs from itself, without any variation ({found.runs} runs)")
    elif found is not None:
        names = " together with ".join(found.variations)
        lines.append(f"the smallest cause: {names} ({found.runs} runs)")
    for one in step.rounds:
        if one.explanation is not None:
            lines += one.explanation.lines
            break
    return tuple(lines)


def _computed_otherwise(found: Sequence[audits.AuditResult]) -> list[str]:
    """Names of computations that another process came out differently with."""
    return [
        one.name
        for audit in found
        for one in audit.computations
        if one.check.verdict == "FAIL" and _differs(one)
    ]


# -- the rows of a night


def _steps(facts: Facts, frame: Frame) -> Iterator[model.Step]:
    if facts.build is None:
        return
    again = _again(facts)
    for step in facts.build.steps:
        now = again.get(step.name)
        before = facts.before.get(step.key)
        last = (frame.number, now.verdict) if now else before.audited if before else None
        yield model.Step(
            name=step.name,
            kind=step.kind,
            key=step.key,
            outputs=step.outputs,
            seconds=step.seconds,
            cached=step.cached,
            audited=last[0] if last else None,
            verdict=last[1] if last else None,
            others=now.others if now else (),
        )


def _checks(facts: Facts) -> Iterator[model.Check]:
    if facts.build is not None:
        yield from (_check("build", one) for one in facts.build.checks)
    for audit in facts.audits:
        yield from (_check("audit", one) for one in audit.checks)
    for one in (check for booted in facts.booted for check in listed(booted, "checks")):
        yield model.Check(
            stage="boot",
            code=str(one.get("code")),
            subject=str(one.get("subject")),
            verdict=_verdict(one.get("verdict")),
            reason=str(one.get("reason")),
        )
    if facts.verified is not None:
        yield from _of_verify(facts.verified)


def _check(stage: model.StageName, one: BuildCheck) -> model.Check:
    return model.Check(
        stage=stage, code=one.code, subject=one.subject, verdict=one.verdict, reason=one.reason
    )


def _of_verify(document: Mapping[str, Any]) -> Iterator[model.Check]:
    for one in listed(document, "demands"):
        yield model.Check(
            stage="verify",
            code=str(one.get("code")),
            # The folder is that of the night, whatever it is called.
            subject="",
            verdict="PASS" if one.get("held") is True else "FAIL",
            reason=str(one.get("reason")),
        )


def _machines(found: Sequence[Mapping[str, Any]]) -> Iterator[model.Machine]:
    """Yield each platform once: its worst check, its first boot's time, every command's first."""
    worst_of: dict[str, Verdict] = {}
    seconds: dict[str, float] = {}
    commands: dict[str, dict[str, float]] = {}
    for document in found:
        for check in listed(document, "checks"):
            subject, verdict = str(check.get("subject")), _verdict(check.get("verdict"))
            worst_of[subject] = max(worst_of.get(subject, "PASS"), verdict, key=_ORDER.index)
        for one in listed(document, "platforms"):
            name = str(one.get("name"))
            seconds.setdefault(name, _total(one))
            times = commands.setdefault(name, {})
            for ran in listed(one, "commands"):
                text, took = str(ran.get("command") or ""), ran.get("seconds")
                if text.strip() and isinstance(took, (int, float)):
                    times.setdefault(text.strip().splitlines()[0][:_LONGEST], float(took))
    for name, times in commands.items():
        yield model.Machine(
            platform=name,
            verdict=worst_of.get(name, "FAIL"),
            seconds=seconds[name],
            commands=times,
        )


def _total(platform: Mapping[str, Any]) -> float:
    """Seconds from switching a machine on until it was off; without an end, of what is known."""
    off = platform.get("off")
    if isinstance(off, (int, float)):
        return float(off)
    times = platform.get("times")
    known = times.values() if isinstance(times, dict) else ()
    return max((float(one) for one in known if isinstance(one, (int, float))), default=0.0)


def _verdict(text: object) -> Verdict:
    if text == "PASS":
        return "PASS"
    return "SKIP" if text == "SKIP" else "FAIL"


# -- the line


def _line(word: Word, facts: Facts, varying: Sequence[model.Varying], since: int) -> str:
    """Return the night in one line: the word's sentence, and what it is about."""
    about = _about(word, facts, varying)
    said = about or word.meaning
    end = ""
    if not word.good:
        end = f", since night {since}"
    elif any(stage.state == "failed" and gives is None for stage, gives in facts.stages):
        # The only stage that a night does without: another lock is built.
        end = "; nothing could be locked anew"
    told = f"{said[0].upper()}{said[1:]}"
    room = _LONGEST - len(end)
    return (told if len(told) <= room else f"{told[: room - 3]}...") + end


def _about(word: Word, facts: Facts, varying: Sequence[model.Varying]) -> str:
    if word is Word.NOT_DETERMINISTIC:
        names = [one.step for one in varying] or _computed_otherwise(facts.audits)
        return f"not deterministic: {_some(names)}"
    failed = [f"{stage.name}: {stage.reason}" for stage, gives in facts.stages if gives is word]
    if failed:
        return failed[0]
    if word is Word.INFRASTRUCTURE:
        return facts.lost
    if word is Word.CHECK_FAILED:
        names = [f"{one.subject}: {one.reason}" for one in _checks(facts) if one.verdict == "FAIL"]
        return f"a comparison failed: {_some(names)}"
    return _changed(word, facts)


def _changed(word: Word, facts: Facts) -> str:
    if word not in {Word.INPUTS_CHANGED, Word.TOOL_CHANGED}:
        return ""
    if facts.changes is None:
        return "the first build; there is none before to compare it with"
    count = len(facts.changes.consequences)
    outputs = f"{count} output{'s' * (count > 1)} changed with it" if count else "no output changed"
    if word is Word.TOOL_CHANGED:
        return f"another build of orchestrate; {outputs}"
    named = _some([one.what for one in facts.changes.inputs])
    return f"other inputs: {named or 'none that a spec or a lock names'}; {outputs}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
