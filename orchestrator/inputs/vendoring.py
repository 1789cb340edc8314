"""Fills `vendor/` by the go command: what is asked of it, and whether all versions were given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from orchestrator.inputs import answers
from orchestrator.inputs.answers import Kind
from orchestrator.inputs.go_command import Described
from orchestrator.inputs.transport import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_DESCRIBED = TypeAdapter(Described)


def gather(ask: Callable[..., str], replaced: Sequence[str]) -> bool:
    """Fill `vendor/`; with replacements, write them into go.mod and what they bring into go.sum.

    A replacement wins over whatever other modules ask for; `go get` would raise those as well.
    `ask`: runs the go command in the module's folder, and returns its answer.

    Returns whether every version was given by a go.mod or a replacement, so that the same will come
    of it for as long as published versions stay what they are.
    """
    if not replaced:
        ask("mod", "vendor")
        return True
    modules = [one.partition("@")[0] for one in replaced]
    edits = [f"-replace={name}={one}" for name, one in zip(modules, replaced, strict=True)]
    ask("mod", "edit", *edits)
    given = {tuple(line.split()[:2]) for line in ask("list", "-mod=mod", "-m", "all").splitlines()}
    ask("mod", "download", *modules)
    try:
        ask("mod", "vendor")
    except RefusedError as error:
        if error.kind is not Kind.CONTENT:
            raise
        # The replacing versions require modules that nothing required before, or in newer versions.
        # Only where it takes that: it takes out of go.sum what is not needed here.
        ask("mod", "tidy")
        ask("mod", "vendor")
        # What no go.mod names it looks up, and takes the newest.
        said = ask("mod", "edit", "-json")
        described = answers.document(_DESCRIBED, said, what="go mod edit -json")
        return given.issuperset((one.path, one.version) for one in described.require or ())
    return True
