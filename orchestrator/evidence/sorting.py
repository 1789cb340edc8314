"""Sorts the files of an image into components: each belongs to exactly one. Pure but for reading.

By where a file lies, which is the image's own contract: `orchestrator/device.py`,
`orchestrator/artifacts/root.py`, `orchestrator/boot/files.py`. Boot files that a package brought
unchanged are told by their content.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestrator import device
from orchestrator.boot import syslinux
from orchestrator.evidence import packages
from orchestrator.evidence.contents import Component
from orchestrator.lock.model import DebianPackage, GoModule, LocalPath
from orchestrator.spec.boot import SYSLINUX, kernel_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from orchestrator.artifacts.model import BuildResult
    from orchestrator.lock.file import Input
    from reproducibility.manifest import Entry, Tree

    Read = Callable[[Entry], bytes]

GO = "go-source"
USERLAND = "userland"
LOADER = "syslinux"
MENUS = "boot-menus"
OTHER = "other"
_MENUS = ("loader/", "extlinux/", "syslinux/")
_MODULES = "vendor/modules.txt"
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9.]+")
_NOT_ON_IMAGE = "runs in the build; nothing of it is on the image"


@dataclass(frozen=True)
class Sorted:
    """Components, and the one of each file. `owners`: id by path; `components`: by id, in order."""

    components: Mapping[str, Component]
    owners: Mapping[str, str]


def sort(result: BuildResult, tree: Tree, boot: Mapping[str, Tree], read: Read) -> Sorted:
    """Sort the files of a root.

    `boot`: the unpacked packages of the boot files by the input's name. `read`: gives a file's
    bytes.

    Raises:
        DamagedBlob: a blob is missing or damaged.
    """
    sorting = _Sorting(result, tree, boot, read)
    owners = {entry.path: sorting.owner(entry) for entry in tree.files()}
    return Sorted(sorting.components, owners)


class _Sorting:
    def __init__(
        self, result: BuildResult, tree: Tree, boot: Mapping[str, Tree], read: Read
    ) -> None:
        self._architectures = sorted(result.root.commands)
        self.components: dict[str, Component] = {}
        for found in result.inputs:
            self._add(_input(found))
        self._programs = {
            path: self._add(_program(name, path))
            for name, paths in result.root.prebuilt_programs.items()
            for path in paths
        }
        self._add(_go(result))
        self._add(Component(USERLAND, "module", device.USERLAND, result.tool))
        self._sources = {
            f"{device.source(module)}/": input_id(found)
            for found in result.inputs
            if (module := getattr(found, "module", None)) and found.name != "go"
        }
        self._sources[f"{device.source(device.USERLAND)}/"] = USERLAND
        files = {
            found.destination.strip("/"): input_id(found)
            for found in result.inputs
            if isinstance(found, LocalPath) and found.destination is not None
        }
        self._places = {**self._sources, **dict(self._modules(tree, read)), **files}
        self._of_packages = _contents(result.inputs, boot)
        for name in self._architectures:
            for one in _of_architecture(name, [*self._sources.values()], self.components):
                self._add(one)
        named = [identifier("input", name) for name in SYSLINUX]
        loader = tuple(name for name in named if name in self.components)
        self._add(
            Component(LOADER, "made", "SYSLINUX as it lies on the image", "", built_from=loader)
        )
        self._add(Component(MENUS, "made", "boot menus", ""))
        self._add(Component(OTHER, "made", "files of no other component", ""))

    def owner(self, entry: Entry) -> str:
        """Return the id of the component that a file belongs to."""
        path = entry.path
        return (
            self._programs.get(path)
            or self._below(path)
            or self._of_device(path)
            or self._of_machine(path)
            or self._of_packages.get(entry.digest)
            or self._of_loaders(path)
            # A person's folder that is laid over the whole image.
            or self._places.get("", OTHER)
        )

    def _of_device(self, path: str) -> str | None:
        if path.startswith("go/"):
            return GO
        for name in self._architectures:
            own = f"{device.folder(name)}/"
            if path.startswith(f"{own}seed/"):
                return f"seed-{name}"
            if path.startswith(own):
                return f"commands-{name}"
        return None

    def _of_machine(self, path: str) -> str | None:
        for name in self._architectures:
            if path.startswith(f"boot/{name}/initramfs"):
                return f"initramfs-{name}"
            if path.startswith(f"boot/{name}/"):
                return f"kernel-{name}"
        return None

    @staticmethod
    def _of_loaders(path: str) -> str | None:
        if path in {syslinux.LDLINUX, syslinux.MODULE}:
            return LOADER
        return MENUS if path.startswith(_MENUS) else None

    def _below(self, path: str) -> str | None:
        """Return what lies at the longest of the known folders that a path is in, or at itself."""
        places = self._places
        if path in places:
            return places[path]
        end = path.rfind("/")
        while end > 0:
            for place in (path[: end + 1], path[:end]):
                if place in places:
                    return places[place]
            end = path.rfind("/", 0, end)
        return None

    def _modules(self, tree: Tree, read: Read) -> Iterator[tuple[str, str]]:
        """Every vendored module as a component: (its folder, its id)."""
        for entry in tree.files():
            if not entry.path.endswith(f"/{_MODULES}"):
                continue
            top = entry.path.removesuffix(_MODULES)
            sums = tree.get(f"{top}go.sum")
            hashes = _hashes(read(sums).decode("utf-8", "replace")) if sums else {}
            for folder, module, version in vendored(read(entry).decode("utf-8", "replace")):
                place = f"{top}vendor/{folder}/"
                one = Component(
                    identifier("module", place.strip("/")),
                    "module",
                    module,
                    version,
                    purl=packages.module_url(module, version),
                    h1=hashes.get((module, version), ""),
                )
                yield place, self._add(one)

    def _add(self, one: Component) -> str:
        number, unique = 1, one.id
        while unique in self.components:
            number += 1
            unique = f"{one.id}.{number}"
        self.components[unique] = replace(one, id=unique)
        return unique


def identifier(*parts: str) -> str:
    """Return an id for SPDX: letters, digits, `.` and `-`."""
    return "-".join(_NOT_IN_IDS.sub("-", part).strip("-") for part in parts if part)


def input_id(found: Input) -> str:
    """Return the id of an input's component."""
    return identifier("input", found.name, found.host or "")


def vendored(text: str) -> Iterator[tuple[str, str, str]]:
    """Read `vendor/modules.txt`: (path in vendor/, module, version) of each module in it.

    Source: the go command's reference, "go mod vendor". A module that is replaced lies under its
    first name and is the other one; one that brought no package is named and has no files.
    """
    seen = set()
    for line in text.splitlines():
        words = line.split()
        if words[:1] != ["#"] or len(words) < 3:  # noqa: PLR2004 - # module version
            continue
        left, _, right = " ".join(words[1:]).partition(" => ")
        path, *version = left.split()
        other = right.split()
        if path in seen or not path:  # what is replaced is told a second time, at the end
            continue
        seen.add(path)
        # A replacement by a folder has no version.
        name, last = other if len(other) == 2 else (path, "".join(version))  # noqa: PLR2004
        yield path, name, last


def _hashes(text: str) -> dict[tuple[str, str], str]:
    """The module hashes of a go.sum by module and version."""
    lines = [line.split() for line in text.splitlines()]
    return {
        (words[0], words[1]): words[2]
        for words in lines
        if len(words) == 3 and words[2].startswith("h1:")  # noqa: PLR2004 - module version hash
    }


def _input(found: Input) -> Component:
    known = packages.digests(found)
    used = found.host is not None
    return Component(
        input_id(found),
        "files" if isinstance(found, LocalPath) else "input",
        _name(found),
        found.version,
        purl=packages.purl(found),
        h1=found.h1 if isinstance(found, GoModule) else "",
        sha256=known.get("sha256", ""),
        blake3=known["blake3"],
        tree=found.tree,
        comment=_NOT_ON_IMAGE if used and found.name != "go" else "",
    )


def _name(found: Input) -> str:
    for field in ("module", "package"):
        if name := getattr(found, field, None):
            return str(name)
    return found.name


def _go(result: BuildResult) -> Component:
    """The Go source: the same in the published module of each machine that the lock is for."""
    releases = [found for found in result.inputs if found.name == "go"]
    version = releases[0].version.partition("-")[2].partition(".linux")[0] if releases else ""
    return Component(
        GO,
        "module",
        "std",
        version,
        purl=packages.module_url("std", version.removeprefix("go")),
        built_from=tuple(input_id(found) for found in releases),
        comment="standard library, compiler and tools, as source",
    )


def _program(architecture: str, path: str) -> Component:
    name = path.rpartition("/")[2]
    own = name in device.PREBUILT
    return Component(
        identifier("program", path),
        "program",
        name,
        architecture,
        # A Go program holds what it imports of the standard library.
        built_from=(USERLAND, GO) if own else (GO,),
        comment=f"compiled by this build for {architecture}",
    )


def _of_architecture(
    name: str, sources: list[str], known: Mapping[str, Component]
) -> Iterator[Component]:
    kernel = identifier("input", kernel_name(name))
    yield Component(
        f"commands-{name}", "made", f"stubs of commands, and environment, {name}", "",
        built_from=tuple(sources), comment="each stub is one line that names a package",
    )  # fmt: skip
    yield Component(
        f"seed-{name}", "made", f"compile seed, {name}", "",
        built_from=(*sources, GO), comment="compiled packages, so that a first compile only links",
    )  # fmt: skip
    if kernel in known:
        yield Component(
            f"kernel-{name}", "kernel", f"Linux kernel, {name}", known[kernel].version,
            built_from=(kernel,), comment="the package's, in the form that the loaders start",
        )  # fmt: skip
        yield Component(
            f"initramfs-{name}", "made", f"initramfs, {name}", "",
            built_from=(kernel, USERLAND, GO), comment="the kernel's modules and the first process",
        )  # fmt: skip


def _contents(inputs: Iterable[Input], boot: Mapping[str, Tree]) -> dict[str, str]:
    """The package of each content by its BLAKE3; the first one where several have it."""
    found: dict[str, str] = {}
    ids: dict[str, str] = defaultdict(str)
    ids |= {one.name: input_id(one) for one in inputs if isinstance(one, DebianPackage)}
    for name, tree in sorted(boot.items()):
        for entry in tree.files():
            if entry.size and ids[name]:
                found.setdefault(entry.digest, ids[name])
    return found
