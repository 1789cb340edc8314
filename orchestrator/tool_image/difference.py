"""Compares two container images of the tool, and names the first path that differs, and in what."""

from __future__ import annotations

import filecmp
import json
import tarfile
from typing import TYPE_CHECKING, Final, cast

from orchestrator.evidence.oci_layout import BLOBS
from orchestrator.tool_image import layers
from reproducibility import digest as digests
from reproducibility import visible
from reproducibility.errors import ComparisonError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import IO, BinaryIO

_MOST: Final = 20
_KINDS: Final = {
    tarfile.REGTYPE: "file",
    tarfile.LNKTYPE: "hard link",
    tarfile.SYMTYPE: "symbolic link",
    tarfile.CHRTYPE: "character device",
    tarfile.BLKTYPE: "block device",
    tarfile.DIRTYPE: "folder",
    tarfile.FIFOTYPE: "pipe",
}


def require_same(first: Path, second: Path) -> None:
    """Compare two archives of images, byte by byte.

    Raises:
        ComparisonError: they differ; the first path that does, and the next ones.
        OSError: one cannot be read.
    """
    if filecmp.cmp(first, second, shallow=False):
        return
    digest, other = digests.of_file(first), digests.of_file(second)
    found = list(_differences(first, second))
    if not found:
        found = ["not in any file of a layer, but in how the archive holds them"]
    more = f"\n  and {len(found) - _MOST} more" if len(found) > _MOST else ""
    told = "\n  ".join(found[:_MOST])
    raise ComparisonError(
        f"the image came out otherwise the second time: {digest}, then {other}\n  {told}{more}",
        subject=f"{first}, {second}",
        remedy="look at both files, which are kept; what makes the first path?",
    )


def _differences(first: Path, second: Path) -> Iterator[str]:
    """What differs, layer by layer, each path with what it is in both."""
    with tarfile.open(first, "r:") as one, tarfile.open(second, "r:") as two:
        placed = [_layers(one), _layers(two)]
        for name, here, there in zip(layers.NAMES, *placed, strict=True):
            if here == there:
                continue
            streams = [one.extractfile(here), two.extractfile(there)]
            members = [_members(stream) for stream in streams if stream is not None]
            yield from in_layer(name, *members)


def _layers(archive: tarfile.TarFile) -> Sequence[str]:
    """The places of the layers in an archive that `archive` wrote."""
    stream = archive.extractfile("manifest.json")
    saved = json.load(stream) if stream is not None else [{"Layers": []}]
    return [str(place) for place in saved[0]["Layers"] if str(place).startswith(BLOBS)]


def in_layer(
    name: str, first: dict[str, dict[str, str]], second: dict[str, dict[str, str]]
) -> Iterator[str]:
    """The differences of two layers, by path; what each path is, by field.

    Where no path differs, their order does.
    """
    same = True
    for path in sorted(first.keys() | second.keys()):
        here, there = first.get(path), second.get(path)
        if here == there:
            continue
        same = False
        shown = f"{name}: {visible.line(path)}"
        if here is None or there is None:
            yield f"{shown}: only in the {'first' if there is None else 'second'} image"
            continue
        fields = [
            f"{field} {here.get(field, 'none')}, then {there.get(field, 'none')}"
            for field in sorted(here.keys() | there.keys())
            if here.get(field) != there.get(field)
        ]
        yield f"{shown}: {visible.line('; '.join(fields))}"
    if same:
        pairs = zip(first, second, strict=True)
        moved = next((one for one, two in pairs if one != two), None)
        if moved is not None:
            yield f"{name}: {visible.line(moved)}: at another place in the layer"


def _members(stream: IO[bytes]) -> dict[str, dict[str, str]]:
    """What a layer says of each path, and its content's digest, in the layer's order."""
    found = {}
    with tarfile.open(fileobj=stream, mode="r:") as layer:
        for member in layer:
            content = layer.extractfile(member) if member.isreg() else None
            fields = {
                "kind": _KINDS.get(member.type, "something else"),
                "mode": f"{member.mode:04o}",
                "owner": f"{member.uid}:{member.gid}",
                "time": str(member.mtime),
                "target": member.linkname,
                "device": f"{member.devmajor}:{member.devminor}",
                **{f"header {key}": value for key, value in member.pax_headers.items()},
            }
            if content is not None:
                fields["size"] = str(member.size)
                fields["content"] = str(digests.of_stream(cast("BinaryIO", content)))
            found[member.name.removeprefix("./")] = fields
    return found
