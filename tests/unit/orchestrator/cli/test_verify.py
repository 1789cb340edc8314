"""`orchestrate verify` and `orchestrate policy explain`: answers, exit statuses, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.cli.main import run
from orchestrator.evidence import keys
from tests.unit.orchestrator.verify import world

if TYPE_CHECKING:
    from orchestrator.evidence.keys import Private

pytestmark = pytest.mark.once
Captured = pytest.CaptureFixture[str]
DEMANDS = '[checks]\npass = ["image-read-back"]\naccept = ["release.absent-record"]\n'


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("verify-command")


@pytest.fixture(scope="module")
def alice() -> Private:
    return keys.generate()


@pytest.fixture(scope="module")
def out(place: Path, alice: Private) -> Path:
    (place / "alice.pub").write_bytes(alice.public.pem)
    (place / "bob.pub").write_bytes(keys.generate().public.pem)
    (place / "policy.toml").write_text(f"{DEMANDS}[[signer]]\nname = 'alice'\nfile = 'alice.pub'\n")
    return world.made(place / "made").write(place / "out", alice)


def answered(capsys: Captured, *arguments: object) -> tuple[int, dict[str, Any]]:
    status = run([*map(str, arguments), "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_a_folder_that_holds(out: Path, capsys: Captured) -> None:
    assert run(["verify", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "PASS  everything that is demanded holds"
    assert "  derived here:" in lines
    assert "  only stated:" in lines
    assert "  signed by  nobody whose key was given" in lines


def test_a_key_and_a_policy(out: Path, place: Path, alice: Private, capsys: Captured) -> None:
    status, found = answered(capsys, "verify", out, "--key", place / "alice.pub")
    assert (status, found["verdict"], found["schema"]) == (0, "PASS", 1)
    (folder,) = found["folders"]
    assert folder["signed_by"] == [alice.public.keyid]
    assert {claim["how"] for claim in folder["claims"]} == {"derived here", "signed"}
    status, found = answered(capsys, "verify", out, "--key", place / "bob.pub")
    assert status == 1
    assert [one["code"] for one in found["demands"] if not one["held"]] == ["signed"]
    # Who may sign is the policy's to say: a key on the command line adds nobody.
    own = ("--policy", place / "policy.toml", "--key", place / "bob.pub")
    status, found = answered(capsys, "verify", out, *own)
    assert (status, found["accepted"]) == (0, [str(out)])


def test_a_refusal_names_the_file_and_the_reason(
    out: Path, tmp_path: Path, alice: Private, capsys: Captured
) -> None:
    build = world.made(tmp_path / "made")
    build.result["verdict"] = "PASS"
    other = build.write(tmp_path / "out", alice)
    assert run(["verify", str(other)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "FAIL  refused"
    wanted = "FAIL  result.json: its checks fold to SKIP, and it says PASS (verdict-contradicts)"
    assert wanted in lines
    # Both folders hold the same image.
    assert run(["verify", str(out), str(other)]) == 1
    assert "who agrees with whom:" in capsys.readouterr().out


def test_wrong_usage_is_2(out: Path, tmp_path: Path, capsys: Captured) -> None:
    gone = tmp_path / "gone"
    for arguments in (
        ["verify"],
        ["verify", gone],
        ["verify", out, out],
        ["verify", out, "--policy", gone],
        ["verify", out, "--key", gone],
        ["verify", out, "--key", out / "result.json"],
        ["policy", "explain", gone],
        ["policy", "explain", out / "result.json"],
    ):
        status, found = answered(capsys, *arguments)
        assert (status, found["error"]["status"]) == (2, 2), arguments
        assert found["error"]["remedy"], arguments


def test_a_policy_is_explained(place: Path, out: Path, alice: Private, capsys: Captured) -> None:
    assert out.is_dir()
    assert run(["policy", "explain", str(place / "policy.toml")]) == 0
    told = capsys.readouterr().out
    assert "A check image-read-back" in told
    assert alice.public.keyid in told
    (place / "old.toml").write_text(f"expires = 2020-01-01\n{DEMANDS}")
    status, found = answered(capsys, "policy", "explain", place / "old.toml")
    assert (status, found["expired"], found["demands_nothing"]) == (1, True, False)
    (place / "empty.toml").write_text("")
    status, found = answered(capsys, "policy", "explain", place / "empty.toml")
    assert (status, found["demands_nothing"]) == (1, True)


def test_the_policy_of_the_documentation_is_one(place: Path, capsys: Captured) -> None:
    text = (Path(__file__).parents[4] / "docs" / "verify.md").read_text("utf-8")
    example = text.partition("```toml\n")[2].partition("```")[0]
    assert example
    for name in ("firmware", "ci", "auditor"):
        (place / f"{name}.pub").write_bytes(keys.generate().public.pem)
    (place / "example.toml").write_text(example)
    assert run(["policy", "explain", str(place / "example.toml")]) == 0
    assert "Of these 3, 2 must have built the same image" in capsys.readouterr().out
