"""Form in which this program writes statements, JUnit and page, as a number that they carry.

`orchestrate verify` writes them anew and compares, which it can do for its own form only. Two
versions of the program that write the same have the same form. Who changes a byte of what a writer
gives adds one; tests/unit/orchestrator/artifacts/test_form.py sees it where that was forgotten.
"""

from __future__ import annotations

from typing import Final

FORM: Final = 2
# In the page; the statements have it as a field.
GENERATOR: Final = "sourcery report, form"
