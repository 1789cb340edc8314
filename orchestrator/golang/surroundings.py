"""Looks around inside an action, for an audit: what is really seen under given conditions.

An engine that did not apply a variation, and did not say so, would let an audit pass that proved
nothing. So an audit builds a small program (`surroundings.go`) with the toolchain that it audits,
runs it under the usual conditions and under its own, and asks which variations had no effect. It is
no step of a build, and nothing of it is remembered. F1 and F2 have an observer of their own, whose
source is a part of the keys of a build (`probe`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from containers.action import WORK, Action, Mount
from orchestrator import resources
from orchestrator.golang import build_cache, environment, handles
from reproducibility import canonical
from reproducibility.errors import ActionError, InputError
from reproducibility.manifest import Tree, file

if TYPE_CHECKING:
    from threading import Event

    from containers.engine import Engine, Outcome
    from containers.policy import Policy
    from orchestrator.execution.step import Results
    from orchestrator.golang.toolchain import Chain
    from orchestrator.store import Store
    from reproducibility.conditions import Conditions

_NAME = "surroundings"
_PROGRAM = f"{_NAME}.go"
# An input that every build has: a package of Go's source, whose folder holds hundreds of files.
_PACKAGE, _FILE = "src/runtime", "extern.go"


@dataclass(frozen=True)
class Place:
    """Place where the program is built and run: an engine with its policy, and the store.

    `stop`: ends what runs when it is set.
    """

    engine: Engine
    policy: Policy
    store: Store
    stop: Event


def program(chain: Chain, results: Results, place: Place) -> Tree:
    """The program, built by F1 with the standard library that the build recorded.

    `results`: of a finished build, at least of F1, the helpers and the host's standard library.

    Raises:
        ActionError: it does not compile.
        InfrastructureError: the engine could not run the compiler.
        Stopped: the person stopped the work.
    """
    source = resources.surroundings()
    content = place.store.put_file(source)
    tree = Tree([file(_PROGRAM, content, source.stat().st_size)])
    cache = build_cache.reading(results, handles.standard(chain.host))
    out = f"{WORK}/out/{_NAME}"
    compiling = chain.action(
        f"{_NAME}/build",
        ("/go/bin/go", "build", "-pgo=off", "-trimpath", "-ldflags=-w", "-o", out, _PROGRAM),
        environment.toolchain(chain.host, GO111MODULE="off", **cache.environment),
        (
            Mount("/go", chain.goroot_f1(results)),
            Mount(f"/{_NAME}", tree),
            *cache.mounts,
        ),
        directory=f"/{_NAME}",
        outputs=("out",),
    )
    return _run(compiling, place).tree.under("out")


def look(chain: Chain, built: Tree, conditions: Conditions, place: Place) -> dict[str, Any]:
    """Return what is seen under some conditions: a JSON value for each variation, by its name.

    `built`: what `program` gives.

    Raises:
        ActionError: it failed, or said something else.
        InfrastructureError: the engine could not run it.
        Stopped: the person stopped the work.
    """
    looking = chain.action(
        _NAME,
        (f"/{_NAME}/{_NAME}", "/input", f"/input/{_FILE}"),
        environment.toolchain(chain.host),
        (Mount(f"/{_NAME}", built), Mount("/input", chain.source.under(_PACKAGE))),
        directory=WORK,
        outputs=(),
    )
    outcome = _run(looking.under(conditions), place)
    said = place.store.read(outcome.said_whole(_NAME, place.policy.limits.log).stdout)
    try:
        seen = canonical.loads(said, subject=_NAME)
    except InputError as error:
        raise _misunderstood(error.summary) from error
    if not isinstance(seen, dict):
        raise _misunderstood("no JSON object")
    return seen


def _run(action: Action, place: Place) -> Outcome:
    # What is remembered of it was seen on another day.
    outcome = place.engine.run(action, place.policy, place.store, place.stop).run_again(action.name)
    if outcome.failed:
        words = place.store.read(outcome.stderr).decode(errors="replace").strip()
        raise ActionError(
            f"{action.name} ended with exit status {outcome.exit_status}:\n{words}",
            subject=str(action.conditions.describe() or "the usual conditions"),
        )
    return outcome


def _misunderstood(reason: str) -> ActionError:
    return ActionError(f"what was seen inside an action is not understood: {reason}", subject=_NAME)
