"""Tells of each thing that a folder claims by what right it may be believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator import device
from orchestrator.artifacts import names
from orchestrator.boot import syslinux
from orchestrator.verify import audited, links
from orchestrator.verify.model import Claim

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator.artifacts.model import Check
    from orchestrator.verify.documents import Documents
    from orchestrator.verify.model import Findings, How
    from orchestrator.verify.restated import Again
    from orchestrator.verify.statements import Signed
    from orchestrator.verify.verdicts import Derived, Grounds

_SHOWN = 20


def told(  # noqa: PLR0913 - everything that a folder can say
    grounds: Grounds,
    read: Documents,
    checks: Sequence[tuple[Check, Derived]],
    signed: Signed,
    findings: Findings,
    again: Again,
) -> list[Claim]:
    """Return every claim, what was derived first. `again`: what was written anew, and so."""
    claims = [*_contents(grounds), *_toolchains(grounds), *_documents(read, grounds, findings)]
    claims += [_check(one, derived, signed) for one, derived in checks]
    claims += list(_stated(grounds, read, signed))
    claims += list(_audit(read, signed))
    claims += list(_again(read, signed, again, findings))
    order: tuple[How, ...] = ("derived here", "signed", "only stated")
    return sorted(claims, key=lambda claim: order.index(claim.how))


def _here(what: str, subject: str, detail: str) -> Claim:
    return Claim(what, subject, "derived here", detail)


def _otherwise(what: str, subject: str, detail: str, signers: tuple[str, ...]) -> Claim:
    """A claim that only its file makes: as good as who signed that."""
    return Claim(what, subject, "signed" if signers else "only stated", detail, signers)


def _contents(grounds: Grounds) -> Iterator[Claim]:
    result, found = grounds.result, grounds.contents
    if found.tree is not None and found.tree.digest == result.root.tree:
        yield _here("tree", str(result.root.tree), "every file of the image was hashed")
    if grounds.bill:
        detail = f"each of the image's {result.root.files} files is in exactly one package"
        yield _here("bill of materials", names.SBOM_FILES, detail)
    if grounds.placed.accounted:
        stubs = sum(grounds.placed.commands.values())
        detail = (
            f"every file is of a part of such a build, where the build puts it; {stubs} commands "
            "are stubs of packages that are there"
        )
        yield _here("files", result.image.path, detail)
    for place in grounds.placed.own:
        yield _here("own files", place, "what lies there on the image is what the lock pins")
    for architecture in grounds.placed.boot:
        detail = "kernel, initramfs and loader on the image are the outputs of their step"
        yield _here("boot files", architecture, detail)
    texts = grounds.placed.texts
    if texts is not None and not texts.differing:
        yield _here("variables", result.image.path, "those of programs are what this program sets")
        if texts.menus:
            detail = f"{', '.join(texts.menus)}: what spec and lock give"
            yield _here("boot menus", result.image.path, detail)
    if found.bytes_hold:
        yield _here("volume", result.image.path, "its ids are those of this spec and this lock")


def _toolchains(grounds: Grounds) -> Iterator[Claim]:
    steps = {step.name: step for step in grounds.result.steps}
    for architecture, one in grounds.toolchains.items():
        step = steps.get(one.step)
        if step is not None and step.outputs == one.outputs.digest:
            detail = f"its programs on the image are the outputs of {one.step}, {step.outputs}"
            yield _here("toolchain", architecture, detail)
        if one.is_release:
            detail = "source and programs on the image are the release's whole tree, as pinned"
            yield _here("Go release", architecture, detail)
    if grounds.lock is None:
        return
    for pinned in grounds.lock.inputs:
        module = getattr(pinned, "module", None)
        source = grounds.sources.get(module) if module else None
        if source is not None and source.tree.digest == getattr(pinned, "vendored", None):
            detail = "its files on the image, dependencies too, are those that the lock pins"
            yield _here("source", str(module), detail)


def _documents(read: Documents, grounds: Grounds, findings: Findings) -> Iterator[Claim]:
    if findings.of({"link-broken"}) or read.result is None:
        return
    if read.spec is not None:
        yield _here("spec", names.SPEC, "its digest is the one that the result was made from")
    if read.lock is not None:
        yield _here("lock", names.LOCK, "its digest, and its inputs, are those of the result")
    if read.actions is not None:
        on_image = {str(one.goroot) for one in grounds.toolchains.values()}
        if grounds.contents.tree is not None:
            userland = grounds.contents.tree.under(device.source(device.USERLAND))
            on_image.add(str(userland.digest))
        named, known = links.mounts(read, on_image)
        detail = (
            f"each of {len(read.actions)} documents has the digest that its step names; of the "
            f"{named} trees that they are given {known} are on the image, pinned by the lock or "
            "outputs of a step, the others are put together from several"
        )
        yield _here("actions", names.ACTIONS, detail)


def _check(one: Check, derived: Derived, signed: Signed) -> Claim:
    what = f"{one.code} ({one.verdict})"
    if derived.here:
        return _here(what, one.subject, derived.detail)
    return _otherwise(what, one.subject, derived.detail, signed.signers)


def _stated(grounds: Grounds, read: Documents, signed: Signed) -> Iterator[Claim]:
    result = grounds.result
    actions = sum(step.kind == "action" for step in result.steps)
    told = (
        ("steps", f"{actions} actions", "that each action gave the outputs that the result names"),
        ("isolation", result.engine.name, "by which engine, machine and limits the steps were run"),
        ("times", f"{result.seconds} s", "when and how long anything ran"),
    )
    for what, subject, detail in told:
        yield _otherwise(what, subject, detail, signed.signers)
    texts = grounds.placed.texts
    if texts is not None and texts.unknown:
        detail = f"{', '.join(texts.unknown)}: a kernel is no package of Debian's"
        yield _otherwise("boot menus", result.image.path, detail, signed.signers)
    if texts is not None and syslinux.MODULE in texts.places:
        detail = f"{syslinux.LDLINUX} and {syslinux.MODULE} are those of the locked packages"
        yield _otherwise("BIOS loader", result.image.path, detail, signed.signers)
    if names.SBOM in read.present:
        detail = "names, versions and licences of what is on the image"
        yield _otherwise("bill of materials", names.SBOM, detail, signed.signers)


def _again(read: Documents, signed: Signed, again: Again, findings: Findings) -> Iterator[Claim]:
    """What is written anew from the rest; where it cannot be, its own word is all there is."""
    told = (
        ("statements", names.PROVENANCE, again.statements, signed.signers),
        ("JUnit", names.JUNIT, again.statements, signed.signers),
        ("page", names.REPORT, again.page, ()),  # no statement is about it
    )
    for what, name, done, signers in told:
        if name not in read.present:
            continue
        if not done:
            detail = "it was not written anew here, and may say what it likes"
            yield _otherwise(what, name, detail, signers)
        elif not findings.of({"statement-differs"}):
            detail = "written anew from the other files, it is the same byte by byte"
            yield _here(what, name, detail)


def _audit(read: Documents, signed: Signed) -> Iterator[Claim]:
    for one in signed.earlier:
        detail = "a statement is about it, and its audit.json is not here"
        what = f"another audit ({str(one.predicate.get('verdict'))[:_SHOWN]})"
        yield _otherwise(what, f"line {one.line}", detail, one.signers)
    audit = read.audit
    if audit is None:
        return
    signers = signed.audit_signers
    actions, _ = audited.covered(audit)
    told = audit.coverage
    detail = (
        f"{told.audited} of {told.actions} actions ({actions} %), {len(audited.seen(audit))} "
        "variations seen; what its rounds gave is stated, its counts and verdicts were derived"
    )
    yield _otherwise(f"audit ({audit.verdict})", names.AUDIT, detail, signers)
