from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope as Theirs
from securesystemslib.signer import CryptoSigner, SSlibKey

from orchestrator.evidence import dsse, keys
from orchestrator.evidence.dsse import Envelope, Signature
from reproducibility.errors import InputError

PAYLOAD = b'{"_type":"https://in-toto.io/Statement/v1"}'
SIGNATURES = st.tuples(st.text("0123456789abcdef", max_size=64), st.binary(max_size=70))
ENVELOPES = st.builds(
    Envelope,
    st.binary(max_size=200),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
    st.lists(SIGNATURES.map(lambda pair: Signature(*pair)), max_size=3).map(tuple),
)


@given(st.lists(ENVELOPES, max_size=4))
def test_what_is_written_reads_back(envelopes: list[Envelope]) -> None:
    written = dsse.dumps(envelopes)
    assert dsse.parse_lines(written) == tuple(envelopes)
    assert written.count(b"\n") == len(envelopes)


def test_the_encoding_is_that_of_the_specification() -> None:
    # The example of the DSSE protocol.
    envelope = Envelope(b"hello world", "http://example.com/HelloWorld")
    assert envelope.pae == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


@given(st.binary(max_size=100), st.text("aé/+", min_size=1, max_size=10))
def test_it_is_that_of_securesystemslib(payload: bytes, kind: str) -> None:
    assert Envelope(payload, kind).pae == Theirs(payload, kind, {}).pae()


def test_securesystemslib_accepts_a_signed_envelope() -> None:
    key = keys.generate()
    line = dsse.dumps([key.sign(Envelope(PAYLOAD))])
    theirs = Theirs.from_dict(json.loads(line))
    own = SSlibKey.from_crypto(key.public.key)
    assert theirs.verify([own], 1) == {key.public.keyid: own}


def test_an_envelope_of_securesystemslib_is_read() -> None:
    key = keys.generate()
    theirs = Theirs(PAYLOAD, dsse.PAYLOAD_TYPE, {})
    theirs.sign(CryptoSigner(key.key))
    assert dsse.parse(theirs.to_dict()) == key.sign(Envelope(PAYLOAD))


def test_signing_twice_changes_nothing() -> None:
    key, other = keys.generate(), keys.generate()
    once = key.sign(Envelope(PAYLOAD))
    assert key.sign(once) is once
    both = other.sign(once)
    assert len(both.signatures) == 2
    assert key.sign(both) == both


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"{}",
        b'{"payload":"","payloadType":"t","signatures":[],"more":1}',
        b'{"payload":"","payloadType":"","signatures":[]}',
        b'{"payload":"","payloadType":1,"signatures":[]}',
        b'{"payload":1,"payloadType":"t","signatures":[]}',
        b'{"payload":"*","payloadType":"t","signatures":[]}',
        b'{"payload":"AB==","payloadType":"t","signatures":[]}',
        b'{"payload":"\xc3\xa9","payloadType":"t","signatures":[]}',
        b'{"payload":"","payloadType":"t","signatures":{}}',
        b'{"payload":"","payloadType":"t","signatures":[1]}',
        b'{"payload":"","payloadType":"t","signatures":[{"keyid":"a"}]}',
        b'{"payload":"","payloadType":"t","signatures":[{"keyid":1,"sig":""}]}',
        b'{"payload":"","payloadType":"t","signatures":[{"keyid":"a","sig":"a"}]}',
    ],
)
def test_anything_else_is_refused(line: bytes) -> None:
    with pytest.raises(InputError):
        dsse.parse_lines(line + b"\n")


def test_a_line_that_does_not_end_is_refused() -> None:
    with pytest.raises(InputError, match="does not end"):
        dsse.parse_lines(dsse.dumps([Envelope(PAYLOAD)])[:-1])


def test_an_error_names_the_line() -> None:
    with pytest.raises(InputError, match=r"p\.jsonl, line 2"):
        dsse.parse_lines(dsse.dumps([Envelope(PAYLOAD)]) + b"{}\n", "p.jsonl")


@given(st.binary(max_size=300))
def test_bytes_never_crash_the_reader(data: bytes) -> None:
    with contextlib.suppress(InputError):
        dsse.parse_lines(data)


def test_more_lines_than_anybody_has_are_refused() -> None:
    with pytest.raises(InputError, match="more than"):
        dsse.parse_lines(b"\n" * 5000)
