"""Notice at the end of an action's output that was cut at the limit of its log (`limits.log`).

The launcher of farms writes the same words (`containers/remote/launcher/logs.go`).
"""

from __future__ import annotations

import re

# As many bytes as the longest notice can have, and more.
_ROOM = 80
_NOTICE = re.compile(rb"\n\[cut at ([0-9]+) of ([0-9]+) bytes\]\n\Z")


def notice(limit: int, seen: int) -> bytes:
    """Return the last line of output that was cut; itself cut where there is no room for it."""
    return f"\n[cut at {limit} of {seen} bytes]\n".encode()[:limit]


def was_cut(data: bytes, limit: int | None) -> bool:
    """Return whether kept output is only the beginning of what was written.

    `limit`: of the log, None where it is not known. Where it leaves no room for a notice, all
    output that fills it counts as cut.
    """
    if limit is None:
        limit = max(len(data), _ROOM)
    if len(data) != limit:
        return len(data) > limit
    if limit < _ROOM:
        return True
    found = _NOTICE.search(data[-_ROOM:])
    return found is not None and int(found[1]) == limit < int(found[2])
