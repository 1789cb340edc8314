"""What is read out of the go command's cache of the log, and what is not believed."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest

from orchestrator.inputs import checksum_database
from orchestrator.lock.file import Absent, Recorded
from reproducibility.errors import ComparisonError, InfrastructureError, SourceryError
from tests.unit.orchestrator.inputs.world import TOOLS
from tests.unit.reproducibility.test_transparency import make_key, sign

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.orchestrator.inputs.world import World

NAME = "@".join(TOOLS)


@pytest.fixture(name="modules")
def _modules(world: World, tmp_path: Path) -> Path:
    modules = tmp_path / "scratch" / "modules"
    assert world.log.write(modules, NAME)
    return modules


def answer(modules: Path) -> Path:
    return modules / "cache/download/sumdb/log.example/lookup" / NAME


def tile(modules: Path) -> Path:
    (found,) = (
        path for path in (modules / "cache/download/sumdb").rglob("*.p/*") if path.is_file()
    )
    return found


def test_a_record_comes_with_a_proof_that_holds(modules: Path) -> None:
    found = checksum_database.entry(modules, *TOOLS)
    assert isinstance(found, Recorded)
    assert found.h1(*TOOLS).startswith("h1:")


def test_a_module_that_was_not_asked_for_is_absent(modules: Path) -> None:
    found = checksum_database.entry(modules, "example.org/private", "v1.0.0")
    assert isinstance(found, Absent)
    assert "GONOSUMDB" in found.reason


def test_the_newest_tree_head_serves_where_the_answers_own_cannot_be_proved(
    modules: Path,
) -> None:
    text, _, note = answer(modules).read_text().partition("\n\n")
    newest = modules.parent / "gopath/pkg/sumdb/log.example/latest"
    newest.parent.mkdir(parents=True)
    newest.write_text(note)
    key, verifier = make_key("log.example")
    other = sign(key, verifier, f"go.sum database tree\n4\n{'A' * 43}=\n")
    answer(modules).write_text(f"{text}\n\n{other}")
    found = checksum_database.entry(modules, *TOOLS)
    assert isinstance(found, Recorded)
    assert found.h1(*TOOLS).startswith("h1:")
    newest.unlink()
    with pytest.raises(InfrastructureError, match="does not hold the proof"):
        checksum_database.entry(modules, *TOOLS)


def test_a_full_or_wider_tile_serves_too(modules: Path) -> None:
    before = checksum_database.entry(modules, *TOOLS)
    partial = tile(modules)
    content = partial.read_bytes()
    partial.unlink()
    (partial.parent / "99").write_bytes(content + bytes(95 * 32))
    assert checksum_database.entry(modules, *TOOLS) == before
    (partial.parent / "99").unlink()
    partial.parent.rmdir()
    partial.parent.with_suffix("").write_bytes(content + bytes(252 * 32))
    assert checksum_database.entry(modules, *TOOLS) == before


def other_number(modules: Path) -> None:
    text = answer(modules).read_text()
    answer(modules).write_text("0" + text[1:])


def other_hash(modules: Path) -> None:
    text = answer(modules).read_text()
    answer(modules).write_text(text.replace("h1:", "h1:A", 1).replace("=\n", "\n", 1))


def other_size(modules: Path) -> None:
    text = answer(modules).read_text()
    answer(modules).write_text(text.replace("database tree\n4", "database tree\n5"))


def other_tile(modules: Path) -> None:
    content = bytearray(tile(modules).read_bytes())
    content[0] ^= 1
    tile(modules).write_bytes(content)


def no_tile(modules: Path) -> None:
    tile(modules).unlink()


def short_tile(modules: Path) -> None:
    tile(modules).write_bytes(tile(modules).read_bytes()[:-1])


def no_answer(modules: Path) -> None:
    answer(modules).write_text("not found")


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (other_number, InfrastructureError),
        (other_hash, SourceryError),
        (other_size, ComparisonError),
        (other_tile, InfrastructureError),
        (no_tile, InfrastructureError),
        (short_tile, InfrastructureError),
        (no_answer, SourceryError),
    ],
)
def test_a_cache_without_a_proof_that_holds_is_not_believed(
    change: object, kind: type[Exception], modules: Path
) -> None:
    change(modules)  # type: ignore[operator]
    with pytest.raises(kind):
        checksum_database.entry(modules, *TOOLS)


@pytest.mark.parametrize(
    ("output", "absent"),
    [
        (f"reading https://p.example/sumdb/l.example/lookup/{NAME}: 404 Not Found", True),
        (f"reading https://l.example/lookup/{NAME}: 410 Gone", True),
        (f"reading https://l.example/lookup/{NAME}: 403 Forbidden", False),
        (f"reading https://l.example/lookup/{NAME}: 500 Internal Server Error", False),
        (f"reading https://l.example/lookup/{NAME}-other: 404 Not Found", False),
        (f"reading https://p.example/{NAME}.info: 404 Not Found", False),
        (f"Get https://l.example/lookup/{NAME}: dial tcp: i/o timeout", False),
        ("", False),
    ],
)
def test_only_the_logs_own_not_found_means_no_record(output: str, absent: bool) -> None:
    found = checksum_database.no_record(output, *TOOLS)
    assert (found is not None) == absent
    if found is not None:
        assert ".example" not in found.reason.replace(NAME, "")


def test_capital_letters_are_escaped_as_the_go_command_does(tmp_path: Path) -> None:
    folder = checksum_database.decoy(tmp_path / "decoy", "example.org/BurntSushi/x", "v1.0.0-RC1")
    place = folder / "example.org/!burnt!sushi/x/@v"
    assert sorted(path.name for path in place.iterdir()) == [
        "v1.0.0-!r!c1.info",
        "v1.0.0-!r!c1.mod",
        "v1.0.0-!r!c1.zip",
    ]
    with zipfile.ZipFile(place / "v1.0.0-!r!c1.zip") as archive:
        assert archive.namelist() == ["example.org/BurntSushi/x@v1.0.0-RC1/decoy"]
