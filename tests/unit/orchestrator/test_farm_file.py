"""The file that --farm names: what it takes, and how it says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from containers.remote.farm import Farm, Headers, Tls, Workers
from orchestrator import farm_file
from reproducibility.errors import InputError

ORIGIN = Path("/project/farm.toml")
SMALL = """\
address = "grpc://localhost:50051"
[workers.amd64]
processors = 4
properties = { OSFamily = "linux", ISA = "x86-64" }
"""
LARGE = """\
address = "grpcs://farm.example.org:443"
storage = "grpcs://cas.example.org:443"
instance = "main"
actions = 32
timeout = 3600
patience = 60
cache = "own"
key = "keys/own.pem"

[tls]
authority = "/etc/ca.pem"
certificate = "me.pem"
key = "me.key"

[headers]
command = ["get-token", "--farm"]

[workers.amd64]
processors = 4

[workers.arm64]
processors = 8
properties = { ISA = "aarch64" }
"""


def parse(text: str) -> Farm:
    return farm_file.parse(text, ORIGIN)


def test_little_is_enough() -> None:
    assert parse(SMALL) == Farm(
        address="localhost:50051",
        workers={"amd64": Workers((("ISA", "x86-64"), ("OSFamily", "linux")), 4)},
    )


def test_everything_can_be_said() -> None:
    folder = ORIGIN.parent
    assert parse(LARGE) == Farm(
        address="farm.example.org:443",
        storage="cas.example.org:443",
        instance="main",
        actions=32,
        timeout=3600,
        patience=60,
        cache="own",
        key=folder / "keys/own.pem",
        tls=Tls(Path("/etc/ca.pem"), folder / "me.pem", folder / "me.key"),
        headers=Headers(command=("get-token", "--farm")),
        workers={"amd64": Workers((), 4), "arm64": Workers((("ISA", "aarch64"),), 8)},
    )


def test_nothing_of_the_cache_is_believed_unless_it_is_said() -> None:
    assert parse(SMALL).cache == "none"


def test_an_encrypted_address_needs_no_table() -> None:
    assert parse(SMALL.replace("grpc:", "grpcs:")).tls == Tls()


def test_sockets_of_the_file_system() -> None:
    assert parse(SMALL.replace("grpc://localhost:50051", "unix:/run/farm")).address == (
        "unix:/run/farm"
    )


@pytest.mark.parametrize(
    ("was", "now", "words"),
    [
        ("grpc://localhost:50051", "localhost:50051", "address: got 'localhost:50051'"),
        ("grpc://localhost:50051", "https://x:1", "address"),
        ("grpc://localhost:50051", "grpc://localhost", "address"),
        ("grpc://localhost:50051", "grpc://a b:1", "address"),
        ("grpc://localhost:50051", "unix:run", "address"),
        ("processors = 4", "processors = 0", "workers.amd64.processors: got 0"),
        ("processors = 4\n", "", "workers.amd64.processors: missing"),
        ("[workers.amd64]", "[workers.vax]", "workers.vax"),
        ("[workers.amd64]", 'cache = "some"\n[workers.amd64]', "cache: got 'some'"),
        ("[workers.amd64]", "adress = 1\n[workers.amd64]", "adress: unknown key"),
        ("[workers.amd64]", "[tls]\n[workers.amd64]", "tls: the address is not encrypted"),
        (
            "[workers.amd64]",
            '[headers]\nfile = "a"\ncommand = ["b"]\n[workers.amd64]',
            "headers: both a file and a command",
        ),
        ("[workers.amd64]", 'cache = "own"\n[workers.amd64]', "cache: no key to sign"),
        ("[workers.amd64]", 'key = "k"\n[workers.amd64]', "key: counts with"),
        ("[workers.amd64]", 'key = ""\n[workers.amd64]', "key: got ''"),
        (
            "[workers.amd64]",
            'storage = "grpcs://a:1"\n[workers.amd64]',
            "storage: one of the addresses is encrypted",
        ),
    ],
)
def test_a_mistake_is_said_with_its_key(was: str, now: str, words: str) -> None:
    assert was in SMALL
    with pytest.raises(InputError) as caught:
        parse(SMALL.replace(was, now))
    assert words in caught.value.summary
    assert "line" in caught.value.subject or "mistakes" in caught.value.summary


def test_a_farm_without_workers_is_a_mistake() -> None:
    with pytest.raises(InputError, match="workers"):
        parse('address = "grpc://localhost:1"\n')


@pytest.mark.parametrize("address", ["grpc://farm.example.org:1", "grpc://10.0.0.1:1"])
def test_a_token_does_not_travel_in_the_open(address: str) -> None:
    text = SMALL.replace("grpc://localhost:50051", address)
    assert parse(text).tls is None
    with pytest.raises(InputError, match="readable on the way"):
        parse(text.replace("[workers", '[headers]\nfile = "token"\n[workers'))
    parse(SMALL.replace("[workers", '[headers]\nfile = "token"\n[workers'))


def test_a_certificate_needs_its_key() -> None:
    with pytest.raises(InputError, match="belong together"):
        parse(LARGE.replace('key = "me.key"\n', ""))


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the farm's file"):
        farm_file.load(tmp_path / "none.toml")


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "farm.toml").write_text(SMALL)
    assert farm_file.load(tmp_path / "farm.toml") == parse(SMALL)
