"""Lets a foreign toolchain build itself: its own programs against the cross build.

The cross build's programs for an architecture run as programs of that architecture, on a farm's
worker that is such a machine or else emulated, and build all of themselves again. What they make
must be what the cross build made, program by program. This is no step of a build: nothing of it is
input of anything else. What came of it is a cell of the matrix, and is remembered for the same
action, engine and emulator.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestrator import emulator, resources
from orchestrator.architecture import ARCHITECTURES, host
from orchestrator.artifacts import model as built
from orchestrator.audit import cells, matrix
from orchestrator.audit.history import now
from orchestrator.audit.request import meant
from orchestrator.audit.running import WORDS, shown
from orchestrator.golang import handles, native
from reproducibility.codes import NATIVE
from reproducibility.compare import Check, trees
from reproducibility.errors import InfrastructureError, InputError
from reproducibility.manifest import Tree, file

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from containers.action import Action
    from containers.engine import Engine, Outcome
    from containers.policy import Policy
    from orchestrator.architecture import Architecture
    from orchestrator.execution.step import Observer, Results
    from orchestrator.golang.toolchain import Chain
    from orchestrator.store import Store

ALL = "all"
_STAGE = "native"
_SHOWN = 2000
# Emulated, a build takes twenty times as long; the limit is for one that does not.
_SLOWER = 4


def chosen(names: Sequence[str], architectures: Sequence[Architecture]) -> tuple[Architecture, ...]:
    """Architectures that `--native` names, each once, in the build's order.

    `names`: as given; `all` for every one but the host's. `architectures`: those of the build.

    Raises:
        InputError: one is the host's own, is not of the build, or there is no such architecture.
    """
    foreign = [name for name in architectures if name != host()]
    for name in names:
        if name == host():
            raise InputError(
                f"{name} is this machine's own architecture: that its toolchain builds itself is "
                "what the build's fixed point says (F1 == F2), and every audit of the steps again",
                subject="--native",
                remedy=f"name another one of the build: {_listed(foreign)}",
            )
        if name != ALL and name not in foreign:
            known = name in ARCHITECTURES
            raise InputError(
                f"the build has no toolchain for {name}"
                if known
                else f"there is no architecture {name!r}",
                subject="--native",
                remedy=f"{meant(name, [*foreign, ALL])}name one of the build: {_listed(foreign)}",
            )
    if names and not foreign:
        raise InputError(
            f"the build has no toolchain but that of {host()}, which is this machine's own",
            subject="--native",
            remedy="name further architectures in [image] of the spec, lock and build again",
        )
    return tuple(name for name in foreign if name in names or ALL in names)


def _listed(names: Iterable[str]) -> str:
    return ", ".join([*names, ALL])


@dataclass(frozen=True)
class By:
    """What runs the programs; with an emulator, which is in the store, what the evidence says."""

    runs: native.Machine
    said: matrix.Emulator | None = None

    @property
    def how(self) -> matrix.How:
        """How the matrix calls it."""
        return "native" if self.said is None else "native emulated"


def machines(
    names: Iterable[Architecture], store: Store, workers: Collection[str] = ()
) -> dict[Architecture, By]:
    """Machines for programs of architectures: a farm's workers, or emulators, put into the store.

    `workers`: the architectures of those that the engine has.

    Raises:
        InfrastructureError: an emulator is not installed; says how to get it.
    """
    found = {}
    for name in names:
        if name in workers:
            found[name] = By(native.Machine(name))
            continue
        program = emulator.require(name)
        content = store.put_file(program)
        tree = Tree([file(program.name, content, program.stat().st_size, executable=True)])
        said = matrix.Emulator(name=program.name, blake3=content, version=emulator.version(program))
        found[name] = By(native.Machine(name, tree), said)
    return found


@dataclass(frozen=True)
class Proof:
    """Cells and checks of foreign toolchains that built themselves, in their order."""

    cells: tuple[matrix.Cell, ...] = ()
    checks: tuple[Check, ...] = ()

    def and_also(self, other: Proof) -> Proof:
        """Both."""
        return Proof((*self.cells, *other.cells), (*self.checks, *other.checks))


@dataclass(frozen=True)
class Natives:
    """Everything that foreign toolchains build themselves with.

    `root`: what the chain began with, in words. `record`: the cells that are remembered.
    `late`: says whether nothing further is to be begun. `doubt`: why a step's results are not those
    of the build; empty where they are.
    """

    engine: Engine
    policy: Policy
    store: Store
    chain: Chain
    results: Results
    observer: Observer
    record: matrix.Record
    root: str
    stop: threading.Event
    late: Callable[[], bool]
    doubt: Callable[[str], str]

    def run(self, machines: Mapping[Architecture, By]) -> Proof:
        """Let each build itself, one after the other; what came of one is remembered at once.

        Raises:
            InfrastructureError: the machine or the engine could not run it.
            Stopped: `stop` was set.
        """
        self.observer.planned(
            [
                (shown(native.name(name)), _STAGE, f"{name}, emulated" if by.said else name)
                for name, by in machines.items()
            ]
        )
        proved, checks = [], []
        for architecture, by in machines.items():
            cell, check = self._one(architecture, by)
            proved.append(cell)
            checks.append(check)
        return Proof(tuple(proved), tuple(checks))

    def _one(self, architecture: Architecture, by: By) -> tuple[matrix.Cell, Check]:
        made = handles.cross(architecture).tree(self.results)
        action = native.building(self.chain, made, by.runs)
        doubt = self.doubt(handles.cross(architecture))
        if doubt:
            check = Check(NATIVE["other-result"], architecture, doubt)
            return self._cell(architecture, by, action, check, None), check
        before = self._remembered(architecture, by, action, made)
        if before is not None:
            reason = f"{before.reason}; proved on {before.when}, and remembered"
            self.observer.finished(shown(action.name), cached=True, seconds=0.0)
            return before, Check(NATIVE["same"], architecture, reason)
        if self.late():
            check = Check(NATIVE["not-run"], architecture, "the budget was used up")
            return self._cell(architecture, by, action, check, None), check
        began = time.monotonic()
        self.observer.started(shown(action.name))
        check, outcome = self._built(architecture, by, action, made)
        cell = self._cell(architecture, by, action, check, outcome)
        self.record.add([cell], stop=self.stop)
        seconds = time.monotonic() - began
        self.observer.finished(shown(action.name), cached=False, seconds=seconds)
        if cell.verdict == "FAIL":
            self.observer.note(f"{action.name}: {check.reason}")
        return cell, check

    def _built(
        self, architecture: Architecture, by: By, action: Action, made: Tree
    ) -> tuple[Check, Outcome | None]:
        looked = self._run(native.looking(self.chain, made, by.runs), self.policy)
        if looked.failed:
            self._demand_machine(architecture, by, looked)
            reason = (
                f"its go command cannot even say its version, while another program for "
                f"{architecture} runs: {self._ended(looked)}"
            )
            return Check(NATIVE["failed"], architecture, reason), None
        runs_as = native.runs_as(self.store.read(looked.stdout))
        if runs_as != architecture:
            reason = f"its go command says that it runs as {runs_as or 'nothing known'}"
            return Check(NATIVE["failed"], architecture, reason), None
        limits = self.policy.limits
        policy = replace(
            self.policy,
            limits=replace(limits, seconds=limits.seconds * (_SLOWER if by.said else 1)),
            share=None,
        )
        outcome = self._run(action, policy)
        if outcome.failed:
            return Check(NATIVE["failed"], architecture, self._ended(outcome)), None
        tree = native.outputs(outcome.tree)
        check = trees(NATIVE, architecture, made, tree)
        if check.code != NATIVE["same"]:
            sides = f"{self.store.save_tree(made)} {self.store.save_tree(tree)}"
            reason = f"{check.reason}; why: `orchestrate compare {sides}`"
            check = replace(check, reason=reason)
        return check, outcome

    def _run(self, action: Action, policy: Policy) -> Outcome:
        outcome = self.engine.run(action, policy, self.store, self.stop)
        return outcome.run_again(action.name)

    def _demand_machine(self, architecture: Architecture, by: By, looked: Outcome) -> None:
        """Refuse an emulator, or a worker, that does not run another program either.

        Raises:
            InfrastructureError: it does not; whether the toolchain works is not known then.
        """
        made = handles.programs(architecture)
        said = "there is no other program to try it with"
        if made in self.results:
            trying = native.trying(self.chain, made.tree(self.results), by.runs)
            tried = self._run(trying, self.policy)
            if not tried.failed and native.works(self.store.read(tried.stdout)):
                return
            said = f"nor does it run {native.SMALL}: {self._ended(tried)}"
        if by.said is None:
            raise InfrastructureError(
                f"the farm's worker does not run the toolchain for {architecture}: "
                f"{self._ended(looked)}; {said}",
                subject=native.name(architecture),
                remedy=f"does `[workers.{architecture}]` in the farm's file choose machines of "
                "that architecture?",
            )
        raise InfrastructureError(
            f"{by.said.name} does not run the toolchain for {architecture} here: "
            f"{self._ended(looked)}; {said}",
            subject=native.name(architecture),
            remedy=f"see whether it runs programs for {architecture} outside; take a newer "
            "version: `apt install qemu-user-static`",
        )

    def _ended(self, outcome: Outcome) -> str:
        words = self.store.read(outcome.stderr)[-_SHOWN:].decode(errors="replace").strip()
        how = f"its limit ({outcome.ended_by})" if outcome.ended_by else "an error"
        return f"it was ended by {how}, exit status {outcome.exit_status}: {words}"

    def _remembered(
        self, architecture: Architecture, by: By, action: Action, made: Tree
    ) -> matrix.Cell | None:
        """A PASS of the same action on the same engine: nothing else spares a second run.

        One that is dated in the future proves nothing: some clock was wrong, or somebody wrote it.
        """
        engine = built.Engine.model_validate(self.engine.identity.document())
        for cell in self.record.cells():
            known = cell.evidence
            if (
                cell.verdict == "PASS"
                and cell.when <= now()
                and cell.address == self._address(architecture, by)
                and known is not None
                and (known.engine, known.emulator) == (engine, by.said)
                and (known.keys, known.outputs) == ((action.key,), made.digest)
            ):
                return cell
        return None

    def _address(self, architecture: Architecture, by: By) -> matrix.Address:
        return (host(), architecture, self.root, self.engine.name, by.how, NATIVE.code)

    def _cell(
        self,
        architecture: Architecture,
        by: By,
        action: Action,
        check: Check,
        outcome: Outcome | None,
    ) -> matrix.Cell:
        run = check.code not in {NATIVE["not-run"], NATIVE["other-result"]}
        evidence = matrix.Evidence(
            outputs=native.outputs(outcome.tree).digest if outcome is not None else None,
            keys=(action.key,),
            checks=(str(check.code),),
            engine=built.Engine.model_validate(self.engine.identity.document()),
            emulator=by.said,
            tool=resources.VERSION,
        )
        return matrix.Cell(
            host=host(),
            target=architecture,
            root=self.root,
            engine=self.engine.name,
            how=by.how,
            comparison=NATIVE.code,
            verdict=WORDS[check.verdict] if run else "SKIP",
            reason=check.reason,
            evidence=evidence if run else None,
            when=now() if run else "",
            command="" if run else cells.command(NATIVE.code, architecture, self.engine.name),
        )
