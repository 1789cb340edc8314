"""Reads tar members one at a time, refusing headers that real archives do not have.

`tarfile` reads a long name, or a list of a sparse file's parts, into memory at whatever length a
header gives, and keeps each member that it met.
"""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING, Final

from reproducibility.manifest import LONGEST_PATH, MOST_ENTRIES

if TYPE_CHECKING:
    from collections.abc import Iterator

# Whose content is the name or the target of the next member.
_LONG = frozenset({tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK})
# Those of deb(5): what dpkg does not know is an error there too, among that pax and sparse files.
_OF_PACKAGES: Final = _LONG | {
    tarfile.REGTYPE,
    tarfile.AREGTYPE,
    tarfile.LNKTYPE,
    tarfile.SYMTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.DIRTYPE,
    tarfile.FIFOTYPE,
}
# Members of a package, which may be a few KiB for any number of them; a large one of Debian's has
# 100,000.
MOST_IN_PACKAGE: Final = 250_000
# Bytes of a member's name, on average.
_MEAN_NAME: Final = 128


class PackageMember(tarfile.TarInfo):
    """A member of a Debian package's archive."""

    types: frozenset[bytes] = _OF_PACKAGES

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> PackageMember:
        """A member from its header.

        Raises:
            tarfile.ReadError: of a kind, or with a name of a length, that no such archive has.
        """
        found = super().frombuf(buf, encoding, errors)
        if found.type not in cls.types:
            raise tarfile.ReadError(f"a member of the kind {found.type!r}")
        if found.type in _LONG and found.size > LONGEST_PATH + 1:
            raise tarfile.ReadError(f"a name of {found.size} bytes")
        if found.size < 0:
            raise tarfile.ReadError("a member of a negative size")
        return found


class PlainMember(PackageMember):
    """A member whose name fits its header."""

    types = _OF_PACKAGES - _LONG


def each(archive: tarfile.TarFile, most: int = MOST_ENTRIES) -> Iterator[tarfile.TarInfo]:
    """The members of an archive that is read as a stream; there may be `most`.

    Raises:
        tarfile.ReadError: damaged, or there are more members or names than there may be.
    """
    count = names = 0
    while (member := archive.next()) is not None:
        count += 1
        names += len(member.name)
        if count > most or names > most * _MEAN_NAME:
            raise tarfile.ReadError("more or longer names than a tree can have")
        yield member
        archive.members.clear()  # type: ignore[attr-defined] # typeshed has no such list
