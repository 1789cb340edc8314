"""The picture of a session is made from its recording alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from tests import picture

if TYPE_CHECKING:
    from pathlib import Path

RAN = {"command": "ls /", "status": 0, "seconds": 5.25, "compiled": ["ls"], "output": "bin\ngo\n"}


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    outcome = {"name": picture.PLATFORM, "commands": [RAN]}
    (tmp_path / "boot.json").write_text(json.dumps({"platforms": [{"name": "other"}, outcome]}))
    (tmp_path / f"{picture.PLATFORM}.log").write_text(
        "BIOS\nLinux\nSourcery: a system that is mostly source.\nlinux/amd64\n"
        "  The stick is never written to. What you make in /tmp is gone then.\n\n> noise\n"
    )
    return tmp_path


def shown(drawn: str) -> str:
    """The text of the picture."""
    return "".join(ET.fromstring(drawn).itertext()).replace("\N{NO-BREAK SPACE}", " ")  # noqa: S314


def test_one_recording_gives_one_picture(kept: Path) -> None:
    drawn = picture.draw(kept)
    assert drawn == picture.draw(kept)
    for words in ("mostly source", "linux/amd64", "ls /", "compiled ls: 5.2 s", "bin go"):
        assert words in shown(drawn)
    assert "noise" not in shown(drawn)


def test_nothing_is_fetched_to_look_at_it(kept: Path) -> None:
    assert "url(" not in picture.draw(kept).replace("url(#", "")
    assert "@font-face" not in picture.draw(kept)


def test_the_picture_in_the_documents_shows_a_whole_session() -> None:
    told = shown(picture.PICTURE.read_text("utf-8"))
    for words in ("go version go", "built on the stick, for amd64", "poweroff"):
        assert words in told
