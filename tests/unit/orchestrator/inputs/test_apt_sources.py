"""The machine's own Debian mirror, in every form that apt's sources have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.inputs import apt_sources
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from pathlib import Path

DEB822 = """\
# a comment
Types: deb deb-src
URIs: https://mirror.example/debian/ https://second.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /etc/apt/keyrings/mine.gpg

Types: deb
URIs: https://mirror.example/debian-security
Suites: bookworm-security
Components: main
"""
ONE_LINE = """\
# deb https://commented.example/debian trixie main
deb-src https://sources.example/debian trixie main
deb [arch=amd64 signed-by=/key.gpg] https://one.example/debian trixie main contrib # ours
deb https://one.example/debian-security trixie-security main
"""


def machine(root: Path, **files: str) -> Path:
    folder = root / "etc" / "apt" / "sources.list.d"
    folder.mkdir(parents=True)
    for name, text in files.items():
        place = folder.parent / "sources.list" if name == "sources_list" else folder / name
        place.write_text(text)
    return root


def test_a_deb822_source_is_found_with_its_key(tmp_path: Path) -> None:
    root = machine(tmp_path, **{"debian.sources": DEB822})
    found = apt_sources.mirror(root, "trixie", {})
    assert found == apt_sources.Mirror(
        "https://mirror.example/debian", "/etc/apt/keyrings/mine.gpg"
    )


def test_a_one_line_source_is_found_with_its_key(tmp_path: Path) -> None:
    root = machine(tmp_path, sources_list=ONE_LINE)
    found = apt_sources.mirror(root, "forky", {})
    assert found == apt_sources.Mirror("https://one.example/debian", "/key.gpg")


def test_a_source_of_the_wanted_suite_comes_first(tmp_path: Path) -> None:
    root = machine(tmp_path, **{"a.sources": DEB822, "b.list": ONE_LINE, "c.list.off": ONE_LINE})
    assert apt_sources.mirror(root, "trixie", {}).uri == "https://one.example/debian"
    assert apt_sources.mirror(root, "bookworm", {}).uri == "https://mirror.example/debian"


def test_the_machines_debian_keys_are_used_where_the_source_names_none(tmp_path: Path) -> None:
    root = machine(tmp_path, sources_list="deb https://m.example/debian trixie main\n")
    assert apt_sources.mirror(root, "trixie", {}).signed_by == ""
    keyring = root / "usr/share/keyrings/debian-archive-keyring.gpg"
    keyring.parent.mkdir(parents=True)
    keyring.touch()
    assert apt_sources.mirror(root, "trixie", {}).signed_by == str(keyring)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "deb https://mirror.example/ubuntu noble main\n",
        "deb https://mirror.example/debian trixie contrib\n",
        "deb https://mirror.example/debian trixie-backports main\n",
        "deb-src https://mirror.example/debian trixie main\n",
    ],
)
def test_a_machine_without_a_mirror_of_debian_is_told_what_to_do(tmp_path: Path, text: str) -> None:
    root = machine(tmp_path, sources_list=text)
    with pytest.raises(InfrastructureError, match="name no mirror of Debian") as failed:
        apt_sources.mirror(root, "trixie", {})
    assert "SOURCERY_DEBIAN_MIRROR" in failed.value.remedy
    said = {"SOURCERY_DEBIAN_MIRROR": "https://said.example/debian/"}
    assert apt_sources.mirror(root, "trixie", said).uri == "https://said.example/debian"


def test_a_machine_without_apt_is_told_the_same(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="name no mirror of Debian"):
        apt_sources.mirror(tmp_path, "trixie", {})


def test_a_disabled_source_does_not_count(tmp_path: Path) -> None:
    text = DEB822.replace("Types: deb deb-src", "Enabled: no\nTypes: deb")
    root = machine(tmp_path, **{"debian.sources": text})
    with pytest.raises(InfrastructureError):
        apt_sources.mirror(root, "trixie", {})


def test_the_private_source_says_suite_architectures_and_key() -> None:
    mirror = apt_sources.Mirror("https://m.example/debian", "/key.gpg")
    assert mirror.deb822("trixie", ["amd64", "arm64"]) == (
        "Types: deb\nURIs: https://m.example/debian\nSuites: trixie\nComponents: main\n"
        "Architectures: amd64 arm64\nSigned-By: /key.gpg\n"
    )
    assert "Architectures" not in mirror.deb822("trixie", [])


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    list(apt_sources.parse_one_line(text))


PIECES = [
    "Types:",
    "URIs:",
    "Suites:",
    "deb",
    " ",
    "\n",
    "\n\n",
    "\r",
    "\u2028",
    "#",
    "A",
    "-----BEGIN",
]


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=3)).map("".join))
def test_any_stanzas_are_read_or_passed_over(text: str) -> None:
    list(apt_sources.parse_deb822(text))


def test_a_text_that_is_the_name_of_a_file_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "source").write_text(DEB822)
    assert not list(apt_sources.parse_deb822(str(tmp_path / "source")))
