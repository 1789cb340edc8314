"""Runs the stages of a night, one after the other, and collects what they gave.

Each stage is a command of `orchestrate`. One that fails leaves out only those that need what it
would have made.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final, TypeVar

from orchestrator.artifacts import model as built
from orchestrator.artifacts import names
from orchestrator.audit import model as audits
from orchestrator.history import model
from orchestrator.history.words import Word
from orchestrator.nightly import changes, relocking
from orchestrator.nightly.facts import Facts, Frame, Seen, listed
from reproducibility import canonical, regular, visible
from reproducibility.codes import COVERAGE
from reproducibility.errors import InfrastructureError, InputError, OtherContentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from orchestrator.artifacts.model import BuildResult
    from orchestrator.audit.model import AuditResult
    from orchestrator.execution.step import Observer
    from orchestrator.history.database import History
    from orchestrator.nightly.children import Finished
    from orchestrator.nightly.config import Config
    from orchestrator.nightly.state import State
    from reproducibility.digest import Digest

    # A stage's name and a command of `orchestrate`, without the program -> what came of it.
    Run = Callable[[model.StageName, Sequence[str]], Finished]

_Result = TypeVar("_Result")

STAGES: Final[tuple[model.StageName, ...]] = ("relock", "build", "audit", "boot", "verify")
_NOTHING: Final = "nothing was built"
# Characters of a note: what a client said may be a page of text, and is in its log.
_LONGEST: Final = 500
# Of what failed in a stage.
_NAMED: Final = 3
_NOTHING_COVERED: Final = str(COVERAGE["nothing"])
_OTHER_BYTES: Final = OtherContentError.__name__
# What a stage's exit status says of the product; 4, and a stage that was killed, say nothing of it.
_WORDS: Final[Mapping[model.StageName, Mapping[int, Word]]] = {
    "relock": {1: Word.CHECK_FAILED, 2: Word.BUILD_FAILED},
    "build": {1: Word.CHECK_FAILED, 2: Word.BUILD_FAILED, 3: Word.BUILD_FAILED},
    "audit": {1: Word.CHECK_FAILED, 2: Word.CHECK_FAILED, 3: Word.CHECK_FAILED},
    "boot": {1: Word.BOOT_FAILED, 2: Word.BOOT_FAILED, 3: Word.BOOT_FAILED},
    "verify": {1: Word.CHECK_FAILED, 2: Word.CHECK_FAILED},
}


def word_of(stage: model.StageName, finished: Finished) -> Word | None:
    """The word that a stage gives a night; None where it did what it should."""
    if finished.status == 0 and finished.document:
        return None
    error = finished.document.get("error")
    if isinstance(error, dict) and error.get("kind") == _OTHER_BYTES:
        # Whoever serves it: what came is not what is pinned.
        return Word.CHECK_FAILED
    if stage == "boot" and _told(finished):
        # Its exit status may be that of a command on the device, whatever that is.
        kinds = {str(one.get("kind")) for one in _errors(finished.document)}
        alone = kinds == {InfrastructureError.__name__}
        return Word.INFRASTRUCTURE if alone else Word.BOOT_FAILED
    if stage == "audit" and _covered_nothing(finished):
        # Of what the budget left no time for, nothing is known.
        return Word.INFRASTRUCTURE
    if finished.broken:
        # An interpreter that ends by a mistake has the status of a comparison that failed.
        return Word.INFRASTRUCTURE
    return _WORDS[stage].get(finished.status, Word.INFRASTRUCTURE)


def reason_of(finished: Finished) -> str:
    """What went wrong with a stage, in one line: what its checks say, where it came to them."""
    document = finished.document
    if not _told(finished):
        return finished.words
    found = [
        f"{one.get('subject')}: {one.get('reason')}"
        for one in listed(document, "checks")
        if one.get("verdict") == "FAIL"
    ]
    found += [
        f"{one.get('code')}: {one.get('reason')}"
        for one in listed(document, "demands")
        if one.get("held") is not True
    ]
    # On machines that are to prove something, some commands are to fail.
    found = found or [
        f"{platform.get('name')}: {ran.get('command')} ended with exit status {ran.get('status')}"
        for platform in listed(document, "platforms")
        for ran in listed(platform, "commands")
        if ran.get("status")
    ]
    if not found:
        return finished.words
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return visible.line("; ".join(found[:_NAMED]))[:_LONGEST] + more


def _told(finished: Finished) -> bool:
    """Whether a command gave the document of what it did, and not of why it could not."""
    return bool(finished.document) and "error" not in finished.document


def _covered_nothing(finished: Finished) -> bool:
    """Whether all that an audit found wrong is that it came to nothing."""
    failed = {
        one.get("code")
        for one in listed(finished.document, "checks")
        if one.get("verdict") == "FAIL"
    }
    return failed == {_NOTHING_COVERED}


def _errors(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What went wrong on machines of a boot."""
    errors = (one.get("error") for one in listed(document, "platforms"))
    return [one for one in errors if isinstance(one, dict)]


@dataclass
class Tonight:
    """Stages of one night, and what they gave until now. `run`: runs a command of a stage."""

    config: Config
    state: State
    frame: Frame
    history: History
    run: Run
    observer: Observer
    done: list[tuple[model.Stage, Word | None]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    locked: model.LockedFrom | None = None

    def gather(self) -> Facts:
        """Run every stage, and give what came of them.

        Raises:
            Stopped: somebody wishes to stop; the same night can be begun again.
            InfrastructureError: something else than a stage failed, such as the history.
        """
        self.observer.planned([(name, name, name) for name in STAGES])
        lock = self._relock()
        result = self._build(lock) if lock is not None else None
        found: list[AuditResult] = []
        booted: list[Mapping[str, object]] = []
        verified: Mapping[str, object] | None = None
        between: changes.Changes | None = None
        before: dict[Digest, Seen] = {}
        if lock is not None and result is not None:
            between = self._changes(result)
            before = self._before(result)
            found = self._audit(result, before, lock)
            booted = self._boot()
            verified = self._verify()
        else:
            for name in STAGES[len(self.done) :]:
                self._leave_out(name, _NOTHING)
        return Facts(
            stages=self.done,
            build=result,
            audits=found,
            booted=booted,
            verified=verified,
            changes=between,
            before=before,
            faults={(one.key, one.outputs): one.reason for one in self.config.fault},
            locked=self.locked,
            notes=self._notes(),
        )

    def broken_off(self, error: InfrastructureError) -> Facts:
        """Facts of a night that cannot go on: the stage that would have been next failed with it.

        Nothing counts of what was built, since nothing was compared.
        """
        name, *others = STAGES[min(len(self.done), len(STAGES) - 1) :]
        failed = model.Stage(
            name=name,
            state="failed",
            status=error.status,
            seconds=0.0,
            reason=visible.line(error.summary),
            command=(),
        )
        self.done.append((failed, Word.INFRASTRUCTURE))
        for other in others:
            self._leave_out(other, _NOTHING)
        return Facts(stages=self.done, locked=self.locked, notes=self._notes())

    def _notes(self) -> tuple[str, ...]:
        return tuple(visible.line(note)[:_LONGEST] for note in self.notes)

    # -- one stage after the other

    def _relock(self) -> Path | None:
        """Lock anew, or fall back on the lock before; None where there is none to build from."""
        self.observer.started("relock")
        runs: list[Finished] = []

        def run(command: Sequence[str]) -> relocking.Finished:
            runs.append(self.run("relock", command))
            return relocking.Finished(runs[-1].status, runs[-1].document or None)

        found = relocking.relock(self.config, self.history.nights(), run)
        self.locked = found.locked if found.lock is not None else None
        self.notes += found.notes
        reason, word = found.reason, None
        if found.lock is None:
            word = _WORDS["relock"].get(found.status or 0, Word.INFRASTRUCTURE)
            if runs and word_of("relock", runs[-1]) is not None:
                word = word_of("relock", runs[-1])
        elif found.other_bytes:
            # Whether they were taken or not: nobody may change what a version consists of.
            word = Word.CHECK_FAILED
            reason = "; ".join(found.notes[: len(found.other_bytes)])
        failed = word is not None or bool(found.status)
        left_out = not failed and found.status is None
        told = model.Stage(
            name="relock",
            state="failed" if failed else "left out" if left_out else "done",
            status=found.status,
            seconds=round(sum(one.seconds for one in runs), 3),
            reason=reason,
            command=found.command,
        )
        self.done.append((told, word))
        self.observer.finished("relock", cached=left_out, seconds=told.seconds)
        return found.lock

    def _build(self, lock: Path) -> BuildResult | None:
        finished = self._run(
            "build",
            [
                "build",
                *("--spec", str(self.config.spec), "--lock", str(lock)),
                *("--out", str(self.state.out)),
                *self._shared(),
                *_repeated("--sign", self.config.sign.keys),
                *_given("--passphrase-file", self.config.sign.passphrase_file),
            ],
        )
        finished, result = _read(finished, built.parse, str(self.state.out / names.RESULT))
        self._done("build", [finished])
        return result

    def _changes(self, result: BuildResult) -> changes.Changes | None:
        """What changed since the last build; None where there was none."""
        last = self.frame.built
        if last is None:
            return None
        place = self.state.night(last.number) / names.RESULT
        try:
            before = built.parse(regular.read(place), subject=str(place))
        except (OSError, InputError) as error:
            self.notes.append(
                f"what follows from what since night {last.number} is not known: its result cannot "
                f"be read ({_why(error)})"
            )
            return changes.since(last, result, self.frame.tool)
        return changes.between(before, result, (last.tool, self.frame.tool), self._actions())

    def _actions(self) -> Mapping[str, object]:
        """The actions of tonight's build, by digest."""
        try:
            data = regular.read(self.state.out / names.ACTIONS)
            found = canonical.loads(data, subject=names.ACTIONS, most=5_000_000)
        except (OSError, InputError) as error:
            self.notes.append(f"what follows from what is not known: no actions ({_why(error)})")
            return {}
        return found if isinstance(found, dict) else {}

    def _before(self, result: BuildResult) -> dict[Digest, Seen]:
        keys = [step.key for step in result.steps]
        gave, audited = self.history.gave(keys), self.history.audited(keys)
        found = {}
        for key in dict.fromkeys(keys):
            outputs: dict[Digest, tuple[int, model.Seen]] = {}
            for one in gave.get(key, ()):
                if one.tool not in {None, self.frame.tool.digest}:
                    continue  # what another program computed is another question
                outputs.setdefault(one.outputs, (one.night, one.seen))
            last = audited.get(key)
            found[key] = Seen(outputs, (last.night, last.verdict) if last else None)
        return found

    def _audit(
        self, build: BuildResult, before: Mapping[Digest, Seen], lock: Path
    ) -> list[AuditResult]:
        """Audit what is overdue whatever it takes, then as much as the budget allows."""
        asked = self.config.audit
        if not asked.enabled:
            self._leave_out("audit", "the configuration asks for none")
            return []
        overdue = self._overdue(build, before)
        runs = [*_repeated("--only", overdue)] if overdue else None
        common = ["--vary", asked.vary, "--bisect", "--out", str(self.state.out)]
        places = ["--spec", str(self.config.spec), "--lock", str(lock)]
        base = ["audit", *common, *places, *self._shared()]
        finished, found = [], []
        for more in [runs, [*_repeated("--only", asked.only), "--budget", f"{asked.budget}s"]]:
            if more is None:
                continue
            one, result = _read(self._run("audit", [*base, *more]), audits.parse, names.AUDIT)
            finished.append(one)
            if result is None:
                break
            found.append(result)
        # What was overdue was looked at, whatever time was left after that.
        some = [one for one in finished if not _covered_nothing(one)]
        if len(some) < len(finished):
            self.notes.append(
                "the audit's budget was used up before a step was audited: a larger one audits some"
            )
        self._done("audit", some or finished, sum(one.seconds for one in finished))
        if overdue:
            self.notes.append(
                f"{len(overdue)} steps were audited beyond the budget, since they had not been "
                f"within {asked.within} nights: a larger budget spreads them"
            )
        return found

    def _overdue(self, result: BuildResult, before: Mapping[Digest, Seen]) -> list[str]:
        """Names of actions that were there for so many nights without an audit."""
        oldest = self.frame.number - self.config.audit.within
        return [
            step.name
            for step in result.steps
            if step.kind == "action"
            and _wanted(step.name, self.config.audit.only)
            and _last(before.get(step.key), self.frame.number) <= oldest
        ]

    def _boot(self) -> list[Mapping[str, object]]:
        """Prove that the image boots; then time what is to be timed, each command's first run."""
        asked = self.config.boot
        if asked.named == ():
            self._leave_out("boot", "the configuration names no platform")
            return []
        base = ["boot", *_repeated("--platform", asked.named or ())]
        base += ["--timeout", str(asked.seconds), "--out", str(self.state.out)]
        runs = [["--log", str(self.state.tonight / "boot")]]
        if asked.commands:
            log = str(self.state.tonight / "first-runs")
            runs.append([*_repeated("--run", asked.commands), "--log", log])
        finished = [self._run("boot", [*base, *more]) for more in runs]
        self._done("boot", finished)
        # A machine that does not come up is what there is to tell of.
        return [one.document for one in finished if _told(one)]

    def _verify(self) -> Mapping[str, object] | None:
        asked = self.config.verify
        finished = self._run(
            "verify",
            [
                *("verify", str(self.state.out)),
                *_repeated("--key", asked.keys),
                *_given("--policy", asked.policy),
            ],
        )
        self._done("verify", [finished])
        return finished.document if finished.answered else None

    # -- what they have in common

    def _shared(self) -> Iterator[str]:
        yield from ("--engine", self.config.engine, "--jobs", str(self.config.jobs))
        yield from _given("--store", self.config.store.folder)

    def _run(self, stage: model.StageName, command: Sequence[str]) -> Finished:
        self.observer.started(stage)
        return self.run(stage, command)

    def _done(
        self, stage: model.StageName, finished: Sequence[Finished], took: float | None = None
    ) -> None:
        """Write down what came of a stage's commands: the first that failed says it.

        `took`: seconds of the stage, where they are not those of these commands.
        """
        failed = next((one for one in finished if word_of(stage, one) is not None), None)
        shown = failed or finished[-1]
        seconds = sum(one.seconds for one in finished) if took is None else took
        told = model.Stage(
            name=stage,
            state="failed" if failed else "done",
            status=shown.status,
            seconds=round(seconds, 3),
            reason=reason_of(failed) if failed else "",
            command=shown.typed,
        )
        self.done.append((told, word_of(stage, failed) if failed else None))
        self.observer.finished(stage, cached=False, seconds=seconds)

    def _leave_out(self, stage: model.StageName, reason: str) -> None:
        told = model.Stage(
            name=stage, state="left out", status=None, seconds=0.0, reason=reason, command=()
        )
        self.done.append((told, None))
        self.observer.finished(stage, cached=True, seconds=0.0)


def _read(
    finished: Finished, parse: Callable[[bytes, str], _Result], subject: str
) -> tuple[Finished, _Result | None]:
    """Return what a command came to; one that cannot be read is no answer."""
    if not finished.answered:
        return finished, None
    try:
        return finished, parse(canonical.pretty(finished.document), subject)
    except InputError as error:
        words = f"its answer cannot be read: {visible.line(error.summary)}"
        return replace(finished, document={}, words=words), None


def _why(error: OSError | InputError) -> str:
    return error.summary if isinstance(error, InputError) else error.strerror or str(error)


def _last(seen: Seen | None, tonight: int) -> int:
    """The night in which a key was audited last, or that before the first one that had it."""
    if seen is None or (seen.audited is None and not seen.outputs):
        return tonight
    if seen.audited is not None:
        return seen.audited[0]
    return min(night for night, _ in seen.outputs.values()) - 1


def _wanted(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def _repeated(option: str, values: Sequence[object]) -> Iterator[str]:
    for value in values:
        yield from (option, str(value))


def _given(option: str, value: Path | None) -> Iterator[str]:
    if value is not None:
        yield from (option, str(value))
