"""Steps that compile the standard library once for several uses, and record it in a build cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from containers.action import WORK, Action, Mount
from orchestrator.execution.step import Results, Step
from orchestrator.golang import build_cache, environment, handles
from reproducibility.conditions import STANDARD

if TYPE_CHECKING:
    from orchestrator.golang.toolchain import Chain

# What `go test` needs beside what the toolchain's programs import.
_FOR_TESTS = "testing/internal/testdeps"


def standard(chain: Chain, architecture: str) -> list[Step]:
    """The standard library for an architecture, compiled by F1 and recorded.

    As much of it as the toolchain's programs import, which has to be listed first. What is built
    with it need not compile it again, the stick's commands among them. That of the host is a part
    of F2, so it is compiled in F2's varied conditions.
    """
    name, listing = handles.standard(architecture), handles.standard_list(architecture)
    conditions = chain.varied if architecture == chain.host else STANDARD

    def make_list(results: Results) -> Action:
        return chain.action(
            listing,
            # With profiles it lists a package again for each program that has one.
            ("/go/bin/go", "list", "-deps", "-pgo=off", *chain.programs.packages, _FOR_TESTS),
            environment.toolchain(architecture),
            (Mount("/go", chain.goroot_f1(results)),),
            directory="/go/src",
            outputs=(),
        )

    def make(results: Results) -> Action:
        packages = standard_packages(chain.read(listing.result(results).stdout).decode())
        cache = build_cache.Cache(build_cache.helper(results), into=WORK)
        goroot = chain.goroot_f1(results)
        return chain.go_build(name, goroot, architecture, packages, cache=cache)

    stage, needs = "standard library", (handles.F1, handles.HELPERS, listing)
    return [
        Step(listing, stage, f"list for {architecture}", (handles.F1,), make_list, says=True),
        Step(
            name,
            stage,
            f"for {architecture}",
            needs,
            make,
            long=True,
            conditions=conditions,
            fixed=build_cache.FIXED,
        ),
    ]


def standard_packages(listing: str) -> tuple[str, ...]:
    """Return those of the listed packages that are of the standard library and can be built.

    What it vendors cannot be; that is compiled because others import it.
    """
    others = ("cmd/", "vendor/")
    return tuple(n for n in listing.split() if n != "unsafe" and not n.startswith(others))


def helpers_again(chain: Chain) -> Step:
    """Return the step in which F1 builds the helpers again: what is recorded went through T1's.

    Of what T1 compiles, only F1 is held against the release; this vouches for the rest.
    """

    def make(results: Results) -> Action:
        cache = _of_the_host(chain, results)
        return chain.helpers(handles.HELPERS_AGAIN, chain.goroot_f1(results), cache=cache)

    return Step(handles.HELPERS_AGAIN, "recorder", "built again by F1", _needs(chain), make)


def _needs(chain: Chain) -> tuple[str, ...]:
    return (handles.F1, handles.HELPERS, handles.standard(chain.host))


def _of_the_host(chain: Chain, results: Results) -> build_cache.Cache:
    return build_cache.reading(results, handles.standard(chain.host))
