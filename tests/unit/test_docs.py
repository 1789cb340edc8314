"""What the documents name is there: modules, folders, decision records."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from containers.docker import capability as docker_capability
from containers.sandbox import capability as sandbox_capability
from orchestrator.verify.model import FINDINGS
from reproducibility import variations

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY")),
]
RECORDS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
HEADINGS = ["Context", "Decision", "Consequence"]

# Paths from the project's root. `orchestrator/data` is the folder of a wheel, not of a checkout.
PATH = re.compile(
    r"(?<![\w/.-])(?:orchestrator|containers|reproducibility|tests|userland|bench)/[\w./-]*\w/?"
)
# A module without its folder, which a reader would have to look for.
SHORT = re.compile(r"`[a-z_0-9]+\.(?:py|go)`")


def paths_in(text: str) -> list[str]:
    """Paths that a text names, without the folders that only a wheel has."""
    return [found for found in PATH.findall(text) if not found.startswith("orchestrator/data")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_paths_exist(document: Path) -> None:
    text = document.read_text("utf-8")
    assert [name for name in paths_in(text) if not (ROOT / name).exists()] == []
    assert SHORT.findall(text) == [], "a module is named with its folder"
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_the_search_for_paths_finds_them() -> None:
    text = "`orchestrator/cli/app.py`, containers/host/, orchestrator/data/x, my/tests, tests/x.y."
    assert paths_in(text) == ["orchestrator/cli/app.py", "containers/host/", "tests/x.y"]
    assert SHORT.findall("`seed.py` and `orchestrator/seed.py`") == ["`seed.py`"]


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.name[:4])
def test_records_of_decisions_have_one_form(record: Path) -> None:
    text = record.read_text("utf-8")
    head = re.match(r"# (\d{4}) (.+)\n\nDate: (\d{4}-\d\d-\d\d)\n\n## ", text)
    assert head is not None
    number, title, date = head.groups()
    assert record.name.startswith(f"{number}-")
    assert re.findall(r"(?m)^## (.+)$", text) == HEADINGS
    assert all(part.strip() for part in re.split(r"(?m)^## .+$", text))
    index = (record.parent / "README.md").read_text("utf-8")
    assert f"| {number} | {date} | [{title}]({record.name}) |" in index


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = [int(record.name[:4]) for record in RECORDS]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > 26


def _rows(document: str, heading: str) -> dict[str, list[str]]:
    """The rows of the table below a heading, by what their first cell names."""
    text = (ROOT / "docs" / document).read_text("utf-8")
    (section,) = re.findall(rf"(?ms)^## {heading}\n(.*?)(?=^## |\Z)", text)
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    found = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    assert len({len(row) for row in found}) == 1
    names = [row[0].strip("` ") for row in found]
    assert len(set(names)) == len(names)
    return {name: row[1:] for name, row in zip(names, found, strict=True)}


def test_every_variation_is_explained_in_the_registrys_words() -> None:
    rows = _rows("variations.md", "What is varied, and why a build might depend on it")
    assert {name: row[0] for name, row in rows.items()} == {
        variation.name: variation.meaning for variation in variations.VARIATIONS
    }
    assert all(why for _, why in rows.values())


def test_what_engines_do_for_a_variation_is_as_they_say() -> None:
    rows = _rows("variations.md", "How each engine applies it, and how it is seen")
    assert {name: row[0] for name, row in rows.items()} == {
        one.name: f"`{one.condition}`" if one.condition else "none" for one in variations.VARIATIONS
    }
    on_docker = docker_capability.capabilities({}, 2)
    in_sandbox = sandbox_capability.capabilities("/bin/sh", 2, "")
    for name, (_, sandbox, docker, _) in rows.items():
        # Whether personalities may be set depends on this machine; how they are, does not.
        refused = name in variations.REFUSED
        assert sandbox == ("cannot" if refused else in_sandbox[name].how)
        assert docker == ("cannot" if on_docker[name].refusal else on_docker[name].how)


def test_the_document_names_the_variations_of_the_second_build() -> None:
    text = " ".join((ROOT / "docs" / "variations.md").read_text("utf-8").split())
    *most, last = (f"`{name}`" for name in variations.FIXED_POINT)
    assert f"six variations: {', '.join(most)} and {last}." in text
    assert f"`{variations.ENGINE.name}` stands beside these" in text


def test_every_finding_of_a_verification_is_explained_in_its_words() -> None:
    text = (ROOT / "docs" / "verify.md").read_text("utf-8")
    table = text.partition("<!-- findings -->\n")[2].partition("<!-- end of findings -->")[0]
    rows = re.findall(r"(?m)^\| `([a-z-]+)` \| (.*) \|$", table)
    assert dict(rows) == FINDINGS
