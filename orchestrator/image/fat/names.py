"""VFAT names: how they compare, how many directory entries they take, whether they are allowed.

Everything here is about a single part of a path. Sources: Microsoft "FAT: General Overview of
On-Disk Format" 1.03 (fatgen103), sections "FAT 32 Byte Directory Entry Structure" and "FAT Long
Directory Entries"; Microsoft "Naming Files, Paths, and Namespaces" for the reserved names; Linux
fs/fat/namei_vfat.c.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from reproducibility import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

# A long name lies in slots of 13 UTF-16 units each, at most 20 of them hold 255 units.
UNITS_PER_SLOT = 13
MAX_UNITS = 255

# Letters, digits and these signs may stand in an 8.3 name; OEM code page characters above 127 may
# too, but they mean another character on each machine.
_SHORT_CHARACTERS = r"A-Z0-9!#$%&'()\-@^_`{}~"
_SHORT = re.compile(rf"[{_SHORT_CHARACTERS}]{{1,8}}(?:\.[{_SHORT_CHARACTERS}]{{1,3}})?")
# A name that only has to be cut to become an 8.3 name.
_TOO_LONG = re.compile(
    rf"([{_SHORT_CHARACTERS}]{{1,8}})[{_SHORT_CHARACTERS}]*"
    rf"(?:\.([{_SHORT_CHARACTERS}]{{1,3}})[{_SHORT_CHARACTERS}]*)?"
)
_NOT_SHORT_CHARACTER = re.compile(rf"[^{_SHORT_CHARACTERS}]")

_FORBIDDEN = re.compile(r'["*/:<>?\\|\x00-\x1f\x7f]')
# U+FFFF fills the unused units of a long name, U+FFFE is a byte order mark read the wrong way.
_NONCHARACTER = re.compile("[\ufffe\uffff]")
_BEYOND_16_BITS = re.compile("[\U00010000-\U0010ffff]")
_DEVICE = re.compile(
    r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[1-9\u00b9\u00b2\u00b3]) *(?:\..*)?",
    re.IGNORECASE | re.DOTALL,
)
# The first letters of the reserved names: a cheap test that spares most names the one above.
_DEVICE_INITIALS = frozenset("CPANLcpanl")


def folded(name: str) -> str:
    """The name as VFAT compares it: every UTF-16 unit in upper case, one for one.

    Python maps some characters to several ("ß" to "SS"); VFAT leaves these as they are.
    """
    if name.isascii():
        return name.upper()
    return "".join(map(_upper, name))


def all_folded(found: Sequence[str]) -> list[str]:
    """Each name folded; many at once are faster than one by one. No name may hold a line feed."""
    joined = "\n".join(found)
    if found and joined.isascii():
        return joined.upper().split("\n")
    return [folded(name) for name in found]


def _upper(character: str) -> str:
    upper = character.upper()
    if len(upper) == 1:
        return upper
    # A Greek letter with iota has a one-character capital only as a title letter.
    title = character.title()
    return title if len(title) == 1 else character


def units(name: str) -> int:
    """Length in UTF-16 units."""
    return len(name) if name.isascii() else len(name.encode("utf-16-le", "surrogatepass")) // 2


def is_short(name: str) -> bool:
    """Return whether the name is an 8.3 name (upper case), and so needs no long form."""
    return _SHORT.fullmatch(name) is not None


def basis(upper: str) -> tuple[str, str, bool]:
    """Return what an alias for a folded name is made from.

    Base of at most 8 and extension of at most 3 characters, and whether they are the name itself.
    fatgen103, "The Basis-Name Generation Algorithm": spaces and all dots but the last go, what an
    8.3 name cannot hold becomes `_`.
    """
    plain = _TOO_LONG.fullmatch(upper)
    if plain:
        base, extension = plain.groups("")
        return base, extension, len(upper) == len(base) + len(extension) + bool(extension)
    stem, dot, extension = upper.lstrip(". ").rpartition(".")
    if not dot:
        stem, extension = extension, ""
    stem = stem.replace(" ", "").replace(".", "")[:8]
    extension = extension.replace(" ", "")[:3]
    return (
        _NOT_SHORT_CHARACTER.sub("_", stem),
        _NOT_SHORT_CHARACTER.sub("_", extension),
        False,
    )


def slots(name: str) -> int:
    """32-byte directory entries that the name takes, the 8.3 entry included."""
    return 1 if is_short(name) else 1 - (-units(name) // UNITS_PER_SLOT)


def complaint(name: str) -> str:  # noqa: PLR0911 - one return a rule
    """Return why VFAT or a system that reads it cannot hold the name; empty where it can."""
    found = _FORBIDDEN.search(name)
    if found:
        return f"the character {found.group()!r} is forbidden in a FAT name"
    if name[-1] in ". ":
        return "a FAT name cannot end in a dot or a space (readers drop it)"
    if name[0] in _DEVICE_INITIALS and _DEVICE.fullmatch(name):
        return "the name is reserved for a device on Windows, with any extension"
    if not name.isascii():
        control = visible.control_in(name)
        if control:
            return f"the name holds {control}, which would steer how it is shown"
        if _BEYOND_16_BITS.search(name):
            return "characters beyond U+FFFF are lost by readers of 16-bit names (UEFI, mtools)"
        if _NONCHARACTER.search(name):
            return "U+FFFE and U+FFFF are no characters; FAT uses U+FFFF to fill a name up"
    # All that is left has one unit a character.
    if len(name) > MAX_UNITS:
        return f"the name has {len(name)} UTF-16 units, FAT allows {MAX_UNITS}"
    return ""
