"""Transport of local files and folders that the spec names.

Read in place and pinned by digest. What of a folder counts is in `content`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.inputs import content
from orchestrator.lock.file import LocalPath
from reproducibility import digest as digests
from reproducibility import manifest, regular
from reproducibility.errors import InputError
from reproducibility.manifest import Tree

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.inputs.transport import Store
    from orchestrator.lock.file import Input
    from reproducibility.digest import Digest


@dataclass(frozen=True, slots=True)
class PathRequest:
    """A file or folder; `path` is relative to the spec, `/` between the parts.

    `exclude`: patterns of what is left out of a folder. `nested`: see `content.Rules`.
    """

    name: str
    path: str
    module: str | None = None
    destination: str | None = None
    exclude: tuple[str, ...] = ()
    nested: tuple[str, ...] = ()


def refuse_output(inputs: Iterable[Input], folder: Path, out: Path) -> None:
    """Refuse an output folder that is content: it would not be what is pinned after the build.

    `folder`: the spec's. `out`: the output folder, which need not be there yet.

    Raises:
        InputError: a pinned path is the folder; or it is, or would lie in, an empty folder that is
            content. (A module has no empty folders, and a build's result is never content.)
    """
    place = Path(os.path.realpath(out))
    there = next(path for path in (place, *place.parents) if path.exists())
    empty = there.is_dir() and not any(there.iterdir())
    for pinned in inputs:
        if not isinstance(pinned, LocalPath) or pinned.single:
            continue
        pinned_place = Path(os.path.realpath(folder / pinned.where))
        if place == pinned_place:
            raise InputError(
                f"the output directory is {pinned.where}, which the spec puts on the stick",
                subject=str(out),
                remedy="give another folder with --out, or correct the spec",
            )
        if empty and pinned.module is None and pinned_place in there.parents:
            inside = there.relative_to(pinned_place).as_posix()
            if not content.excludes(pinned.exclude or (), inside):
                raise InputError(
                    f"the output directory would fill {inside}, an empty folder in "
                    f"{pinned.where}, which the spec puts on the stick as it is",
                    subject=str(out),
                    remedy="remove the empty folder (a build makes what it needs) and run "
                    f"`orchestrate lock --update {pinned.name}`; or give another folder with --out",
                )


class LocalTransport:
    """Local paths."""

    def __init__(self, folder: Path, own: Iterable[Path] = ()) -> None:
        """`folder`: the spec's, from which they start. `own`: what is never content.

        That is what the project makes itself, as `places.own`.
        """
        self.folder = folder
        # Each with and without what it may be a link to.
        self._own = frozenset(
            place
            for path in own
            for place in (
                Path(os.path.realpath(path)),
                Path(os.path.realpath(path.absolute().parent), path.name),
            )
        )

    def resolve(self, request: PathRequest, store: Store) -> LocalPath:
        """Pin what lies there now. Raises as `Transport.resolve`."""
        rules = self._rules(request.module, request.exclude, request.nested)
        tree = self.look(request.path, rules)
        single = (self.folder / request.path).is_file()
        digest = self._keep(request.path, tree, store)
        return LocalPath(
            name=request.name,
            where=request.path,
            size=tree.size,
            blake3=digest,
            tree=digest,
            module=request.module,
            destination=request.destination,
            single=single,
            exclude=request.exclude or None,
            nested=request.nested or None,
        )

    def fetch(self, pinned: LocalPath, store: Store) -> None:
        """Compare what lies there with the lock, and keep it. Raises as `Transport.fetch`."""
        rules = self._rules(pinned.module, pinned.exclude or (), pinned.nested or ())
        tree = self.look(pinned.where, rules)
        found = tree.digest
        if found != pinned.tree:
            raise InputError(
                f"{pinned.name} is not what the lock pins: expected {pinned.tree}, found {found}",
                subject=str(self.folder / pinned.where),
                remedy=f"if you changed it, run `orchestrate lock --update {pinned.name}`",
            )
        self._keep(pinned.where, tree, store)

    def unpack(self, pinned: LocalPath, store: Store) -> Tree:
        """The tree as it was kept. Raises as `Transport.unpack`."""
        return store.load_tree(pinned.tree)

    def look(self, where: str, rules: content.Rules) -> Tree:
        """The tree that lies at a path; a single file is a tree of one.

        Executable bits follow the person's file system; FAT has none, so they do not count.

        Raises:
            InputError: there is nothing, or something that a tree cannot hold.
        """
        path = self.folder / where
        if Path(os.path.realpath(path)) in rules.own:
            raise InputError(
                f"{where} is what this project makes itself, and cannot go onto its own stick",
                subject=str(path),
                remedy="correct the spec, or give --lock and --store other places",
            )
        try:
            if not path.is_dir():
                return Tree([manifest.file(path.name, *digests.measured(path))])
            held = content.of_folder(path, rules)
            content.refuse_names(path, held)
            parts = [
                manifest.file(
                    inside, *digests.measured(path / inside, follow=False, expected=status)
                )
                for inside, status in held.files.items()
            ]
        except OSError as error:
            raise InputError(
                f"cannot read {where}, which the spec names: {error.strerror}",
                subject=str(error.filename or path),
                remedy="run it again when nobody writes to it any more"
                if isinstance(error, regular.ChangedFileError)
                else "put it there, or correct the spec; paths are relative to the spec",
            ) from error
        return Tree([*parts, *map(manifest.directory, held.empty)])

    def omitted(self, pinned: LocalPath) -> list[str]:
        """Return what of a pinned folder was passed over though the person may not expect it."""
        path = self.folder / pinned.where
        if pinned.single or not path.is_dir():
            return []
        rules = self._rules(pinned.module, pinned.exclude or (), pinned.nested or ())
        return content.of_folder(path, rules).omitted

    def _rules(
        self, module: str | None, exclude: tuple[str, ...], nested: tuple[str, ...]
    ) -> content.Rules:
        return content.Rules(module is not None, exclude, nested, self._own)

    def _keep(self, where: str, tree: Tree, store: Store) -> Digest:
        """Put the files of a tree that lies at a path into the store, and its manifest.

        Raises:
            InputError: a file changed meanwhile.
        """
        path = self.folder / where
        for entry in () if store.holds(tree) else tree.files():
            place = path if path.is_file() else path / entry.path
            try:
                same = store.put_file(place) == entry.content
            except regular.ChangedFileError:
                same = False
            if not same:
                raise InputError(
                    "the file changed while it was read",
                    subject=str(place),
                    remedy="run it again when nobody writes to it any more",
                )
        return tree.digest if store.has(tree.digest) else store.save_tree(tree)
