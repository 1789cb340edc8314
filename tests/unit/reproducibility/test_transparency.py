"""The public log's proofs: the real one holds, and nothing holds once anything is changed."""

from __future__ import annotations

import base64
import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from reproducibility import digest as digests
from reproducibility import transparency
from reproducibility.errors import ComparisonError, InputError
from reproducibility.transparency import TreeHead, Verifier

if TYPE_CHECKING:
    from collections.abc import Callable

REAL = json.loads((Path(__file__).parent / "toolchain_record.json").read_text(encoding="utf-8"))
MODULE, VERSION = "golang.org/toolchain", "v0.0.1-go1.27.3.linux-arm64"
NUMBER: int = REAL["number"]
RECORD = "\n".join([*REAL["record"], ""])
NOTE = "\n".join([*REAL["tree_head"], ""])
PROOF = [base64.b64decode(step) for step in REAL["proof"]]
LOG = Verifier.parse(transparency.GO_SUM_DATABASE)
REFUSED = (ComparisonError, InputError)


def check(number: int, record: str, note: str, proof: list[bytes]) -> TreeHead:
    return transparency.check(transparency.parse_record(number, record), note, proof, LOG)


def other(character: str) -> str:
    return "A" if character != "A" else "B"


def test_the_real_record_is_in_the_tree_that_the_log_signed() -> None:
    head = check(NUMBER, RECORD, NOTE, PROOF)
    assert head.size == 70_835_252
    record = transparency.parse_record(NUMBER, RECORD)
    assert record.h1(MODULE, VERSION) == "h1:VY4gDzfxOrsM17J2qtgZgiAIsWhp7XWK1jMfE3kXV0s="


def test_the_answer_of_the_log_is_record_and_note() -> None:
    record, note = transparency.parse_lookup(f"{NUMBER}\n{RECORD}\n{NOTE}")
    assert (record.number, record.text, note) == (NUMBER, RECORD, NOTE)


def test_no_character_of_the_record_can_change() -> None:
    for at, character in enumerate(RECORD):
        with pytest.raises(REFUSED):
            check(NUMBER, RECORD[:at] + other(character) + RECORD[at + 1 :], NOTE, PROOF)


def test_no_character_of_the_signed_tree_head_can_change() -> None:
    for at, character in enumerate(NOTE):
        with pytest.raises(REFUSED):
            check(NUMBER, RECORD, NOTE[:at] + other(character) + NOTE[at + 1 :], PROOF)


@pytest.mark.once
def test_no_bit_of_the_proof_can_change() -> None:
    for step, known in enumerate(PROOF):
        for bit in range(0, 256, 5):
            changed = (int.from_bytes(known) ^ (1 << bit)).to_bytes(32)
            with pytest.raises(ComparisonError, match="does not lead to the root"):
                check(NUMBER, RECORD, NOTE, [*PROOF[:step], changed, *PROOF[step + 1 :]])


@pytest.mark.parametrize(
    ("number", "proof", "words"),
    [
        (NUMBER + 1, PROOF, "does not lead"),
        (NUMBER ^ (1 << 20), PROOF, "does not lead"),
        (70_835_252, PROOF, "cannot lie in a tree"),
        (NUMBER, PROOF[:-1], "too short"),
        (NUMBER, PROOF[1:], "too short"),
        (NUMBER, [*PROOF, PROOF[0]], "too long"),
        (NUMBER, [], "too short"),
        (NUMBER, [PROOF[1], PROOF[0], *PROOF[2:]], "does not lead"),
    ],
)
def test_a_proof_is_for_one_place(number: int, proof: list[bytes], words: str) -> None:
    with pytest.raises(ComparisonError, match=words):
        check(number, RECORD, NOTE, proof)


def test_a_record_is_about_one_module_version() -> None:
    record = transparency.parse_record(NUMBER, RECORD)
    with pytest.raises(InputError, match="is not about"):
        record.h1(MODULE, VERSION.replace("arm64", "amd64"))
    assert record.h1(MODULE, f"{VERSION}/go.mod") != record.h1(MODULE, VERSION)


def test_a_note_by_another_key_of_the_same_name_is_refused() -> None:
    key, verifier = make_key(LOG.name)
    with pytest.raises(ComparisonError, match="not signed by"):
        transparency.open_note(NOTE, verifier)
    forged = sign(key, verifier, NOTE.partition("\n\n")[0] + "\n")
    with pytest.raises(ComparisonError, match="not signed by"):
        transparency.open_note(forged, LOG)
    # The same with the true key's hash in front: the name is right, the signature is not.
    signature = base64.b64encode(LOG.key_hash + bytes(64)).decode()
    with pytest.raises(ComparisonError, match="does not fit"):
        transparency.open_note(
            f"{NOTE.partition(chr(10) * 2)[0]}\n\n— {LOG.name} {signature}\n", LOG
        )


def test_a_second_spelling_of_the_same_signature_is_refused() -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    assert NOTE.endswith("=\n")
    last = alphabet[alphabet.index(NOTE[-3]) ^ 1]  # a bit that no byte holds
    with pytest.raises(InputError, match="not a signature"):
        check(NUMBER, RECORD, f"{NOTE[:-3]}{last}=\n", PROOF)


def test_a_further_signature_does_no_harm() -> None:
    key, verifier = make_key("witness")
    more = sign(key, verifier, NOTE.partition("\n\n")[0] + "\n").splitlines()[-1]
    text, signatures = NOTE.split("\n\n")
    assert check(NUMBER, RECORD, f"{text}\n\n{more}\n{signatures}", PROOF).size == 70_835_252


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+00000000+AAAA",
        transparency.GO_SUM_DATABASE.replace("033de0ae", "033de0af"),
        transparency.GO_SUM_DATABASE.replace("sum.", "sun."),
        transparency.GO_SUM_DATABASE.replace("+Ac4z", "+Ac4y"),
        transparency.GO_SUM_DATABASE.replace("+Ac4z", "+Bc4z"),
        transparency.GO_SUM_DATABASE[:-1],
        transparency.GO_SUM_DATABASE.replace("033de0ae", "nothexad"),
    ],
)
def test_a_verifier_key_that_does_not_fit_itself_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        Verifier.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "go.sum database tree\n",
        "go.sum database tree\n5\n",
        "go.sum database tree\n05\n" + base64.b64encode(bytes(32)).decode() + "\n",
        "go.sum database tree\n-5\n" + base64.b64encode(bytes(32)).decode() + "\n",
        "go.sum database tree\n5\n" + base64.b64encode(bytes(31)).decode() + "\n",
        "another tree\n5\n" + base64.b64encode(bytes(32)).decode() + "\n",
    ],
)
def test_a_malformed_tree_head_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="not a tree head"):
        transparency.parse_tree_head(text)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (
        transparency.parse_lookup,
        transparency.parse_tree_head,
        Verifier.parse,
        lambda given: transparency.open_note(given, LOG),
        lambda given: transparency.parse_record(1, given),
    ):
        try:
            read(text)
        except REFUSED:
            continue


@pytest.mark.parametrize(
    ("level", "number", "width", "path"),
    [
        (0, 271398, 256, "8/0/x271/398"),
        (1, 1080, 220, "8/1/x001/080.p/220"),
        (3, 0, 4, "8/3/000.p/4"),
        (0, 1234067, 8, "8/0/x001/x234/067.p/8"),
    ],
)
def test_tiles_lie_where_the_go_command_puts_them(
    level: int, number: int, width: int, path: str
) -> None:
    assert transparency.tile_path(level, number, width) == path


@given(st.data())
def test_a_proof_made_of_tiles_leads_to_the_root(data: st.DataObject) -> None:
    size = data.draw(st.one_of(st.integers(1, 600), st.sampled_from([65_536, 66_000])))
    number = data.draw(st.integers(0, size - 1))
    levels, expected = log_of(size)
    proof = transparency.prove(number, size, tiles(levels))
    record = transparency.Record(number, f"record {number}\n")
    assert transparency.root_from_proof(record, size, proof) == expected
    wrong = transparency.Record(number, "another\n")
    assert transparency.root_from_proof(wrong, size, proof) != expected


def test_a_short_tile_and_a_record_outside_are_refused() -> None:
    with pytest.raises(InputError, match="too short"):
        transparency.prove(3, 300, lambda _level, _tile, _width: bytes(32))
    with pytest.raises(ComparisonError, match="cannot lie"):
        transparency.prove(300, 300, lambda _level, _tile, _width: b"")


def make_key(name: str) -> tuple[Ed25519PrivateKey, Verifier]:
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public = key.public_key().public_bytes_raw()
    key_hash = digests.sha256_of_bytes(f"{name}\n".encode() + b"\x01" + public).hex[:8]
    encoded = base64.b64encode(b"\x01" + public).decode()
    return key, Verifier.parse(f"{name}+{key_hash}+{encoded}")


def sign(key: Ed25519PrivateKey, verifier: Verifier, text: str) -> str:
    signature = base64.b64encode(verifier.key_hash + key.sign(text.encode())).decode()
    return f"{text}\n— {verifier.name} {signature}\n"


@functools.cache
def log_of(size: int) -> tuple[list[list[bytes]], bytes]:
    """The hashes of a log with so many records, and its root."""
    leaves = [transparency.leaf_hash(f"record {at}\n") for at in range(size)]
    return all_levels(leaves), root(leaves)


def all_levels(leaves: list[bytes]) -> list[list[bytes]]:
    """The complete subtrees' hashes, from the leaves up: what a log's tiles are cut of."""
    levels = [leaves]
    while len(levels[-1]) > 1:
        below = levels[-1]
        pairs = zip(below[::2], below[1::2], strict=False)
        levels.append([transparency.node_hash(left, right) for left, right in pairs])
    return levels


def tiles(levels: list[list[bytes]]) -> Callable[[int, int, int], bytes]:
    def read(level: int, tile: int, width: int) -> bytes:
        hashes = levels[level * 8][tile * 256 : tile * 256 + width]
        assert len(hashes) == width
        return b"".join(hashes)

    return read


def root(leaves: list[bytes]) -> bytes:
    """The definition in RFC 6962 section 2.1, word for word."""
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return transparency.node_hash(root(leaves[:half]), root(leaves[half:]))
