"""`nightly.toml`: what is read, where its paths lie, what is refused and how."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.nightly import config
from orchestrator.nightly.config import Config
from orchestrator.site.pages import pages
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydantic import BaseModel

ORIGIN = Path("/project/ci/nightly.toml")
GOOD = """\
spec = "../sourcery.toml"
lock = "/elsewhere/sourcery.lock"
state = "state"
engine = "sandbox"
jobs = 3
relock = ["uname", "kernel.amd64"]
keep = "7 nights, 24 months"
fault = [{key = "blake3:KEY", outputs = "blake3:OUTPUTS", reason = "a broken memory module"}]

[store]
folder = "store"
keep_nights = 3

[audit]
budget = "2h"
vary = "+all,-order host"
only = ["commands/*"]
within = 30

[boot]
platforms = ["pc-uefi", "initramfs-arm64"]
commands = ["ls /", "go version"]
seconds = 900

[verify]
policy = "policy.toml"
keys = ["a.pub", "/keys/b.pub"]

[sign]
keys = ["nightly.key"]
passphrase_file = "passphrase"

[notify]
when = "bad"
command = ["/usr/local/bin/tell", "--room", "builds"]
mail = "builds@example.org"
seconds = 5

[site]
title = "Our nights"
address = "https://builds.example.org/nights"
""".replace("KEY", "a" * 64).replace("OUTPUTS", "b" * 64)


def parse(text: str) -> Config:
    return config.parse(text, ORIGIN)


def test_every_key_is_read_and_every_path_is_absolute() -> None:
    found = parse(GOOD)
    assert found.document() == {
        "file": None,
        "spec": "/project/sourcery.toml",
        "lock": "/elsewhere/sourcery.lock",
        "state": "/project/ci/state",
        "engine": "sandbox",
        "jobs": 3,
        "relock": ["uname", "kernel.amd64"],
        "keep": "7 nights, 24 months",
        "store": {"folder": "/project/ci/store", "keep_nights": 3},
        "audit": {
            "budget": 7200,
            "vary": "+all,-order host",
            "only": ["commands/*"],
            "within": 30,
        },
        "boot": {
            "platforms": ["pc-uefi", "initramfs-arm64"],
            "commands": ["ls /", "go version"],
            "seconds": 900,
        },
        "verify": {
            "policy": "/project/ci/policy.toml",
            "keys": ["/project/ci/a.pub", "/keys/b.pub"],
        },
        "sign": {
            "keys": ["/project/ci/nightly.key"],
            "passphrase_file": "/project/ci/passphrase",
        },
        "notify": {
            "when": "bad",
            "command": ["/usr/local/bin/tell", "--room", "builds"],
            "mail": "builds@example.org",
            "seconds": 5,
        },
        "site": {"title": "Our nights", "address": "https://builds.example.org/nights/"},
        "fault": [
            {
                "key": f"blake3:{'a' * 64}",
                "outputs": f"blake3:{'b' * 64}",
                "reason": "a broken memory module",
            }
        ],
    }
    assert found.spec == Path("/project/sourcery.toml")
    assert json.loads(json.dumps(found.document())) == found.document()


def keys_of(model: type[BaseModel], table: str = "") -> Iterator[str]:
    """Every key of a model, with the table that it is in."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and hasattr(kind, "model_fields"):
            yield from keys_of(kind, f"{name}.")
        else:
            yield f"{table}{name}"


def test_the_test_has_every_key() -> None:
    table, given = "", set()
    for line in GOOD.splitlines():
        if header := re.fullmatch(r"\[(\w+)\]", line):
            table = f"{header[1]}."
        elif line:
            given.add(table + line.split(" ")[0])
    assert given == set(keys_of(Config))


def test_no_file_at_all_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = config.load(None, lambda: Path("/cache/sourcery"))
    assert found.file is None
    assert (found.spec, found.lock) == (tmp_path / "sourcery.toml", tmp_path / "sourcery.lock")
    assert found.state == tmp_path / "nightly"
    assert found.store.folder == Path("/cache/sourcery")
    assert (found.relock, found.boot.named, found.audit.enabled) == ("all", None, True)
    assert found.document()["file"] is None


def test_the_file_of_the_folder_counts_without_being_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nightly.toml").write_text('[store]\nfolder = "own"\n')
    monkeypatch.chdir(tmp_path)

    def refuse() -> Path:
        raise AssertionError("a store is named")

    found = config.load(None, refuse)
    assert found.store.folder == tmp_path / "own"
    assert found.document()["file"] == str(tmp_path / "nightly.toml")


def test_paths_start_from_the_files_folder_whatever_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ci").mkdir()
    (tmp_path / "ci" / "own.toml").write_text('spec = "../a.toml"\n')
    monkeypatch.chdir(tmp_path)
    found = config.load(Path("ci/own.toml"))
    assert found.spec == tmp_path / "a.toml"
    assert found.state == tmp_path / "ci" / "nightly"
    assert found.store.folder is None


@pytest.mark.parametrize(
    "plant",
    [str, Path.mkdir, os.mkfifo],
    ids=["none", "folder", "fifo"],
)
def test_a_file_that_is_named_must_be_there(
    tmp_path: Path, plant: Callable[[Path], object]
) -> None:
    path = tmp_path / "nightly.toml"
    plant(path)
    with pytest.raises(InputError, match="cannot read the configuration") as refused:
        config.load(path)
    assert "--config" in refused.value.remedy


def test_one_that_cannot_be_read_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nightly.toml").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="cannot read the configuration"):
        config.load(None)


A = "a" * 64
FAULT = f'outputs = "blake3:{A}"\nreason = "memory"'
MISTAKES = [
    ('spek = "a"', 1, "unknown key", "did you mean 'spec'?"),
    ('[notify]\nwen = "bad"', 2, "unknown key", "did you mean 'when'?"),
    ("[adit]", 1, "unknown key", "did you mean 'audit'?"),
    ('spec = ""', 1, "got ''", "the path of the spec"),
    ("spec = 3", 1, "got 3", "the path of the spec"),
    ('lock = "a\\u0001b"', 1, "got 'a\\x01b'", "the path of the lock"),
    ('spec = "a"\nlock = "a"', 2, "is the spec itself", "another path"),
    ('spec = "s/a"\nstate = "s"', 2, "holds the spec", "holds nothing else"),
    ('lock = "a"\nstate = "."\nspec = "../b"', 2, "holds the lock", "holds nothing else"),
    ('state = "s"\n[store]\nfolder = "s/tonight"', 1, "holds the store", "holds nothing else"),
    ('engine = "sandbx"', 1, "got 'sandbx'", "did you mean 'sandbox'?"),
    ("jobs = -1", 1, "got -1", "a number"),
    ("jobs = true", 1, "got True", "a number"),
    ('relock = "ptch"', 1, "got 'ptch'", "did you mean 'patch'?"),
    ('relock = ["go", "all"]', 1, "got 'all'", "a list of names"),
    ('relock = ["go uname"]', 1, "got 'go uname'", "a list of names"),
    ("relock = 1", 1, "got 1", '"all", "patch", "none"'),
    ('keep = "0 nights"', 1, "got '0 nights'", "one night at least"),
    ('keep = "8 weeks"', 1, "got '8 weeks'", "30 nights, 12 months"),
    ('keep = "for ever"', 1, "got 'for ever'", "30 nights, 12 months"),
    ('[store]\nfolder = "a:b"', 2, "got 'a:b'", "without a colon"),
    ("[store]\nkeep_nights = 0", 2, "got 0", "at least 1"),
    ('[audit]\nbudget = "30 min"', 2, "got '30 min'", '"30m"'),
    ("[audit]\nbudget = -1", 2, "got -1", '"30m"'),
    ('[audit]\nvary = "+ordr"', 2, "got '+ordr'", "order"),
    ("[audit]\nwithin = 0", 2, "got 0", "1 to 365"),
    ('[boot]\nplatforms = ["pc-uefy"]', 2, "got 'pc-uefy'", "did you mean 'pc-uefi'?"),
    ('[boot]\nplatforms = "non"', 2, "got 'non'", "did you mean 'none'?"),
    ("[boot]\nseconds = 0", 2, "got 0", "at least 1"),
    ('[sign]\npassphrase_file = "p"', 2, "there is no key", "sign.keys"),
    ('[notify]\ncommand = "tell me"', 2, "got 'tell me'", "a list of words"),
    ('[notify]\nmail = "a b@example.org"', 2, "got 'a b@example.org'", "an address"),
    ('[notify]\nmail = "a\\nBcc: b"', 2, "got 'a\\nBcc: b'", "an address"),
    ('[notify]\nmail = "-odb@example.org"', 2, "got '-odb@example.org'", "an address"),
    ('[notify]\nwhen = "change"', 2, "got 'change'", "did you mean 'changes'?"),
    ('[site]\naddress = "ftp://a"', 2, "got 'ftp://a'", "https://"),
    ('[site]\naddress = "https://a/\\"onload="', 2, "got", "https://"),
    ('[site]\naddress = "https://a/?of=us"', 2, "got", "https://"),
    ('[site]\naddress = "https://a/b#c"', 2, "got", "https://"),
    ('[site]\naddress = "https://me:word@a/"', 2, "got 'https://***@a/'", "https://"),
    ('[site]\ntitle = ""', 2, "got ''", "1 to 100"),
    (f'[[fault]]\nkey = "blake3:0"\n{FAULT}', 2, "got 'blake3:0'", "64 digits"),
    (f"[[fault]]\n{FAULT}", 1, "fault[0].key", "64 digits"),
    (f'[[fault]]\nky = ""\nkey = "blake3:{A}"\n{FAULT}', 2, "unknown key", "mean 'key'?"),
]


@pytest.mark.parametrize(("text", "line", "message", "remedy"), MISTAKES)
def test_a_mistake_is_told_with_its_line_and_what_was_expected(
    text: str, line: int, message: str, remedy: str
) -> None:
    with pytest.raises(InputError) as refused:
        parse(text)
    assert refused.value.subject.startswith(f"{ORIGIN}, line {line}")
    assert message in refused.value.summary
    assert remedy in refused.value.remedy


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(InputError, match="3 mistakes in the configuration") as refused:
        parse('jobs = -1\nkeep = ""\n[audit]\nwithin = 0\n')
    assert re.findall(r"line \d+: [a-z.]+", refused.value.summary) == [
        "line 1: jobs",
        "line 2: keep",
        "line 4: audit.within",
    ]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", None),
        ('platforms = "all"', None),
        ('platforms = "none"', ()),
        ("platforms = []", ()),
        ('platforms = ["pc-bios"]', ("pc-bios",)),
    ],
)
def test_platforms_are_all_none_or_those_that_are_named(
    text: str, named: tuple[str, ...] | None
) -> None:
    assert parse(f"[boot]\n{text}\n").boot.named == named


@pytest.mark.parametrize(
    ("budget", "seconds"), [("0", 0), ('"0m"', 0), ("90", 90), ('"90s"', 90), ('"30m"', 1800)]
)
def test_a_budget_is_seconds(budget: str, seconds: int) -> None:
    audit = parse(f"[audit]\nbudget = {budget}\n").audit
    assert (audit.budget, audit.enabled) == (seconds, seconds > 0)


def test_secrets_in_addresses_are_not_printed() -> None:
    found = parse('[notify]\ncommand = ["post", "https://user:hunter2@chat.example.org/x"]\n')
    assert "hunter2" not in json.dumps(found.document())
    assert found.notify.command[1] == "https://user:hunter2@chat.example.org/x"


@pytest.mark.parametrize(
    "address",
    [
        "https://a.example.org",
        "http://127.0.0.1:8000/nights",
        "http://[::1]:8000/",
        "https://example.org/~us/nights%20of%20ours/",
    ],
)
def test_what_is_taken_for_an_address_is_one_for_the_pages(address: str) -> None:
    taken = parse(f'[site]\naddress = "{address}"\n').site.address
    assert taken == address.rstrip("/") + "/"
    assert pages([], kept={}, title="Sourcery", base=taken)


def test_whom_to_tell_is_known_although_the_rest_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "nightly.toml"
    path.write_text('jobs = -1\n[notify]\nmail = "root"\n')
    assert config.notify(path).mail == "root"
    for text in ("[notify]\nmale = 'root'", "[notify", "notify = 1"):
        path.write_text(text)
        with pytest.raises(InputError):
            config.notify(path)
    with pytest.raises(InputError):
        config.notify(tmp_path / "nowhere.toml")


def test_a_local_user_can_be_told() -> None:
    assert parse('[notify]\nmail = "root"\n').notify.mail == "root"


def test_the_document_shows_every_key_and_the_defaults() -> None:
    text = (Path(__file__).parents[4] / "docs" / "nightly-setup.md").read_text("utf-8")
    block = text.partition("```toml\n")[2].partition("```")[0]
    shown, usual = parse(block).document(), parse("").document()
    empty = {
        "store": {"folder"},
        "boot": {"commands"},
        "verify": {"policy", "keys"},
        "sign": {"keys", "passphrase_file"},
        "notify": {"command", "mail"},
        "site": {"address"},
    }
    for table, value in shown.items():
        keys = empty.get(table, set())
        if isinstance(value, dict):
            assert set(value) == set(usual[table])
            differing = {key for key in value if value[key] != usual[table][key]}
            assert differing == keys
            assert not any(usual[table][key] for key in keys)
        else:
            assert value == usual[table]
    assert set(re.findall(r"(?m)^([a-z_]+) = ", block)) == {
        name.rpartition(".")[2] for name in keys_of(Config)
    }


def test_a_fault_is_named_as_the_documents_say() -> None:
    text = (Path(__file__).parents[4] / "docs" / "nightly.md").read_text("utf-8")
    (found,) = parse(text.partition("```toml\n")[2].partition("```")[0]).fault
    assert found.reason.startswith("memtest")
