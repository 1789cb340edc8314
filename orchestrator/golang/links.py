"""Chain of Go releases from a second root: each link's toolchain built by the one before.

The first is built by GCC's Go, the last is the Go that the build has too. A link is made as T1, F1
and F2 of the build are: cmd/dist by the toolchain before, compiler, linker and go command by
cmd/dist, the whole toolchain by those, and the whole toolchain once more by itself.

Once more, because a release is what `make.bash` makes, whose toolchain has compiled itself too: the
F1 of Go 1.24.11, compiled by a T1 that Go 1.22.10 compiled, was seen to differ from its release in
three functions.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from containers.action import WORK
from orchestrator.execution.step import Handle, Step
from orchestrator.golang import handles
from orchestrator.golang.toolchain import DIST_BUILD, Chain, Programs
from reproducibility.errors import InputError
from reproducibility.manifest import Tree, file, merge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from containers.action import Action
    from orchestrator.architecture import Architecture
    from orchestrator.execution.step import Results
    from reproducibility.digest import Digest

STAGE = "root gcc"
_PREPROFILE = "cmd/preprofile"
# What GCC's Go is told beside what every bootstrap Go is told. Its runtime is that of Go 1.18: it
# knows GOGC=off but not GOMEMLIMIT (Go 1.19), without which a compiler would take all the memory.
_GCC_SETTINGS = {"GOGC": "200"}

# cmd/dist runs the go command in a module of its own (src/cmd/dist/build.go, `workdir`). In Go 1.21
# and 1.22 its go.mod names no version of Go, and that decides what a program says of itself:
# DefaultGODEBUG, in its build information, is for the main module's version.
GO_MOD = b"module bootstrap"
_WITHOUT_VERSION = b'[]byte("module bootstrap")'


@dataclass(frozen=True)
class Link:
    """One release of the chain.

    `version`: as in `1.21.13`. `release`: published, as a GOROOT. `dist_build`: as `Chain` has it.
    `uname`: the tree with `bin/uname`. `module`: as `Chain` has it. `before`: the link that builds
    it; None for the first, which `compiler` builds, a tree with GCC's go command at
    `bootstrap/bin/go`.
    """

    version: str
    host: Architecture
    release: Tree
    dist_build: Tree | None
    uname: Tree
    read: Callable[[Digest], bytes]
    module: Tree | None
    before: Link | None = None
    compiler: Tree = field(default_factory=Tree)

    @property
    def programs(self) -> Programs:
        """The programs that the release consists of."""
        return Programs(
            binaries=_names(self.release.under("bin")),
            tools=_names(self.release.under(f"pkg/tool/linux_{self.host}")),
        )

    @property
    def made(self) -> Handle:
        """The step that makes its programs."""
        return Handle(f"root/gcc/{self.version}", handles.OUT)

    @property
    def steps(self) -> list[Step]:
        """Its steps; the first needs the link before."""
        names = (self._dist, self._bootstrap, self._preprofile, self._first, self.made)
        needs = () if self.before is None else (self.before.made,)
        told = (
            "cmd/dist",
            "compiler, linker, go",
            _PREPROFILE,
            f"toolchain {self.version} for {self.host}",
            f"toolchain {self.version} by itself",
        )
        makes = (
            *(self._make_dist, self._make_bootstrap, self._make_preprofile),
            *(self._make_first, self._make),
        )
        wanted = [
            (name, subject, make)
            for name, subject, make in zip(names, told, makes, strict=True)
            if name != self._preprofile or self._profiled
        ]
        found = []
        for name, subject, make in wanted:
            found.append(Step(name, f"{STAGE} {self.version}", subject, needs, make))
            needs = (*needs, name)
        return found

    def goroot(self, results: Results) -> Tree:
        """Its source, and the programs that were made."""
        return self._chain(results).goroot(self.version, self.made.tree(results))

    def placed(self, results: Results) -> Tree:
        """The programs that were made, at their places in a GOROOT."""
        return self.programs.placed(self.made.tree(results), self.host)

    @property
    def source(self) -> Tree:
        """The release without its programs."""
        return self._of(Tree()).source

    @property
    def _profiled(self) -> bool:
        """Return whether it has the program that prepares a profile (since Go 1.23)."""
        return self.release.get(f"src/{_PREPROFILE}/main.go") is not None

    @property
    def _dist(self) -> Handle:
        return Handle(f"{self.made}/dist")

    @property
    def _bootstrap(self) -> Handle:
        return Handle(f"{self.made}/toolchain", "go")

    @property
    def _preprofile(self) -> Handle:
        return Handle(f"{self.made}/preprofile", handles.OUT)

    @property
    def _first(self) -> Handle:
        return Handle(f"{self.made}/first", handles.OUT)

    def _make_dist(self, results: Results) -> Action:
        return self._chain(results).dist(self._dist)

    def _make_bootstrap(self, results: Results) -> Action:
        return self._chain(results).bootstrap(self._bootstrap, self._dist.tree(results))

    def _make_preprofile(self, results: Results) -> Action:
        chain = self._chain(results)
        goroot = chain.t1(self._bootstrap.tree(results))
        # There is no preprofile yet that reads a profile.
        what = ("-pgo=off", "-o", f"{WORK}/out/", _PREPROFILE)
        return chain.go_build(self._preprofile, goroot, self.host, what, go=chain.t1_go)

    def _make_first(self, results: Results) -> Action:
        chain = self._chain(results)
        goroot = chain.t1(self._bootstrap.tree(results))
        helpers = self._preprofile.tree(results) if self._profiled else None
        return chain.by_t1(self._first, goroot, helpers)

    def _make(self, results: Results) -> Action:
        chain = self._chain(results)
        goroot = chain.goroot(self._first, self._first.tree(results))
        return chain.by_itself(self.made, goroot)

    def _chain(self, results: Results) -> Chain:
        if self.before is None:
            return self._of(self.compiler)
        return self._of(self.before.goroot(results).at("bootstrap"))

    def _of(self, bootstrap: Tree) -> Chain:
        """A chain of this release. `bootstrap`: what builds it, at `bootstrap/`."""
        made = Chain(
            host=self.host,
            root=merge([("what builds it", bootstrap), ("uname", self.uname)]),
            release=self.release,
            dist_build=self.dist_build,
            programs=self.programs,
            userland=Tree(),
            observer=Tree(),
            read=self.read,
            module=self.module,
        )
        if self.before is not None:
            return made
        # GCC's go command refuses flags for the other compiler.
        return replace(made, quick=(), settings=_GCC_SETTINGS)


def links(  # noqa: PLR0913 - what they are made from
    releases: Iterable[tuple[str, Tree]],
    *,
    host: Architecture,
    compiler: Tree,
    uname: Tree,
    dist_build: Callable[[Tree], Tree | None],
    read: Callable[[Digest], bytes],
    put: Callable[[bytes], Digest],
) -> tuple[Link, ...]:
    """Return the links, oldest first. `releases`: version and published GOROOT.

    Raises:
        InputError: a release is no Go source, or none is given.
    """
    found: list[Link] = []
    for version, release in releases:
        found.append(
            Link(
                version=version,
                host=host,
                release=release,
                dist_build=dist_build(release),
                uname=uname,
                read=read,
                module=_module(release, read, put),
                before=found[-1] if found else None,
                compiler=Tree() if found else compiler,
            )
        )
    if not found:
        raise InputError("a chain of toolchains has no link", subject="[root.gcc] versions")
    return tuple(found)


def _module(
    release: Tree, read: Callable[[Digest], bytes], put: Callable[[bytes], Digest]
) -> Tree | None:
    """The module that cmd/dist of a release builds in; None for the standard library's."""
    entry = release.get(DIST_BUILD)
    if entry is None or _WITHOUT_VERSION not in read(entry.content):
        return None
    return Tree([file("go.mod", put(GO_MOD), len(GO_MOD))])


def _names(tree: Tree) -> tuple[str, ...]:
    return tuple(entry.path for entry in tree.files())
