"""What the documents name is there: modules, folders, decision records."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

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
