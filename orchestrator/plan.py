"""Plans a build: its steps from spec, lock and inputs, and the checks that it must end with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestrator import resources
from orchestrator.golang import probe, standard_library
from orchestrator.golang.compiling import Compiling
from orchestrator.golang.toolchain import (
    DIST_BUILD,
    Chain,
    Programs,
    stopping_early,
)
from orchestrator.inputs import source_checks
from orchestrator.lock.file import Absent
from reproducibility import codes
from reproducibility.errors import InputError
from reproducibility.manifest import Tree, file, merge
from reproducibility.variations import FIXED_POINT, varied

if TYPE_CHECKING:
    from collections.abc import Mapping

    from containers.engine import Capability
    from orchestrator.architecture import Architecture
    from orchestrator.execution.step import Step
    from orchestrator.inputs import Inputs
    from orchestrator.lock.file import Lock
    from orchestrator.spec.model import Spec
    from orchestrator.store import Store
    from reproducibility.compare import CheckKind


@dataclass(frozen=True)
class Plan:
    """Steps in the order of their importance, what they are made from, and expected checks."""

    chain: Chain
    compiling: Compiling
    steps: list[Step]
    expected: list[tuple[CheckKind, str]]


def draw(  # noqa: PLR0913 - what a plan depends on
    spec: Spec,
    lock: Lock,
    have: Inputs,
    store: Store,
    *,
    host: Architecture,
    architectures: tuple[Architecture, ...],
    processors: int,
    capabilities: Mapping[str, Capability],
) -> Plan:
    """The plan of a build on `host` for `architectures`.

    `processors`, `capabilities`: of the engine.
    """
    unable = {
        name: one.refusal
        for name, one in capabilities.items()
        if one.refusal and name in FIXED_POINT
    }
    chain = Chain(
        host=host,
        root=merge([("the bootstrap Go", have.bootstrap.at("bootstrap")), ("uname", have.uname)]),
        release=have.release,
        dist_build=dist_build(have.release, store),
        programs=Programs(binaries=lock.toolchain.bin, tools=lock.toolchain.tool),
        userland=_userland(store),
        observer=_observer(store),
        read=store.read,
        varied=varied(
            min(spec.limits.cpus or processors, processors),
            (name for name in FIXED_POINT if name in capabilities and name not in unable),
        ),
        unable=unable,
    )
    compiling = Compiling(
        chain=chain,
        sources={source.module: (source, have.sources[source.name]) for source in spec.sources},
        seeded=spec.seed.enabled,
        epoch=spec.image.epoch,
    )
    foreign = [name for name in architectures if name != host]
    steps = chain.steps()
    for name in dict.fromkeys((host, *architectures)):
        steps += standard_library.standard(chain, name)
    # The critical path comes first; short steps last, for CPUs that would be idle.
    steps.append(chain.second())
    steps += [chain.cross_again(name) for name in unpublished(lock, host, architectures)]
    steps += [chain.cross(name) for name in foreign]
    compiled = [step for name in architectures for step in compiling.steps(name)]
    steps += sorted(compiled, key=lambda step: step.stage not in {"list", "seed"})
    steps.append(standard_library.helpers_again(chain))
    return Plan(chain, compiling, steps, expected(lock, host, architectures))


def expected(
    lock: Lock, host: Architecture, architectures: tuple[Architecture, ...]
) -> list[tuple[CheckKind, str]]:
    """(kind, subject) of each check of toolchains and sources that a build must end with."""
    found: list[tuple[CheckKind, str]] = [
        (kind, host) for kind in (codes.FIXED_POINT, codes.GENERATED, codes.HELPERS)
    ]
    found += [(codes.VARIATION, name) for name in probe.FIELDS]
    for name in dict.fromkeys((host, *architectures)):
        found.append((codes.RELEASE, name))
        if not isinstance(lock.toolchain.log[name], Absent):
            found.append((codes.LOG, name))
    found += source_checks.expected(lock)
    found += [(codes.CROSS_AGAIN, name) for name in unpublished(lock, host, architectures)]
    return found


def unpublished(
    lock: Lock, host: Architecture, architectures: tuple[Architecture, ...]
) -> list[Architecture]:
    """Other architectures than the host's whose toolchain the public log has no record of."""
    foreign = (name for name in architectures if name != host)
    return [name for name in foreign if isinstance(lock.toolchain.log[name], Absent)]


def _userland(store: Store) -> Tree:
    """The project's own Go module, without what an editor or a build may have left in it."""
    tree = store.put_tree(resources.userland())
    kept = tree.where(lambda entry: entry.path.endswith((".go", ".mod", ".md")))
    return Tree(replace(entry, executable=False) for entry in kept.files())


def _observer(store: Store) -> Tree:
    source = resources.observer()
    return Tree([file("observe.go", store.put_file(source), source.stat().st_size)])


def dist_build(release: Tree, store: Store) -> Tree | None:
    """cmd/dist's build.go with the early stop; None where this Go version has no place for it."""
    entry = release.get(DIST_BUILD)
    if entry is None:
        raise InputError(
            f"the Go source has no {DIST_BUILD}", subject="the published host toolchain"
        )
    patched = stopping_early(store.read(entry.content).decode())
    if patched is None:
        return None
    content = patched.encode()
    return Tree([file(DIST_BUILD, store.put_bytes(content), len(content))])
