"""Models of a policy (`policy.toml`): what a person demands of a finished build, and its reader.

A mistake is an InputError with the line, the key's path, what was expected and the nearest valid
key; all mistakes of a policy are said at once. Public keys stand in the policy itself or in files
beside it.
"""

from __future__ import annotations

import difflib
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from orchestrator.evidence import keys
from orchestrator.files import text_file
from orchestrator.lock.model import Blake3
from orchestrator.spec.diagnostics import Mistake, from_pydantic, refusal, tables
from reproducibility import codes, regular
from reproducibility.compare import Verdict
from reproducibility.errors import InputError
from reproducibility.variations import NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_WHAT = "the policy"
_KINDS = tuple(dict.fromkeys(code.kind.code for code in codes.CODES.values()))
_SKIPS = tuple(
    name for name, code in codes.CODES.items() if code.verdict is Verdict.SKIP
)  # fmt: skip


def _day(value: object) -> object:
    if isinstance(value, str):
        value = date.fromisoformat(value)
    # A date-time is a date in Python; whatever is no date is refused by the field.
    return None if isinstance(value, datetime) else value


Day = Annotated[date, BeforeValidator(_day)]
Named = Annotated[str, Field(min_length=1, max_length=300)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Checks(_Table):
    """`[checks]`. `must_pass`: kinds of checks, or a kind and a subject. `accepted`: SKIP codes."""

    must_pass: Annotated[
        tuple[Named, ...],
        Field(
            strict=False,
            alias="pass",
            description='a list of kinds of checks, such as "release", or of a kind and a subject, '
            'such as "release amd64"',
        ),
    ] = ()
    accepted: Annotated[
        tuple[Named, ...],
        Field(
            strict=False,
            alias="accept",
            description='a list of codes of SKIPs, such as "release.absent-record", or of a code '
            'and a subject, such as "release.absent-record riscv64"',
        ),
    ] = ()


class Signer(_Table):
    """`[[signer]]`: somebody who builds. `key`: in PEM form; `file`: where that lies."""

    name: Annotated[Named, Field(description="a name for people")]
    key: Annotated[str | None, Field(description="an Ed25519 public key in PEM form")] = None
    file: Annotated[
        str | None, Field(description="the path of a public key, relative to the policy's folder")
    ] = None


class Builders(_Table):
    """`[builders]`. `agree`: how many signers must have built the same, each by its own key."""

    agree: Annotated[int, Field(ge=1, le=1000, description="a number, at least 1")]


class Evidence(_Table):
    """`[evidence]`. `days`: how long ago the build may have ended, by its signed statement."""

    days: Annotated[int, Field(ge=1, le=36_500, description="a number of days, at least 1")]


class Audit(_Table):
    """`[audit]`. `actions`: per cent of the build's that were audited, rounded down."""

    actions: Annotated[
        int, Field(ge=1, le=100, description="per cent of the build's actions, 1 to 100")
    ] = 1
    variations: Annotated[
        tuple[Named, ...],
        Field(strict=False, description="a list of variations, such as order (docs/variations.md)"),
    ] = ()


class Build(_Table):
    """`[build]`. `spec`, `lock`: digests that the build must have been made from."""

    spec: Annotated[
        Blake3 | None, Field(description="blake3: and 64 hexadecimal digits, as in result.json")
    ] = None
    lock: Annotated[
        Blake3 | None, Field(description="blake3: and 64 hexadecimal digits, as in the lock")
    ] = None


class Policy(_Table):
    """The whole of a policy."""

    expires: Annotated[
        Day | None, Field(description="a date, such as 2027-06-30; the last day that it holds")
    ] = None
    build: Annotated[Build, Field(description="the table [build]")] = Build()
    checks: Annotated[Checks, Field(description="the table [checks]")] = Checks()
    signers: Annotated[
        tuple[Signer, ...], Field(strict=False, alias="signer", description="tables [[signer]]")
    ] = ()
    builders: Annotated[Builders | None, Field(description="the table [builders]")] = None
    evidence: Annotated[Evidence | None, Field(description="the table [evidence]")] = None
    audit: Annotated[Audit | None, Field(description="the table [audit]")] = None

    @property
    def demands_nothing(self) -> bool:
        """Tell whether every folder would do; an expiry alone demands nothing of a build."""
        demands = (self.checks.must_pass, self.signers, self.builders, self.evidence, self.audit)
        return not any(demands) and self.build == Build()

    def expired(self, now: int) -> bool:
        """Tell whether its last day (UTC) is over. `now`: seconds since 1970-01-01 UTC."""
        if self.expires is None:
            return False
        return datetime.fromtimestamp(now, UTC).date() > self.expires


@dataclass(frozen=True)
class Loaded:
    """A policy and its signers' keys, by the key's id: (name, key)."""

    policy: Policy
    keys: dict[str, tuple[str, keys.Public]]


def load(path: Path) -> Loaded:
    """Read a policy and the keys that it names.

    Raises:
        InputError: there is no such file, it holds mistakes (each is named with its line), or a
            key cannot be read.
    """
    try:
        data = regular.read(path)
    except OSError as error:
        raise InputError(
            f"cannot read the policy: {error.strerror}",
            subject=str(path),
            remedy="give the place of one; docs/verify.md has one to begin with",
        ) from error
    return parse(text_file.decoded(data, _WHAT, str(path)), path)


def parse(text: str, origin: Path) -> Loaded:
    """A policy from its text. `origin`: the file that it came from. Errors as `load`."""
    data = tables(text, origin, _WHAT)
    found: Policy | None = None
    try:
        found = Policy.model_validate(data)
    except ValidationError as error:
        mistakes = from_pydantic(error, Policy)
    else:
        mistakes = list(_mistakes(found))
    if found is None or mistakes:
        raise refusal(mistakes, text, origin, _WHAT)
    loaded: dict[str, tuple[str, keys.Public]] = {}
    for number, signer in enumerate(found.signers):
        key = _key(signer, origin)
        if key.keyid in loaded:
            # Two names for one key would count as two builders.
            mistake = Mistake(
                ("signer", number, "name"),
                f"{signer.name!r} has the same key as {loaded[key.keyid][0]!r}",
                "give each signer its own key",
            )
            raise refusal([mistake], text, origin, _WHAT)
        loaded[key.keyid] = (signer.name, key)
    return Loaded(found, loaded)


def _key(signer: Signer, origin: Path) -> keys.Public:
    if signer.key is not None:
        return keys.parse_public(signer.key.encode(), f"{origin}, signer {signer.name}")
    return keys.load_public(origin.parent / (signer.file or ""))


def _mistakes(policy: Policy) -> Iterator[Mistake]:
    """Return what is wrong between keys that are each well-formed."""
    yield from _unknown_names(policy)
    names = Counter(signer.name for signer in policy.signers)
    for number, signer in enumerate(policy.signers):
        if (signer.key is None) == (signer.file is None):
            yield Mistake(
                ("signer", number, "key"),
                "needs one of key and file",
                "expected key (PEM text) or file (its path), one of the two",
            )
        if names[signer.name] > 1:
            yield Mistake(
                ("signer", number, "name"),
                f"{signer.name!r} appears twice",
                "give each signer another name",
            )
    if policy.builders is not None and policy.builders.agree > len(policy.signers):
        yield Mistake(
            ("builders", "agree"),
            f"{policy.builders.agree} builders are to agree, of {len(policy.signers)} signers",
            "name that many in tables [[signer]], or demand fewer",
        )


def _unknown_names(policy: Policy) -> Iterator[Mistake]:
    """Return names of checks, codes and variations that there are not."""
    for number, named in enumerate(policy.checks.must_pass):
        if named.partition(" ")[0] not in _KINDS:
            yield Mistake(
                ("checks", "pass", number),
                f"{named!r} is no kind of check",
                f"{_near(named, _KINDS)}expected one of docs/checks.md: {', '.join(_KINDS)}",
            )
    for number, named in enumerate(policy.checks.accepted):
        if named.partition(" ")[0] not in _SKIPS:
            yield Mistake(
                ("checks", "accept", number),
                f"{named!r} is no code of a SKIP",
                f"{_near(named, _SKIPS)}expected one of docs/checks.md: {', '.join(_SKIPS)}",
            )
    for number, named in enumerate(policy.audit.variations if policy.audit else ()):
        if named not in NAMES:
            yield Mistake(
                ("audit", "variations", number),
                f"{named!r} is no variation",
                f"{_near(named, NAMES)}expected some of: {', '.join(NAMES)}",
            )


def _near(named: str, known: Iterable[str]) -> str:
    """Return what was probably meant, as the beginning of a remedy."""
    near = difflib.get_close_matches(named.partition(" ")[0], [*known], 1)
    return f"did you mean {near[0]!r}? " if near else ""


def oldest(policy: Policy, now: int) -> int | None:
    """When a build may have ended at the earliest, in seconds since 1970-01-01 UTC."""
    if policy.evidence is None:
        return None
    return now - int(timedelta(days=policy.evidence.days).total_seconds())
