"""Units of systemd: what stands in them, and what systemd's own programs say of them."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from orchestrator.nightly import config, units
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from orchestrator.nightly.config import Config

pytestmark = pytest.mark.once
STORE = '[store]\nfolder = "/var/cache/sourcery"\n'
MAIL = '[notify]\nmail = "root"\n'
# Signs that systemd gives a meaning in one place or another.
ODD = "a b%c$HOME'd\"e\\f;g"
# An ordinary user that every Debian has.
USER = "daemon"


def program(folder: Path) -> Path:
    """A program that is there, as `systemd-analyze` looks."""
    path = folder / "orchestrate"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def configured(folder: Path, text: str = STORE) -> Config:
    path = folder / "nightly.toml"
    path.write_text(text)
    return config.load(path)


def written(folder: Path, texts: Mapping[str, str]) -> list[str]:
    paths = []
    for name, text in texts.items():
        (folder / name).write_text(text)
        paths.append(str(folder / name))
    return paths


def settings(text: str) -> Iterator[tuple[str, str]]:
    """Keys and values of a unit."""
    for line in text.splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            yield key, value


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", "--no-pager", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_the_units_have_the_real_places(tmp_path: Path) -> None:
    texts = units.rendered(program(tmp_path), configured(tmp_path))
    assert sorted(texts) == [
        "sourcery-nightly-failed.service",
        "sourcery-nightly.service",
        "sourcery-nightly.timer",
    ]
    service = dict(settings(texts["sourcery-nightly.service"]))
    command = f"{tmp_path}/orchestrate nightly --config {tmp_path}/nightly.toml"
    assert service["ExecStart"] == command
    assert service["ReadWritePaths"] == f"-{tmp_path}/nightly -/var/cache/sourcery"
    folders = f"{tmp_path}/nightly /var/cache/sourcery"
    assert service["ExecStartPre"] == f"+/usr/bin/install --directory {folders}"
    assert service["WorkingDirectory"] == str(tmp_path)
    assert service["User"] == "root"
    assert service["OnFailure"] == "sourcery-nightly-failed.service"
    assert service["TimeoutStartSec"] == "20h"
    failed = dict(settings(texts["sourcery-nightly-failed.service"]))
    assert failed["ExecStart"] == f"{command} --tell-failure"
    assert "ReadWritePaths" not in failed
    timer = dict(settings(texts["sourcery-nightly.timer"]))
    assert (timer["Persistent"], timer["RandomizedDelaySec"]) == ("true", "30min")
    assert timer["OnCalendar"] == "*-*-* 02:00:00"
    assert not any("${" in text for text in texts.values())


def test_an_ordinary_user_has_no_capabilities(tmp_path: Path) -> None:
    given = program(tmp_path), configured(tmp_path, STORE + MAIL)
    for user, building, mailing in (
        ("root", "CAP_SYS_ADMIN", "CAP_SETUID"),
        (USER, None, None),
    ):
        texts = units.rendered(*given, user=user)
        for name, first in (("", building), ("-failed", mailing)):
            found = dict(settings(texts[f"sourcery-nightly{name}.service"]))
            words = found["CapabilityBoundingSet"].split()
            assert (found["User"], words[:1]) == (user, [first] if first else [])


def test_the_folders_of_an_ordinary_user_are_made_by_that_user(tmp_path: Path) -> None:
    texts = units.rendered(program(tmp_path), configured(tmp_path), user=USER)
    made = dict(settings(texts["sourcery-nightly.service"]))["ExecStartPre"]
    # What root gives to a user in a folder that the user can change may be a link to any other.
    words = shlex.split(made.removeprefix("+"))
    assert words[:3] == ["/usr/sbin/runuser", f"--user={USER}", "--"]
    assert "--owner" not in made


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_a_link_in_a_folders_place_is_not_given_away(tmp_path: Path) -> None:
    # Where every user can go into.
    with TemporaryDirectory(dir="/tmp") as name:
        victim, own = Path(name, "victim"), Path(name, "own")
        for folder in (victim, own):
            folder.mkdir()
        Path(name).chmod(0o755)
        shutil.chown(own, USER)
        (own / "nightly").symlink_to(victim)
        text = f'state = "{own}/nightly"\n[store]\nfolder = "{own}/store"\n'
        texts = units.rendered(program(tmp_path), configured(tmp_path, text), user=USER)
        made = dict(settings(texts["sourcery-nightly.service"]))["ExecStartPre"]
        subprocess.run(shlex.split(made.removeprefix("+")), check=False, timeout=60)
        assert victim.owner() == "root"
        assert (own / "store").owner() == USER


def test_mailers_can_write_their_queue_where_there_is_mail(tmp_path: Path) -> None:
    texts = units.rendered(program(tmp_path), configured(tmp_path, STORE + MAIL))
    for name in ("sourcery-nightly.service", "sourcery-nightly-failed.service"):
        assert "-/var/spool" in dict(settings(texts[name]))["ReadWritePaths"].split()


def test_without_a_file_the_folder_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = config.load(None, lambda: Path("/var/cache/sourcery"))
    service = dict(settings(units.rendered(Path("/o"), found)["sourcery-nightly.service"]))
    assert (service["ExecStart"], service["WorkingDirectory"]) == ("/o nightly", str(tmp_path))


def test_a_name_and_a_time_can_be_given(tmp_path: Path) -> None:
    given = program(tmp_path), configured(tmp_path)
    texts = units.rendered(*given, name="nights-2", calendar="Mon..Fri 03:30")
    assert set(texts) == {"nights-2.service", "nights-2.timer", "nights-2-failed.service"}
    assert dict(settings(texts["nights-2.service"]))["OnFailure"] == "nights-2-failed.service"
    assert dict(settings(texts["nights-2.timer"]))["OnCalendar"] == "Mon..Fri 03:30"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "a/b"}, "'a/b' is not a unit's name"),
        ({"name": "a\nb"}, "is not a unit's name"),
        ({"user": "a b"}, "'a b' is not a user's name"),
        ({"calendar": "daily\nExecStart=x"}, "is not a time"),
        ({"calendar": ""}, "is not a time"),
    ],
)
def test_what_cannot_stand_in_a_unit_is_refused(
    tmp_path: Path, options: dict[str, str], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        units.rendered(program(tmp_path), configured(tmp_path), **options)


@pytest.mark.parametrize("name", ["ends in a backslash\\", "ends in a space "])
def test_a_folder_that_a_line_cannot_end_with_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    with pytest.raises(InputError, match="ends in a space or a backslash"):
        units.rendered(Path("/o"), configured(folder))


def test_a_store_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="names no store"):
        units.rendered(Path("/o"), configured(tmp_path, ""))


# -- as systemd sees them --------------------------------------------------------------------------


@pytest.mark.needs_tools("systemd-analyze")
@pytest.mark.parametrize("name", ["plain", ODD])
@pytest.mark.parametrize("user", ["root", USER])
def test_systemd_finds_nothing_wrong_with_them(tmp_path: Path, name: str, user: str) -> None:
    folder, place = tmp_path / name, tmp_path / re.sub(r"['\"\\]", "", name)
    for one in {folder, place}:
        one.mkdir()
    texts = units.rendered(program(place), configured(folder, STORE + MAIL), user=user)
    done = analyze("verify", *written(tmp_path, texts))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.needs_tools("systemd-analyze")
@pytest.mark.parametrize(
    ("unit", "old", "new"),
    [
        (".service", "PrivateTmp=yes", "PrivateTemp=yes"),
        (".service", "ProtectSystem=strict", "ProtectSystem=strictly"),
        (".service", "/orchestrate nightly", "/orchestra nightly"),
        (".service", "/usr/bin/install", "/usr/bin/instal"),
        ("-failed.service", "SystemCallFilter=@system-service", "SystemCallFilter=@systemservice"),
        (".timer", "OnCalendar=*", "OnCalendar=never"),
    ],
)
def test_systemd_sees_what_is_wrong(tmp_path: Path, unit: str, old: str, new: str) -> None:
    texts = units.rendered(program(tmp_path), configured(tmp_path))
    text = texts[f"{units.NAME}{unit}"]
    assert old in text
    done = analyze(
        "verify", *written(tmp_path, {**texts, f"{units.NAME}{unit}": text.replace(old, new)})
    )
    assert done.stderr


# Whole tenths, as `systemd-analyze security` counts; more is less safe. What keeps nights from less
# is said in the service itself.
EXPOSURES = [("", "root", 50), ("", USER, 37), ("-failed", "root", 23), ("-failed", USER, 19)]
RULES = re.compile(r"(?m)^(?:NoNewPrivileges|ProtectSystem|PrivateDevices|PrivateTmp)=.*$")


@pytest.mark.needs_tools("systemd-analyze")
@pytest.mark.parametrize(("unit", "user", "tenths"), EXPOSURES)
def test_they_expose_no_more_than_they_must(
    tmp_path: Path, unit: str, user: str, tenths: int
) -> None:
    texts = units.rendered(program(tmp_path), configured(tmp_path), user=user)
    name = f"{units.NAME}{unit}.service"
    offline = ("security", "--offline=true", f"--threshold={tenths}")
    enough = analyze(*offline, *written(tmp_path, {name: texts[name]}))
    assert enough.returncode == 0, enough.stdout
    # Rules that go missing are seen.
    less = analyze(*offline, *written(tmp_path, {name: RULES.sub("", texts[name])}))
    assert less.returncode != 0


def test_odd_paths_are_quoted(tmp_path: Path) -> None:
    folder = tmp_path / ODD
    folder.mkdir()
    texts = units.rendered(Path("/$o/a b/orchestrate"), configured(folder))
    command = dict(settings(texts["sourcery-nightly.service"]))["ExecStart"]
    assert shlex.split(command.replace("%%", "%").replace("$$", "$")) == [
        *("/$o/a b/orchestrate", "nightly", "--config", f"{folder}/nightly.toml"),
    ]
    assert command.count("%%") == 1
    assert command.count("$$") == 1


@pytest.mark.parametrize(
    "path", ["/it's/orchestrate", '/a"b/orchestrate', "/a\\b/o", "orchestrate"]
)
def test_a_program_that_systemd_would_not_start_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(InputError, match="cannot name a program"):
        units.rendered(Path(path), configured(tmp_path))
