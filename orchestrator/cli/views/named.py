"""Refuses a configuration of nights whose policy or keys cannot be used, before a night begins.

Otherwise each night would find that out in its last stages, and take it for a build that failed or
for evidence that does not hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.evidence import keys
from orchestrator.verify import policy
from reproducibility import regular
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from orchestrator.nightly.config import Config


def require(config: Config) -> None:
    """Refuse what cannot be used of the files that a configuration names beside spec and lock.

    Raises:
        InputError: a policy, a key or the file of a passphrase cannot be read, or is none; says
            each.
    """
    wrong = list(_wrong(config))
    if wrong:
        raise InputError(
            "\n  ".join(["the configuration names what cannot be used", *wrong]),
            subject=str(config.file) if config.file else "",
            remedy="correct the files or their paths (relative ones are to the configuration's "
            "folder), or leave the keys out",
        )


def _wrong(config: Config) -> Iterator[str]:
    named: list[tuple[str, Path, Callable[[Path], object]]] = []
    if config.verify.policy is not None:
        named.append(("verify.policy", config.verify.policy, policy.load))
    named += [("verify.keys", path, keys.load_public) for path in config.verify.keys]
    named += [("sign.keys", path, _private) for path in config.sign.keys]
    if config.sign.passphrase_file is not None:
        named.append(("sign.passphrase_file", config.sign.passphrase_file, _readable))
    for key, path, read in named:
        try:
            read(path)
        except InputError as error:
            yield f"{key}: {error.summary}: {path}"


def _private(path: Path) -> None:
    # Whether the passphrase is the right one is found out by the build.
    try:
        keys.load_private(path)
    except keys.LockedKeyError:
        return


def _readable(path: Path) -> None:
    try:
        with regular.opened(path):
            return
    except OSError as error:
        raise InputError(f"cannot read it: {error.strerror}") from error
