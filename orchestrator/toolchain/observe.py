"""Whether the varied surroundings of F2 really differ from F1's: asked from inside, per engine.

A variation that an engine silently did not apply would make F1 == F2 worth less than it says; so a
small program looks around in both, and each field must differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from containers.action import Action, Mount
from orchestrator.scheduler import Results, Step
from orchestrator.store import BLOB_TIME
from orchestrator.toolchain import shared
from orchestrator.toolchain.chain import environment_of
from reproducibility import canonical
from reproducibility.compare import Check, Verdict
from reproducibility.errors import InputError
from reproducibility.variations import STANDARD, Surroundings

if TYPE_CHECKING:
    from orchestrator.toolchain.chain import Chain
    from reproducibility.manifest import Tree

FIELDS = ("directory", "group", "host", "order", "parallelism", "user")
USUAL, OTHER = "observe/usual", "observe/varied"
_PROBE = "/probe"


def steps(chain: Chain, program: Tree) -> list[Step]:
    """Build the observer with F1, then run it in both surroundings.

    `program`: the tree of `observe.go`. The folder whose order of entries is looked at is the Go
    source.
    """

    def look(name: str, around: Surroundings) -> Step:
        def make(results: Results) -> Action:
            threads = around.parallelism
            extra = {"GOMAXPROCS": str(threads)} if threads else {}
            return Action(
                name=name,
                command=("/observe/observe", "/go/src"),
                environment=environment_of(chain.host, **extra),
                directory=around.work,
                root=chain.root,
                mounts=(
                    Mount("/observe", results["observe/build"].tree.under("out")),
                    Mount("/go", chain.source),
                ),
                outputs=(),
                epoch=BLOB_TIME,
                architecture=chain.host,
                surroundings=around,
            )

        return Step(name, "observe", "surroundings", ("observe/build",), make)

    mount, words = Mount(_PROBE, program), ("observe", "the observer")
    return [
        shared.program(chain, "observe/build", words, f"{_PROBE}/observe.go", mount),
        look(USUAL, STANDARD),
        look(OTHER, chain.varied),
    ]


def checks(usual: bytes, varied: bytes) -> list[Check]:
    """One check a field: PASS where the two observations differ, FAIL where they do not.

    Raises:
        InputError: an observation is not the JSON that the observer writes.
    """
    first, second = (canonical.loads(seen, subject="an observation") for seen in (usual, varied))
    if not isinstance(first, dict) or not isinstance(second, dict):
        raise InputError("an observation is no JSON object", subject="observe")
    found = []
    for name in FIELDS:
        differs = name in first and name in second and first[name] != second[name]
        shown = "" if name == "order" else f": {first.get(name)} and {second.get(name)}"
        found.append(
            Check(
                "variation",
                name,
                Verdict.PASS if differs else Verdict.FAIL,
                f"F1 and F2 saw different values{shown}"
                if differs
                else f"F1 and F2 saw the same value, the variation had no effect{shown}",
            )
        )
    return found
