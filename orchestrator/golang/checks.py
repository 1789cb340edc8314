"""Checks of the toolchains: the fixed point, the published releases, the cross builds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.golang import build_cache, handles, probe
from orchestrator.lock import logged
from reproducibility import codes, gomodule
from reproducibility.compare import Check, Difference, outcome, trees
from reproducibility.errors import ActionError, InputError
from reproducibility.manifest import Tree, merge

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.architecture import Architecture
    from orchestrator.execution.step import Handle, Results
    from orchestrator.golang.module_hash import ModuleHashes
    from orchestrator.golang.toolchain import Chain
    from orchestrator.lock.file import Lock
    from orchestrator.lock.logged import Logged
    from reproducibility.compare import CheckKind


def toolchains(
    chain: Chain, results: Results, architectures: tuple[Architecture, ...]
) -> dict[Architecture, Tree]:
    """Architecture -> its programs at their places in a GOROOT, the host's from F1."""
    made = {}
    for architecture in architectures:
        step = handles.F1 if architecture == chain.host else handles.cross(architecture)
        made[architecture] = chain.programs.placed(step.tree(results), architecture)
    return made


def _variations(chain: Chain, results: Results) -> list[Check]:
    first, second = handles.F1.result(results), handles.F2.result(results)
    if dict(second.conditions) != chain.varied.describe():
        reason = f"F2 was run under these conditions only: {dict(second.conditions)}"
        return [Check(codes.VARIATION["no-effect"], name, reason) for name in probe.FIELDS]
    try:
        return probe.checks(first, second, chain.unable)
    except InputError as error:
        # What is wrong is what was built, not what a person wrote.
        raise ActionError(
            f"what was seen before F1 or F2 ran is not understood: {error.summary}",
            subject=error.subject,
        ) from error


def all_checks(
    chain: Chain,
    results: Results,
    hashes: ModuleHashes,
    made: Mapping[Architecture, Tree],
    lock: Lock,
) -> list[Check]:
    """Return every check of the toolchains; `made`: what `toolchains` gives.

    Raises:
        ActionError: what a step said that it saw is no observation.
        DamagedBlob: a file of them is missing or damaged.
    """
    found = [
        trees(codes.FIXED_POINT, chain.host, handles.F1.tree(results), handles.F2.tree(results)),
        _generated(chain, results),
        trees(
            codes.HELPERS,
            chain.host,
            *(_helpers(results, s) for s in (handles.HELPERS, handles.HELPERS_AGAIN)),
        ),
        *_variations(chain, results),
    ]
    # The host's own is compared even where it is not for the image: it has built all the others.
    for architecture, tree in {**toolchains(chain, results, (chain.host,)), **made}.items():
        found += against_release(chain, hashes, tree, architecture, lock)
        again = handles.cross_again(architecture)
        if again in results:
            found.append(
                trees(
                    codes.CROSS_AGAIN,
                    architecture,
                    handles.cross(architecture).tree(results),
                    again.tree(results),
                )
            )
    return found


def against_release(
    chain: Chain, hashes: ModuleHashes, programs: Tree, architecture: Architecture, lock: Lock
) -> list[Check]:
    """Compare our toolchain with the public record of the published one.

    The published module consists of the release's source files and the programs; its hash is
    computed from the source and *our* programs, so the published programs need not be at hand.

    Raises:
        DamagedBlob: a file is missing or damaged.
    """
    return against_record(
        codes.RELEASE,
        architecture,
        gomodule.toolchain_version(lock.toolchain.version, architecture),
        logged.toolchain(lock, architecture),
        hashes,
        source=chain.source,
        programs=programs,
        release=chain.release if architecture == chain.host else None,
    )


def against_record(  # noqa: PLR0913 - what is compared with what
    kind: CheckKind,
    subject: str,
    version: str,
    said: Logged,
    hashes: ModuleHashes,
    *,
    source: Tree,
    programs: Tree,
    release: Tree | None,
) -> list[Check]:
    """Compare a toolchain with the log's record of a version of the module golang.org/toolchain.

    `source`: the release's files but its programs. `programs`: ours, at their places in a GOROOT.
    `release`: the published GOROOT, where it is at hand, to say what differs.

    Raises:
        DamagedBlob: a file is missing or damaged.
    """
    if said.check is None:
        reason = f"the public log has no record: {said.absence}"
        return [Check(kind["absent-record"], subject, reason)]
    if not said.h1:
        return [said.check]
    module = merge([("source", source), ("programs", programs)])
    computed = hashes.of(module, gomodule.TOOLCHAIN, version, gomodule.published_name)
    if computed == said.h1:
        reason = f"the module hash of our files is the published one, {said.h1}"
        return [said.check, Check(kind["same"], subject, reason)]
    hashes.refuse_damage(module)
    reason = f"our files give {computed}, the published release has {said.h1}"
    found: tuple[Difference, ...] = (Difference("", "h1", computed, said.h1),)
    if release is not None:
        theirs = release.where(lambda entry: programs.get(entry.path) is not None)
        _, words, differing = outcome(programs, theirs)
        reason += f"; {words}"
        found += differing
    return [said.check, Check(kind["differs"], subject, reason, found)]


def _helpers(results: Results, step: Handle) -> Tree:
    """Return what T1 builds beside F1 and later steps run."""
    return merge(
        [
            ("the recorder", build_cache.helper(results, step)),
            ("the observer", build_cache.observer(results, step)),
        ]
    )


def _generated(chain: Chain, results: Results) -> Check:
    """The source tree after cmd/dist's work against the published one.

    cmd/dist writes some source files (versions, defaults); the release ships them. All that is
    published must be there and the same; the file that the plan patches in its private copy, where
    it does, as it was patched.
    """
    after = handles.T1.tree(results).under("src")
    wanted = chain.patched_source.under("src")
    present = after.where(lambda entry: wanted.get(entry.path) is not None)
    return trees(codes.GENERATED, chain.host, present, wanted)
