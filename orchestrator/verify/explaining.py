"""Says in plain words what a policy demands. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.verify import audited
from reproducibility import codes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.verify.policy import Loaded, Policy

_MEANINGS = {code.kind.code: code.kind.name for code in codes.CODES.values()}


def explained(loaded: Loaded, *, expired: bool = False) -> Iterator[str]:
    """Yield one sentence for each demand; what is not demanded is said as well.

    `expired`: whether its last day is over.
    """
    policy = loaded.policy
    if policy.demands_nothing:
        yield "This policy demands nothing, so it refuses every folder."
        return
    if expired:
        yield (
            f"It expired at the end of {policy.expires} (UTC), so it refuses every folder now. "
            "It demanded:"
        )
    elif policy.expires:
        last = f"the end of {policy.expires} (UTC)"
        yield f"It holds until {last}, and refuses everything after that."
    else:
        yield "It never expires."
    yield (
        "Always: everything that can be derived from a folder must come out as it says, every file "
        "must be named and be the one that is named, and no check may be a FAIL."
    )
    for name, wanted in (("spec", policy.build.spec), ("lock", policy.build.lock)):
        if wanted is not None:
            yield f"The build must have been made from the {name} with the digest {wanted}."
    yield from _checks(policy)
    yield from _signers(loaded)
    yield (
        f"The build must have ended in the last {policy.evidence.days} days, by its statement."
        if policy.evidence
        else "A build may be of any age."
    )
    yield from _audit(policy)


def _checks(policy: Policy) -> Iterator[str]:
    wanted = policy.checks
    for named in wanted.must_pass:
        kind, _, subject = named.partition(" ")
        of = f" of {subject}" if subject else ""
        where = "in the audit" if kind in audited.NAMES else "there"
        yield f"A check {kind}{of} ({_MEANINGS[kind]}) must be {where}, and be a PASS."
    if wanted.accepted:
        yield "A SKIP is accepted if it is one of these:"
        for named in wanted.accepted:
            code, _, subject = named.partition(" ")
            of = f", of {subject}" if subject else ""
            yield f"  {code}{of}: {codes.find(code).meaning}"
        yield "Any other SKIP is refused."
    else:
        yield "No SKIP is accepted."


def _signers(loaded: Loaded) -> Iterator[str]:
    policy = loaded.policy
    if not loaded.keys:
        yield "Nobody has to have signed anything: whoever could write the folder is believed."
        return
    yield "A folder must be signed by one of these keys:"
    for keyid, (name, _) in loaded.keys.items():
        yield f"  {name}: {keyid}"
    if policy.builders is None:
        yield "If several folders are given, all of them must hold the same image."
        return
    count, wanted = len(loaded.keys), policy.builders.agree
    yield (
        f"Of these {count}, {wanted} must have built the same image, each in a folder of its own, "
        "signed with its own key, that meets all of this. Further folders may differ; they are "
        "told, and not accepted."
    )


def _audit(policy: Policy) -> Iterator[str]:
    signed = ", signed by one of the keys above" if policy.signers else ""
    if policy.audit is None:
        if any(named.partition(" ")[0] in audited.NAMES for named in policy.checks.must_pass):
            yield f"So there must be an audit of this very build{signed}, over any of its steps."
        else:
            yield "No audit is needed."
        return
    yield (
        f"There must be an audit of this very build{signed}, over at least "
        f"{policy.audit.actions} % of its actions."
    )
    if policy.audit.variations:
        names = ", ".join(policy.audit.variations)
        yield f"A program inside must have seen these conditions varied: {names}."
