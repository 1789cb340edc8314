"""The spec: what is read, and what is refused with which words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containers.policy import Limits
from orchestrator.lock import file as locks
from orchestrator.spec import model as spec
from orchestrator.spec.diagnostics import key_lines
from reproducibility.errors import InputError

CHECKOUT = Path(__file__).parents[4]

GOOD = """\
[image]
label = "STICK"
epoch = 2026-01-01T00:00:00Z
architectures = ["amd64", "riscv64"]
free_space = "1 GiB"

[go]
version = "1.27.3"
bootstrap = "1.26.6"

[[source]]
module = "example.org/tools"
version = "v1.2.3"
commands = ["cmd/*"]

[[source.exclude]]
command = "cmd/init"
reason = "the stick has its own"
architectures = ["riscv64"]

[[source]]
module = "example.org/own/v2"
path = "own"
commands = ["./..."]
exclude = [{ command = "gen/...", reason = "generators" }]

[[file]]
source = "notes/a.txt"
destination = "/notes/A.txt"

[debian]
suite = "forky"

[seed]
enabled = false

[limits]
memory = "2 GiB"
seconds = 60
"""


def test_everything_that_can_be_said_is_read() -> None:
    found = spec.parse(GOOD, Path("folder/sourcery.toml"))
    assert found.image.label == "STICK"
    assert found.image.epoch == 1_767_225_600
    assert found.image.architectures == ("amd64", "riscv64")
    assert found.image.free_space == 1 << 30
    assert (found.go.version, found.go.bootstrap) == ("1.27.3", "1.26.6")
    published, local = found.sources
    assert (published.name, published.version, published.path) == ("tools", "v1.2.3", None)
    assert published.exclusions[0].architectures == ("riscv64",)
    assert (local.name, local.version, local.path) == ("own", None, "own")
    assert local.exclusions[0].architectures == ()
    assert found.files[0].destination == "/notes/A.txt"
    assert found.debian.suite == "forky"
    assert not found.seed.enabled
    assert found.limits.policy() == Limits(memory=2 << 30, seconds=60)
    assert found.folder == Path("folder")


def test_the_default_spec_is_read() -> None:
    found = spec.load(CHECKOUT / "sourcery.toml")
    assert set(found.image.architectures) == {"amd64", "arm64", "riscv64"}
    assert found.limits.policy() == Limits()


@pytest.mark.parametrize(
    "written",
    ["1767225600", '"2026-01-01T00:00:00Z"', "2026-01-01T00:00:00+00:00", "2026-01-01 00:00:00Z"],
)
def test_an_epoch_has_several_forms(written: str) -> None:
    text = GOOD.replace("2026-01-01T00:00:00Z", written)
    assert spec.parse(text).image.epoch == 1_767_225_600


def test_limits_are_no_part_of_the_digest_and_all_else_is() -> None:
    before = spec.parse(GOOD).digest
    assert spec.parse(GOOD.replace("seconds = 60", "seconds = 61")).digest == before
    assert spec.parse(GOOD.replace("STICK", "STOCK")).digest != before
    assert spec.parse(GOOD.replace('reason = "generators"', 'reason = "other"')).digest != before


# What to write instead of what in GOOD; the line; words of the message.
BAD = [
    ("no TOML", ("[go]", "[go"), 7, "not valid TOML"),
    ("a key twice", ("[debian]", "[seed]"), 34, "not valid TOML"),
    ("unknown table", ("[debian]", "[debain]"), 31, "did you mean 'debian'?"),
    ("unknown key", ("label", "lable"), 2, "image.lable: unknown key.*did you mean 'label'?"),
    ("unknown key without a like", ("suite", "qqq"), 32, "unknown key.*valid here: suite"),
    ("misspelt key in an array", ("path =", "pth ="), 23, "source[1].pth.*mean 'path'?"),
    ("lower-case label", ('"STICK"', '"stick"'), 2, "image.label.*FAT label of 1 to 11"),
    ("long label", ('"STICK"', '"ABCDEFGHIJKL"'), 2, "got 'ABCDEFGHIJKL'"),
    ("odd epoch", ("2026-01-01T00:00:00Z", "1767225601"), 3, "expected an even number"),
    ("epoch before FAT", ("2026-01-01T00:00:00Z", "1979-12-31T23:59:58Z"), 3, "1980 to 2107"),
    ("epoch after FAT", ("2026-01-01T00:00:00Z", "2108-01-01T00:00:00Z"), 3, "1980 to 2107"),
    ("epoch in a zone", ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00+01:00"), 3, "image.epoch"),
    ("epoch without a zone", ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00"), 3, "image.epoch"),
    ("epoch is no time", ("2026-01-01T00:00:00Z", '"soon"'), 3, "got 'soon'"),
    ("epoch is true", ("2026-01-01T00:00:00Z", "true"), 3, "got True"),
    ("no epoch", ("epoch = 2026-01-01T00:00:00Z\n", ""), 1, "image.epoch: missing"),
    ("unknown architecture", ('"amd64"', '"amd46"'), 4, "did you mean 'amd64'?"),
    ("architecture twice", ('"riscv64"]\nfree', '"amd64"]\nfree'), 4, "appears twice"),
    ("no architecture", ('["amd64", "riscv64"]', "[]"), 4, "at least one"),
    ("architecture is no list", ('["amd64", "riscv64"]', '"amd64"'), 4, "expected a list"),
    ("unknown unit", ('"1 GiB"', '"1 GB"'), 5, "64 MiB"),
    ("negative size", ('"1 GiB"', "-1"), 5, "image.free_space: got -1"),
    ("Go without a patch", ('"1.27.3"', '"1.27"'), 8, 'such as "1.27.3"'),
    ("Go release candidate", ('"1.27.3"', '"1.27rc1"'), 8, "a released Go version"),
    ("Go before GOCACHEPROG", ('"1.27.3"', '"1.23.9"'), 8, "too old.*GOCACHEPROG"),
    ("bootstrap too old", ('"1.26.6"', '"1.22.9"'), 9, "cannot build Go 1.27.3.*1.24.0 or"),
    ("no Go", ('[go]\nversion = "1.27.3"\nbootstrap = "1.26.6"\n', ""), 1, "go: missing"),
    ("no version or path", ('version = "v1.2.3"\n', ""), 11, "needs one of version and path"),
    (
        "version and path",
        ('path = "own"', 'path = "own"\nversion = "v1.0.0"'),
        24,
        "has version and",
    ),
    ("version is a branch", ('"v1.2.3"', '"main"'), 13, 'such as "v0.16.0"'),
    ("module is a URL", ('"example.org/tools"', '"https://example.org/t"'), 12, "a module path"),
    ("path is absolute", ('path = "own"', 'path = "/own"'), 23, "relative to the spec"),
    ("no commands", ('commands = ["cmd/*"]', "commands = []"), 14, "a list of patterns"),
    (
        "no version",
        ('commands = ["cmd/*"]', 'commands = ["cmd/*"]\nreplace = ["golang.org/x/sys"]'),
        15,
        "a list of versions of dependencies",
    ),
    ("pattern leads outside", ('"cmd/*"', '"../cmd"'), 14, "source[0].commands[0]"),
    ("pattern is absolute", ('"cmd/*"', '"/cmd"'), 14, "a folder in the module"),
    ("exclusion without reason", ('reason = "the stick has its own"\n', ""), 16, "reason: missing"),
    ("exclusion with no words", ('"the stick has its own"', '""'), 18, "why it is left out"),
    ("name twice", ('path = "own"', 'path = "own"\nname = "tools"'), 24, "'tools' is taken"),
    ("name of every input", ('path = "own"', 'path = "own"\nname = "all"'), 24, "'all' is taken"),
    ("name of another input", ('path = "own"', 'path = "own"\nname = "go"'), 24, "'go' is taken"),
    (
        "module twice",
        ('"example.org/own/v2"', '"example.org/tools"\nname = "x"'),
        22,
        "one [[source]]",
    ),
    ("source is a table", ("[[file]]", "[file]"), 27, "tables [[file]]"),
    ("file at a reserved place", ("/notes/A.txt", "/Go/a.txt"), 29, "/go is the build's own"),
    (
        "file in an architecture",
        ("/notes/A.txt", "/linux_mips/a"),
        29,
        "/linux_mips is the build's",
    ),
    ("file at a relative place", ("/notes/A.txt", "notes/A.txt"), 29, "absolute path on the stick"),
    ("file outside", ("/notes/A.txt", "/notes/../x"), 29, "not a clean path"),
    ("file with a bad name", ("/notes/A.txt", "/notes/a:b"), 29, "not a clean path that FAT"),
    ("file with a last dot", ("/notes/A.txt", "/notes/a."), 29, "not a clean path that FAT"),
    ("file from nowhere", ('"notes/a.txt"', '""'), 28, "file[0].source: got ''"),
    (
        "files collide by case",
        ("[debian]", '[[file]]\nsource = "b"\ndestination = "/NOTES/a.TXT"\n\n[debian]'),
        33,
        "collides with '/notes/A.txt' of file[0]",
    ),
    (
        "file in a file",
        ("[debian]", '[[file]]\nsource = "b"\ndestination = "/notes/a.txt/b"\n\n[debian]'),
        33,
        "collides with '/notes/A.txt' of file[0]",
    ),
    ("suite is an address", ('"forky"', '"http://x"'), 32, "a Debian suite"),
    ("seed is a word", ("enabled = false", 'enabled = "no"'), 35, "expected true or false"),
    ("too few processes", ("seconds = 60", "processes = 3"), 39, "limits.processes: got 3"),
    ("no time", ("seconds = 60", "seconds = 0"), 39, "seconds of wall-clock time"),
    ("no memory", ('memory = "2 GiB"', "memory = 0"), 38, "limits.memory: got 0.*at least 64 MiB"),
    ("no log", ("seconds = 60", "log = 0"), 39, "limits.log: got 0.*64 KiB or more"),
    ("memory is a fraction", ('memory = "2 GiB"', "memory = 1.5"), 38, "limits.memory: got 1.5"),
]


@pytest.mark.parametrize(("change", "line", "words"), [pytest.param(*c, id=n) for n, *c in BAD])
def test_a_bad_spec_is_refused(change: tuple[str, str], line: int, words: str) -> None:
    assert change[0] in GOOD
    with pytest.raises(InputError) as refused:
        spec.parse(GOOD.replace(*change, 1), Path("my.toml"))
    told = refused.value.diagnostics()
    assert refused.value.status == 2
    assert f"my.toml, line {line}" in told.splitlines()[1]
    pattern = ".*".join(re.escape(part) for part in words.split(".*"))
    assert re.search(pattern, told, re.DOTALL), told


def test_all_mistakes_are_told_at_once() -> None:
    text = GOOD.replace("label", "lable").replace('"1.26.6"', '"one"').replace("seconds = 60", "")
    with pytest.raises(InputError, match="2 mistakes") as refused:
        spec.parse(text)
    assert "line 2: image.lable" in refused.value.summary
    assert "line 9: go.bootstrap" in refused.value.summary


def test_a_missing_spec_and_one_that_is_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        spec.load(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8"):
        spec.load(tmp_path / "bytes.toml")


def test_a_key_is_found_behind_strings_and_comments() -> None:
    text = 'a = """\nb = 1\n"""  # [c]\nd = [\n  "x = 1",\n  { e = 2 },\n]\n[f]\n"g" = "#"\nh = 1\n'
    assert key_lines(text) == {("a",): 1, ("d",): 4, ("f",): 8, ("f", "h"): 10}


@given(st.text(max_size=200))
def test_any_text_gives_a_spec_or_a_refusal(text: str) -> None:
    try:
        spec.parse(text)
    except InputError as error:
        assert error.status == 2
    key_lines(text)


@given(
    st.lists(st.sampled_from(GOOD.splitlines()), max_size=12),
    st.integers(min_value=0, max_value=len(GOOD.splitlines())),
)
def test_lines_in_any_order_give_a_spec_or_a_refusal(lines: list[str], at: int) -> None:
    good = GOOD.splitlines()
    try:
        spec.parse("\n".join([*good[:at], *lines, *good[at:]]))
    except InputError as error:
        assert error.subject


@given(st.integers(min_value=-(1 << 70), max_value=1 << 70))
def test_an_epoch_is_even_and_in_range_or_refused(value: int) -> None:
    try:
        found = spec.parse(GOOD.replace("2026-01-01T00:00:00Z", str(value)))
    except InputError:
        assert value % 2 or not 315_532_800 <= value < 4_354_819_200
    else:
        assert found.image.epoch == value


PLAIN = GOOD[: GOOD.index("[[source]]")]
LOCAL = """
[[source]]
module = "example.org/m"
path = "m"
commands = ["..."]
exclude = [
    "testdata",
    "docs/*.pdf",
    { command = "cmd/x", reason = "a test" },
]

[[file]]
source = "notes"
destination = "/notes"
exclude = ["*.tmp", "./drafts/"]
"""


def test_what_is_left_out_of_folders_stands_beside_excluded_commands() -> None:
    found = spec.parse(PLAIN + LOCAL)
    (source,), (file,) = found.sources, found.files
    assert source.left_out == ("testdata", "docs/*.pdf")
    assert [one.command for one in source.exclusions] == ["cmd/x"]
    assert file.exclude == ("*.tmp", "./drafts/")
    wanted = locks.wanted(found)
    assert wanted["source.m"] == "example.org/m in m without testdata docs/*.pdf"
    assert wanted["file./notes"] == "notes without *.tmp ./drafts/"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"testdata"', '"../testdata"', "source[0].exclude[0]: got '../testdata'"),
        ('"testdata"', '"/testdata"', "source[0].exclude[0]: got '/testdata'"),
        ('"testdata"', '""', "source[0].exclude[0]: got ''"),
        ('"testdata"', "7", "source[0].exclude[0]"),
        ("command =", "comand =", "comand"),
        (', reason = "a test"', "", "source[0].exclude[2].reason: missing"),
        ('"*.tmp"', '"a//b"', "file[0].exclude[0]: got 'a//b'"),
        ('path = "m"', 'version = "v1.0.0"', "left out of a published module"),
    ],
)
def test_what_cannot_be_left_out_is_told_with_its_place(old: str, new: str, words: str) -> None:
    with pytest.raises(InputError) as refused:
        spec.parse(PLAIN + LOCAL.replace(old, new))
    told = f"{refused.value.summary} {refused.value.subject} {refused.value.remedy}"
    assert words in told
    assert "<" not in refused.value.summary, "no tag of the model"


# -- beyond all bounds ---------------------------------------------------------------------------

HEAD = "[image]\nepoch = 2026-01-01T00:00:00Z\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + "a = " + "[" * 50_000 + "]" * 50_000, "nested too deeply"),
        (HEAD + "a = " + "{a=" * 100 + "1" + "}" * 100, "nested more than 64 deep"),
        (HEAD + ".".join("a" * 50_000) + " = 1", "a key of more than 16 parts"),
        (HEAD + "free_space = " + "9" * 5000, "a number of more than 100 digits"),
        (HEAD + "free_space = 0x" + "f" * 5000, "more than 64 bits"),
        (HEAD + "free_space = " + "9" * 50, "more than 64 bits"),
        (HEAD + "# " + "x" * (256 << 10), "characters, more than"),
        (HEAD + "a = [" + "1," * 30_000 + "]", "holds more than 20000 values"),
        ("\n".join(f"a{n} = 1" for n in range(5000)), "5002 mistakes in the spec"),
        (HEAD + "epoch = nan\nfree_space = inf", "line"),
        (HEAD + "architectures = [" + '"amd65",' * 10_000 + "]", "10001 mistakes in the spec"),
        (HEAD + "label = '" + "x" * 100_000 + "'", "image.label"),
    ],
)
def test_a_spec_beyond_all_bounds_is_the_persons_matter(text: str, said: str) -> None:
    with pytest.raises(InputError) as refused:
        spec.parse(text)
    told = refused.value.diagnostics()
    assert refused.value.status == 2
    assert said in told
    assert "sourcery.toml" in refused.value.subject
    assert len(told) < 20_000


def test_of_very_many_mistakes_the_first_are_told() -> None:
    with pytest.raises(InputError) as refused:
        spec.parse("[image]\n" + "\n".join(f"labl{n} = 1" for n in range(5000)))
    lines = refused.value.summary.splitlines()
    assert len(lines) == 22
    assert lines[3].startswith("  line ")
    assert any("did you mean 'label'?" in line for line in lines)
    assert re.fullmatch(r"  and \d+ more", lines[-1])
