"""Inputs of a second root: GCC's Go as one tree, and the published Go releases on the way up.

Only `orchestrate audit --root gcc`, and `orchestrate fetch --root gcc` before it, bring them into
the store; a build neither fetches nor needs them.
"""

from __future__ import annotations

import difflib
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.architecture import ARCHITECTURES, host
from orchestrator.inputs import deb_archive, log_records
from orchestrator.inputs.checksum_database import NoRecordError
from orchestrator.inputs.go_module import ModuleRequest
from orchestrator.inputs.known import Made, together, unpacked
from orchestrator.inputs.shelf import Shelf
from orchestrator.inputs.side_by_side import mapped
from orchestrator.lock import parts
from orchestrator.lock.file import GCC
from orchestrator.lock.model import Absent, SecondRoot
from reproducibility import gomodule
from reproducibility.errors import InfrastructureError, InputError
from reproducibility.manifest import Tree, merge

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from orchestrator.architecture import Architecture
    from orchestrator.inputs.log_records import Records
    from orchestrator.inputs.transport import Clients, Events, Store
    from orchestrator.lock.file import Lock
    from orchestrator.lock.model import GoModule, RootEntry, RootPackage
    from orchestrator.spec.model import Spec
    from orchestrator.spec.second_root import Gcc
    from reproducibility.manifest import Entry

# What `orchestrate lock --update` calls it, and its part in the lock.
NAME = parts.GCC
# Headers and texts that only somebody who compiles C, or reads, needs.
_LEFT_OUT = ("etc/", "usr/include/", "usr/share/", "var/")
# Debian's merged /usr: the loader's and the linker's places (wiki.debian.org/UsrMerge).
_MERGED = ("bin", "lib", "lib64")
# GCC's go command has the version of GCC in its name.
_GO = re.compile(r"usr/bin/go-[0-9]+")
# A version of the module golang.org/toolchain.
_RELEASE = re.compile(r"v0\.0\.1-go([0-9.]+)\.linux-[a-z0-9]+")
# As many as Linux follows (path_resolution(7)).
_HOPS = 40


@dataclass(frozen=True)
class Root:
    """A second root in the store.

    `compiler`: GCC's Go and what it needs, the go command at `bootstrap/bin/go` too. `releases`:
    each version on the way, oldest first, with its published GOROOT.
    """

    pinned: SecondRoot
    compiler: Tree
    releases: tuple[tuple[str, Tree], ...]


def pin(  # noqa: PLR0913 - as `resolve`
    wanted: Gcc,
    suite: str,
    machine: Architecture,
    shelf: Shelf,
    store: Store,
    records: Records,
    before: RootEntry | None = None,
) -> RootEntry:
    """Pin a second root for a host, or say why there is none. Raises as `resolve`, but `missing`.

    Not everything is published for every machine, and a build can do without. What is published
    for none is a mistake in the spec. `before`: what was pinned for it; that is not given up for a
    reason why there is none.
    """
    try:
        return resolve(wanted, suite, machine, shelf, store, records)
    except InputError as error:
        if not error.missing:
            raise
        if isinstance(before, SecondRoot):
            raise InputError(
                f"GCC's Go is pinned for {machine}, and could not be any more: {error.summary}",
                subject=error.subject,
                remedy=f"change [{NAME}] in the spec back, or to what is published; to give up "
                "what is pinned, lock once without that table",
            ) from error
        return Absent(reason=error.summary)


def resolve(  # noqa: PLR0913 - what is asked for, where, and what is known of it
    wanted: Gcc,
    suite: str,
    machine: Architecture,
    shelf: Shelf,
    store: Store,
    records: Records,
) -> SecondRoot:
    """Pin a second root for a host; all of it is in the store afterwards.

    `records`: what an earlier lock proves of the public log.

    Raises:
        InputError: something is not published for that host (`missing`) or for none at all, or is
            not what was promised.
        ComparisonError: the public log contradicts `records`.
        InfrastructureError: something could not be had.
    """
    releases = tuple(
        mapped(lambda one: _release(one, machine, shelf, store, records), wanted.versions)
    )
    packages = shelf.debian.closure(wanted.packages, suite, machine, store)
    held = unpacked(
        {"second-root": [str(one.blake3) for one in packages]},
        shelf.known.held.get(together(packages), ()),
        store,
        lambda: Made(compiler(packages, store)),
    )
    pinned = SecondRoot(packages=packages, tree=held.tree, releases=releases)
    _remember(pinned, store)
    return pinned


def _release(
    version: str, machine: Architecture, shelf: Shelf, store: Store, records: Records
) -> GoModule:
    module = gomodule.toolchain_version(version, machine)
    request = ModuleRequest(f"go{version}", gomodule.TOOLCHAIN, module, machine)
    try:
        pinned = shelf.module.resolve(request, store)
    except NoRecordError as error:
        log_records.settle(records, gomodule.TOOLCHAIN, module, error.absent)
        raise
    except InputError as error:
        if error.missing:
            _require_release(version, machine, shelf, store)
        raise
    said = pinned.log or Absent(reason="the public log was not asked")
    log = log_records.settle(records, gomodule.TOOLCHAIN, module, said, pinned.h1)
    return pinned.model_copy(update={"log": log})


def _require_release(version: str, machine: Architecture, shelf: Shelf, store: Store) -> None:
    """Refuse a version that is published for no machine, which is a slip of the pen.

    Raises:
        InputError: it is such a version.
        InfrastructureError: that could not be found out.
    """
    for other in ARCHITECTURES:
        module = gomodule.toolchain_version(version, other)
        if other != machine and shelf.module.is_published(gomodule.TOOLCHAIN, module, store):
            return
    try:
        listed = shelf.module.versions(gomodule.TOOLCHAIN, store)
    except InfrastructureError:  # only the advice is less good
        listed = ()
    releases = {found[1] for one in listed if (found := _RELEASE.fullmatch(one))}
    same = {one for one in releases if one.rpartition(".")[0] == version.rpartition(".")[0]}
    near = difflib.get_close_matches(version, sorted(same or releases), n=3)
    raise InputError(
        f"there is no Go release {version}: it is published for none of {', '.join(ARCHITECTURES)}",
        subject=f"[{NAME}] versions",
        remedy="correct it in the spec" + (f"; near it are {', '.join(near)}" if near else ""),
    )


def labels(pinned: SecondRoot) -> list[str]:
    """Everything that is pinned, for people."""
    return [*(one.label for one in pinned.packages), *(one.label for one in pinned.releases)]


def entry(lock: Lock, machine: Architecture) -> RootEntry:
    """Return what a lock pins of GCC's Go for a machine, or why nothing, in a whole sentence."""
    pinned = lock.roots.get(GCC, {})
    found = pinned.get(machine)
    if isinstance(found, SecondRoot):
        return found
    told = f"the lock does not pin GCC's Go for {machine}"
    if found is not None:
        return Absent(reason=f"{told}: {found.reason}")
    others = f", only for {', '.join(sorted(pinned))}" if pinned else ""
    return Absent(reason=f"{told}{others}; `orchestrate lock` on this machine pins it")


def require(name: str, lock: Lock, spec: Spec) -> None:
    """Refuse a further root that cannot be asked for.

    Raises:
        InputError: there is no such root, the spec says nothing of it, or the lock was made for
            another.
    """
    if name != GCC:
        meant = f"did you mean {GCC!r}? " if name.lower() == GCC else ""
        raise InputError(
            f"there is no root {name!r}",
            subject="--root",
            remedy=f"{meant}the one there is: {GCC}",
        )
    if spec.root.gcc is None:
        raise InputError(
            "the spec does not say where GCC's Go comes from",
            subject="--root gcc",
            remedy="add a table [root.gcc] with packages and versions, as in the default "
            "sourcery.toml, and lock again: `orchestrate lock`; the build stays as it is",
        )
    lock.check_roots_fit(spec)


def required(name: str, lock: Lock, spec: Spec, machine: Architecture) -> SecondRoot:
    """Return what a lock pins of a further root.

    Raises:
        InputError: as `require`, or it is not pinned for a machine of that architecture.
    """
    require(name, lock, spec)
    found = entry(lock, machine)
    if isinstance(found, SecondRoot):
        return found
    raise InputError(
        found.reason,
        subject=f"--root {name}",
        remedy=f"leave --root away; or change [{NAME}] in the spec, and look again: "
        f"`orchestrate lock --update {NAME}`",
    )


def bring(  # noqa: PLR0913 - as `ensure`, with what a shelf is made of
    pinned: SecondRoot,
    lock: Lock,
    folder: Path,
    store: Store,
    clients: Clients,
    *,
    artifacts: bool = False,
) -> Root:
    """Bring all of a second root into the store.

    `folder`: the spec's. `artifacts`: the packages and archives too that the trees come from, for a
    bundle. Raises as `ensure`.
    """
    shelf = Shelf(clients, store, folder, lambda name: lock.find(name, host()))
    found = ensure(pinned, shelf, store, clients.events)
    if artifacts:
        for package in pinned.packages:
            shelf.package(package)
        for release in pinned.releases:
            shelf.artifact(release)
    return found


def ensure(pinned: SecondRoot, shelf: Shelf, store: Store, events: Events) -> Root:
    """Bring all of a second root into the store.

    Raises:
        InputError: an input is not what the lock pins.
        InfrastructureError: it could not be had, or there is to be no network.
    """
    events.expected(labels(pinned))
    releases = []
    for one in pinned.releases:
        releases.append((one.name.removeprefix("go"), shelf.tree(one)))
        events.settled(one.label)
    tree = shelf.present(pinned.tree)
    if tree is None:
        with ThreadPoolExecutor(max_workers=4) as pool:
            list(pool.map(shelf.package, pinned.packages))
        tree = compiler(pinned.packages, store)
        if tree.digest != pinned.tree:
            raise InputError(
                f"the packages of the second root give {tree.digest}, the lock pins {pinned.tree}",
                subject=pinned.packages[0].label,
                remedy="lock with this version: `orchestrate lock --update root.gcc`",
            )
        store.save_tree(tree)
    for package in pinned.packages:
        events.settled(package.label)
    _remember(pinned, store)
    return Root(pinned, tree, tuple(releases))


def _remember(pinned: SecondRoot, store: Store) -> None:
    """Write down what is pinned, so that the store's collection of garbage keeps it."""
    store.remember("inputs", pinned.tree, {"digests": sorted(str(one) for one in pinned.digests)})


def compiler(packages: Iterable[RootPackage], store: Store) -> Tree:
    """One tree of all packages: each link as a copy of the file that it leads to.

    Raises:
        InputError: a package is damaged; two bring different files for one path; or no go command
            is among them.
    """
    links: dict[str, str] = {}
    parts = []
    for package in packages:
        with deb_archive.opened(package, store) as archive:
            parts.append((package.label, Tree(deb_archive.files(archive, store, _kept, links))))
    files = {entry.path: entry for entry in merge(parts)}
    found = {**files}
    for path in links:
        target = _followed(path, links, files)
        if target is not None:
            found.setdefault(path, target.moved(path))
    go = [entry for path, entry in found.items() if _GO.fullmatch(path)]
    if len(go) != 1:
        raise InputError(
            f"the packages of the second root bring {len(go)} go commands of GCC, not one",
            subject="[root.gcc] packages",
            remedy='name the package of one compiler, such as "gccgo-14"',
        )
    merged = [
        entry.moved(entry.path.removeprefix("usr/"))
        for entry in found.values()
        if entry.path.startswith(tuple(f"usr/{name}/" for name in _MERGED))
    ]
    own = go[0].moved("bootstrap/bin/go")
    return merge([("packages", Tree(found.values())), ("merged /usr", Tree([*merged, own]))])


def _kept(path: str) -> bool:
    return bool(path) and not path.startswith(_LEFT_OUT)


def _followed(path: str, links: Mapping[str, str], files: Mapping[str, Entry]) -> Entry | None:
    """The file that a link leads to, as path_resolution(7) says: part by part.

    None where it leads to a folder, nowhere, or through more links than Linux follows.
    """
    here: list[str] = []
    folders = "" if links[path].startswith("/") else path.rpartition("/")[0]
    left = [*reversed([*folders.split("/"), *links[path].split("/")])]
    hops = 1
    while left:
        part = left.pop()
        if part == "..":
            del here[-1:]
        if part in {"", ".", ".."}:
            continue
        here = [*here, part] if here or part not in _MERGED else ["usr", part]
        place = "/".join(here)
        if place in links:
            hops += 1
            if hops > _HOPS:
                return None
            target = links[place]
            here = [] if target.startswith("/") else here[:-1]
            left += reversed(target.split("/"))
        elif place in files:
            # What goes on beyond a file leads nowhere.
            return None if any(left) else files[place]
    return None
