"""A person's paths, from the root on whatever folder is current later, or refused in words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.files import places
from reproducibility.errors import InputError


def test_a_relative_path_starts_from_the_folder_that_is_current_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = places.absolute("a/b", "--out")
    monkeypatch.chdir("/")
    assert found == tmp_path / "a" / "b"
    assert places.absolute("/a", "--out") == Path("/a")


def test_parts_that_go_up_are_followed_as_the_kernel_follows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "far" / "folder").mkdir(parents=True)
    (tmp_path / "link").symlink_to("far/folder")
    monkeypatch.chdir(tmp_path)
    assert places.absolute("link/../x", "--store") == tmp_path / "far" / "x"
    # A link by itself stays: what a person named is what is said.
    assert places.absolute("link/x", "--store") == tmp_path / "link" / "x"


@pytest.mark.parametrize("given", ["", "a\nb", "a\tb", "a\x1bb", "a\x7f", os.fsdecode(b"a\xff")])
def test_what_no_list_or_log_can_hold_is_refused(given: str) -> None:
    with pytest.raises(InputError) as refused:
        places.absolute(given, "--out")
    assert "--out" in refused.value.summary
    assert refused.value.remedy


def test_a_folder_that_is_gone_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(InputError, match="cannot be found from here") as refused:
        places.absolute("a", "--spec")
    assert "starts with /" in refused.value.remedy
    assert places.absolute("/a", "--spec") == Path("/a")


@pytest.mark.parametrize("sign", [":", '"'])
def test_a_store_where_clients_cannot_be_told_of_it_is_refused(sign: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the store's path holds") as refused:
        places.store(tmp_path / f"a{sign}b" / "store")
    assert "--store" in refused.value.remedy


@pytest.mark.parametrize("name", ["a b", "a,b", "a'b", "a$b", "a%41b", "a\\b", "a;b", "ä", "{a}#"])
def test_a_store_may_have_other_odd_names(name: str, tmp_path: Path) -> None:
    assert places.store(tmp_path / name) == tmp_path / name


def test_variables_of_clients_that_run_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = places.environment(
        {
            "APT_CONFIG": "apt.conf",
            "GOENV": "go/env",
            "PIP_CERT": "/etc/ca.pem",
            "PIP_CONFIG_FILE": "./pip.conf",
            "PATH": "/usr/bin::bin",
            "PIP_FIND_LINKS": "wheels http://127.0.0.1/wheels /more",
            "GOPROXY": "direct",
            "TMPDIR": "",
        }
    )
    assert found == {
        "APT_CONFIG": f"{tmp_path}/apt.conf",
        "GOENV": f"{tmp_path}/go/env",
        "PIP_CERT": "/etc/ca.pem",
        "PIP_CONFIG_FILE": f"{tmp_path}/pip.conf",
        "PATH": f"/usr/bin:{tmp_path}:{tmp_path}/bin",
        "PIP_FIND_LINKS": f"{tmp_path}/wheels http://127.0.0.1/wheels /more",
        "GOPROXY": "direct",
        "TMPDIR": "",
    }
    assert places.environment({"GOENV": "off"}) == {"GOENV": "off"}
