"""A Debian repository in a folder: the pinned packages and their index, for apt to install from.

Source: Debian's "Debian Repository Format", flat repositories. What is in it is verified by its
SHA-256 already, so it is not signed.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING
from urllib.parse import quote

from containers.host import process
from reproducibility import digest as digests

if TYPE_CHECKING:
    from pathlib import Path

_INDEX = "Packages"
# Trusted: see above. apt is not to look at the clock either, which may be wrong or long gone by.
_OPTIONS = "trusted=yes check-date=no check-valid-until=no"


def make(packages: Path, folder: Path, suite: str, *, backwards: bool = False) -> str:
    """Make a repository of all packages in a folder; its line in sources.list(5).

    Everybody may read it: apt may be run as another user. `backwards`: lay the files down in the
    opposite order, which must make no difference.

    Raises:
        InfrastructureError: one is no Debian package, or there is no dpkg.
        OSError: it cannot be written.
    """
    folder.mkdir()
    found = sorted(packages.iterdir(), reverse=backwards)
    for package in found:
        try:
            os.link(package, folder / package.name)
        except OSError:
            shutil.copyfile(package, folder / package.name)
        (folder / package.name).chmod(0o644)
    index = "\n".join(stanza(package) for package in sorted(found)).encode()
    (folder / _INDEX).write_bytes(index)
    release = (
        f"Origin: container image\nSuite: {suite}\nCodename: {suite}\nComponents: main\n"
        f"SHA256:\n {digests.sha256_of_bytes(index).hex} {len(index)} {_INDEX}\n"
    )
    (folder / "Release").write_text(release, "utf-8")
    for path in (folder / _INDEX, folder / "Release"):
        path.chmod(0o644)
    folder.chmod(0o755)
    return f"deb [{_OPTIONS}] copy://{quote(str(folder))} ./"


def stanza(package: Path) -> str:
    """What an index says of a package: its own control file, and where and what it is.

    Raises:
        InfrastructureError: it is no Debian package, or there is no dpkg.
    """
    program = process.find(
        "dpkg-deb", reason="to read what Debian packages say of themselves", remedy="install dpkg"
    )
    done = process.run([program, "--field", str(package)], environment={"LC_ALL": "C.UTF-8"})
    sha256 = digests.sha256_of_file(package)
    return (
        f"{done.stdout.decode().rstrip()}\nFilename: ./{package.name}\n"
        f"Size: {package.stat().st_size}\nSHA256: {sha256.hex}\n"
    )
