"""Builds of a toolchain by its own programs, run in an emulator: foreign programs of this host.

The emulator of single programs (qemu-user) is an input tree of one file, and the command itself.
The programs that the go command starts are foreign too; the system cannot run them, so the go
command is told to start each through the emulator as well (-toolexec). That needs neither a
registration with the kernel (binfmt_misc) nor a privilege, so it is the same on every engine.
-toolexec is no part of what the go command records or names its results by.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from containers.action import WORK, Mount
from orchestrator.golang import environment, handles
from orchestrator.golang.toolchain import RELEASE_FLAGS

if TYPE_CHECKING:
    from containers.action import Action
    from orchestrator.architecture import Architecture
    from orchestrator.golang.toolchain import Chain
    from reproducibility.manifest import Tree

_AT = "/emulator"
_PROGRAMS = "/programs"
# It explains itself and ends at once, wherever it is started (userland/cmd/installcommand).
SMALL = "installcommand"
_VERSION = re.compile(r"go version \S+ linux/(\w+)\n?")


@dataclass(frozen=True)
class Emulator:
    """Emulator as an input: the tree with its one file, and the architecture that it emulates."""

    tree: Tree
    architecture: Architecture

    @property
    def program(self) -> str:
        """Its place in the sandbox."""
        (entry,) = self.tree.files()
        return f"{_AT}/{entry.path}"


def name(architecture: str) -> str:
    """The name of a build of a toolchain by its own programs."""
    return f"native/{architecture}"


def looking(chain: Chain, made: Tree, emulator: Emulator) -> Action:
    """`go version` of a toolchain, which says what it runs as.

    `made`: its programs, as the cross build gives them.
    """
    return _action(chain, f"{name(emulator.architecture)}/version", made, emulator, ("version",))


def trying(chain: Chain, programs: Tree, emulator: Emulator) -> Action:
    """A small program of the architecture, which says how it is used: does the emulator run at all?

    `programs`: the prebuilt ones of the userland, as the build made them.
    """
    return chain.action(
        f"{name(emulator.architecture)}/emulator",
        (emulator.program, f"{_PROGRAMS}/{SMALL}", "-help"),
        environment.toolchain(emulator.architecture),
        (Mount(_PROGRAMS, programs), Mount(_AT, emulator.tree)),
        directory=_PROGRAMS,
        outputs=(),
    )


def works(said: bytes) -> bool:
    """Return whether that is what the small program says of its use."""
    return said.startswith(f"Usage: {SMALL} ".encode())


def runs_as(said: bytes) -> str:
    """Return the architecture that `go version` says it runs as; empty where it says none."""
    found = _VERSION.fullmatch(said.decode(errors="replace"))
    return found[1] if found else ""


def building(
    chain: Chain, made: Tree, emulator: Emulator, packages: tuple[str, ...] | None = None
) -> Action:
    """A toolchain that builds all of itself, with a release's flags.

    `made`: its programs, as the cross build gives them. `packages`: of those only.
    """
    words = (
        *("build", f"-toolexec={emulator.program}", *RELEASE_FLAGS, "-o", f"{WORK}/out/"),
        *(packages or chain.programs.packages),
    )
    return _action(chain, name(emulator.architecture), made, emulator, words, outputs=("out",))


def outputs(tree: Tree) -> Tree:
    """Return the programs that such a build made."""
    return tree.under(handles.OUT)


def _action(  # noqa: PLR0913 - an action has these parts
    chain: Chain,
    named: str,
    made: Tree,
    emulator: Emulator,
    words: tuple[str, ...],
    *,
    outputs: tuple[str, ...] = (),
) -> Action:
    architecture = emulator.architecture
    return chain.action(
        named,
        (emulator.program, "/go/bin/go", *words),
        environment.toolchain(architecture),
        (
            Mount("/go", chain.goroot(f"the toolchain for {architecture}", made, architecture)),
            Mount(_AT, emulator.tree),
        ),
        directory="/go/src",
        outputs=outputs,
    )
