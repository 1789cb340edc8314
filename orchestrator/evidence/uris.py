"""URIs of our own that statements and bills of materials name. docs/evidence.md explains each.

They are names and lead nowhere: a URN has no host that somebody else could come to own.
"""

from __future__ import annotations

from typing import Final

_OWN = "urn:x-sourcery"

BUILD_TYPE: Final = f"{_OWN}:build-type:image:1"
BUILDER: Final = f"{_OWN}:builder:orchestrate"
COMPARISON: Final = f"{_OWN}:predicate:comparison:1"
AUDIT: Final = f"{_OWN}:predicate:audit:1"
DOCUMENT: Final = f"{_OWN}:spdx"

STATEMENT: Final = "https://in-toto.io/Statement/v1"
SLSA: Final = "https://slsa.dev/provenance/v1"
