"""Steps that compile for the stick: programs, commands, and the seed (GOCACHEPROG).

For each architecture the prebuilt programs of `userland/`; for each source module and
architecture the list of its commands, the seed of everything that they import, and the commands
themselves in batches, so that a change of one command compiles a few again and not all.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from containers.action import WORK, Action, Mount
from orchestrator import device
from orchestrator.execution.step import Results, Step
from orchestrator.golang import build_cache, commands, environment, handles, listing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.execution.step import Handle
    from orchestrator.golang.listing import Listing
    from orchestrator.golang.toolchain import Chain
    from orchestrator.spec.model import Source
    from reproducibility.manifest import Tree

BATCHES = 8


@dataclass(frozen=True)
class Compiling:
    """Everything that the compile steps are made from, and the steps.

    `sources`: module path -> source and vendored tree. `seeded`: whether a compile seed goes on the
    stick. `epoch`: the stick's one time, seconds: the go command hashes the files' times into what
    it looks up.
    """

    chain: Chain
    sources: dict[str, tuple[Source, Tree]]
    seeded: bool
    epoch: int

    def steps(self, architecture: str) -> list[Step]:
        """Return all compile steps for one architecture."""
        found = []
        for module in self.sources:
            found.append(self._list(module, architecture))
            if self.seeded:
                found.append(self._seed(module, architecture))
            found += [self._batch(module, architecture, number) for number in range(BATCHES)]
        return [*found, self._programs(architecture)]

    def listing(self, results: Results, module: str, architecture: str) -> Listing:
        """The parsed listing of a source for an architecture.

        Raises:
            ActionError: a command cannot be loaded.
        """
        source, tree = self.sources[module]
        name = handles.listing(module, architecture)
        key = (name, name.result(results).stdout.hex)
        known = self._listings.get(key)
        if known is None:
            known = listing.parse(
                self.chain.read(name.result(results).stdout).decode(),
                module,
                commands.candidates(source, tree, architecture),
                name,
                named=commands.named(source),
            )
            self._listings[key] = known
        return known

    @cached_property
    def _listings(self) -> dict[tuple[str, str], Listing]:
        """Parsed once for each list: every batch of commands needs it."""
        return {}

    def _programs(self, architecture: str) -> Step:
        name = handles.programs(architecture)
        records = (handles.standard(architecture),)
        place = f"/{device.source(device.USERLAND)}"

        def make(results: Results) -> Action:
            return self._go(
                name,
                (
                    "build",
                    "-o",
                    f"{WORK}/out/",
                    *(f"{device.USERLAND}/cmd/{program}" for program in device.PROGRAMS),
                ),
                architecture,
                results,
                mounts=(Mount(place, self.chain.userland),),
                directory=place,
                outputs=tuple(f"out/{program}" for program in device.PROGRAMS),
                records=records,
            )

        return Step(name, "programs", architecture, (handles.F1, handles.HELPERS, *records), make)

    def _list(self, module: str, architecture: str) -> Step:
        source, tree = self.sources[module]
        name = handles.listing(module, architecture)
        # For its index of the standard library: go list compiles nothing.
        records = (handles.standard(architecture),)

        def make(results: Results) -> Action | None:
            folders = commands.candidates(source, tree, architecture)
            if not folders:
                return None
            return self._go(
                name,
                listing.arguments(folders),
                architecture,
                results,
                mounts=(Mount(f"/{device.source(module)}", tree),),
                directory=f"/{device.source(module)}",
                outputs=(),
                records=records,
            )

        needs = (handles.F1, handles.HELPERS, *records)
        return Step(name, "list", f"{module} for {architecture}", needs, make, says=True)

    def _seed(self, module: str, architecture: str) -> Step:
        _, tree = self.sources[module]
        name = handles.seed(module, architecture)
        records = (handles.standard(architecture),)

        def make(results: Results) -> Action | None:
            listed = self.listing(results, module, architecture)
            if not listed.commands:
                return None
            return self._go(
                name,
                ("build", *listed.imports),
                architecture,
                results,
                mounts=(self._mount(module, tree, listed.needed, listed),),
                directory=f"/{device.source(module)}",
                outputs=(build_cache.FOLDER,),
                records=records,
                record=True,
            )

        needs = (
            handles.listing(module, architecture),
            handles.F1,
            handles.HELPERS,
            *records,
        )
        what = f"{module} for {architecture}"
        return Step(name, "seed", what, needs, make, long=True, fixed=build_cache.FIXED)

    def _batch(self, module: str, architecture: str, number: int) -> Step:
        _, tree = self.sources[module]
        name = handles.batch(module, architecture, number)
        seeds = (handles.seed(module, architecture),) if self.seeded else ()
        records = (handles.standard(architecture), *seeds)

        def make(results: Results) -> Action | None:
            listed = self.listing(results, module, architecture)
            batch = commands.batches(listed.commands, BATCHES)[number]
            if not batch:
                return None
            folders = {folder: listed.commands[folder] for folder in batch}
            mount = self._mount(module, tree, {**listed.needed, **folders}, listed)
            return self._go(
                name,
                # Not `go list -export`: go list never closes the build cache (Builder.Do in
                # cmd/go/internal/work/exec.go), so whether anything is recorded would be luck.
                # And nobody wants the programs that `go build` would link.
                (
                    "build",
                    f"-toolexec={build_cache.COMPILE_ONLY}",
                    "-o",
                    "/dev/null",
                    *(f"./{folder}" for folder in batch),
                ),
                architecture,
                results,
                mounts=(mount,),
                directory=f"/{device.source(module)}",
                outputs=(build_cache.FOLDER,),
                records=records,
                record=True,
            )

        needs = (
            handles.listing(module, architecture),
            handles.F1,
            handles.HELPERS,
            *records,
        )
        what = f"{module} for {architecture}"
        return Step(name, "commands", what, needs, make, fixed=build_cache.FIXED)

    def _mount(
        self, module: str, tree: Tree, folders: Mapping[str, tuple[str, ...]], listed: Listing
    ) -> Mount:
        """As much of a module as compiling these of its folders needs, at its place."""
        seen = listing.only(tree, folders, listed, lambda entry: self.chain.read(entry.content))
        return Mount(f"/{device.source(module)}", seen)

    def _go(  # noqa: PLR0913 - an action has these parts
        self,
        name: str,
        arguments: tuple[str, ...],
        architecture: str,
        results: Results,
        *,
        mounts: tuple[Mount, ...],
        directory: str,
        outputs: tuple[str, ...],
        records: tuple[Handle, ...] = (),
        record: bool = False,
    ) -> Action:
        """An action of F1's go command under the device's settings.

        `records`: steps whose recorded packages need not be compiled again. `record`: what is
        compiled goes into the work directory in the seed's form.
        """
        variables = environment.sandbox(architecture)
        if records or record:
            # Only the helper: a change of another program must not compile a seed again.
            cache = build_cache.Cache(
                build_cache.helper(results),
                [step.tree(results) for step in records],
                WORK if record else None,
            )
            mounts = (*mounts, *cache.mounts)
            variables.update(cache.environment)
        return Action(
            name=name,
            command=("/go/bin/go", *arguments),
            environment=tuple(sorted(variables.items())),
            directory=directory,
            root=self.chain.root,
            mounts=(Mount("/go", self.chain.goroot_f1(results)), *mounts),
            outputs=outputs,
            epoch=self.epoch,
            architecture=self.chain.host,
        )
