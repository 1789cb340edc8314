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
from orchestrator.artifacts import model, names
from orchestrator.build import Built, Options
from orchestrator.cli import overwriting
from orchestrator.cli.main import run
from orchestrator.evidence import dsse, folder, keys
from reproducibility.errors import InputError
from tests import results
from tests.unit.orchestrator.evidence import samples
from tests.unit.orchestrator.evidence.test_signable import audited

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
    folder.write(made, samples.stated(result), made=samples.BILLS)
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


def test_nothing_is_exported_into_the_build_itself(out: Path, capsys: Captured) -> None:
    """`orchestrate verify` would find a file that nothing names."""
    before = sorted(out.rglob("*"))
    for option in ("--cyclonedx", "--oci"):
        assert run(["export", "--out", str(out), option, str(out / "more")]) == 2
        said = capsys.readouterr().err
        assert f"this is in the output folder {out}" in said
        assert f"  where: {out / 'more'}\n  remedy: give another place\n" in said
    assert sorted(out.rglob("*")) == before


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


def test_what_was_signed_is_said(out: Path, tmp_path: Path, capsys: Captured) -> None:
    keys.save(keys.generate(), tmp_path / "key", None)
    assert run(["sign", str(out), str(tmp_path / "key")]) == 0
    said = capsys.readouterr().out
    assert "signed 2 statements" in said
    assert "provenance, comparison fixed-point" in said


def test_what_another_version_wrote_is_said(out: Path, tmp_path: Path, capsys: Captured) -> None:
    keys.save(keys.generate(), tmp_path / "key", None)
    audited(out, model.parse((out / names.RESULT).read_bytes()), tool="9.9.9")
    assert run(["sign", str(out), str(tmp_path / "key")]) == 0
    said = capsys.readouterr()
    assert "not written anew and compared, but for the digests, as version 9.9.9 wrote" in said.err
    assert "signed 3 statements" in said.out


def test_a_public_key_does_not_sign(out: Path, tmp_path: Path, capsys: Captured) -> None:
    keys.save(keys.generate(), tmp_path / "key", None)
    assert run(["sign", str(out), str(tmp_path / "key.pub")]) == 2
    said = capsys.readouterr().err
    assert "this is the public key" in said
    assert f"give {tmp_path / 'key'}\n" in said


def test_a_private_key_does_not_verify(out: Path, tmp_path: Path, capsys: Captured) -> None:
    keys.save(keys.generate(), tmp_path / "key", None)
    assert run(["verify", str(out), "--key", str(tmp_path / "key")]) == 2
    said = capsys.readouterr().err
    assert "this is the private key: do not hand it out" in said


@pytest.mark.parametrize("command", [["report"], ["sign"], ["export", "--cyclonedx", "c", "--out"]])
@pytest.mark.parametrize("data", [b"{", b"[]", b'{"a": 1, "a": 2}', None])
def test_a_result_that_cannot_be_read_has_a_remedy(
    out: Path, tmp_path: Path, capsys: Captured, command: list[str], data: bytes | None
) -> None:
    keys.save(keys.generate(), tmp_path / "key", None)
    place = out / names.RESULT
    place.unlink() if data is None else place.write_bytes(data)
    key = [str(tmp_path / "key")] if command == ["sign"] else []
    assert run([*command, str(out), *key]) == 2
    said = capsys.readouterr().err
    assert f"  where: {place}" in said
    assert "  remedy: build again" in said


def test_exchanged_arguments_are_said(out: Path, tmp_path: Path, capsys: Captured) -> None:
    keys.save(keys.generate(), tmp_path / "key", None)
    assert run(["sign", str(tmp_path / "key"), str(out)]) == 2
    said = capsys.readouterr().err
    assert "the output folder comes first" in said
    assert f"orchestrate sign {out} {tmp_path / 'key'}" in said


def test_a_long_passphrase_is_refused(tmp_path: Path, capsys: Captured) -> None:
    told = tmp_path / "told"
    told.write_bytes(b"a" * 1024)
    told.chmod(0o600)
    key = tmp_path / "key"
    assert run(["key", "new", str(key), "--passphrase-file", str(told)]) == 2
    assert "1024 bytes, and at most 1023" in capsys.readouterr().err
    assert not key.exists()
    told.write_bytes(b"a" * 1023)
    assert run(["key", "new", str(key), "--passphrase-file", str(told)]) == 0
    keys.load_private(key, b"a" * 1023)


@pytest.mark.parametrize(("mode", "told"), [(0o600, False), (0o640, True), (0o604, True)])
def test_a_passphrase_file_that_others_can_read_is_said(
    tmp_path: Path, capsys: Captured, mode: int, told: bool
) -> None:
    file = tmp_path / "told"
    file.write_text("open sesame\n")
    file.chmod(mode)
    assert run(["key", "new", str(tmp_path / "key"), "--passphrase-file", str(file)]) == 0
    assert (f"chmod 600 {file}" in capsys.readouterr().err) == told


def test_a_passphrase_that_is_not_needed_is_said(
    out: Path, tmp_path: Path, capsys: Captured
) -> None:
    keys.save(keys.generate(), tmp_path / "key", None)
    (tmp_path / "told").write_text("open sesame\n")
    given = ["--passphrase-file", str(tmp_path / "told")]
    assert run(["sign", str(out), str(tmp_path / "key"), *given]) == 0
    assert "has no passphrase, so --passphrase-file is not used" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["key"], ["policy"], ["store"], []])
def test_without_a_subcommand_the_error_has_words(words: list[str], capsys: Captured) -> None:
    assert run(words) == 2
    assert "error: no command was given\n" in capsys.readouterr().err


def test_a_key_needs_a_folder(tmp_path: Path, capsys: Captured) -> None:
    assert run(["key", "new", str(tmp_path / "no" / "key")]) == 2
    assert f"there is no folder {tmp_path / 'no'}" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--oci", "--cyclonedx"])
def test_an_export_needs_a_folder(out: Path, tmp_path: Path, capsys: Captured, option: str) -> None:
    assert run(["export", "--out", str(out), option, str(tmp_path / "no" / "made")]) == 2
    assert f"there is no folder {tmp_path / 'no'}" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("place", ["layout", "logs/layout", "../out/layout"])
def test_a_layout_in_the_output_folder_is_refused(out: Path, capsys: Captured, place: str) -> None:
    before = sorted(out.rglob("*"))
    assert run(["export", "--out", str(out), "--oci", str(out / place)]) == 2
    assert "this is in the output folder" in capsys.readouterr().err
    assert sorted(out.rglob("*")) == before


@pytest.mark.parametrize("name", [*names.SUMS, names.AUDIT, names.RESULT, "sourcery.img"])
def test_a_document_replaces_nothing_of_a_build(out: Path, capsys: Captured, name: str) -> None:
    before = {path: path.read_bytes() for path in out.iterdir() if path.is_file()}
    assert run(["export", "--out", str(out), "--cyclonedx", str(out / name)]) == 2
    assert "give another place" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.iterdir() if path.is_file()} == before


def test_a_document_replaces_only_its_kind(tmp_path: Path) -> None:
    target = tmp_path / "made"
    target.write_bytes(keys.generate().pem(None))
    for kind in (overwriting.CYCLONEDX, overwriting.PAGE):
        with pytest.raises(InputError, match="not overwritten"):
            overwriting.require(target, kind)
    target.write_bytes(b'{\n  "bomFormat": "CycloneDX",\n')
    overwriting.require(target, overwriting.CYCLONEDX)
    target.write_bytes(b"<!DOCTYPE html>\n<html></html>\n")
    overwriting.require(target, overwriting.PAGE)
    with pytest.raises(InputError, match="not a CycloneDX document"):
        overwriting.require(target, overwriting.CYCLONEDX)
    target.write_bytes(b"")
    overwriting.require(target, overwriting.PAGE)
    (tmp_path / "link").symlink_to(target)
    for other in (tmp_path / "link", tmp_path):
        with pytest.raises(InputError, match="would be replaced"):
            overwriting.require(other, overwriting.PAGE)
