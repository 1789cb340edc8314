"""Keys, signatures, exports and schemas on the command line."""

from __future__ import annotations

import getpass
import io
import json
import os
import sys
from typing import TYPE_CHECKING

import pytest

from orchestrator import build as building
from orchestrator.artifacts import names
from orchestrator.build import Built, Options
from orchestrator.cli.main import run
from orchestrator.evidence import dsse, folder, keys
from tests import results
from tests.unit.orchestrator.evidence import samples

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCERY_PASSPHRASE", raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO())


@pytest.fixture
def out(tmp_path: Path) -> Path:
    made = tmp_path / "out"
    made.mkdir()
    result = samples.output(made)
    folder.write(made, samples.stated(result), made={names.SBOM: b"{}\n"})
    return made


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def typing(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """Somebody at a terminal; gives the prompts."""
    waiting: Iterator[str] = iter(answers)
    asked: list[str] = []

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return next(waiting)

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(getpass, "getpass", answer)
    return asked


def test_a_new_key_signs_a_build(out: Path, tmp_path: Path, capsys: Captured) -> None:
    assert run(["key", "new", str(tmp_path / "key"), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["encrypted"] is False
    assert run(["sign", str(out), str(tmp_path / "key"), "--json"]) == 0
    signed = json.loads(capsys.readouterr().out)
    assert signed["keyid"] == made["keyid"]
    assert signed["signed"] == 2
    public = keys.load_public(tmp_path / "key.pub")
    envelopes = dsse.parse_lines((out / names.PROVENANCE).read_bytes())
    assert all(keys.verify(one, public) for one in envelopes)
    assert run(["sign", str(out), str(tmp_path / "key")]) == 0
    assert "already" in capsys.readouterr().out


def test_a_key_without_a_passphrase_is_said(tmp_path: Path, capsys: Captured) -> None:
    assert run(["key", "new", str(tmp_path / "key")]) == 0
    assert "no passphrase" in capsys.readouterr().err


def test_a_passphrase_comes_from_a_file_or_the_environment(
    out: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "told").write_text("open sesame\nmore\n")
    file = ["--passphrase-file", str(tmp_path / "told")]
    key = str(tmp_path / "key")
    assert run(["key", "new", key, *file]) == 0
    assert run(["sign", str(out), key]) == 2
    assert "--passphrase-file" in capsys.readouterr().err
    monkeypatch.setenv("SOURCERY_PASSPHRASE", "open barley")
    assert run(["sign", str(out), key]) == 2
    assert "not the one of this private key" in capsys.readouterr().err
    monkeypatch.setenv("SOURCERY_PASSPHRASE", "open sesame")
    assert run(["sign", str(out), key]) == 0
    monkeypatch.setenv("SOURCERY_PASSPHRASE", "open barley")
    assert run(["sign", str(out), key, *file]) == 0


def test_a_passphrase_is_asked_for_on_a_terminal(
    out: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = str(tmp_path / "key")
    asked = typing(monkeypatch, "one", "another")
    assert run(["key", "new", key]) == 2
    assert "differ" in capsys.readouterr().err
    assert len(asked) == 2
    assert list(tmp_path.glob("key*")) == []
    typing(monkeypatch, "secret", "secret", "secret")
    assert run(["key", "new", key]) == 0
    assert run(["sign", str(out), key]) == 0
    told = capsys.readouterr()
    assert "secret" not in told.out + told.err


def test_an_empty_passphrase_on_a_terminal_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = typing(monkeypatch, "")
    assert run(["key", "new", str(tmp_path / "key")]) == 0
    assert len(asked) == 1
    assert b"ENCRYPTED" not in (tmp_path / "key").read_bytes()


@pytest.mark.parametrize("content", ["", "\nsecond line\n"])
def test_an_empty_passphrase_file_is_refused(
    tmp_path: Path, capsys: Captured, content: str
) -> None:
    (tmp_path / "told").write_text(content)
    given = ["--passphrase-file", str(tmp_path / "told")]
    assert run(["key", "new", str(tmp_path / "key"), *given]) == 2
    assert "first line is empty" in capsys.readouterr().err
    assert not (tmp_path / "key").exists()


def test_a_key_that_others_can_read_is_refused(out: Path, tmp_path: Path, capsys: Captured) -> None:
    keys.save(keys.generate(), tmp_path / "key", None)
    (tmp_path / "key").chmod(0o644)
    assert run(["sign", str(out), str(tmp_path / "key")]) == 2
    assert "chmod 600" in capsys.readouterr().err


def test_a_folder_without_a_build_is_not_signed(tmp_path: Path, capsys: Captured) -> None:
    keys.save(keys.generate(), tmp_path / "key", None)
    assert run(["sign", str(tmp_path), str(tmp_path / "key")]) == 2
    assert "no result of a build" in capsys.readouterr().err


def test_a_build_signs_with_each_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Options] = []

    def build(options: Options, *_: object) -> Built:
        given.append(options)
        return Built(results.build_result(), options.out)

    monkeypatch.setattr(building, "build", build)
    names_ = ["one", "two"]
    made = [keys.save(keys.generate(), tmp_path / name, None) for name in names_]
    options = [part for name in names_ for part in ("--sign", str(tmp_path / name))]
    assert run(["build", "-q", "--store", str(tmp_path / "store"), *options]) == 0
    assert [key.public for key in given[0].sign] == made


def test_a_build_with_a_key_that_cannot_be_used_does_not_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setattr(building, "build", lambda *_: pytest.fail("it began"))
    given = ["--sign", str(tmp_path / "none"), "--store", str(tmp_path / "store")]
    assert run(["build", *given]) == 2
    assert "cannot read the private key" in capsys.readouterr().err


def test_an_export_must_be_of_something(out: Path, capsys: Captured) -> None:
    assert run(["export", "--out", str(out)]) == 2
    assert "--oci or --cyclonedx" in capsys.readouterr().err


def test_a_layout_is_exported(out: Path, tmp_path: Path, capsys: Captured) -> None:
    layout = tmp_path / "layout"
    assert run(["export", "--out", str(out), "--oci", str(layout), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["oci"]["referrers"] == 3
    assert (layout / "index.json").exists()


def test_a_document_that_is_no_bill_is_not_converted(
    out: Path, tmp_path: Path, capsys: Captured
) -> None:
    target = tmp_path / "sbom.cdx.json"
    assert run(["export", "--out", str(out), "--cyclonedx", str(target)]) == 2
    assert "not the SPDX document of a build" in capsys.readouterr().err
    assert not target.exists()


@pytest.mark.parametrize("name", ["result", "audit", "lock"])
def test_a_schema_is_printed(name: str, capsys: Captured) -> None:
    assert run(["schema", name]) == 0
    said = capsys.readouterr().out
    assert json.loads(said)["$schema"].startswith("https://json-schema.org/")
    assert run(["schema", name, "--json"]) == 0
    assert capsys.readouterr().out == said


def test_a_passphrase_is_no_argument(capsys: Captured) -> None:
    for command in (["key", "new"], ["sign"], ["build"]):
        run([*command, "--help"])
        shown = capsys.readouterr().out
        assert "--passphrase-file" in shown
        assert "--passphrase " not in shown
    assert "SOURCERY_PASSPHRASE" not in os.environ
