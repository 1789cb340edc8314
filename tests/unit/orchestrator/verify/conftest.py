"""One finished folder for all tests of a session, and keys of those who build."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from orchestrator.evidence import keys
from orchestrator.verify import judging
from orchestrator.verify import policy as policies
from orchestrator.verify.folder import Verifier
from tests.unit.orchestrator.verify import world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orchestrator.evidence.keys import Private
    from orchestrator.verify.judging import Judgement
    from orchestrator.verify.model import Verified
    from orchestrator.verify.policy import Loaded
    from tests.unit.orchestrator.verify.world import Build

NOW = world.FINISHED + 86_400
# What the honest folder meets.
POLICY = """\
expires = 2030-01-01

[checks]
pass = ["fixed-point", "transparency-log", "source", "image-read-back", "image-bytes"]
accept = ["release.absent-record amd64"]

[evidence]
days = 30

[audit]
actions = 100
variations = ["host"]
"""


@dataclass
class Court:
    """Who may sign, what is demanded, and a build that meets it.

    `alice`, `bob` and `carol` may sign, `mallory` may not.
    """

    scratch: Path
    honest: Build
    alice: Private
    bob: Private
    carol: Private
    mallory: Private
    verifier: Verifier

    def policy(self, *signers: str, text: str = POLICY, more: str = "") -> Loaded:
        """A policy in which these may sign."""
        tables = [
            f"[[signer]]\nname = '{name}'\nkey = '''{getattr(self, name).public.pem.decode()}'''\n"
            for name in signers
        ]
        return policies.parse("\n".join([text, more, *tables]), self.scratch / "policy.toml")

    def judge(self, *folders: Path, loaded: Loaded | None = None, now: int = NOW) -> Judged:
        """Verify folders and judge them, by default with alice and bob as those who may sign."""
        found = [self.verifier.verify(folder) for folder in folders]
        wanted = loaded or self.policy("alice", "bob")
        return Judged(found, judging.judge(found, wanted, {}, now=now))


@dataclass(frozen=True)
class Judged:
    """What came of it."""

    folders: list[Verified]
    judgement: Judgement

    def refused_for(self) -> set[tuple[str, str]]:
        """(code, file) of findings, and (code, "") of demands that are not met."""
        found = {(one.code, one.file) for folder in self.folders for one in folder.findings}
        return found | {(one.code, "") for one in self.judgement.refusals}


@pytest.fixture(scope="session")
def court(tmp_path_factory: pytest.TempPathFactory) -> Court:
    scratch = tmp_path_factory.mktemp("verify")
    alice, bob, carol, mallory = (keys.generate() for _ in range(4))
    known = {one.public.keyid: one.public for one in (alice, bob, carol)}
    honest = world.made(scratch / "made")
    return Court(scratch, honest, alice, bob, carol, mallory, Verifier(known))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where a folder is written, and removed again: each has an image of 33 MiB."""
    yield tmp_path / "out"
    shutil.rmtree(tmp_path, ignore_errors=True)
