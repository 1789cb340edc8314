"""Reads the checksum database's records (sumdb) out of the go command's module cache.

The layout is that of cmd/go/internal/modfetch: `cache/download/sumdb/<log>/lookup/` holds the log's
answers, `tile/` the tiles that it verified them with. From those an inclusion proof is made that
needs no network to check.
"""

from __future__ import annotations

import base64
import json
import re
import zipfile
from typing import TYPE_CHECKING

from orchestrator.lock.file import Absent, Recorded
from reproducibility import regular, transparency
from reproducibility.errors import ComparisonError, InfrastructureError, InputError

if TYPE_CHECKING:
    from pathlib import Path


# As the go command tells an HTTP answer; the address holds no white space.
_NO_RECORD = re.compile(
    r"\breading [a-z]+://\S+/lookup/(?P<what>\S+): (?P<answer>(?:404 Not Found|410 Gone)\b)"
)
_SERVER = re.compile(r"\n?[ \t]{0,16}server response:[^\n]*(?:\n[ \t]+[^\n]*)*")
_HASH = 32
NOT_ASKED = "the go command was told not to ask the public log (GONOSUMDB, GOPRIVATE or GOSUMDB)"


class NoRecordError(InputError):
    """The public log says that it has no record of a module version: `absent`."""

    def __init__(self, label: str, absent: Absent) -> None:
        super().__init__(
            f"{label} cannot be checked: {absent.reason}",
            subject=label,
            remedy="ask for another version in the spec; for a module of your own that the log "
            "cannot know, name it in GONOSUMDB or GOPRIVATE",
            missing=True,
        )
        self.absent = absent


def entry(modules: Path, module: str, version: str) -> Recorded | Absent:
    """The log's record of a module version that the go command asked for, with its proof.

    `modules`: the go command's GOMODCACHE.

    Raises:
        InfrastructureError: the cache does not hold the proof.
    """
    verifier = _verifier()
    log = modules / "cache" / "download" / "sumdb" / verifier.name
    answer = log / "lookup" / f"{_escaped(module)}@{_escaped(version)}"
    if not answer.exists():
        return Absent(reason=NOT_ASKED)
    record, note = transparency.parse_lookup(regular.read(answer).decode("utf-8", "replace"))
    # The answer may be older than the newest tree head that the go command saw, and the tiles fit
    # the newest one only (golang.org/x/mod/sumdb, Client.checkRecord).
    newest = modules.parent / "gopath" / "pkg" / "sumdb" / verifier.name / "latest"
    said = [regular.read(newest).decode("utf-8", "replace")] if newest.exists() else []
    notes = [note, *said]
    for candidate in notes:
        head = transparency.parse_tree_head(transparency.open_note(candidate, verifier))
        try:
            proof = transparency.prove(
                record.number,
                head.size,
                lambda level, tile, width: _tile(log / "tile", level, tile, width),
            )
            transparency.check(record, candidate, proof, verifier)
        except (FileNotFoundError, ComparisonError):
            continue
        return Recorded(
            number=record.number,
            record=tuple(record.text.removesuffix("\n").split("\n")),
            tree_head=tuple(candidate.removesuffix("\n").split("\n")),
            proof=tuple(base64.b64encode(step).decode() for step in proof),
        )
    raise InfrastructureError(
        "the go command's cache does not hold the proof of the public log",
        subject=f"{module}@{version}",
    )


def no_record(output: str, module: str, version: str) -> Absent | None:
    """Return the log's answer to the go command that it has no record; None for anything else.

    Only the log's own "not found" counts, not a network that failed, nor what a server wrote.
    """
    found = _NO_RECORD.search(_SERVER.sub("", output))
    if found and found["what"] == f"{_escaped(module)}@{_escaped(version)}":
        what = f"{module}@{version}"
        return Absent(reason=f"the public log answered {found['answer']} for {what}")
    return None


def decoy(folder: Path, module: str, version: str) -> Path:
    """A folder that serves a module version with made-up content, as a `file://` proxy."""
    place = folder / _escaped(module) / "@v"
    place.mkdir(parents=True)
    name = _escaped(version)
    (place / f"{name}.info").write_text(json.dumps({"Version": version}))
    (place / f"{name}.mod").write_text(f"module {module}\n")
    with zipfile.ZipFile(place / f"{name}.zip", "w") as archive:
        archive.writestr(f"{module}@{version}/decoy", b"")
    return folder


def _verifier() -> transparency.Verifier:
    return transparency.Verifier.parse(transparency.GO_SUM_DATABASE)


def _tile(tiles: Path, level: int, number: int, width: int) -> bytes:
    """A tile of at least `width` hashes: the one of that width, the full one, or a wider one.

    Raises:
        FileNotFoundError: the cache has none.
    """
    exact = tiles / transparency.tile_path(level, number, width)
    full = tiles / transparency.tile_path(level, number)
    partial = full.with_name(full.name + ".p")
    wider = sorted(partial.iterdir(), key=lambda path: int(path.name)) if partial.is_dir() else []
    for candidate in (exact, full, *wider):
        if candidate.is_file() and candidate.stat().st_size >= width * _HASH:
            return regular.read(candidate)
    raise FileNotFoundError(exact)


def _escaped(text: str) -> str:
    """A module path or version as a file name: each capital letter as `!` and the small one."""
    return re.sub(r"[A-Z]", lambda found: "!" + found[0].lower(), text)
