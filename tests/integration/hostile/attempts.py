"""The hostile attempts as data: what each tries, the rule it attacks, and what has to come of it.

They lie in `attempts.txt`, whose head says what its words mean. `docs/hostile.md` is what
`document` gives; `python -m tests.integration.hostile.attempts` writes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from containers.policy import RULES

Word = Literal["refused", "contained", "visible", "limited", "not enforced"]

_TABLE = Path(__file__).with_name("attempts.txt")
DOCUMENT = Path(__file__).parents[3] / "docs" / "hostile.md"
_WORDS: dict[str, Word] = {
    "refused": "refused",
    "contained": "contained",
    "visible": "visible",
    "limited": "limited",
    "not enforced": "not enforced",
}
# Words of a line that tells what is different in the sandbox for an ordinary user.
_AS_USER = 3
# Parts of other attempts, which are none of their own.
PARTS = frozenset({"memory-part", "child", "child-writer", "child-swapper", "end-fork-link"})
# The engine refuses these before anything runs.
DECLARED = frozenset({"out-dots", "out-absolute"})
# What needs limits of its own, ends its process, or leaves outputs takes an action of its own.
_ALONE = ("memory-", "disk-", "end-", "out-")
_ALONE_TOO = frozenset({"terminal-escapes"})
_BATCHED = frozenset({"memory-layout", "memory-policy"})

_HEAD = """# Hostile attempts

<!-- Written by `python -m tests.integration.hostile.attempts`; a test compares them. -->

What an action can do to the machine, tried: each line below is an attempt by a program that runs as
an action, under both engines, as root and as an ordinary user (`tests/integration/test_hostile.py`;
the program is `tests/integration/hostile/program`), and on a build farm's worker that isolates
nothing itself (`tests/integration/test_remote_isolation.py`): there it comes to the same as in the
sandbox for an ordinary user. What came of it is taken from the program's
words and from outside: nothing on the machine was reached, changed or left. A test fails when an
attempt goes through that is said to be refused here, or one on a rule that the engine reports as
enforced.

| word | meaning |
| --- | --- |
| refused | it does not go through |
| contained | it goes through, reaches nothing but the action itself, and ends with it |
| visible | it tells something of the machine that no rule hides; do not build on it |
| limited | refused, or the action is ended, where the engine reports the rule as *enforced*; \
where the machine offers no means (no cgroups, no tmpfs), the engine reports *not enforced* |
| not enforced | it goes through, and the engine reports the rule as *not enforced* |

What an engine enforces on your machine: the `enforcement` entries of `result.json`.

There are {count} attempts, {words}.
Root and an ordinary user see the same but where it is said. On another machine more may be refused,
never less.
"""


@dataclass(frozen=True)
class Attempt:
    """One attempt: its name, the rule it attacks, what it tries; what comes of it, by engine."""

    name: str
    rule: str
    tries: str
    as_root: dict[str, Word]
    as_user: dict[str, Word]

    def expected(self, engine: str, *, root: bool) -> Word:
        """What has to come of it on an engine, where root or an ordinary user builds."""
        return (self.as_root if root else self.as_user)[engine]

    def words(self, engine: str) -> str:
        """The same for people."""
        root, user = self.as_root[engine], self.as_user[engine]
        return root if root == user else f"{root}; for an ordinary user {user}"

    @property
    def alone(self) -> bool:
        """Whether it takes an action of its own."""
        if self.name in _BATCHED:
            return False
        return self.name.startswith(_ALONE) or self.name in _ALONE_TOO


@cache
def attempts() -> tuple[Attempt, ...]:
    """Every attempt, in the order of the table."""
    found: list[Attempt] = []
    rule = ""
    for line in _TABLE.read_text("utf-8").splitlines():
        if line.startswith("["):
            rule = line.strip("[]")
        elif line and not line.startswith("#"):
            name, tries, *words = line.split(" | ")
            found.append(Attempt(name, rule, tries, *_expectations(words)))
    return tuple(found)


def _expectations(words: list[str]) -> tuple[dict[str, Word], dict[str, Word]]:
    """By engine, for root and for an ordinary user, from the last column of the table."""
    told = [_WORDS[word] for word in (words[0] if words else "refused").split(" / ")]
    sandbox, docker = told[0], told[min(1, len(told) - 1)]
    as_root = {"sandbox": sandbox, "docker": docker}
    return as_root, {**as_root, "sandbox": told[2]} if len(told) == _AS_USER else as_root


def document() -> str:
    """The table for people, as Markdown."""
    every = attempts()
    counts = {
        word: sum(attempt.as_root["sandbox"] == word for attempt in every)
        for word in ("refused", "contained", "limited", "visible")
    }
    words = ", ".join(f"{count} {word}" for word, count in counts.items())
    lines = [_HEAD.format(count=len(every), words=f"in the sandbox {words}")]
    for rule in RULES:
        own = [attempt for attempt in every if attempt.rule == rule.name]
        lines += [
            f"\n## {rule.name}: {rule.meaning}\n",
            "| attempt | sandbox | docker | name |",
            "| --- | --- | --- | --- |",
            *(
                f"| {attempt.tries} | {attempt.words('sandbox')} | {attempt.words('docker')} "
                f"| {attempt.name} |"
                for attempt in own
            ),
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(document(), "utf-8")
