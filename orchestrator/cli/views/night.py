"""Shows one night of the history to a person."""

from __future__ import annotations

import shlex
from collections import Counter
from typing import TYPE_CHECKING

from orchestrator.cli.streams import Marked
from orchestrator.cli.wording import quantity
from orchestrator.history.advice import FIRST, OWNERS
from orchestrator.markup.words import duration, many

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from orchestrator.history.model import Night, Varying

_SHOWN = 10
_MARKS = {"done": "PASS", "failed": "FAIL", "left out": "SKIP"}


def lines_of(night: Night, *, kept: bool, verbose: bool) -> Iterator[str]:
    """Yield a night for a person: what it is about first, and its word last.

    `kept`: whether its details are. `verbose`: with every step, check and input.
    """
    sections = (
        _about(night),
        _stages(night, verbose=verbose),
        _changes(night, verbose=verbose),
        *(_varying(one, verbose=verbose) for one in night.varying),
        _checks(night, verbose=verbose),
        _machines(night),
        _made_of(night, kept=kept, verbose=verbose),
        _word(night),
    )
    for number, section in enumerate(filter(None, map(list, sections))):
        yield from ["", *section] if number else section


def _about(night: Night) -> Iterator[str]:
    attempts = f", begun {night.attempts} times" if night.attempts > 1 else ""
    yield f"night {night.number} of {night.date}, {night.word} since night {night.since}"
    yield f"      began    {night.began}, took {duration(night.seconds)}{attempts}"
    yield f"      by       orchestrate {night.tool.version} ({night.tool.digest})"
    if night.lock is not None:
        yield f"      lock     {night.lock}, {night.locked}"
    if night.image is not None:
        yield f"      image    {night.image.blake3}, {quantity(night.image.size)}"
    for note in night.notes:
        yield f"      note: {note}"


def _stages(night: Night, *, verbose: bool) -> Iterator[str]:
    width = max((len(stage.name) for stage in night.stages), default=0)
    for stage in night.stages:
        told = stage.state if stage.state != "done" else duration(stage.seconds)
        reason = f": {stage.reason}" if stage.reason else ""
        yield Marked(_MARKS[stage.state], f"  {stage.name:<{width}}  {told}{reason}")
        if stage.command and (verbose or stage.state == "failed"):
            yield f"        {shlex.join(stage.command)}"


def _changes(night: Night, *, verbose: bool) -> Iterator[str]:
    if night.changes:
        before = f"night {night.previous}" if night.previous else "the build before"
        yield f"      changed since {before}:"
        for one in night.changes:
            link = f"  {one.link}" if one.link else ""
            yield f"        {one.what}: {one.first or 'none'} -> {one.second or 'none'}{link}"
    if night.consequences:
        yield f"      {many(len(night.consequences), 'output')} changed with that:"
        chains = (" -> ".join(one.chain) for one in night.consequences)
        yield from _some(chains, "        ", verbose=verbose)


def _varying(one: Varying, *, verbose: bool) -> Iterator[str]:
    by = "by an audit" if one.seen == "audit" else "between builds"
    yield Marked("FAIL", f"  {one.step}: given the same, it made something else")
    yield f"      seen {by}, first in night {one.first_night}; class {one.cause}"
    yield from _some(one.lines, "      ", verbose=verbose)


def _checks(night: Night, *, verbose: bool) -> Iterator[str]:
    shown = night.checks if verbose else [one for one in night.checks if one.verdict == "FAIL"]
    for one in shown:
        subject = f", {one.subject}" if one.subject else ""
        yield Marked(one.verdict, f"  {one.stage}, {one.code}{subject}: {one.reason}")


def _machines(night: Night) -> Iterator[str]:
    for machine in night.machines:
        slowest = max(machine.commands.values(), default=None)
        told = f", slowest first run {duration(slowest)}" if slowest is not None else ""
        yield Marked(machine.verdict, f"  {machine.platform}  {duration(machine.seconds)}{told}")


def _made_of(night: Night, *, kept: bool, verbose: bool) -> Iterator[str]:
    """Yield the numbers of checks, steps and inputs, and with `verbose` steps and inputs too."""
    if not kept:
        yield "      its steps, checks and inputs are kept no longer (`keep`)"
    if night.checks:
        counts = Counter(one.verdict for one in night.checks)
        told = (f"{counts[word]} {word}" for word in ("PASS", "SKIP", "FAIL") if counts[word])
        yield f"      checks   {', '.join(told)}"
    if night.steps:
        remembered = sum(step.cached for step in night.steps)
        audited = sum(step.audited == night.number for step in night.steps)
        yield f"      steps    {len(night.steps)}; {remembered} remembered, {audited} audited"
        if verbose:
            width = max(len(step.name) for step in night.steps)
            for step in night.steps:
                yield f"        {step.name:<{width}}  {step.outputs}  {duration(step.seconds)}"
    if night.inputs:
        yield f"      inputs   {len(night.inputs)}"
        if verbose:
            for one in night.inputs:
                host = f" for {one.host}" if one.host else ""
                yield f"        {one.kind} {one.name}{host} {one.version}"


def _word(night: Night) -> Iterator[str]:
    yield Marked("PASS" if night.word.good else "FAIL", f"  {night.word}: {night.line}")
    if not night.word.good:
        yield f"      whose matter: {OWNERS[night.word]}"
        yield f"      first: {FIRST[night.word]}"


def _some(lines: Iterable[str], before: str, *, verbose: bool) -> Iterator[str]:
    those = list(lines)
    shown = those if verbose else those[:_SHOWN]
    yield from (f"{before}{line}" for line in shown)
    if len(shown) < len(those):
        yield f"{before}and {len(those) - len(shown)} more; -v shows all"
