"""Judges verified folders by a policy: each demand, whether it is met, and why not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orchestrator.verify import agreement, audited, policy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from orchestrator.artifacts.model import BuildResult
    from orchestrator.verify.agreement import Agreement
    from orchestrator.verify.model import Verified
    from orchestrator.verify.policy import Loaded


@dataclass(frozen=True, slots=True)
class Demand:
    """A demand and what came of it. `code`: stable; `folder`: its path, empty for all together."""

    code: str
    folder: str
    held: bool
    reason: str

    def document(self) -> dict[str, Any]:
        """The demand as a JSON object."""
        return {
            "code": self.code,
            "folder": self.folder,
            "held": self.held,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Judgement:
    """Judgement of all folders. `accepted`: paths of those that everything holds for."""

    demands: tuple[Demand, ...]
    agreement: Agreement
    accepted: tuple[str, ...]
    held: bool

    @property
    def refusals(self) -> list[Demand]:
        """The demands that are not met."""
        return [one for one in self.demands if not one.held]

    def document(self) -> dict[str, Any]:
        """The judgement as a JSON object."""
        return {
            "demands": [one.document() for one in self.demands],
            "agreement": self.agreement.document(),
            "accepted": list(self.accepted),
        }


def judge(
    folders: Sequence[Verified], loaded: Loaded | None, given: Mapping[str, str], *, now: int
) -> Judgement:
    """Judge folders. `given`: names of the keys given by --key, by id. `now`: seconds since 1970.

    Without a policy every folder must hold together, no stored verdict be a FAIL, all folders
    agree, and each be signed by one of the given keys, where there are any. With one that asks for
    k builders to agree, k of the folders must meet everything: the others are told, and left out.
    """
    signers = {**given}
    if loaded is not None:
        # Who may sign is the policy's to say, where it says it.
        named = {keyid: name for keyid, (name, _) in loaded.keys.items()}
        signers = named or signers
    demands = list(_of_policy(loaded.policy, now)) if loaded else []
    fine: list[Verified] = []
    for folder in folders:
        own = list(_of_folder(folder, loaded, signers, now))
        demands += own
        if all(one.held for one in own):
            fine.append(folder)
    agreed = agreement.agree(folders)
    wanted = loaded.policy.builders.agree if loaded and loaded.policy.builders else None
    together, accepted = _together(folders, fine, agreed, wanted, signers)
    demands += together
    of_all = all(one.held for one in demands if not one.folder)
    held = of_all and (bool(accepted) if wanted else len(fine) == len(folders))
    return Judgement(
        tuple(demands), agreed, tuple(one.path for one in accepted) if held else (), held
    )


def _of_policy(demanded: policy.Policy, now: int) -> Iterator[Demand]:
    if demanded.demands_nothing:
        yield Demand("policy-empty", "", held=False, reason="the policy demands nothing")
    if demanded.expires is not None:
        over = demanded.expired(now)
        reason = f"the policy {'expired' if over else 'holds'} on {demanded.expires}"
        if not over:
            reason = f"the policy holds until {demanded.expires}"
        yield Demand("policy-expired", "", held=not over, reason=reason)


def _of_folder(
    folder: Verified, loaded: Loaded | None, signers: Mapping[str, str], now: int
) -> Iterator[Demand]:
    count = folder.findings_total
    yield Demand(
        "sound",
        folder.path,
        folder.sound,
        "everything fits together" if folder.sound else f"{count} things do not hold",
    )
    yield from _verdicts(folder, loaded.policy.checks if loaded else None, signers)
    if signers:
        known = [name for name in folder.signers if name in signers]
        told = ", ".join(signers[name] for name in known)
        unknown = ", ".join(name[:16] for name in folder.unknown_signers)
        reason = f"signed by {told}" if known else "not signed by anybody who may"
        if unknown and not known:
            reason += f"; there are signatures by unknown keys: {unknown}"
        yield Demand("signed", folder.path, bool(known), reason)
    if loaded is None:
        return
    yield from _build(folder, loaded.policy.build)
    yield from _age(folder, loaded.policy, now)
    if loaded.policy.audit is not None:
        yield from _audit(folder, loaded.policy.audit, signers)


def _build(folder: Verified, demanded: policy.Build) -> Iterator[Demand]:
    for name, wanted in (("spec", demanded.spec), ("lock", demanded.lock)):
        if wanted is not None:
            found = getattr(folder.result, name, None)
            reason = f"it was made from the {name} {found}, {wanted} is demanded"
            yield Demand(f"build-{name}", folder.path, found == wanted, reason)


def _verdicts(
    folder: Verified, wanted: policy.Checks | None, signers: Mapping[str, str]
) -> Iterator[Demand]:
    """No check may be a FAIL; with a policy, only accepted ones a SKIP, and some must be there."""
    result = folder.result
    if result is None:
        yield Demand("checks", folder.path, held=False, reason="there is no result to be read")
        return
    accepted = frozenset(wanted.accepted if wanted else ())
    checks = [*result.checks, *(folder.audit.checks if folder.audit else ())]
    failed, skipped = [], []
    for one in checks:
        named = f"{one.code} {one.subject}"
        if one.verdict == "FAIL":
            failed.append(named)
        elif one.verdict == "SKIP" and wanted is not None and not {one.code, named} & accepted:
            skipped.append(named)
    yield Demand(
        "no-failure",
        folder.path,
        not failed,
        _listed("failed", failed) if failed else "no check is a FAIL",
    )
    if wanted is None:
        return
    yield Demand(
        "skips-accepted",
        folder.path,
        not skipped,
        _listed("not accepted", skipped) if skipped else "every SKIP is an accepted one",
    )
    for named in wanted.must_pass:
        yield _passed(named, folder, result, signers)


def _passed(
    named: str, folder: Verified, result: BuildResult, signers: Mapping[str, str]
) -> Demand:
    """Whether a demanded check is there and a PASS.

    It counts where its kind belongs: in the result, or in an audit, which is signed by itself.
    """
    kind, _, subject = named.partition(" ")
    checks, reason = result.checks, named
    if kind in audited.NAMES:
        checks = folder.audit.checks if folder.audit else ()
        if folder.audit is None:
            reason += ": there is no audit"
        elif signers and not signers.keys() & set(folder.audit_signers):
            checks = ()
            reason += ": nobody who may signed the audit"
    own = [
        one for one in checks if one.code.partition(".")[0] == kind and subject in {"", one.subject}
    ]
    # An accepted SKIP is no reason to refuse, but something of the kind must have passed.
    passed = sum(one.verdict == "PASS" for one in own)
    held = passed > 0 and not any(one.verdict == "FAIL" for one in own)
    return Demand("check-passed", folder.path, held, f"{reason}: {len(own)} checks, {passed} PASS")


def _listed(what: str, those: list[str]) -> str:
    shown = 5
    more = f" and {len(those) - shown} more" if len(those) > shown else ""
    return f"{what}: {', '.join(those[:shown])}{more}"


def _age(folder: Verified, demanded: policy.Policy, now: int) -> Iterator[Demand]:
    limit = policy.oldest(demanded, now)
    if limit is None:
        return
    if folder.finished is None:
        reason = "no statement says when the build ended"
        yield Demand("evidence-age", folder.path, held=False, reason=reason)
        return
    ended = datetime.fromtimestamp(folder.finished, UTC).date()
    reason = f"the build ended on {ended}"
    # A day of tolerance: clocks differ, and a build of tomorrow is none.
    held = limit <= folder.finished <= now + 86_400
    if folder.finished > now + 86_400:
        reason += ", which is yet to come"
    yield Demand("evidence-age", folder.path, held, reason)


def _audit(
    folder: Verified, demanded: policy.Audit, signers: Mapping[str, str]
) -> Iterator[Demand]:
    audit = folder.audit
    if audit is None:
        yield Demand("audit-coverage", folder.path, held=False, reason="there is no audit")
        return
    actions, _ = audited.covered(audit)
    reason = f"{actions} % of the actions were audited, {demanded.actions} % are demanded"
    yield Demand("audit-coverage", folder.path, actions >= demanded.actions, reason)
    missing = sorted(set(demanded.variations) - set(audited.seen(audit)))
    if demanded.variations:
        reason = f"not seen varied: {', '.join(missing)}" if missing else "all were seen varied"
        yield Demand("audit-variations", folder.path, not missing, reason)
    if signers:
        known = [signers[name] for name in folder.audit_signers if name in signers]
        reason = f"signed by {', '.join(known)}" if known else "not signed by anybody who may"
        yield Demand("audit-signed", folder.path, bool(known), reason)


def _copies(folders: Sequence[Verified]) -> str:
    builds = len({one.build for one in folders})
    if builds == len(folders):
        return ""
    return f"; {len(folders)} folders hold {builds} {'build' if builds == 1 else 'builds'}"


def _together(
    folders: Sequence[Verified],
    fine: Sequence[Verified],
    agreed: Agreement,
    wanted: int | None,
    signers: Mapping[str, str],
) -> tuple[list[Demand], list[Verified]]:
    if wanted is None:
        if len(folders) == 1:
            return [], list(fine)
        held = len(agreed.groups) == 1
        reason = "all folders agree" if held else f"they part into {len(agreed.groups)}"
        return [Demand("agreement", "", held, reason)], list(fine)
    groups: list[tuple[set[str], list[Verified]]] = []
    for group in agreed.groups:
        own = [one for one in fine if one.path in group.folders]
        groups.append((set(agreement.builders(own, signers)), own))
    enough = [(keys, own) for keys, own in groups if len(keys) >= wanted]
    most = max((len(keys) for keys, _ in groups), default=0)
    # Two images that each have enough builders would leave open which one is meant.
    if len(enough) > 1:
        reason = f"{wanted} builders agree on each of {len(enough)} different images"
        return [Demand("builders-agree", "", held=False, reason=reason)], []
    if not enough:
        reason = f"{most} builders agree, {wanted} are demanded{_copies(fine)}"
        return [Demand("builders-agree", "", held=False, reason=reason)], []
    keys, own = enough[0]
    told = ", ".join(sorted(signers[key] for key in keys))
    reason = f"{len(keys)} builders agree ({told}), {wanted} are demanded{_copies(own)}"
    return [Demand("builders-agree", "", held=True, reason=reason)], own
