"""Carries out `orchestrate verify` and `orchestrate policy`, and shows what came of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.cli.streams import Marked
from orchestrator.cli.wording import quantity
from orchestrator.evidence import keys
from orchestrator.verify import explaining, judging
from orchestrator.verify import policy as policies
from orchestrator.verify.folder import Verifier
from reproducibility.errors import ComparisonError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from orchestrator.cli.session import Session
    from orchestrator.verify.agreement import Agreement
    from orchestrator.verify.judging import Judgement
    from orchestrator.verify.model import Claim, Verified

SCHEMA = 1
_SHOWN = 20
_DIGITS = 16
_WIDTH = 44


@dataclass(frozen=True)
class Options:
    """Request as a person gave it. `keys`: files of public keys."""

    folders: tuple[Path, ...]
    keys: tuple[Path, ...]
    policy: Path | None


def verify(options: Options, session: Session) -> int:
    """Verify every folder, judge them, and show it; exit status 1 where they are refused.

    Raises:
        InputError: a folder, a key or the policy is not there or cannot be read.
    """
    if len({path.resolve() for path in options.folders}) != len(options.folders):
        raise InputError(
            "a folder is given twice, and would count as two",
            subject=", ".join(map(str, options.folders)),
            remedy="name each folder once",
        )
    loaded = policies.load(options.policy) if options.policy else None
    given = {key.keyid: (path.name, key) for path in options.keys for key in [_key(path)]}
    known = {**given, **(loaded.keys if loaded else {})}
    public = {keyid: key for keyid, (_, key) in known.items()}

    def begin(stage: str) -> None:
        if session.manner.verbose:
            session.note(stage)

    verifier = Verifier(public, begin)
    found = [verifier.verify(path) for path in options.folders]
    names = {keyid: name for keyid, (name, _) in given.items()}
    judgement = judging.judge(found, loaded, names, now=int(time.time()))
    every = {keyid: name for keyid, (name, _) in known.items()}
    session.result(
        _document(found, judgement, every),
        _lines(found, judgement, every, everything=session.manner.verbose),
    )
    return 0 if judgement.held else ComparisonError.status


def explain(path: Path, session: Session) -> int:
    """Say what a policy demands; exit status 1 where it refuses everything.

    Raises:
        InputError: it cannot be read.
    """
    loaded = policies.load(path)
    expired = loaded.policy.expired(int(time.time()))
    lines = list(explaining.explained(loaded, expired=expired))
    refuses = expired or loaded.policy.demands_nothing
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "expired": expired,
        "demands_nothing": loaded.policy.demands_nothing,
        "signers": {name: keyid for keyid, (name, _) in loaded.keys.items()},
        "demands": loaded.policy.model_dump(mode="json", by_alias=True, exclude={"signers"}),
        "words": lines,
    }
    session.result(document, lines)
    return ComparisonError.status if refuses else 0


def _key(path: Path) -> keys.Public:
    return keys.load_public(path)


def _document(
    found: Sequence[Verified], judgement: Judgement, names: dict[str, str]
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "verdict": "PASS" if judgement.held else "FAIL",
        "keys": names,
        "folders": [one.document() for one in found],
        **judgement.document(),
    }


def _lines(
    found: Sequence[Verified], judgement: Judgement, names: dict[str, str], *, everything: bool
) -> Iterator[str]:
    word = "PASS" if judgement.held else "FAIL"
    what = "everything that is demanded holds" if judgement.held else "refused"
    yield Marked(word, f"  {what}")
    for refusal in judgement.refusals:
        yield f"  {_of(refusal.folder)}{refusal.code}: {refusal.reason}"
    for one in found:
        yield ""
        yield from _folder(one, names, everything=everything)
    if len(found) > 1:
        yield ""
        yield from _agreement(judgement.agreement, judgement.accepted, names)
    held = [demand for demand in judgement.demands if demand.held]
    if held:
        yield ""
        yield "demanded, and so:"
        yield from (f"  {_of(demand.folder)}{demand.code}: {demand.reason}" for demand in held)


def _of(path: str) -> str:
    return f"{path}: " if path else ""


def _folder(one: Verified, names: dict[str, str], *, everything: bool) -> Iterator[str]:
    size = sum(file.size for file in one.files.values())
    yield f"{one.path}: {len(one.files)} files, {quantity(size)}, each hashed"
    if one.result is not None:
        yield f"  image  blake3 {one.result.image.blake3}"
        yield f"  its own verdict  {one.result.verdict}"
    signers = ", ".join(names[key] for key in one.signers) or "nobody whose key was given"
    yield f"  signed by  {signers}"
    if one.unknown_signers:
        unknown = ", ".join(key[:_DIGITS] for key in one.unknown_signers[:_SHOWN])
        yield f"  signatures of unknown keys  {unknown}"
    yield from (f"  {note}" for note in one.notes)
    shown = one.findings if everything else one.findings[:_SHOWN]
    for finding in shown:
        yield Marked("FAIL", f"  {finding.file}: {finding.reason} ({finding.code})")
    if len(shown) < one.findings_total:
        yield f"  and {one.findings_total - len(shown)} more; -v shows all"
    for how in ("derived here", "signed", "only stated"):
        claims = [claim for claim in one.claims if claim.how == how]
        if claims:
            yield f"  {how}:"
            yield from _claims(claims, names, everything=everything)


def _claims(claims: Sequence[Claim], names: dict[str, str], *, everything: bool) -> Iterator[str]:
    for claim in claims:
        by = ", ".join(names[key] for key in claim.by)
        end = f" (by {by})" if by else ""
        yield f"    {claim.what:<{_WIDTH}} {claim.subject}{end}"
        if everything:
            yield f"      {claim.detail}"


def _agreement(
    agreement: Agreement, accepted: Sequence[str], names: dict[str, str]
) -> Iterator[str]:
    yield "who agrees with whom:"
    for group in agreement.groups:
        keys_of = ", ".join(names[key] for key in group.keys if key in names) or "unsigned"
        yield f"  image {group.image[:_DIGITS]}: {', '.join(group.folders)} ({keys_of})"
    for parting in agreement.partings:
        where = f"at {parting.step}: " if parting.step else ""
        yield f"  {parting.second} parts from {parting.first} {where}{parting.why}"
        yield from (f"    {line}" for line in parting.lines)
    if accepted:
        yield f"  accepted: {', '.join(accepted)}"
