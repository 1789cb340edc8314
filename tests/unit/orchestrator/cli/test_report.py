"""`orchestrate report`: what it writes, what it leaves alone, and showing the page."""

from __future__ import annotations

import json
import webbrowser
from typing import TYPE_CHECKING, Any

import pytest

from containers.host import durable
from orchestrator.artifacts import model, names, sums
from orchestrator.audit import model as audits
from orchestrator.cli.main import run
from orchestrator.cli.views.report import has_display
from orchestrator.report.page import page
from reproducibility import digest
from tests import pages

if TYPE_CHECKING:
    from pathlib import Path

Captured = pytest.CaptureFixture[str]
FAILING = pages.failing()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A finished folder with evidence, as far as the command looks at it."""
    folder = tmp_path / "out put"
    folder.mkdir()
    files = {
        names.RESULT: model.dumps(FAILING),
        names.AUDIT: audits.dumps(pages.audit(FAILING)),
        names.PROVENANCE: b"",
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    written = {name: digest.of_bytes(data).hex for name, data in files.items()}
    (folder / names.B3SUMS).write_bytes(sums.dumps(written))
    written = {name: digest.sha256_of_bytes(data).hex for name, data in files.items()}
    (folder / names.SHA256SUMS).write_bytes(sums.dumps(written))
    return folder


def answered(capsys: Captured, *arguments: object) -> tuple[int, dict[str, Any]]:
    status = run(["report", *map(str, arguments), "--json"])
    return status, json.loads(capsys.readouterr().out)


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_ino) for path in folder.iterdir()}


def test_the_page_is_made_where_it_is_missing_or_another(out: Path, capsys: Captured) -> None:
    before = files(out)
    wanted = page(FAILING, pages.audit(FAILING))
    status, found = answered(capsys, out)
    assert (status, found["written"], found["verdict"], found["audit"]) == (0, True, "FAIL", "FAIL")
    assert (found["path"], found["size"]) == (str(out / names.REPORT), len(wanted))
    after = files(out)
    assert after[names.REPORT][0] == wanted
    changed = {name for name in before if after[name] != before[name]}
    assert changed == set(names.SUMS)
    listed = sums.parse(after[names.B3SUMS][0], "sums")
    assert listed[names.REPORT] == digest.of_bytes(wanted).hex
    assert listed.keys() == {names.REPORT, names.RESULT, names.AUDIT, names.PROVENANCE}

    assert answered(capsys, out)[1]["written"] is False
    assert files(out) == after, "nothing is touched where the page is there"

    (out / names.REPORT).write_bytes(b"<script>another</script>")
    assert answered(capsys, out)[1]["written"] is True
    assert {n: data for n, (data, _) in files(out).items()} == {
        n: data for n, (data, _) in after.items()
    }


def test_elsewhere_it_leaves_the_folder_alone(out: Path, tmp_path: Path, capsys: Captured) -> None:
    before = files(out)
    place = tmp_path / "page.html"
    assert run(["report", str(out), "-o", str(place)]) == 0
    assert capsys.readouterr().out == f"{place}\n"
    assert place.read_bytes() == page(FAILING, pages.audit(FAILING))
    assert files(out) == before


def test_a_folder_of_an_earlier_version_keeps_its_sums(out: Path, capsys: Captured) -> None:
    (out / names.PROVENANCE).unlink()
    before = files(out)
    assert answered(capsys, out)[1]["written"] is True
    assert {name: files(out)[name] for name in before} == before


def test_what_is_no_finished_build_is_refused(tmp_path: Path, capsys: Captured) -> None:
    status, found = answered(capsys, tmp_path)
    assert (status, found["error"]["kind"]) == (2, "InputError")
    assert "orchestrate build" in found["error"]["remedy"]
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_said(
    out: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable, "write_all", full)
    for more in ([], ["-o", tmp_path / "page.html"]):
        status, found = answered(capsys, out, *more)
        assert (status, found["error"]["kind"]) == (4, "InfrastructureError")


@pytest.mark.parametrize("place", ["no/page.html", f"out put/{names.RESULT}/page.html"])
def test_a_missing_folder_is_said(out: Path, tmp_path: Path, capsys: Captured, place: str) -> None:
    status, found = answered(capsys, out, "-o", tmp_path / place)
    assert (status, found["error"]["kind"]) == (2, "InputError")
    assert found["error"]["summary"] == f"there is no folder {(tmp_path / place).parent}"
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("name", [names.RESULT, names.REPORT, names.AUDIT, names.JUNIT])
def test_a_build_keeps_its_files(out: Path, capsys: Captured, name: str) -> None:
    before = files(out)
    status, found = answered(capsys, out, "-o", out / name)
    assert (status, found["error"]["kind"]) == (2, "InputError")
    assert files(out) == before


def test_no_further_page_is_put_into_a_build(out: Path, capsys: Captured) -> None:
    """`orchestrate verify` would find a file that nothing names."""
    before = files(out)
    status, found = answered(capsys, out, "-o", out / "page.html")
    assert (status, found["error"]["remedy"]) == (2, "give another place")
    assert f"in the output folder {out}" in found["error"]["summary"]
    assert files(out) == before


def test_only_a_page_is_overwritten(out: Path, tmp_path: Path, capsys: Captured) -> None:
    place = tmp_path / "page.html"
    place.write_text("-----BEGIN PRIVATE KEY-----\n")
    status, found = answered(capsys, out, "-o", place)
    assert status == 2
    assert "not an HTML page" in found["error"]["summary"]
    place.unlink()
    assert answered(capsys, out, "-o", place)[0] == 0
    assert answered(capsys, out, "-o", place)[0] == 0


def test_sums_that_were_left_behind_are_mended(out: Path, capsys: Captured) -> None:
    stale = {name: (out / name).read_bytes() for name in names.SUMS}
    assert answered(capsys, out)[1]["written"] is True
    wanted = files(out)
    for name, data in stale.items():
        (out / name).write_bytes(data)
    assert answered(capsys, out)[1]["written"] is True
    assert {n: data for n, (data, _) in files(out).items()} == {
        n: data for n, (data, _) in wanted.items()
    }


def test_it_is_shown_by_its_address(
    out: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def shown(address: str) -> bool:
        opened.append(address)
        return True

    monkeypatch.setattr(webbrowser, "open", shown)
    monkeypatch.setenv("DISPLAY", ":0")
    assert run(["report", str(out), "--open"]) == 0
    assert opened == [(out / names.REPORT).as_uri()]
    assert capsys.readouterr().err == ""


def test_without_a_display_it_says_so(
    out: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webbrowser, "open", lambda _: pytest.fail("a text browser would start"))
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    assert run(["report", str(out), "--open"]) == 0
    assert "there is no display here" in capsys.readouterr().err


def test_a_browser_that_does_not_start_is_said(
    out: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webbrowser, "open", lambda _: False)
    monkeypatch.setenv("DISPLAY", ":0")
    assert run(["report", str(out), "--open"]) == 0
    assert "no browser could be started" in capsys.readouterr().err


def test_where_a_browser_has_a_screen() -> None:
    assert has_display({"DISPLAY": ":0"}, "linux")
    assert has_display({"WAYLAND_DISPLAY": "wayland-0"}, "linux")
    assert not has_display({"DISPLAY": ""}, "linux")
    assert has_display({}, "darwin")
