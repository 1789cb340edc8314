"""What an audit is asked for: which variations, how often, of which steps, for how long. Pure.

Variations are chosen in reprotest's syntax (`reprotest --vary`): names with a sign, separated by
commas or spaces, applied one after the other to all of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from orchestrator import resources
from reproducibility import canonical, variations
from reproducibility import digest as digests
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from containers.engine import Identity
    from containers.remote.farm import Farm
    from reproducibility.digest import Digest

_ALL = "all"
_UNITS = {"s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"([0-9]{1,9})([smh])")
# More than anybody waits for; it bounds what a round's number may change.
MOST_ROUNDS = 100
# How many names are offered for a pattern without a match, and how much alike they are (difflib).
_NEAR, _ALIKE = 4, 0.5


@dataclass(frozen=True)
class Request:
    """Request for an audit, as a person gave it.

    `engine`: its name, or `auto` for the one that made the build. `jobs`: actions at once, 0 for
    the default. `vary`: names of variations, in the registry's order. `rounds`: how often each
    action is run, each time with other choices. `only`: patterns of step names (fnmatch); none for
    all. `budget`: seconds after which no further step is begun, None without. `whole`: build from
    the inputs, end to end, instead of step by step. `bisect`: look for the smallest set of
    variations that makes a guilty action differ. `native`: architectures whose own toolchains are
    to build themselves, or `all`. `root`: another root that the chain of toolchains is to be built
    from, empty for none. `farm`: for the engine `remote`, that of the audit or of the build.
    """

    spec: Path
    lock: Path
    out: Path
    store: Path
    engine: str
    jobs: int = 0
    offline: bool = False
    vary: tuple[str, ...] = variations.NAMES
    rounds: int = 1
    only: tuple[str, ...] = ()
    budget: int | None = None
    whole: bool = False
    bisect: bool = False
    native: tuple[str, ...] = ()
    root: str | None = None
    farm: Farm | None = None

    def wants(self, step: str) -> bool:
        """Return whether a step of this name is to be audited."""
        return not self.only or any(fnmatchcase(step, pattern) for pattern in self.only)

    def key(
        self,
        result: Digest,
        engine: Identity,
        conditions: Sequence[Mapping[str, str | int]],
        foreign: Sequence[str] = (),
    ) -> Digest:
        """Digest of what is asked of a build, by the digest of its result, and on an engine.

        Another version of the engine, or of the kernel below it, is another engine.

        `conditions`: those of each round, for an action that was built under the usual ones. An
        audit that was interrupted goes on where it was if it is asked for the same again.
        `foreign`: the architectures that `native` stands for.
        """
        proofs: dict[str, object] = {}
        if foreign:
            proofs["native"] = sorted(foreign)
        if self.root:
            proofs["root"] = self.root
        return digests.of_bytes(
            canonical.dumps(
                {
                    **proofs,
                    "result": str(result),
                    "engine": engine.document(),
                    "vary": list(self.vary),
                    "conditions": [dict(one) for one in conditions],
                    "tool": resources.VERSION,
                    "whole": self.whole,
                    "only": sorted(self.only),
                    "bisect": self.bisect,
                }
            )
        )

    def check(self) -> None:
        """Refuse what cannot be asked for together.

        Raises:
            InputError: which two.
        """
        with_steps = {
            "--only": bool(self.only),
            "--budget": self.budget is not None,
            "--bisect": self.bisect,
            "--rounds": self.rounds > 1,
        }
        for option, given in with_steps.items():
            if self.whole and given:
                raise InputError(
                    f"--whole and {option} cannot be combined: one builds everything from the "
                    "inputs, once; the other chooses steps or repeats them",
                    subject="--whole",
                    remedy=f"give one of them: --whole, or {option}",
                )


def selected(text: str) -> tuple[str, ...]:
    """Names of variations, in the registry's order, that a text as `+all,-user` selects.

    One after the other: `-name` leaves one out, `+name` or `name` takes it in, and `all` stands for
    every one. It begins with all of them, so `-user` is all but that, and `-all,+user` that alone.

    Raises:
        InputError: there is no variation of a name; lists those that there are.
    """
    chosen = set(variations.NAMES)
    for word in re.split(r"[,\s]+", text.strip(", \t\n")):
        if not word:
            continue
        sign, name = (word[0], word[1:]) if word[0] in "+-" else ("+", word)
        if name != _ALL and name not in variations.NAMES:
            raise InputError(
                f"there is no variation {name!r}",
                subject="--vary",
                remedy=f"there are: {', '.join(variations.NAMES)}; and `all`",
            )
        names = set(variations.NAMES) if name == _ALL else {name}
        chosen = chosen - names if sign == "-" else chosen | names
    return tuple(name for name in variations.NAMES if name in chosen)


def surprise(text: str) -> str:
    """Return what may surprise about such a text: that it takes in what is in already; else empty.

    Raises:
        InputError: as `selected`.
    """
    words = [word for word in re.split(r"[,\s]+", text) if word]
    idle = [
        word.lstrip("+")
        for at, word in enumerate(words)
        if word[0] != "-" and selected(",".join(words[:at])) == selected(",".join(words[: at + 1]))
    ]
    idle = [name for name in idle if name != _ALL]
    if words and not idle:
        return ""
    count = len(selected(text))
    given = f"it begins with all of them, so {', '.join(idle)} adds nothing" if idle else "all"
    alone = ",".join(f"+{name}" for name in idle or ("host",))
    return f"--vary {text!r} chooses {count} variations: {given}; alone: --vary -{_ALL},{alone}"


def no_such_step(patterns: Sequence[str], names: Sequence[str]) -> InputError:
    """The error that no step has a name of these patterns; it offers names that are like them."""
    like = near(patterns, names)
    said = f"there is {', '.join(like)}" if like else f"steps are named as in {names[0]}"
    return InputError(
        f"no step of the build has a name like {' or '.join(patterns)}",
        subject="--only",
        remedy=f"{said}; result.json lists them all",
    )


def near(patterns: Sequence[str], names: Sequence[str]) -> list[str]:
    """Names of steps that are like patterns which match none, the most alike first.

    One that begins as a pattern does, to its first slash, is the more like it.
    """
    found: dict[str, float] = {}
    for pattern in patterns:
        bare = re.sub(r"[*?\[\]]+", "", pattern)
        for name in names:
            alike = SequenceMatcher(None, bare, name).ratio()
            same = name.partition("/")[0] == bare.partition("/")[0] or (bare and bare in name)
            if same or alike >= _ALIKE:
                found[name] = max(found.get(name, 0.0), alike + bool(same))
    return sorted(found, key=lambda name: -found[name])[:_NEAR]


def meant(name: str, names: Sequence[str]) -> str:
    """Return which name was probably meant by one that there is not, as a question; else empty."""
    like = get_close_matches(name.lower(), names, n=1)
    return f"did you mean {like[0]!r}? " if like else ""


def seconds(text: str) -> int:
    """A duration such as `90s`, `30m` or `2h`, in seconds.

    Raises:
        InputError: it is none.
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None or not int(found[1]):
        raise InputError(
            f"{text!r} is no length of time",
            subject="--budget",
            remedy="give a number and a unit: 90s, 30m, 2h",
        )
    return int(found[1]) * _UNITS[found[2]]
