"""A map of the image by size: what its bytes are, from the counts of the root.

`result.json` counts source, seeds and boot files in bytes, and prebuilt programs by number; what is
none of the first three (prebuilt programs, stubs, a person's files) is shown as the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.markup import words
from orchestrator.markup.html import EMPTY, Html, element, join
from orchestrator.markup.tables import fold, part, section, table

if TYPE_CHECKING:
    from orchestrator.artifacts.model import BuildResult

_ROW, _BAR, _MAP = 40, 12, 28


def mapped(result: BuildResult) -> Html:
    """The section: the map, the same as a table, what is on it for each architecture."""
    parts = _parts(result)
    columns = ("What", "Bytes", "Share of the image", "Files")
    whole = max(result.image.size, sum(size for _, size, _ in parts), 1)
    cells = (
        (name, f"{size:,}", f"{100 * size / whole:.1f} %", f"{files:,}" if files else "")
        for name, size, files in parts
    )
    return section(
        "contents",
        "What is on the image",
        element(
            "p",
            f"{words.size(result.image.size)} as a disk image, {words.size(result.cpio.size)} as a "
            f"compressed archive; {words.many(result.root.files, 'file')} of "
            f"{words.size(result.root.bytes)} together.",
        ),
        _drawing(parts, whole),
        table("The image by size", columns, cells, kind="sizes"),
        part("By architecture", _architectures(result)),
        _left_out(result),
    )


def _parts(result: BuildResult) -> list[tuple[str, int, int]]:
    root = result.root
    known = root.source_bytes + root.seed_bytes + root.boot_bytes
    files = root.source_files + root.seed_files + root.boot_files
    found = [
        ("Seed: compiled packages, so that a first run only links", root.seed_bytes,
         root.seed_files),
        ("Source code", root.source_bytes, root.source_files),
        ("Boot files: kernels, initramfs, loaders", root.boot_bytes, root.boot_files),
        ("The rest: prebuilt programs, stubs, own files", max(0, root.bytes - known),
         max(0, root.files - files)),
        ("File system: tables, directories, slack, free space",
         max(0, result.image.size - root.bytes), 0),
    ]  # fmt: skip
    return sorted(found, key=lambda one: -one[1])


def _drawing(parts: list[tuple[str, int, int]], whole: int) -> Html:
    drawn, at = [], 0.0
    for number, (_, size, _) in enumerate(parts, 1):
        share = 100 * size / whole
        drawn.append(element("rect", x=f"{at:.2f}%", y=0, width=f"{share:.2f}%", height=_MAP,
                             class_=f"part part-{number}"))  # fmt: skip
        at += share
    for number, (name, size, _) in enumerate(parts, 1):
        top = _MAP + 12 + (number - 1) * _ROW
        share = 100 * size / whole
        drawn += [
            element("text", name.partition(":")[0], x=0, y=top + 13, class_="label"),
            element("text", f"{words.size(size)}, {share:.1f} %", x="100%", y=top + 13,
                    text_anchor="end", class_="took"),
            element("rect", x=0, y=top + 18, width="100%", height=_BAR, rx=2, class_="track"),
            element("rect", x=0, y=top + 18, width=f"{share:.2f}%", height=_BAR, rx=2,
                    class_=f"part part-{number}"),
        ]  # fmt: skip
    told = ", ".join(
        f"{name.partition(':')[0]} {100 * size / whole:.1f} percent" for name, size, _ in parts
    )
    return element(
        "svg",
        element("title", "Map of the image by size", id="map-title"),
        element("desc", f"{told}. The table below has the numbers.", id="map-desc"),
        *drawn,
        role="img",
        aria_labelledby="map-title map-desc",
        width="100%",
        height=_MAP + 12 + _ROW * len(parts),
        class_="map",
    )


def _architectures(result: BuildResult) -> Html:
    root = result.root
    names = sorted({*root.commands, *root.prebuilt, *root.prebuilt_programs})
    cells = (
        (words.said(name), f"{root.commands.get(name, 0):,}",
         f"{root.prebuilt.get(name, 0):,}", _programs(root.prebuilt_programs.get(name, ())))
        for name in names
    )  # fmt: skip
    columns = ("Architecture", "Commands", "Prebuilt", "Which programs are prebuilt")
    return table("Commands and prebuilt programs by architecture", columns, cells, kind="programs")


def _programs(paths: tuple[str, ...]) -> Html:
    if not paths:
        return EMPTY
    items = (element("li", words.code(path)) for path in paths)
    return fold(words.many(len(paths), "program"), element("ul", *items, class_="plain"))


def _left_out(result: BuildResult) -> Html:
    those = {name: paths for name, paths in
             sorted(result.root.left_out_by_build_constraints.items()) if paths}  # fmt: skip
    if not those:
        return EMPTY
    items = (
        element("li", words.said(name), ": ", join(map(words.code, paths), _COMMA))
        for name, paths in those.items()
    )
    count = sum(map(len, those.values()))
    return fold(
        f"Left out, as their build constraints say: {words.many(count, 'command')}",
        element("ul", *items, class_="plain"),
    )


_COMMA = element("span", ", ")
