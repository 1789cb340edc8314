"""Runs the go command to query a module: no network, none of the user's settings.

What it answers is what it will answer in the build and on the device, under the same settings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field, TypeAdapter

from orchestrator.architecture import host
from orchestrator.golang import environment
from orchestrator.inputs import answers
from orchestrator.store.blobs import BLOB_TIME
from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from containers.host.process import Completed
    from orchestrator.inputs.transport import Clients, Store
    from reproducibility.manifest import Tree


class ModulePath(BaseModel):
    """A module as go.mod names it; `path`: of a folder, where a replacement has no version."""

    path: str = Field(default="", alias="Path")
    version: str = Field(default="", alias="Version")


class Replacement(BaseModel):
    """Replacement of a module in go.mod."""

    old: ModulePath = Field(alias="Old")
    new: ModulePath = Field(alias="New")


class Described(BaseModel):
    """A go.mod, as far as it matters here; the go command writes null for a list of nothing."""

    module: ModulePath | None = Field(default=None, alias="Module")
    require: tuple[ModulePath, ...] | None = Field(default=None, alias="Require")
    replace: tuple[Replacement, ...] | None = Field(default=None, alias="Replace")


_DESCRIBED = TypeAdapter(Described)


@dataclass(frozen=True)
class GoCommand:
    """The go command of the published toolchain. `go`: gives its path, when it is needed first."""

    clients: Clients
    store: Store
    go: Callable[[], Path]

    def describe(self, where: str, go_mod: bytes) -> Described:
        """Return what a go.mod says, as `go mod edit -json` reads it.

        `where`: the file, for messages.

        Raises:
            InputError: it is not one.
            InfrastructureError: the go command's answer is not understood.
        """
        with self.store.temporary() as scratch:
            folder = scratch / "module"
            folder.mkdir()
            (folder / "go.mod").write_bytes(go_mod)
            answer = self._run(("mod", "edit", "-json"), scratch, folder, host())
            if answer.status != 0:
                self.refuse_machines_fault(answer, where)
                words = answer.stderr.decode(errors="replace").replace(f"{folder}/", "").strip()
                raise InputError(
                    f"the go command cannot read {where}: {words}",
                    subject=where,
                    remedy="correct it; `go mod edit -json` there says whether it is right",
                )
        return answers.document(_DESCRIBED, answer.stdout, what="go mod edit -json")

    @staticmethod
    def refuse_machines_fault(answer: Completed, where: str) -> None:
        """Tell a failure for want of something on this machine from one about the source.

        Raises:
            InfrastructureError: it is one.
        """
        said = answers.go_text(answer)
        if answers.is_machines_fault(answer, said):
            raise InfrastructureError(
                f"the go command failed: {said or f'status {answer.status}, without a word'}",
                subject=where,
                remedy="see what this machine lacks (`df`, `free`, permissions), then try again",
            )

    def answer(
        self, arguments: tuple[str, ...], module: Tree, architecture: str
    ) -> tuple[Completed, str]:
        """Return what a command prints in a module's folder, as on a device of an architecture.

        Also the folder that the module lay in meanwhile.
        """
        folder = self.store.checkout(module, BLOB_TIME, self.clients.stop)
        with self.store.temporary() as scratch:
            return self._run(arguments, scratch, folder, architecture), str(folder)

    def _run(
        self, arguments: tuple[str, ...], scratch: Path, folder: Path, architecture: str
    ) -> Completed:
        go = self.go()
        return self.clients.run(
            [str(go), *arguments],
            environment=environment.listing(architecture, go.parent.parent, scratch),
            directory=folder,
            stop=self.clients.stop,
            check=False,
        )
