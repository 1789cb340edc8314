"""Policies: what they demand, what is wrong with one, and what is said of it in words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.evidence import keys
from orchestrator.verify import explaining, policy
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from tests.unit.orchestrator.verify.conftest import Court

PLACE = Path("/somewhere/policy.toml")
KEY = keys.generate().public.pem.decode()
WHOLE = f"""\
expires = 2027-06-30

[build]
lock = "blake3:{"a" * 64}"

[checks]
pass = ["release", "fixed-point amd64"]
accept = ["release.absent-record riscv64", "rebuild.no-earlier-result"]

[[signer]]
name = "alice"
key = '''{KEY}'''

[[signer]]
name = "bob"
file = "bob.pub"

[builders]
agree = 2

[evidence]
days = 90

[audit]
actions = 100
variations = ["host", "order"]
"""


def words(text: str) -> str:
    return "\n".join(explaining.explained(policy.parse(text, PLACE)))


def test_everything_that_can_be_demanded_is_read_and_said(tmp_path: Path) -> None:
    other = keys.generate().public
    (tmp_path / "bob.pub").write_bytes(other.pem)
    (tmp_path / "policy.toml").write_text(WHOLE)
    loaded = policy.load(tmp_path / "policy.toml")
    assert [name for name, _ in loaded.keys.values()] == ["alice", "bob"]
    assert loaded.keys[other.keyid][1].keyid == other.keyid
    said = "\n".join(explaining.explained(loaded))
    for expected in (
        "until the end of 2027-06-30",
        f"from the lock with the digest blake3:{'a' * 64}",
        "A check release (== published release) must be there",
        "A check fixed-point of amd64 (F1 == F2) must be there",
        "release.absent-record, of riscv64",
        "Any other SKIP is refused",
        f"alice: {next(iter(loaded.keys))}",
        "Of these 2, 2 must have built the same image",
        "in the last 90 days",
        "at least 100 % of its actions",
        "varied: host, order",
    ):
        assert expected in said


def test_an_empty_policy_refuses_everything(court: Court, folder: Path) -> None:
    out = court.honest.copy().write(folder, court.alice)
    for text in ("", "expires = 2030-01-01\n", "[checks]\naccept = ['release.absent-record']\n"):
        loaded = policy.parse(text, PLACE)
        assert loaded.policy.demands_nothing
        assert "demands nothing" in next(explaining.explained(loaded))
        assert ("policy-empty", "") in court.judge(out, loaded=loaded).refused_for()


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        ("expire = 2030-01-01", "line 1: expire", "did you mean 'expires'"),
        ("[checks]\npas = []", "line 2: checks.pas", "did you mean 'pass'"),
        ("[checks]\npass = ['releases']", "line 2: checks.pass", "'releases' is no kind of check"),
        ("[checks]\naccept = ['release.same']", "line 2", "is no code of a SKIP"),
        ("[[signer]]\nname = 'a'", "line 1: signer", "needs one of key and file"),
        ("[builders]\nagree = 2", "line 2: builders.agree", "2 builders are to agree, of 0"),
        ("[builders]\nagree = 0", "line 2: builders.agree", "got 0"),
        ("[builders]\nagree = true", "line 2: builders.agree", "got True"),
        ("[evidence]\ndays = -1", "line 2: evidence.days", "got -1"),
        ("[audit]\nactions = 101", "line 2: audit.actions", "got 101"),
        ("[audit]\nvariations = ['hosts']", "line 2", "'hosts' is no variation"),
        ("[audit]\nvariations = ['hosts']", "line 2", "remedy: did you mean 'host'? expected"),
        ("[checks]\npass = ['releases']", "line 2: checks.pass", "did you mean 'release'? exp"),
        ("[checks]\naccept = ['release.absent-recrod x']", "line 2", "'release.absent-record'? e"),
        ("expires = 2030-01-01T00:00:00Z", "line 1: expires", "expected a date"),
        ("expires = 'soon'", "line 1: expires", "expected a date"),
        ("[build]\nlock = 'abc'", "line 2: build.lock", "blake3:"),
        ("checks", "last line", "not valid TOML"),
        ("checks", "last line", "remedy: correct it, or give the right file"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, where: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        policy.parse(text, PLACE)
    assert where in caught.value.diagnostics()
    assert said in caught.value.diagnostics()


def test_several_mistakes_are_told_at_once() -> None:
    with pytest.raises(InputError, match="2 mistakes in the policy"):
        policy.parse("[evidence]\ndays = 0\n[audit]\nactions = 0\n", PLACE)


def test_one_key_under_two_names_is_refused() -> None:
    """They would count as two builders."""
    tables = "".join(f"[[signer]]\nname = '{name}'\nkey = '''{KEY}'''\n" for name in "ab")
    with pytest.raises(InputError, match="the same key as 'a'"):
        policy.parse(tables, PLACE)


def test_a_key_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="public key") as caught:
        policy.parse("[[signer]]\nname = 'a'\nfile = 'gone.pub'\n", tmp_path / "policy.toml")
    # Who verifies makes no key: it comes from who signed.
    assert caught.value.remedy.startswith("give the public key of who signed")
    with pytest.raises(InputError, match="public key"):
        policy.parse("[[signer]]\nname = 'a'\nkey = 'nonsense'\n", PLACE)


def test_an_expired_policy_says_so_first() -> None:
    loaded = policy.parse("expires = 2020-01-01\n[evidence]\ndays = 1\n", PLACE)
    first = next(explaining.explained(loaded, expired=True))
    assert first.startswith("It expired at the end of 2020-01-01 (UTC), so it refuses every folder")
    assert "It holds" not in "".join(explaining.explained(loaded, expired=True))


def test_what_is_not_demanded_is_said_too() -> None:
    said = words("[evidence]\ndays = 1\n")
    for expected in ("never expires", "No SKIP is accepted", "Nobody has to have signed",
                     "No audit is needed"):  # fmt: skip
        assert expected in said


@pytest.mark.once
@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("[checks]\npass = ['rebuild']\naccept = ['release.absent-record']", "check-passed"),
        ("[checks]\npass = ['source other']\naccept = ['release.absent-record']", "check-passed"),
        ("[checks]\npass = ['source']", "skips-accepted"),
        ("[checks]\npass = ['source']\naccept = ['release.absent-record arm64']", "skips-accepted"),
        ("[audit]\nvariations = ['order']\n[checks]\naccept = ['release.absent-record']",
         "audit-variations"),
    ],
)  # fmt: skip
def test_each_demand_can_be_what_refuses(
    court: Court, folder: Path, text: str, refused: str
) -> None:
    out = court.honest.copy().write(folder, court.alice)
    loaded = court.policy("alice", text=text)
    assert court.judge(out, loaded=loaded).refused_for() == {(refused, "")}


def test_no_audit_where_one_is_demanded(court: Court, folder: Path) -> None:
    build = court.honest.copy()
    build.audit = None
    out = build.write(folder, court.alice)
    assert court.judge(out).refused_for() == {("audit-coverage", "")}


def test_a_demanded_check_of_an_audit_means_an_audit() -> None:
    said = words("[checks]\npass = ['audit-coverage']\n")
    assert "No audit is needed" not in said
    assert "A check audit-coverage (covered by the audit) must be in the audit" in said
    assert "there must be an audit of this very build, over any" in said
    signer = f"[[signer]]\nname = 'a'\nkey = '''{KEY}'''\n"
    assert "signed by one of the keys above" in words(f"[checks]\npass = ['conditions']\n{signer}")
    # The log's word is the build's as well: an audit is not what is demanded.
    assert "No audit is needed" in words("[checks]\npass = ['transparency-log']\n")
