"""Reads image and archive with the readers that are a build's witnesses, and derives the tree.

The image's files and folders, their BLAKE3 and SHA-256, label, volume ID and times come from the
bytes of the image alone. VFAT has no executable bits: those come from the archive, whose every byte
is then compared with the tree. What the image holds beside its files is compared as well, but for
the code of a BIOS loader, whose packages are not in the folder.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.artifacts import recipe
from orchestrator.image.cpio import reader as unpacking
from orchestrator.image.cpio import witness as archive
from orchestrator.image.fat import reader, witness
from reproducibility import regular
from reproducibility.compare import differences, in_words
from reproducibility.errors import ComparisonError, InputError
from reproducibility.manifest import Entry, Tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from orchestrator.artifacts.model import BuildResult
    from orchestrator.lock.file import Lock
    from orchestrator.spec.model import Spec
    from orchestrator.verify.model import Findings
    from reproducibility.digest import Digest

# As many clusters as an image of 128 GiB has; their table takes 160 MB of memory for a moment.
_MOST_CLUSTERS = 1 << 22
# Files and folders; ten times those of the default image.
_MOST_ENTRIES = 250_000
_LOADER = "syslinux/ldlinux.sys"
_EXECUTABLE = 0o111
_SHOWN = 4


@dataclass(frozen=True)
class Contents:
    """Derived content of an image. `tree`: with executable bits; None where that fails.

    `sha256`: of the files outside of the seeds, by path. `read_back`, `bytes_hold`,
    `archive_holds`: whether what the build's checks of the same names say comes out here too; None
    where it could not be found out.
    """

    tree: Tree | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)
    read_back: bool | None = None
    bytes_hold: bool | None = None
    archive_holds: bool | None = None
    loader: bool = False


def derived(
    folder: Path, result: BuildResult, spec: Spec | None, lock: Lock | None, findings: Findings
) -> Contents:
    """Read both files; whatever does not hold is a finding."""
    image, packed = result.image.path, result.cpio.path
    try:
        seen = reader.read(
            folder / image,
            sha256=_is_wanted,
            most_clusters=_MOST_CLUSTERS,
            most_entries=_MOST_ENTRIES,
        )
    except (ComparisonError, InputError) as error:
        findings.say("image-damaged", image, error.summary)
        return Contents(read_back=False)
    except OSError as error:
        findings.say("image-damaged", image, f"it cannot be read: {error.strerror}")
        return Contents()
    tree = _with_bits(folder, packed, seen.tree, findings)
    if tree is None:
        return Contents(sha256=seen.sha256, archive_holds=False)
    same = tree.digest == result.root.tree
    if not same:
        reason = f"it holds {tree.digest}, and the result names {result.root.tree}"
        findings.say("tree-differs", image, reason)
    loader = tree.get(_LOADER) is not None
    found = Contents(tree, seen.sha256, same, loader=loader)
    if spec is None or lock is None:
        return found
    own = recipe.identity(spec.digest, lock.digest)
    wanted = (spec.image.label, recipe.volume_id(own), frozenset({spec.image.epoch}))
    fields = (seen.label, seen.volume_id, seen.moments)
    if fields != wanted:
        reason = (
            f"label, volume ID and times are {_told(fields)}, and by spec and lock {_told(wanted)}"
        )
        findings.say("image-damaged", image, reason)
    held = _witnessed(folder / image, tree, spec, own, loader=loader)
    for words in held:
        findings.say("image-damaged", image, words)
    packs = archive.findings(folder / packed, tree, spec.image.epoch)
    for words in packs:
        findings.say("archive-differs", packed, words)
    return Contents(tree, seen.sha256, same and fields == wanted, not held, not packs, loader)


def _is_wanted(path: str) -> bool:
    """Tell whether a module hash may need a file: all but what only the seeds hold."""
    return not path.startswith("linux_") or "/bin/" in path


def _told(fields: tuple[str, int, frozenset[int]]) -> str:
    label, volume, moments = fields
    return f"{label!r}, {volume:#010x}, {sorted(moments)[:_SHOWN]}"


def _witnessed(image: Path, tree: Tree, spec: Spec, own: Digest, *, loader: bool) -> list[str]:
    """Return what is not as it must be of every byte beside the files' content."""
    wanted = witness.Expected(
        tree=tree,
        label=spec.image.label,
        volume_id=recipe.volume_id(own),
        signature=recipe.signature(own),
        epoch=spec.image.epoch,
        free_space=spec.image.free_space,
        loader_as_found=loader,
    )
    return witness.findings(image, wanted)


def _with_bits(folder: Path, packed: str, seen: Tree, findings: Findings) -> Tree | None:
    """The image's tree with the archive's executable bits; None where the two do not fit."""
    try:
        tree = Tree(_members(folder / packed, seen))
    except (InputError, ComparisonError) as error:
        findings.say("archive-differs", packed, error.summary)
        return None
    except OSError as error:
        findings.say("archive-differs", packed, f"it cannot be read: {error.strerror}")
        return None
    different = differences(seen, reader.expected(tree))
    if different:
        told = in_words(different)
        shown = "; ".join(told[:_SHOWN])
        findings.say("archive-differs", packed, f"{len(told)} paths of the image differ: {shown}")
        return None
    return tree


def _members(packed: Path, seen: Tree) -> Iterator[Entry]:
    """Names, sizes and executable bits of the archive's members, with the image's digests.

    The archive's own content is compared with the tree afterwards, byte by byte.
    """
    with regular.opened(packed) as stream:
        source = unpacking.Source(stream, packed)
        for member in unpacking.members(source):
            if member.is_folder:
                yield Entry(member.path, "directory", executable=False, size=0, digest="")
                continue
            same = seen.get(member.path)
            # Before it is unpacked: what is packed may be any number of times as large.
            if same is None or same.kind != "file" or same.size != member.size:
                raise ComparisonError(f"{member.path} of {member.size} bytes is not on the image")
            source.skip(member)
            yield Entry(
                member.path,
                "file",
                executable=bool(member.mode & _EXECUTABLE),
                size=member.size,
                digest=same.digest,
            )
