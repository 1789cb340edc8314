"""What is compiled for the stick beside the toolchain, as steps: programs, commands, their seed.

For each architecture the prebuilt programs of `userland/`; for each source module and
architecture the list of its commands, the seed of everything that they import, and the commands
themselves in batches, so that a change of one command compiles a few again and not all.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from containers.action import Action, Mount
from orchestrator import commands, device
from orchestrator.scheduler import Results, Step
from reproducibility.variations import STANDARD

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.commands import Listing
    from orchestrator.spec import Source
    from orchestrator.toolchain.chain import Chain
    from reproducibility.digest import Digest
    from reproducibility.manifest import Tree

BATCHES = 8
_RECORDED = "out"
_RECORDER = "recorder"
_HELPERS = ("buildcache", "compileonly")
_CACHE = "/tmp/cache"  # noqa: S108 - inside the sandbox


@dataclass(frozen=True)
class Compiling:
    """What the steps are made from.

    `sources`: module path -> source and vendored tree. `userland`: tree of the module
    `sourcery/userland`. `seeded`: whether a compile seed goes on the stick. `read`: gives a blob's
    bytes (a listing is an action's output that later actions depend on). `epoch`: the stick's one
    time, seconds: the go command hashes the files' times into what it looks up. `boots`: whether
    there is an initramfs, which takes a program more.
    """

    chain: Chain
    sources: dict[str, tuple[Source, Tree]]
    userland: Tree
    seeded: bool
    epoch: int
    read: Callable[[Digest], bytes]
    boots: bool = False

    def steps(self, architecture: str) -> list[Step]:
        """All steps for one architecture."""
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
        name = list_name(module, architecture)
        key = (name, results[name].stdout.hex)
        known = self._listings.get(key)
        if known is None:
            known = commands.parse_listing(
                self.read(results[name].stdout).decode(),
                module,
                commands.candidates(source, tree, architecture),
                name,
            )
            self._listings[key] = known
        return known

    @cached_property
    def _listings(self) -> dict[tuple[str, str], Listing]:
        """Parsed once for each list: every batch of commands needs it."""
        return {}

    def recorder(self) -> Step:
        """The helpers: one records seeds and reads them, one compiles without linking."""

        def make(results: Results) -> Action:
            return self._userland(_RECORDER, _HELPERS, self.chain.host, results, ())

        return Step(_RECORDER, "programs", f"helpers for {self.chain.host}", ("F1",), make)

    def _programs(self, architecture: str) -> Step:
        name = f"programs/{architecture}"
        seeds = self._seeds(architecture)[:1]
        programs = (*device.PREBUILT, device.STICK_INIT) if self.boots else device.PREBUILT

        def make(results: Results) -> Action:
            return self._userland(name, programs, architecture, results, seeds)

        return Step(name, "programs", architecture, ("F1", _RECORDER, *seeds), make)

    def _userland(
        self,
        name: str,
        programs: tuple[str, ...],
        architecture: str,
        results: Results,
        seeds: tuple[str, ...],
    ) -> Action:
        place = f"/{device.source(device.USERLAND)}"
        return self._go(
            name,
            (
                "build",
                "-o",
                f"{STANDARD.work}/out/",
                *(f"{device.USERLAND}/cmd/{program}" for program in programs),
            ),
            architecture,
            results,
            mounts=(Mount(place, self.userland),),
            directory=place,
            outputs=tuple(f"out/{program}" for program in programs),
            seeds=seeds,
        )

    def _seeds(self, architecture: str) -> tuple[str, ...]:
        """The steps that record what an architecture's commands import."""
        if not self.seeded:
            return ()
        return tuple(seed_name(module, architecture) for module in self.sources)

    def _list(self, module: str, architecture: str) -> Step:
        source, tree = self.sources[module]
        name = list_name(module, architecture)

        def make(results: Results) -> Action | None:
            folders = commands.candidates(source, tree, architecture)
            if not folders:
                return None
            asked = [f"./{folder}" for folder in folders]
            return self._go(
                name,
                ("list", "-e", "-deps", f"-json={commands.LIST_FIELDS}", *asked),
                architecture,
                results,
                mounts=(Mount(f"/{device.source(module)}", tree),),
                directory=f"/{device.source(module)}",
                outputs=(),
            )

        return Step(name, "list", f"{module} for {architecture}", ("F1",), make)

    def _seed(self, module: str, architecture: str) -> Step:
        _, tree = self.sources[module]

        def make(results: Results) -> Action | None:
            listing = self.listing(results, module, architecture)
            if not listing.commands:
                return None
            return self._go(
                seed_name(module, architecture),
                ("build", *listing.imports),
                architecture,
                results,
                mounts=(Mount(f"/{device.source(module)}", commands.only(tree, listing.needed)),),
                directory=f"/{device.source(module)}",
                outputs=(_RECORDED,),
                recording=True,
            )

        needs = (list_name(module, architecture), "F1", _RECORDER)
        return Step(
            seed_name(module, architecture), "seed", f"{module} for {architecture}", needs, make
        )

    def _batch(self, module: str, architecture: str, number: int) -> Step:
        _, tree = self.sources[module]
        name = batch_name(module, architecture, number)
        seeds = (seed_name(module, architecture),) if self.seeded else ()

        def make(results: Results) -> Action | None:
            listing = self.listing(results, module, architecture)
            batch = commands.batches(listing.commands, BATCHES)[number]
            if not batch:
                return None
            folders = {folder: listing.commands[folder] for folder in batch}
            mount = Mount(
                f"/{device.source(module)}", commands.only(tree, {**listing.needed, **folders})
            )
            return self._go(
                name,
                # Not `go list -export`: go list never closes the build cache (Builder.Do in
                # cmd/go/internal/work/exec.go), so whether anything is recorded would be luck.
                # And nobody wants the programs that `go build` would link.
                (
                    "build",
                    "-toolexec=/helper/compileonly",
                    "-o",
                    "/dev/null",
                    *(f"./{folder}" for folder in batch),
                ),
                architecture,
                results,
                mounts=(mount,),
                directory=f"/{device.source(module)}",
                outputs=(_RECORDED,),
                seeds=seeds,
                recording=True,
            )

        needs = (list_name(module, architecture), "F1", _RECORDER, *seeds)
        return Step(name, "commands", f"{module} for {architecture}", needs, make)

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
        seeds: tuple[str, ...] = (),
        recording: bool = False,
    ) -> Action:
        """An action of F1's go command under the device's settings.

        `seeds`: steps whose recorded packages need not be compiled again. `recording`: what is
        compiled goes into the work directory in the seed's form.
        """
        environment = {
            **device.build_environment(architecture),
            "GOCACHE": _CACHE,
            "GOGC": "400",
            "GOPATH": "/tmp/gopath",  # noqa: S108 - inside the sandbox
            "HOME": "/tmp/home",  # noqa: S108 - inside the sandbox
            "LC_ALL": "C",
            "PATH": "/bin",
            "TMPDIR": "/tmp",  # noqa: S108 - inside the sandbox
        }
        if seeds or recording:
            # Only the helper: a change of another program must not compile a seed again.
            helper = results[_RECORDER].tree.under("out")
            mounts = (*mounts, Mount("/helper", helper))
            arguments_of_helper = ["/helper/buildcache"]
            for number, step in enumerate(step for step in seeds if len(results[step].tree)):
                mounts = (*mounts, Mount(f"/seed/{number}", results[step].tree.under(_RECORDED)))
                arguments_of_helper += ["-seed", f"/seed/{number}"]
            arguments_of_helper += (
                ["-record", f"{STANDARD.work}/{_RECORDED}"] if recording else ["-cache", _CACHE]
            )
            environment["GOCACHEPROG"] = " ".join(arguments_of_helper)
        goroot = self.chain.goroot("F1", results["F1"].tree.under("out"))
        return Action(
            name=name,
            command=("/go/bin/go", *arguments),
            environment=tuple(sorted(environment.items())),
            directory=directory,
            root=self.chain.root,
            mounts=(Mount("/go", goroot), *mounts),
            outputs=outputs,
            epoch=self.epoch,
            architecture=self.chain.host,
        )


def list_name(module: str, architecture: str) -> str:
    """The name of the step that lists a source's commands."""
    return f"list/{module}/{architecture}"


def seed_name(module: str, architecture: str) -> str:
    """The name of the step that compiles what a source's commands import."""
    return f"seed/{module}/{architecture}"


def batch_name(module: str, architecture: str, number: int) -> str:
    """The name of a step that compiles a batch of a source's commands."""
    return f"commands/{module}/{architecture}/{number}"
