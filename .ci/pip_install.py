"""`pip install` into this environment, whatever a person's settings say of where to install.

    PYTHON -I .ci/pip_install.py ARGUMENTS...

pip takes every option from variables (`PIP_USER`) and settings files (`user = true`) as well, so
one that a person has for other work would reach in here: install elsewhere, without dependencies,
for another platform, or nothing. Of all those settings, what says where packages come from and how
to get there counts here too; nothing else does. Only the standard library is used.
"""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Mirrors, proxies, certificates, credentials, patience, and where downloads are kept.
KEPT = frozenset(
    {
        *("cache-dir", "cert", "client-cert", "extra-index-url", "find-links", "index-url"),
        *("keyring-provider", "no-cache-dir", "no-index", "proxy", "resume-retries", "retries"),
        *("timeout", "trusted-host", "use-deprecated", "use-feature"),
    }
)
MACHINE = Path("/etc/pip.conf")
_PREFIX = "PIP_"
_SECTIONS = ("global", "install")


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables for pip: those that are not pip's or Python's, and the settings that count."""
    kept = {
        name: value
        for name, value in variables.items()
        if not name.upper().startswith((_PREFIX, "PYTHON", "DEB_PYTHON"))
    }
    settings = {
        f"{_PREFIX}{key.upper().replace('-', '_')}": value for key, value in _read(variables)
    }
    return {**kept, **settings, "PIP_CONFIG_FILE": os.devnull}


def _read(variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The settings that count, the weaker ones first: files in pip's order, then variables."""
    found: dict[str, dict[str, str]] = {section: {} for section in _SECTIONS}
    for path in files(variables):
        parser = configparser.RawConfigParser()
        try:
            parser.read(path)  # passes over one that is not there
        except (configparser.Error, OSError, UnicodeDecodeError) as error:
            sys.exit(f"pip's settings cannot be read: {error}")
        for section in _SECTIONS:
            if parser.has_section(section):
                found[section].update((_key(name), text) for name, text in parser.items(section))
    for section in _SECTIONS:
        yield from ((key, text) for key, text in found[section].items() if key in KEPT and text)
    for name, text in variables.items():
        if name.startswith(_PREFIX) and _key(name[len(_PREFIX) :]) in KEPT and text:
            yield _key(name[len(_PREFIX) :]), text


def files(variables: Mapping[str, str]) -> list[Path]:
    """The settings files in the order in which pip reads them (its "Configuration" page)."""
    own = variables.get("PIP_CONFIG_FILE")
    if own == os.devnull:
        return []
    home = Path(variables.get("HOME") or Path.home())
    everybody = (variables.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)
    found = [*(Path(part, "pip", "pip.conf") for part in everybody if part), MACHINE]
    if not own or not Path(own).exists():
        user = variables.get("XDG_CONFIG_HOME") or home / ".config"
        found += [home / ".pip" / "pip.conf", Path(user, "pip", "pip.conf")]
    return [*found, *([Path(own)] if own else [])]


def _key(name: str) -> str:
    return name.lower().replace("_", "-").removeprefix("--")


def main() -> int:
    """Run pip; gives its exit status."""
    command = [sys.executable, "-I", "-m", "pip", "install", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, *sys.argv[1:]],
        env=environment(os.environ),
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
