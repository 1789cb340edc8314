"""Builds of a toolchain by its own programs: of another architecture than this machine's.

A farm's worker of that architecture runs them as they are. Elsewhere they run in an emulator of
single programs (qemu-user), which is an input tree of one file, and the command itself. The
programs that the go command starts are foreign too; the system cannot run them, so the go command
is told to start each through the emulator as well (-toolexec). That needs neither a registration
with the kernel (binfmt_misc) nor a privilege, so it is the same on every engine. -toolexec is no
part of what the go command records or names its results by.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
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
class Machine:
    """What runs programs of an architecture: an emulator, or a worker that is such a machine.

    `emulator`: as an input, the tree with its one file; None for the worker.
    """

    architecture: Architecture
    emulator: Tree | None = None

    @property
    def _program(self) -> tuple[str, ...]:
        """The emulator's place in the sandbox, if there is one."""
        return tuple(f"{_AT}/{entry.path}" for entry in self.emulator or ())

    @property
    def each(self) -> tuple[str, ...]:
        """What has the go command start each program so that it runs."""
        return tuple(f"-toolexec={program}" for program in self._program)

    def runs(self, action: Action) -> Action:
        """Return the action as it runs there; its command is the foreign program."""
        if self.emulator is None:
            return replace(action, architecture=self.architecture)
        return replace(
            action,
            command=(*self._program, *action.command),
            mounts=(*action.mounts, Mount(_AT, self.emulator)),
        )


def name(architecture: str) -> str:
    """The name of a build of a toolchain by its own programs."""
    return f"native/{architecture}"


def looking(chain: Chain, made: Tree, machine: Machine) -> Action:
    """`go version` of a toolchain, which says what it runs as.

    `made`: its programs, as the cross build gives them.
    """
    return _action(chain, f"{name(machine.architecture)}/version", made, machine, ("version",))


def trying(chain: Chain, programs: Tree, machine: Machine) -> Action:
    """A small program of the architecture, which says how it is used: does any run there at all?

    `programs`: the prebuilt ones of the userland, as the build made them.
    """
    return machine.runs(
        chain.action(
            f"{name(machine.architecture)}/emulator",
            (f"{_PROGRAMS}/{SMALL}", "-help"),
            environment.toolchain(machine.architecture),
            (Mount(_PROGRAMS, programs),),
            directory=_PROGRAMS,
            outputs=(),
        )
    )


def works(said: bytes) -> bool:
    """Return whether that is what the small program says of its use."""
    return said.startswith(f"Usage: {SMALL} ".encode())


def runs_as(said: bytes) -> str:
    """Return the architecture that `go version` says it runs as; empty where it says none."""
    found = _VERSION.fullmatch(said.decode(errors="replace"))
    return found[1] if found else ""


def building(
    chain: Chain, made: Tree, machine: Machine, packages: tuple[str, ...] | None = None
) -> Action:
    """A toolchain that builds all of itself, with a release's flags.

    `made`: its programs, as the cross build gives them. `packages`: of those only.
    """
    words = (
        *("build", *machine.each, *RELEASE_FLAGS, "-o", f"{WORK}/out/"),
        *(packages or chain.programs.packages),
    )
    return _action(chain, name(machine.architecture), made, machine, words, outputs=("out",))


def outputs(tree: Tree) -> Tree:
    """Return the programs that such a build made."""
    return tree.under(handles.OUT)


def _action(  # noqa: PLR0913 - an action has these parts
    chain: Chain,
    named: str,
    made: Tree,
    machine: Machine,
    words: tuple[str, ...],
    *,
    outputs: tuple[str, ...] = (),
) -> Action:
    architecture = machine.architecture
    goroot = chain.goroot(f"the toolchain for {architecture}", made, architecture)
    return machine.runs(
        chain.action(
            named,
            ("/go/bin/go", *words),
            environment.toolchain(architecture),
            (Mount("/go", goroot),),
            directory="/go/src",
            outputs=outputs,
        )
    )
