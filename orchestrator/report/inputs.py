"""Inputs with versions, digests, what the public log says of them, and licences where known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.lock.model import DebianPackage, GoModule, LocalPath, PythonWheel, Recorded
from orchestrator.markup import words
from orchestrator.markup.html import EMPTY, Html, element, join
from orchestrator.markup.tables import fold, part, section, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.artifacts.model import BuildResult
    from orchestrator.lock.model import Input
    from orchestrator.report.packages import Package

_KINDS = {
    "python-wheel": "Python wheel",
    "go-module": "Go module",
    "debian-package": "Debian package",
    "local-path": "own files",
}


def listed(result: BuildResult, packages: Sequence[Package]) -> Html:
    """The section. `packages`: of the bill of materials; without them no licences are said."""
    licences = {digest: one.licence for one in packages if one.licence for digest in one.digests}
    columns = ("Input", "Digests", *(("Licence",) if licences else ()))
    rows = (_row(one, licences) for one in result.inputs)
    return section(
        "inputs",
        "Inputs",
        element(
            "p",
            f"Everything that the build starts from: {words.many(len(result.inputs), 'artifact')}, "
            f"{words.size(sum(one.size for one in result.inputs))} together, each pinned by the "
            "lock.",
        ),
        table("Inputs of the build", columns, rows, kind="inputs"),
        _modules(packages),
        _patches(result),
        part("Compression", words.facts((
            ("Archive", words.said(result.compression.archive)),
            ("Initramfs", words.said(result.compression.initramfs)),
        ))),
    )  # fmt: skip


def _row(one: Input, licences: Mapping[str, str]) -> tuple[Html, ...]:
    found = [_name(one), _digests(one)]
    if licences:
        own = [one.blake3.hex]
        if isinstance(one, PythonWheel | DebianPackage):
            own.append(one.sha256.hex)
        known = next((licences[digits] for digits in own if digits in licences), "")
        found.append(words.said(known) if known else element("span", "not known", class_="dim"))
    return tuple(found)


def _name(one: Input) -> Html:
    where = f", for machines with {one.host}" if one.host else ""
    return join(
        (
            element("strong", words.said(one.name)),
            " ",
            element("span", words.said(one.version)),
            element("div", f"{_KINDS[one.kind]}, {words.size(one.size)}{where}", class_="dim"),
            element("div", words.code(one.where), class_="dim"),
            _log(one),
        )
    )


def _digests(one: Input) -> Html:
    those = [("blake3", one.blake3.hex)]
    if isinstance(one, PythonWheel | DebianPackage):
        those.append(("sha256", one.sha256.hex))
    if isinstance(one, GoModule):
        those.append(("h1", one.h1))
    if isinstance(one, GoModule | LocalPath) and one.vendored is not None:
        those.append(("with vendor/", one.vendored.hex))
    those.append(("tree", one.tree.hex))
    return words.facts((name, words.code(digest)) for name, digest in those)


def _log(one: Input) -> Html:
    if not isinstance(one, GoModule) or one.log is None:
        return EMPTY
    if isinstance(one.log, Recorded):
        return element("div", f"record {one.log.number:,} of the public log", class_="dim")
    return element("div", "no record: ", words.said(one.log.reason), class_="dim")


def _modules(packages: Sequence[Package]) -> Html:
    """What the bill of materials lists besides, folded."""
    those = [one for one in packages if one.kind == "module"]
    if not those:
        return EMPTY
    rows = (
        (words.code(one.name), words.code(one.version), words.said(one.licence or "not known"))
        for one in those
    )
    inside = table("Go modules on the image", ("Module", "Version", "Licence"), rows)
    return fold(f"Go modules on the image, with licences: {len(those)}", inside)


def _patches(result: BuildResult) -> Html:
    if not result.patches:
        return EMPTY
    items = (
        element(
            "li",
            words.code(one.file),
            ": ",
            words.said(one.change),
            element("div", "blake3 ", words.code(one.blake3), class_="dim"),
        )
        for one in result.patches
    )
    return part("Changed in a private copy of a published file", element("ul", *items))
