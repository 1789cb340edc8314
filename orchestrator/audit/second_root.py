"""Proof by a second root: GCC's Go, release by release, up to the toolchain that the build has.

Every link of the chain is compared with its published release, by the public log's record, and the
last with the build's F1 too. docs/audit.md says what that proves (diverse double-compiling). Links
are remembered as steps of a build are, so an audit that was interrupted goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from orchestrator import plan, resources
from orchestrator.architecture import host
from orchestrator.artifacts import model as built
from orchestrator.audit import cells, matrix
from orchestrator.audit.history import now
from orchestrator.audit.native import Proof
from orchestrator.audit.running import WORDS
from orchestrator.execution.scheduler import Scheduler
from orchestrator.golang import checks, handles, links
from orchestrator.golang.module_hash import ModuleHashes
from orchestrator.inputs import second_root
from orchestrator.inputs.transport import Clients
from orchestrator.lock import logged
from orchestrator.lock.file import GCC
from orchestrator.lock.model import Absent, SecondRoot
from orchestrator.progress.inputs import InputEvents
from reproducibility import canonical, gomodule
from reproducibility import digest as digests
from reproducibility.codes import LINK, RELEASE, SECOND_ROOT
from reproducibility.compare import Check, Verdict, fold, trees

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.audit.native import Natives
    from orchestrator.audit.subject import Finding, Subject
    from orchestrator.execution.step import Results
    from orchestrator.golang.links import Link

# As in a name of a step, for `--only`.
ONLY = "root/*"
_WORDS = "GCC's Go"
# Digits of a digest: to tell chains apart, not to find them by.
_SHOWN = 12


def roots(found: Finding) -> list[cells.Root]:
    """Return the second root for the matrix, where the spec has one."""
    if found.wanted.root.gcc is None:
        return []
    return [cells.Root(_words(found), f"--root {GCC} --only '{ONLY}'")]


def _words(found: Finding) -> str:
    """The root in words, such as `gccgo-14 14.2.0-19 (1a2b3c4d5e6f)`.

    In brackets the beginning of a digest of all that the chain is made from: another compiler
    tree, or other releases on the way, are another root.
    """
    pinned, wanted = second_root.entry(found.pinned, host()), found.wanted.root.gcc
    if isinstance(pinned, Absent) or wanted is None or not found.pinned.fits_roots(found.wanted):
        return _WORDS
    those = " ".join(one.label for one in pinned.packages if one.package in wanted.packages)
    releases = [[one.version, str(one.tree), one.h1] for one in pinned.releases]
    chain = canonical.dumps({"compiler": str(pinned.tree), "releases": releases})
    return f"{those} ({digests.of_bytes(chain).hex[:_SHOWN]})"


@dataclass(frozen=True)
class Chain:
    """Everything that a chain from a second root is made with.

    `bench`: what toolchains are made and compared with in an audit. `jobs`: actions at once.
    `offline`: nothing is fetched.
    """

    audited: Subject
    bench: Natives
    jobs: int
    offline: bool = False

    def run(self) -> Proof:
        """Build the chain, compare its links, and remember what came of it.

        Raises:
            ActionError: a link could not be built; those before it are remembered.
            InputError: an input is not what the lock pins.
            InfrastructureError: an input could not be had, or an action not be run.
            DamagedBlob: a blob is missing or damaged.
            Stopped: `stop` was set.
        """
        pinned = second_root.entry(self.audited.found.pinned, host())
        if isinstance(pinned, Absent):
            return self._skipped(Check(SECOND_ROOT["not-pinned"], host(), pinned.reason))
        if self.bench.late():
            return self._skipped(Check(SECOND_ROOT["not-run"], host(), "the budget was used up"))
        if doubt := self.bench.doubt(handles.F1):
            return self._skipped(Check(SECOND_ROOT["other-result"], host(), doubt))
        chain = self._links(pinned)
        results = self._built(chain)
        found = self._checks(pinned, chain, results)
        proof = Proof(self._cells(chain[-1], results, found), tuple(found))
        self.bench.record.add(proof.cells, stop=self.bench.stop)
        return proof

    def _links(self, pinned: SecondRoot) -> tuple[Link, ...]:
        found, have = self.audited.found, self.audited.assembly.have
        folder = found.wanted.folder
        bench = self.bench
        clients = Clients(events=InputEvents(bench.observer), offline=self.offline, stop=bench.stop)
        root = second_root.bring(pinned, found.pinned, folder, bench.store, clients)
        return links.links(
            [*root.releases, (found.wanted.go.version, have.release)],
            host=host(),
            compiler=root.compiler,
            uname=have.uname,
            dist_build=partial(plan.dist_build, store=self.bench.store),
            read=self.bench.store.read,
            put=self.bench.store.put_bytes,
        )

    def _built(self, chain: Sequence[Link]) -> Results:
        steps = [step for link in chain for step in link.steps]
        self.bench.observer.planned([part for step in steps for part in step.shown])
        return (
            Scheduler(
                engine=self.bench.engine,
                store=self.bench.store,
                policy=self.audited.found.policy,
                observer=self.bench.observer,
                jobs=self.jobs,
                again=True,
                stop=self.bench.stop,
            )
            .run(steps)
            .results
        )

    def _checks(self, pinned: SecondRoot, chain: Sequence[Link], results: Results) -> list[Check]:
        """Every link against its release, and the last against the build's F1."""
        hashes = ModuleHashes(self.bench.store)
        said = [logged.source(one) for one in pinned.releases]
        said.append(logged.toolchain(self.audited.found.pinned, host()))
        found: list[Check] = []
        for link, record in zip(chain, said, strict=True):
            found += checks.against_record(
                LINK,
                f"go{link.version}",
                gomodule.toolchain_version(link.version, host()),
                record,
                hashes,
                source=link.source,
                programs=link.placed(results),
                release=link.release,
            )
        first = handles.F1.tree(self.bench.results)
        found.append(trees(SECOND_ROOT, host(), first, chain[-1].made.tree(results)))
        return found

    def _cells(
        self, last: Link, results: Results, found: Sequence[Check]
    ) -> tuple[matrix.Cell, ...]:
        """The chain's own releases, and its end against the build's."""
        released, end = list(found[:-1]), found[-1]
        made = last.made.result(results)
        when = made.provenance.when if made.provenance is not None else now()
        engines = self._engines(results)
        if len(engines) > 1:
            told = f"{len(engines)} engines built its links ({', '.join(engines)}), so it proves "
            told += "nothing of one; with a --store of its own, one builds them all"
            return tuple(
                self._cell(comparison, "SKIP", told, None, "")
                for comparison in (RELEASE.code, SECOND_ROOT.code)
            )
        worst = max(released, key=lambda check: check.verdict)
        told = worst.reason
        if worst.verdict is Verdict.PASS:
            many = sum(str(check.code).startswith(LINK.code) for check in released)
            told = f"all {many} links are their published releases"
        codes = tuple(dict.fromkeys(str(check.code) for check in released))
        evidence = matrix.Evidence(
            outputs=last.made.tree(results).digest,
            keys=tuple(result.key for result in results.values()),
            checks=codes,
            engine=built.Engine.model_validate(
                (
                    made.provenance.engine if made.provenance else self.bench.engine.identity
                ).document()
            ),
            emulator=None,
            tool=resources.VERSION,
        )
        return (
            self._cell(RELEASE.code, WORDS[fold(released)], told, evidence, when),
            self._cell(
                SECOND_ROOT.code,
                WORDS[end.verdict],
                end.reason,
                evidence.model_copy(update={"checks": (str(end.code),)}),
                when,
            ),
        )

    def _engines(self, results: Results) -> list[str]:
        """The engines that ran the steps, each with its version and what it is on."""
        made = {result.provenance.engine for result in results.values() if result.provenance}
        return sorted(f"{one.name} {one.version} on {one.own}" for one in made)

    def _skipped(self, check: Check) -> Proof:
        cell = self._cell(SECOND_ROOT.code, "SKIP", check.reason, None, "")
        return Proof((cell,), (check,))

    def _cell(
        self,
        comparison: str,
        verdict: built.Word,
        reason: str,
        evidence: matrix.Evidence | None,
        when: str,
    ) -> matrix.Cell:
        (root,) = roots(self.audited.found)
        command = cells.command(comparison, host(), self.bench.engine.name, root.chosen)
        return matrix.Cell(
            host=host(),
            target=host(),
            root=root.words,
            engine=self.bench.engine.name,
            how="host",
            comparison=comparison,
            verdict=verdict,
            reason=reason,
            evidence=evidence,
            when=when,
            command="" if evidence is not None else command,
        )
