"""Credentials are taken out of text, in whatever form they stand there, and nothing else is."""

from __future__ import annotations

import base64
import re
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reproducibility.errors import InputError
from reproducibility.redaction import HIDDEN, redact, secrets_of

HOSTS = st.sampled_from(
    ["proxy.example", "127.0.0.1:9", "[::1]:8080", "a-b.example:443", "h", "user.example"]
)
PATHS = st.sampled_from(["", "/", "/simple/", "/a/@v/v1.0.0.info", "/x?y=z@w", "/go@1/#f"])
SCHEMES = st.sampled_from(["http", "https", "HTTP", "socks5", "git+https", "tcp"])
# Hard to mistake for a part of anything else, and longer than what is looked for letter by letter.
SECRETS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=8).map(
    lambda text: f"S3{text}cReT"
)
SEPARATORS = st.sampled_from([",", "|", " ", "\n", ", ", " | "])
NAMES = st.sampled_from(["user", "u-v", "", "me@work"])
# Texts that hold no credentials, with everything in them that looks a little like some.
PIECES = st.sampled_from(
    [
        "example.org/x@v1.2.3",
        "https://proxy.example/example.org/x/@v/v1.404.0.info",
        "http://127.0.0.1:9/simple/ user@mail.example",
        'Get "http://[::1]:80/a@b": dial tcp [::1]:80: connect: connection refused',
        "file:///store/a@b:c/x@y",
        "ssh://git@host.example/x.git",
        "image:tag@sha256:0123",
        "go: example.org/x@v1 => ../x:y@z",
        "E: Failed to fetch http://mirror.example/pool/a_1%3a2_amd64.deb  404  Not Found",
        "http://a.example,direct|off",
        "key: value@home 10:20@30",
        "q=http%3A%2F%2Fproxy.example%2Fa%40b",
        "basic needs, bearer of news",
        "://@ http:// @",
    ]
)


def plain(secret: str) -> str:
    """A secret as an address may hold it: what ends the place for it is encoded."""
    return quote(secret, safe="!$&'()*+,;=:~@|")


@given(SCHEMES, NAMES, SECRETS, HOSTS, PATHS)
def test_no_address_shows_its_password(
    scheme: str, name: str, secret: str, host: str, path: str
) -> None:
    for user in (f"{name}:{plain(secret)}", plain(secret), f"{name}:{quote(secret, safe='')}"):
        text = f'reading "{scheme}://{user}@{host}{path}": 404 Not Found'
        found = redact(text)
        assert "cReT" not in found
        assert found == f'reading "{scheme}://{HIDDEN}@{host}{path}": 404 Not Found'
        assert redact(found) == found


@given(st.lists(st.tuples(SCHEMES, SECRETS, HOSTS, PATHS), min_size=1, max_size=4), SEPARATORS)
def test_no_list_of_addresses_shows_a_password(
    parts: list[tuple[str, str, str, str]], separator: str
) -> None:
    addresses = [
        f"{scheme}://u:{quote(secret, safe='')}@{host}{path}"
        for scheme, secret, host, path in parts
    ]
    found = redact(separator.join([*addresses, "direct"]))
    assert "cReT" not in found
    assert found.endswith("direct")
    assert all(host in found for _, _, host, _ in parts)


@given(NAMES, SECRETS, HOSTS, st.data())
def test_no_spelling_of_a_known_secret_is_shown(
    name: str, secret: str, host: str, data: st.DataObject
) -> None:
    user = f"{quote(name)}:{quote(secret, safe='')}"
    form = data.draw(st.sampled_from([f"https://{user}@{host}/x,direct", f"{user}@{host}"]))
    known = secrets_of(["unrelated", form])
    escaped = quote(secret, safe="")
    for spelling in (
        secret,
        escaped,
        re.sub("%..", lambda found: found[0].lower(), escaped),
        quote(secret),
        quote_plus(secret),
        base64.b64encode(user.encode()).decode(),
        base64.b64encode(f"{name}:{secret}".encode()).decode(),
    ):
        found = redact(f"fatal: could not log in with <{spelling}> there", known)
        assert spelling not in found
        assert found.startswith("fatal: could not log in with <")


@pytest.mark.parametrize("sign", list("/?#:@%,|&=+'\\"))
def test_a_password_that_should_have_been_encoded_is_not_shown_either(sign: str) -> None:
    secret = f"s3cr{sign}et"
    address = f"http://user:{secret}@proxy.example:3128/x"
    found = redact(f"cannot use {address} today", secrets_of([address]))
    assert secret not in found
    assert "s3cr" not in found


@given(st.lists(PIECES, max_size=6), st.sampled_from([" ", "\n", ": "]))
def test_text_without_credentials_stays_as_it_is(pieces: list[str], between: str) -> None:
    text = between.join(pieces)
    assert redact(text) == text
    assert redact(text, secrets_of(["http://u:s3cret@h", "me@mail.example", text])) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ssh://git@host/x", "ssh://git@host/x"),
        ("ssh://me:s3cret@host/x", "ssh://me:***@host/x"),
        ("tcp://me:s3cret@host:2375", "tcp://***@host:2375"),
        ("a?u=https%3a%2f%2fme%3as3cret%40h%2fx", "a?u=https%3a%2f%2f***%40h%2fx"),
        ("http://a,https://me:s3cret@b|c", "http://a,https://***@b|c"),
        ("Authorization: Basic bWU6czNjcmV0", "Authorization: Basic ***"),
        ("'http://me:s3cret@h'", "'http://***@h'"),
        ("{'u': \"http://me:s3cret@h\"}", "{'u': \"http://***@h\"}"),
    ],
)
def test_what_is_left(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_a_token_in_the_place_of_a_name_is_a_secret() -> None:
    assert "t0ken-here" in secrets_of(["https://t0ken-here@host/x"])
    assert "t0ken-here" in secrets_of(["AUTHORIZATION: bearer t0ken-here"])
    assert secrets_of(["ssh://git-user@host/x", "someone@mail.example", "PATH=/a:/b@c"]) == set()


def test_an_error_shows_no_credentials_whoever_raises_it() -> None:
    bad = "http://me:s3cret@host/x"
    error = InputError(f"no {bad}", subject=bad, remedy=f"do not use {bad}")
    assert "s3cret" not in "".join([str(error), repr(error), error.summary, *error.args])
    assert error.subject == "http://***@host/x"
