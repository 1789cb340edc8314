"""Names of what is in an output directory. Nothing here reads or writes it."""

from __future__ import annotations

from typing import Final

RESULT: Final = "result.json"
# Byte copies of the spec and the lock that the build read.
SPEC: Final = "sourcery.toml"
LOCK: Final = "sourcery.lock"
# Object from each action digest of result.json to its canonical document.
ACTIONS: Final = "actions.json"
# One DSSE envelope a line.
PROVENANCE: Final = "provenance.intoto.jsonl"
SBOM: Final = "sbom.spdx.json"
# The files of the image, which that one refers to.
SBOM_FILES: Final = "sbom-files.spdx.json"
JUNIT: Final = "junit.xml"
REPORT: Final = "report.html"
SHA256SUMS: Final = "SHA256SUMS"
B3SUMS: Final = "B3SUMS"
# What `orchestrate audit` leaves beside them, of the build that lies there.
AUDIT: Final = "audit.json"
LOGS: Final = "logs"
# The step that makes root, image and archive.
IMAGE_STEP: Final = "image"

SUMS: Final = (SHA256SUMS, B3SUMS)
COPIES: Final = (SPEC, LOCK)
