"""Addresses: which texts are one, and that none leads anywhere else."""

from __future__ import annotations

from urllib.parse import unquote, urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.markup.addresses import Https, Within, https, within
from tests.pages import HOSTILE

# Signs that are nothing but signs in an address.
NO_PATHS = [words for words in HOSTILE if words != "&lt;b&gt;"]
BASE = "https://site.example/nightly/nights/000012/index.html"


@pytest.mark.parametrize(
    "path",
    [
        "index.html",
        "nights/000012/index.html",
        "../../index.html#night-12",
        "logs/F1%20b.log",
        "a@b",
    ],
)
def test_relative_addresses(path: str) -> None:
    assert str(Within(path)) == path


@pytest.mark.parametrize(
    "path",
    [
        *NO_PATHS, "", "/", "/etc/passwd", "//evil.example", "https://evil.example", "a:b", "a//b",
        "a/../b", "a/..", "..", "../..", "./a", "a/./b", "a/", "a?b", "a#B", "a#", "#a", "a b",
        "a\\b", "%2e", "%zz", "../" * 9 + "a", "index.html\n",
    ],
)  # fmt: skip
def test_what_is_no_relative_address(path: str) -> None:
    with pytest.raises(ValueError, match="no relative address"):
        Within(path)


PARTS = st.sampled_from(["..", ".", "", "a", "b c", "%2e%2e", "#", "?", ":", "\\"])


@given(st.text() | st.lists(PARTS, max_size=4).map("/".join))
def test_a_file_by_any_name_stays_in_its_folder(name: str) -> None:
    found = within("../../nights/000012/", name)
    if found is None:
        return
    there = urlsplit(urljoin(BASE, str(found)))
    assert (there.scheme, there.netloc) == ("https", "site.example")
    folder, _, rest = there.path.partition("/nightly/nights/000012/")
    assert folder == ""
    assert (unquote(rest), there.query, there.fragment) == (name, "", "")


def test_names_that_have_no_address() -> None:
    for name in ("", "/a", "a//b", "..", "../a", "a/../b", "./a", "a/", "\ud800"):
        assert within("nights/000012/", name) is None
    assert str(within("", "logs/a b.log")) == "logs/a%20b.log"


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org", "https://example.org/", "https://example.org:8443/a/b?c=d#e",
        "https://go.example/+log/go1.26.5..go1.26.6", "https://a-b.example?x", "https://localhost:1/x",
        "https://example.org/compare/v1.0...v1.1", "https://example.org/%E2%80%AE",
    ],
)  # fmt: skip
def test_addresses_by_https(url: str) -> None:
    assert str(https(url)) == url


@pytest.mark.parametrize(
    "url",
    [
        *HOSTILE, "", "http://example.org/", "HTTPS://example.org", "https:/example.org",
        "https://", "https://user@example.org/", "https://user:word@example.org/",
        "https://example.org\\@evil.example/", "https://-a.example/", "https://a..example/",
        'https://example.org/"onclick="alert(1)', "https://example.org/<script>",
        "https://example.org/a b", "https://example.org/\n", "https://example.org/%zz",
        "https://ехаmple.org/", "https://example.org/" + "a" * 2000, "javascript:https://a.example",
    ],
)  # fmt: skip
def test_what_is_no_address_by_https(url: str) -> None:
    assert https(url) is None
    with pytest.raises(ValueError, match="no https address"):
        Https(url)
