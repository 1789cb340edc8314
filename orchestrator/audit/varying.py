"""Conditions that an audit gives an action, otherwise than the build did. Pure.

Most actions were built under the usual conditions, so a variation is applied as it is. Those that a
build itself varies (F2) have that value already; they get the usual one, which is as different. Of
threads and CPUs they get another number than the build really gave, where one of them was a share.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

from reproducibility.conditions import STANDARD, Conditions
from reproducibility.errors import InputError
from reproducibility.variations import VARIATIONS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from reproducibility.variations import Variation

_THREADS = "parallelism"
_CPUS = "processors"
_FIELDS = {field.name: type(field.default) for field in fields(Conditions)}


def otherwise(  # noqa: PLR0913 - what the conditions of a round depend on
    built: Conditions,
    names: Collection[str],
    processors: int,
    *,
    unable: Collection[str] = (),
    number: int = 0,
    shared: bool = False,
) -> Conditions:
    """Conditions that differ from those of the build in every variation that is named.

    `processors`: of an action on the engine. `unable`: variations that the engine cannot apply; of
    those the usual value is taken. `number`: of the round, from 0; each makes other choices where a
    variation has more than two. `shared`: the build may have given it fewer CPUs than all, and
    it is not known how many; more threads than there are CPUs are another number in any case.
    """
    made = built
    for variation in VARIATIONS:
        if not variation.condition:
            continue
        if variation.name in unable:
            made = _usual(made, variation)
        elif variation.name in names:
            if variation.condition == _THREADS:
                made = _threads(made, built, variation, processors, number, shared=shared)
                continue
            changed = variation.apply(made, processors)
            made = _other(made, variation, processors) if changed == made else changed
            if number and variation.condition == "order_seed":
                # A prime, so that no round takes the seed that a build takes.
                made = replace(made, order_seed=27 + 1009 * number)
    return made


def parsed(document: Mapping[str, str | int], subject: str) -> Conditions:
    """Read conditions that a result was recorded with (`Conditions.describe`).

    Raises:
        InputError: this version knows no such condition, or the value is of another type.
    """
    for name, value in document.items():
        if type(value) is not _FIELDS.get(name):
            raise InputError(
                f"a step was run under a condition that this version does not know: {name}",
                subject=subject,
                remedy="audit with the version of the program that made the build, or build again",
            )
    return replace(STANDARD, **document)  # type: ignore[arg-type] # checked just now


def _usual(conditions: Conditions, variation: Variation) -> Conditions:
    value = getattr(STANDARD, variation.condition)
    return replace(conditions, **{variation.condition: value})


def _other(conditions: Conditions, variation: Variation, processors: int) -> Conditions:
    """Another value than the varied one, which the build had."""
    if variation.condition == _CPUS:
        return replace(conditions, processors=processors)
    return _usual(conditions, variation)


def _threads(  # noqa: PLR0913 - what decides a number of threads
    made: Conditions,
    built: Conditions,
    variation: Variation,
    processors: int,
    number: int,
    *,
    shared: bool,
) -> Conditions:
    """Another number of threads than the build used, and another one in each further round.

    A program that is told of no number uses as many as it has CPUs.
    """
    if shared and not built.parallelism:
        return replace(made, parallelism=processors + 1 + number)
    had = built.parallelism or built.processors or processors
    if number:
        choices = [one for one in (1, 2 * processors, 3, 7) if one != had]
        return replace(made, parallelism=choices[(number - 1) % len(choices)])
    changed = variation.apply(made, processors)
    return replace(changed, parallelism=2 * processors) if changed.parallelism == had else changed
