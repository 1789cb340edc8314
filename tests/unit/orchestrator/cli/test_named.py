"""Configurations of nights whose policy or keys cannot be used are refused before they begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.cli.main import run
from orchestrator.cli.views import named
from orchestrator.evidence import keys
from orchestrator.nightly import config
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.nightly.config import Config

POLICY = '[checks]\npass = ["release"]\n'
NOWHERE = "No such file or directory"


def written(folder: Path, text: str) -> Config:
    (folder / "nightly.toml").write_text(text)
    return config.load(folder / "nightly.toml")


def test_what_can_be_used_is_taken(tmp_path: Path) -> None:
    private = keys.generate()
    keys.save(private, tmp_path / "plain", None)
    keys.save(private, tmp_path / "locked", b"a long passphrase")
    (tmp_path / "policy.toml").write_text(POLICY)
    (tmp_path / "passphrase").write_text("a long passphrase\n")
    named.require(
        written(
            tmp_path,
            '[verify]\npolicy = "policy.toml"\nkeys = ["plain.pub"]\n'
            '[sign]\nkeys = ["plain", "locked"]\npassphrase_file = "passphrase"\n',
        )
    )
    named.require(written(tmp_path, ""))


def test_everything_that_cannot_be_used_is_told_at_once(tmp_path: Path) -> None:
    found = written(
        tmp_path,
        '[verify]\npolicy = "policy.toml"\nkeys = ["a.pub"]\n'
        '[sign]\nkeys = ["nightly.key"]\npassphrase_file = "passphrase"\n',
    )
    with pytest.raises(InputError) as caught:
        named.require(found)
    first, *rest = caught.value.summary.split("\n  ")
    assert first == "the configuration names what cannot be used"
    assert rest == [
        f"verify.policy: cannot read the policy: {NOWHERE}: {tmp_path}/policy.toml",
        f"verify.keys: cannot read the public key: {NOWHERE}: {tmp_path}/a.pub",
        f"sign.keys: cannot read the private key: {NOWHERE}: {tmp_path}/nightly.key",
        f"sign.passphrase_file: cannot read it: {NOWHERE}: {tmp_path}/passphrase",
    ]
    assert caught.value.subject == str(tmp_path / "nightly.toml")
    assert "leave the keys out" in caught.value.remedy


def test_a_policy_with_a_mistake_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text('\n[checks]\npass = ["releese"]\n')
    with pytest.raises(InputError, match=r"(?s)verify\.policy: .*releese.* is no kind of check"):
        named.require(written(tmp_path, '[verify]\npolicy = "policy.toml"\n'))


def test_no_night_begins_without_the_policy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, '[verify]\npolicy = "policy.toml"\n[store]\nfolder = "store"\n')
    assert run(["nightly", "--config", str(tmp_path / "nightly.toml")]) == 2
    told = capsys.readouterr().err
    assert "verify.policy: cannot read the policy" in told
    assert "remedy: correct the files or their paths" in told
    assert [path.name for path in tmp_path.iterdir()] == ["nightly.toml"]
    # What it says can be looked at all the same.
    assert run(["nightly", "--config", str(tmp_path / "nightly.toml"), "--show-config"]) == 0
