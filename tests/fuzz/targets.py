"""The table of everything that is fuzzed, by name."""

from __future__ import annotations

from tests.fuzz import (
    answers,
    archives,
    boot,
    devices,
    differences,
    documents,
    evidence,
    farms,
    history,
    media,
    nightly,
    verification,
)

TARGETS = {
    one.name: one
    for part in (
        documents,
        answers,
        archives,
        boot,
        media,
        devices,
        differences,
        evidence,
        farms,
        history,
        verification,
        nightly,
    )
    for one in part.TARGETS
}
