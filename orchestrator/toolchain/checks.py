"""What is compared of the toolchains: the fixed point, the published releases, the cross builds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator import recording
from orchestrator.lock import Absent
from orchestrator.toolchain import observe
from orchestrator.toolchain.chain import DIST_BUILD
from orchestrator.toolchain.shared import HELPERS_AGAIN
from reproducibility import gomodule
from reproducibility.compare import Check, Verdict, trees
from reproducibility.errors import SourceryError
from reproducibility.manifest import Tree, merge

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.architecture import Architecture
    from orchestrator.lock import Lock
    from orchestrator.scheduler import Results
    from orchestrator.store import Store
    from orchestrator.toolchain.chain import Chain

FIXED_POINT = "F1 == F2"
RELEASE = "== published release"
LOG = "in the transparency log"
CROSS_AGAIN = "cross by F1 == cross by F2"
HELPERS = "recorder by T1 == recorder by F1"
GENERATED = "generated source == published source"


def toolchains(
    chain: Chain, results: Results, architectures: tuple[Architecture, ...]
) -> dict[Architecture, Tree]:
    """Architecture -> its programs at their places in a GOROOT, the host's from F1."""
    made = {}
    for architecture in architectures:
        step = "F1" if architecture == chain.host else f"cross/{architecture}"
        made[architecture] = chain.programs.placed(results[step].tree.under("out"), architecture)
    return made


def all_checks(
    chain: Chain,
    results: Results,
    store: Store,
    made: Mapping[Architecture, Tree],
    lock: Lock,
) -> list[Check]:
    """Every check of the toolchains; `made`: what `toolchains` gives."""
    found = [
        trees(
            FIXED_POINT,
            chain.host,
            results["F1"].tree.under("out"),
            results["F2"].tree.under("out"),
        ),
        _generated(chain, results),
        trees(
            HELPERS, chain.host, recording.helper(results), recording.helper(results, HELPERS_AGAIN)
        ),
        *observe.checks(
            store.read(results[observe.USUAL].stdout), store.read(results[observe.OTHER].stdout)
        ),
    ]
    # The host's own is compared even where it is not for the image: it has built all the others.
    for architecture, tree in {**toolchains(chain, results, (chain.host,)), **made}.items():
        found += against_release(chain, store, tree, architecture, lock)
        again = results.get(f"cross-by-F2/{architecture}")
        if again is not None:
            found.append(
                trees(
                    CROSS_AGAIN,
                    architecture,
                    results[f"cross/{architecture}"].tree.under("out"),
                    again.tree.under("out"),
                )
            )
    return found


def against_release(
    chain: Chain, store: Store, programs: Tree, architecture: Architecture, lock: Lock
) -> list[Check]:
    """Compare our toolchain with the public record of the published one.

    The published module consists of the release's source files and the programs; its hash is
    computed from the source and *our* programs, so the published programs need not be at hand.
    """
    entry = lock.toolchain.log[architecture]
    if isinstance(entry, Absent):
        reason = f"the public log has no record: {entry.reason}"
        return [Check(RELEASE, architecture, Verdict.SKIP, reason)]
    go = lock.toolchain.version
    try:
        published = entry.h1(gomodule.TOOLCHAIN, gomodule.toolchain_version(go, architecture))
    except SourceryError as error:
        return [Check(LOG, architecture, Verdict.FAIL, error.summary)]
    found = [
        Check(
            LOG,
            architecture,
            Verdict.PASS,
            "the record's inclusion proof leads to the tree head that the log signed",
        )
    ]
    module = merge([("source", chain.source), ("programs", programs)])
    computed = module_hash(store, module, architecture, go)
    if computed == published:
        reason = f"the module hash of our files is the published one, {published}"
        found.append(Check(RELEASE, architecture, Verdict.PASS, reason))
    else:
        reason = f"our files give {computed}, the published release has {published}"
        if architecture == chain.host:
            theirs = chain.release.where(lambda entry: programs.get(entry.path) is not None)
            reason += f"; {trees('', '', programs, theirs).reason}"
        found.append(Check(RELEASE, architecture, Verdict.FAIL, reason))
    return found


def module_hash(store: Store, tree: Tree, architecture: str, go: str) -> str:
    """The `h1:` hash that a toolchain would have as the published module, remembered by tree."""
    version = gomodule.toolchain_version(go, architecture)
    kind = f"h1-{version}"
    known = store.recall(kind, tree.digest)
    if known is not None and isinstance(known.get("h1"), str):
        return str(known["h1"])
    computed = gomodule.h1_of_tree(
        tree,
        store.path,
        prefix=f"{gomodule.TOOLCHAIN}@{version}",
        rename=gomodule.published_name,
    )
    store.remember(kind, tree.digest, {"h1": computed})
    return computed


def _generated(chain: Chain, results: Results) -> Check:
    """The source tree after cmd/dist's work against the published one.

    cmd/dist writes some source files (versions, defaults); the release ships them. All that is
    published must be there and the same, but for the one file that the plan patches in its private
    copy.
    """
    after = results["T1/toolchain"].tree.under("go/src")
    published = chain.source.under("src")
    patched = DIST_BUILD.removeprefix("src/")
    wanted = published.where(lambda entry: entry.path != patched)
    present = after.where(lambda entry: wanted.get(entry.path) is not None)
    return trees(GENERATED, chain.host, present, wanted)
