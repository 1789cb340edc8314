"""Bounds of what an audit tells, so that `audit.json` and the record of a step can be read again.

An action that makes something else each time would else be explained each time, at 100 KB and more.
What has no room loses its explanation, its differences and most of its words; digests, conditions
and verdicts stay. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.audit import model
from reproducibility import canonical, visible
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from orchestrator.artifacts.model import Check

# Rounds of one action that are told in full.
MOST_TOLD = 3
# Runs of actions that one audit can tell of: 100 rounds of the default image's actions are less.
MOST_RUNS = 5_000
# Bytes of the JSON of a step. Its record in the store holds it as a string, which has no more than
# twice as many, and is read up to `regular.LARGEST_TEXT`.
LARGEST_STEP = 4 << 20
# Bytes of `audit.json`: what `orchestrate verify` reads; the others read more.
LARGEST = 8 << 20

# Characters of a reason that is cut.
_WORDS = 80
_CUT = "... (not told in full)"
# A part is indented deeper where it stands than by itself.
_DEEPER = 16

_Part = model.Round | model.Computation
_Key = tuple[str, int, int]


def require_few(actions: int, rounds: int) -> None:
    """Refuse more runs than an audit can tell of: better before they are made than after.

    Raises:
        InputError: there would be more than `MOST_RUNS`.
    """
    runs = actions * rounds
    if runs > MOST_RUNS:
        raise InputError(
            f"{actions} actions in {rounds} rounds are {runs} runs, and an audit can tell of "
            f"{MOST_RUNS}",
            subject="--rounds",
            remedy=f"give at most {max(MOST_RUNS // actions, 1)}, or choose some steps with --only",
        )


def of_step(step: model.Step) -> model.Step:
    """The step as it is remembered: a few of its rounds in full, as long as there is room."""
    rounds = [_short(one) for one in step.rounds]
    room = LARGEST_STEP - _size(step.model_copy(update={"rounds": tuple(rounds)}))
    told = 0
    for number, one in enumerate(step.rounds):
        if one == rounds[number] or told == MOST_TOLD:
            continue
        told += 1
        size = _size(one)
        if size <= room:
            rounds[number], room = one, room - size
    return step.model_copy(update={"rounds": tuple(rounds)})


def of_audit(result: model.AuditResult) -> model.AuditResult:
    """The audit with as much as there is room for: a first round of each step before a second."""
    parts = dict(_parts(result))
    kept: dict[_Key, _Part | Check] = {key: _short(part) for key, part in parts.items()}
    data = model.dumps(_with(result, kept))
    room, values = LARGEST - len(data), model.MOST_VALUES - canonical.marks(data)
    told: dict[int, int] = {}
    waiting: list[tuple[int, _Key]] = []
    for key, part in parts.items():
        kind, at, _ = key
        if part != kept[key]:
            # Of what is no step there is one each.
            rank = told[at] = told.get(at, 0) + 1 if kind == _ROUND else 0
            waiting.append((rank, key))
    for _, key in sorted(waiting, key=lambda one: one[0]):
        data = _dumped(parts[key])
        size, held = _indented(data) - len(_dumped(kept[key])), canonical.marks(data)
        if size <= room and held <= values:
            kept[key], room, values = parts[key], room - size, values - held
    return _with(result, kept)


_CHECK, _COMPUTATION, _ROUND = "check", "computation", "round"


def _parts(result: model.AuditResult) -> Iterator[tuple[_Key, _Part | Check]]:
    """What can be told shorter, by what it is and where it stands."""
    for at, check in enumerate(result.checks):
        yield (_CHECK, at, 0), check
    for at, computation in enumerate(result.computations):
        yield (_COMPUTATION, at, 0), computation
    for at, step in enumerate(result.steps):
        for number, one in enumerate(step.rounds):
            yield (_ROUND, at, number), one


def _with(result: model.AuditResult, parts: Mapping[_Key, _Part | Check]) -> model.AuditResult:
    steps = tuple(
        step.model_copy(
            update={"rounds": tuple(parts[_ROUND, at, n] for n in range(len(step.rounds)))}
        )
        for at, step in enumerate(result.steps)
    )
    checks = tuple(parts[_CHECK, at, 0] for at in range(len(result.checks)))
    computations = tuple(parts[_COMPUTATION, at, 0] for at in range(len(result.computations)))
    return result.model_copy(
        update={"checks": checks, "computations": computations, "steps": steps}
    )


def _short(part: _Part | Check) -> _Part | Check:
    """A part without what takes room; the same where nothing does."""
    if isinstance(part, model.Round | model.Computation):
        check = _shorter(part.check, explained=part.explanation is not None)
        return part.model_copy(update={"check": check, "explanation": None})
    return _shorter(part)


def _shorter(check: Check, *, explained: bool = False) -> Check:
    if not explained and not check.differences and len(check.reason) <= _WORDS + len(_CUT):
        return check
    words = visible.line(check.reason[:_WORDS])[:_WORDS]
    return check.model_copy(update={"reason": f"{words}{_CUT}", "differences": ()})


def _dumped(part: model.Step | _Part | Check) -> bytes:
    return canonical.pretty(part.model_dump(mode="json"))


def _size(part: model.Step | _Part | Check) -> int:
    return _indented(_dumped(part))


def _indented(data: bytes) -> int:
    return len(data) + _DEEPER * data.count(b"\n")
