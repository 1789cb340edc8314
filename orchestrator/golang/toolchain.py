"""Steps that build the Go toolchain: T1, F1, F2, and F1 for other architectures.

T1 is what cmd/dist makes with the bootstrap Go: a compiler, an assembler, a linker and a go
command of the new version. F1 is the whole toolchain built by T1, F2 the same built by F1 in
varied conditions. Pure: trees and a listing in, actions out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from containers.action import WORK, Action, Mount
from orchestrator import device
from orchestrator.execution.step import Results, Step
from orchestrator.golang import build_cache, environment, handles
from orchestrator.store import BLOB_TIME
from reproducibility.errors import ActionError
from reproducibility.manifest import Entry, Tree, merge
from reproducibility.variations import VARIED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orchestrator.architecture import Architecture
    from orchestrator.execution.step import Handle
    from reproducibility.conditions import Conditions
    from reproducibility.digest import Digest

# Where cmd/dist has built the go command and goes on to build the toolchain twice more; the plan
# does that itself, so dist can stop here. Unchanged from Go 1.24 to 1.27 (src/cmd/dist/build.go).
_AFTER_GO_BOOTSTRAP = re.compile(r'^(?=\ttimelog\("build", "toolchain2"\)$)', re.MULTILINE)
_STOP = "\treturn\n"
DIST_BUILD = "src/cmd/dist/build.go"

# cmd/dist and go_bootstrap are for once: how fast they are built matters, not how fast they run.
_QUICK = "-gcflags=all=-N -l -dwarf=false"
_QUICK_BOOTSTRAP = {"BOOT_GO_GCFLAGS": "-l -dwarf=false", "BOOT_GO_LDFLAGS": "-w"}
# So F1, which T1 builds with -trimpath, is held against the published release.
_PLACE_KEPT = (
    "cmd/dist builds in the source tree itself, which lies in the work directory, and without "
    "-trimpath, so the programs of T1 name that path; they build F1, and are on no image"
)
# What make.bash uses for a release (cmd/dist: -trimpath, no DWARF in the programs).
RELEASE_FLAGS = ("-trimpath", "-ldflags=-w", "-gcflags=cmd/...=-dwarf=false")
# Where cmd/preprofile and the helpers can be built by one command, so that what they share is
# compiled once: a GOPATH, because they are of two modules.
_HELPERS = "/helpers"
_MODULE = "/module"
_OBSERVER = f"sourcery/{build_cache.OBSERVER}"


@dataclass(frozen=True)
class Programs:
    """Programs that a toolchain consists of: names in `bin/` and in `pkg/tool/<os>_<arch>/`."""

    binaries: tuple[str, ...]
    tools: tuple[str, ...]

    @property
    def packages(self) -> tuple[str, ...]:
        """Their import paths."""
        return tuple(f"cmd/{name}" for name in (*self.binaries, *self.tools))

    def placed(self, made: Tree, architecture: str) -> Tree:
        """A flat folder of programs at their places in a GOROOT.

        Raises:
            ActionError: one is missing.
        """
        return Tree(
            _moved(made, name, place)
            for names, folder in (
                (self.binaries, "bin"),
                (self.tools, f"pkg/tool/linux_{architecture}"),
            )
            for name in names
            for place in [f"{folder}/{name}"]
        )


@dataclass(frozen=True)
class Chain:
    """Chain of toolchain builds: what it is made from, and its steps.

    `host`: the architecture that builds. `root`: the builder image's tree, with the bootstrap Go at
    `bootstrap/`. `release`: the published host toolchain as a GOROOT. `dist_build`: DIST_BUILD with
    the early stop, as a tree of that one file, or None where the patch does not fit. `userland`:
    the module `sourcery/userland`. `read`: gives a blob's bytes (a listing is an action's output).
    `varied`: the conditions of what is built a second time. `unable`: why the engine cannot apply
    the variations that these lack. `quick`: flags for the build of cmd/dist. `settings`: further
    variables of every action's environment. `module`: the one that `go build` is run in, where
    it is not the standard library's.
    """

    host: Architecture
    root: Tree
    release: Tree
    dist_build: Tree | None
    programs: Programs
    userland: Tree
    observer: Tree
    read: Callable[[Digest], bytes]
    varied: Conditions = VARIED
    unable: Mapping[str, str] = field(default_factory=dict)
    quick: tuple[str, ...] = (_QUICK,)
    settings: Mapping[str, str] = field(default_factory=dict)
    module: Tree | None = None

    @cached_property
    def source(self) -> Tree:
        """The release without its programs."""
        return self.release.where(lambda entry: not _is_program(entry.path))

    def goroot(self, name: str, made: Tree, architecture: str | None = None) -> Tree:
        """A GOROOT of this source and the programs that the stage `name` made.

        `architecture`: of the programs, where it is not the host's.
        """
        known = self._goroots.get(made.digest.hex)
        if known is None:
            placed = self.programs.placed(made, architecture or self.host)
            known = merge([("the Go source", self.source), (name, placed)])
            self._goroots[made.digest.hex] = known
        return known

    @cached_property
    def _goroots(self) -> dict[str, Tree]:
        """Merged once for each toolchain: dozens of actions use the same one."""
        return {}

    def patches(self) -> list[dict[str, str]]:
        """Changes in private copies of published files: file, change, digest."""
        return [
            {
                "file": entry.path,
                "change": "cmd/dist returns once it has built go_bootstrap; it is only the driver",
                "blake3": entry.digest,
            }
            for entry in (self.dist_build or ())
        ]

    def steps(self) -> list[Step]:
        """T1 (in three steps) and F1."""
        return [
            Step(handles.T1_DIST, "T1", "cmd/dist", (), lambda _: self.dist(handles.T1_DIST)),
            Step(
                handles.T1,
                "T1",
                "compiler, linker, go",
                (handles.T1_DIST,),
                lambda results: self.bootstrap(handles.T1, handles.T1_DIST.tree(results)),
                fixed={"directory": _PLACE_KEPT},
            ),
            Step(
                handles.HELPERS,
                "T1",
                "cmd/preprofile, recorder, observer",
                (handles.T1,),
                lambda results: self.helpers(
                    handles.HELPERS, self.t1(handles.T1.tree(results)), self.t1_go
                ),
            ),
            Step(
                handles.F1,
                "F1",
                f"toolchain for {self.host}",
                (handles.T1, handles.HELPERS),
                self._f1,
                observe=lambda results: self.observation("observe/usual", results),
            ),
        ]

    def second(self) -> Step:
        """F2: the toolchain built by F1, under varied conditions."""
        return replace(
            self._by_f1(handles.F2, "F2", self.host),
            conditions=self.varied,
            observe=lambda results: self.observation("observe/varied", results),
        )

    def observation(self, name: str, results: Results) -> Action:
        """The observer, which looks at the Go source too, because that has an order."""
        return self.action(
            name,
            (f"/observe/{build_cache.OBSERVER}", "/go/src"),
            environment.toolchain(self.host),
            (Mount("/observe", build_cache.observer(results)), Mount("/go", self.source)),
            directory=WORK,
            outputs=(),
        )

    def cross(self, architecture: str) -> Step:
        """The toolchain for another architecture, built by F1."""
        return self._by_f1(handles.cross(architecture), "cross", architecture)

    def _by_f1(self, name: Handle, stage: str, architecture: str) -> Step:
        standard = handles.standard(architecture)

        def make(results: Results) -> Action:
            cache = build_cache.reading(results, standard)
            return self._build(name, self.goroot_f1(results), architecture, cache=cache)

        needs = (handles.F1, handles.HELPERS, standard)
        return Step(name, stage, f"toolchain for {architecture}", needs, make, long=True)

    def goroot_f1(self, results: Results) -> Tree:
        """The GOROOT whose programs are F1's."""
        return self.goroot("F1", handles.F1.tree(results))

    def cross_again(self, architecture: str) -> Step:
        """The same built by F2, under varied conditions."""
        name = handles.cross_again(architecture)
        return Step(
            name,
            "cross by F2",
            f"toolchain for {architecture}",
            (handles.F2,),
            lambda results: self._build(
                name,
                self.goroot("F2", handles.F2.tree(results)),
                architecture,
            ),
            long=True,
            conditions=self.varied,
        )

    def dist(self, name: str) -> Action:
        """Build cmd/dist, by the bootstrap Go."""
        variables = environment.toolchain(self.host, GO111MODULE="off", GOROOT="/bootstrap")
        return self.action(
            name,
            ("/bootstrap/bin/go", "build", *self.quick, "-o", f"{WORK}/dist", "./cmd/dist"),
            variables,
            (Mount("/go", self.patched_source),),
            directory="/go/src",
            outputs=("dist",),
        )

    def bootstrap(self, name: str, dist: Tree) -> Action:
        """Let cmd/dist build compiler, assembler, linker and go command by the bootstrap Go.

        `dist`: what the action of the method of that name gives.
        """
        goroot = f"{WORK}/go"
        # CGO_ENABLED must not be set: cmd/dist bakes its value into the go command as the default.
        variables = environment.toolchain(
            self.host,
            GOROOT=goroot,
            GOROOT_BOOTSTRAP="/bootstrap",
            GOHOSTARCH=self.host,
            CGO_ENABLED=None,
            **_QUICK_BOOTSTRAP,
        )
        return self.action(
            name,
            ("/dist/dist", "bootstrap", "-a"),
            variables,
            (
                Mount("/dist", dist),
                Mount(goroot, self.patched_source, "private"),
            ),
            directory=f"{goroot}/src",
            # Where dist runs to its end, the go command is in bin and go_bootstrap is gone.
            outputs=("go/pkg/tool", "go/src", *(() if self.dist_build else ("go/bin",))),
        )

    @property
    def patched_source(self) -> Tree:
        """The source as cmd/dist gets it: with the early stop, where there is one."""
        return self.source.overlaid(self.dist_build) if self.dist_build else self.source

    @property
    def t1_go(self) -> str:
        """T1's go command in its GOROOT.

        go_bootstrap keeps its name: it tells the compiler which Go version to expect, unless its
        own name says that they were built by another one (cmd/go/internal/work/gc.go).
        """
        return f"pkg/tool/linux_{self.host}/go_bootstrap" if self.dist_build else "bin/go"

    def t1(self, made: Tree) -> Tree:
        """The GOROOT of T1; files that only cmd/dist generates are taken from its source tree.

        `made`: what the action of `bootstrap` gives, relative to its GOROOT.
        """
        tools = made.under(f"pkg/tool/linux_{self.host}")
        placed = [
            _moved(tools, name, f"pkg/tool/linux_{self.host}/{name}")
            for name in ("asm", "cgo", "compile", "link")
        ]
        binary = _moved(made, self.t1_go, self.t1_go)
        generated = made.where(
            lambda entry: (
                entry.path.startswith("src/")
                and self.source.get(entry.path) is None
                and entry.kind == "file"
            )
        )
        return self.source.overlaid(generated).overlaid(Tree([*placed, binary]))

    def helpers(
        self, name: str, goroot: Tree, go: str = "bin/go", *, cache: build_cache.Cache | None = None
    ) -> Action:
        """cmd/preprofile, the recorder's programs and the observer, for this machine."""
        own = [f"{device.USERLAND}/cmd/{program}" for program in build_cache.HELPERS]
        own.append(_OBSERVER)
        needed = tuple(
            f"{folder}/" for folder in ("internal", *(f"cmd/{n}" for n in build_cache.HELPERS))
        )
        source = self.userland.where(lambda entry: entry.path.startswith(needed))
        out = f"{WORK}/out/"
        extra = {"GO111MODULE": "off", "GOPATH": _HELPERS, **(cache.environment if cache else {})}
        return self.action(
            name,
            # There is no preprofile yet that reads a profile.
            (f"/go/{go}", "build", "-pgo=off", *RELEASE_FLAGS, "-o", out, "cmd/preprofile", *own),
            environment.toolchain(self.host, **extra),
            (
                Mount("/go", goroot),
                Mount(f"{_HELPERS}/src/{device.USERLAND}", source),
                Mount(f"{_HELPERS}/src/{_OBSERVER}", self.observer),
                *(cache.mounts if cache else ()),
            ),
            directory="/go/src",
            outputs=("out",),
        )

    def _f1(self, results: Results) -> Action:
        goroot = self.t1(handles.T1.tree(results))
        return self.by_t1(handles.F1, goroot, handles.HELPERS.tree(results))

    def by_t1(self, name: str, goroot: Tree, helpers: Tree | None) -> Action:
        """Build the whole toolchain by T1.

        `goroot`: as `t1` gives it. `helpers`: a tree with the program `preprofile`; None for
        a Go version that has none.
        """
        if helpers is not None:
            place = f"pkg/tool/linux_{self.host}/preprofile"
            goroot = goroot.overlaid(Tree([_moved(helpers, "preprofile", place)]))
        return self._build(name, goroot, self.host, go=self.t1_go)

    def by_itself(self, name: str, goroot: Tree) -> Action:
        """Build the whole toolchain by the one in a GOROOT, with nothing compiled before."""
        return self._build(name, goroot, self.host)

    def _build(
        self,
        name: str,
        goroot: Tree,
        architecture: str,
        *,
        go: str = "bin/go",
        cache: build_cache.Cache | None = None,
    ) -> Action:
        """All programs of a toolchain."""
        what = ("-o", f"{WORK}/out/", *self.programs.packages)
        return self.go_build(name, goroot, architecture, what, go=go, cache=cache)

    def go_build(  # noqa: PLR0913 - a build has these parts
        self,
        name: str,
        goroot: Tree,
        architecture: str,
        what: tuple[str, ...],
        *,
        go: str = "bin/go",
        cache: build_cache.Cache | None = None,
    ) -> Action:
        """Return what `go build` makes with a release's flags; below `out/` or recorded there."""
        module = () if self.module is None else (Mount(_MODULE, self.module),)
        return self.action(
            name,
            (f"/go/{go}", "build", *RELEASE_FLAGS, *what),
            environment.toolchain(architecture, **(cache.environment if cache else {})),
            (Mount("/go", goroot), *module, *(cache.mounts if cache else ())),
            directory=_MODULE if module else "/go/src",
            outputs=("out",),
        )

    def action(  # noqa: PLR0913 - an action has these parts
        self,
        name: str,
        command: tuple[str, ...],
        environment: tuple[tuple[str, str], ...],
        mounts: tuple[Mount, ...],
        *,
        directory: str,
        outputs: tuple[str, ...],
    ) -> Action:
        """An action of this chain: on this machine, from the builder image's tree."""
        return Action(
            name=name,
            command=command,
            environment=tuple(sorted({**dict(environment), **dict(self.settings)}.items())),
            directory=directory,
            root=self.root,
            mounts=mounts,
            outputs=outputs,
            # The bits do not depend on it, and this one lets checkouts be hard links.
            epoch=BLOB_TIME,
            architecture=self.host,
        )


def stopping_early(dist_build: str) -> str | None:
    """cmd/dist's build.go with a return after go_bootstrap; None where the place is not found."""
    patched, places = _AFTER_GO_BOOTSTRAP.subn(_STOP, dist_build)
    return patched if places == 1 else None


def _is_program(path: str) -> bool:
    return path.startswith(("bin/", "pkg/tool/"))


def _moved(made: Tree, name: str, place: str) -> Entry:
    entry = made.get(name)
    if entry is None:
        raise ActionError(f"the program {name} was not built", subject=place)
    return replace(entry, path=place, executable=True)
