"""`[boot]` of the spec: what is read, what it asks of the lock, what is refused and how."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.lock import file as lock
from orchestrator.lock import parts
from orchestrator.spec import boot as boot_section
from orchestrator.spec import model as spec
from reproducibility.errors import InputError

HASH = "ab" * 32
BEFORE = """\
[image]
epoch = 2026-01-01T00:00:00Z
architectures = ["amd64", "riscv64"]
[go]
version = "1.27.3"
bootstrap = "1.26.6"
"""
GOOD = f"""{BEFORE}\
[[source]]
module = "example.org/tools"
version = "v1.2.3"
commands = ["cmd/*"]
[boot]
timeout = 5
missing = "reboot"
[boot.kernel.amd64]
package = "linux-image-amd64"
command_line = "console=tty0  quiet dyndbg=\\"file a +p\\""
modules = ["usb_storage"]
[boot.kernel.riscv64]
pool = "pool/main/l/linux/linux-image-6.12+deb13-riscv64_6.12.1-1_riscv64.deb"
sha256 = "{HASH}"
device_trees = ["starfive/*.dtb"]
[boot.loader.riscv64]
path = "loaders/mine"
"""


def test_everything_that_can_be_said_is_read() -> None:
    found = spec.parse(GOOD).boot
    assert found is not None
    assert (found.timeout, found.missing) == (5, "reboot")
    assert found.command_line("amd64") == 'console=tty0 quiet dyndbg="file a +p"'
    assert found.kernel("amd64").modules == ("usb_storage",)
    assert found.kernel("riscv64").device_trees == ("starfive/*.dtb",)
    assert found.kernel("riscv64").pooled == ("linux-image-6.12+deb13-riscv64", "6.12.1-1")


def test_each_architecture_has_a_console_of_its_own_by_default() -> None:
    text = GOOD.replace("command_line", "# command_line")
    found = spec.parse(text).boot
    assert found is not None
    assert found.command_line("amd64") == "console=tty0 console=ttyS0,115200"
    assert found.command_line("riscv64") == "console=tty0 console=ttyS0,115200"
    empty = spec.parse(text.replace("modules", 'command_line = ""\nmodules')).boot
    assert empty is not None
    assert empty.command_line("amd64") == ""


def test_what_the_lock_is_to_pin() -> None:
    found = lock.wanted(spec.parse(GOOD))
    assert {name: text for name, text in found.items() if name.startswith("boot.")} == {
        "boot.kernel.amd64": "linux-image-amd64 of trixie",
        "boot.kernel.riscv64": "pool/main/l/linux/linux-image-6.12+deb13-riscv64_6.12.1-1_riscv64"
        f".deb sha256:{HASH}",
        "boot.systemd-boot.amd64": "systemd-boot-efi of trixie",
        "boot.systemd-boot.riscv64": "in loaders/mine",
        "boot.syslinux": "syslinux of trixie",
        "boot.syslinux-common": "syslinux-common of trixie",
    }


def test_only_a_pc_needs_syslinux() -> None:
    text = GOOD.replace('"amd64", ', "")
    text = text.replace(text[text.index("[boot.kernel.amd64]") : text.index("[boot.kernel.r")], "")
    assert set(parts.boot_origins(spec.parse(text))) == {"kernel.riscv64", "systemd-boot.riscv64"}


def test_without_the_table_there_is_nothing_to_boot_and_the_digest_stays() -> None:
    found = spec.parse(BEFORE)
    assert found.boot is None
    assert parts.boot_origins(found) == {}
    # The digest that this spec had before there was such a table.
    assert found.digest.hex == "5cce76699feb85c3e7a43b1c87b8b19a2df802fa655747561724a25ee67db651"


def test_all_of_it_is_part_of_the_digest() -> None:
    before = spec.parse(GOOD).digest
    for change in (("timeout = 5", "timeout = 6"), ("quiet", "loud"), ("starfive", "sifive")):
        assert spec.parse(GOOD.replace(*change)).digest != before


AMD64 = 'package = "linux-image-amd64"'
POOL = 'pool = "pool/main/l/linux/linux-image-6.12+deb13-riscv64_6.12.1-1_riscv64.deb"'
# What to write instead of what in GOOD; the line; words of the message.
BAD = [
    ("unknown key", ("timeout", "timout"), 12, "boot.timout: unknown key.*mean 'timeout'?"),
    ("unknown table", ("[boot.loader.r", "[boot.laoder.r"), 22, "boot.laoder.*mean 'loader'?"),
    ("too long a time", ("timeout = 5", "timeout = 601"), 12, "got 601.*0 to 600"),
    ("time before", ("timeout = 5", "timeout = -1"), 12, "got -1.*seconds that a boot menu waits"),
    ("time in words", ("timeout = 5", 'timeout = "5"'), 12, "got '5'.*0 to 600"),
    ("other remedy", ('"reboot"', '"halt"'), 13, 'boot.missing: got \'halt\'.*"shell" or "reboot"'),
    (
        "unknown architecture",
        ("kernel.amd64", "kernel.amd46"),
        14,
        "boot.kernel.amd46: unknown key.*did you mean 'amd64'?",
    ),
    (
        "no kernel",
        ("[boot.kernel.riscv64]\n" + POOL, "[boot.kernel.arm64]\n" + POOL),
        14,
        "boot.kernel.riscv64: missing.*image.architectures has riscv64",
    ),
    (
        "a kernel too many",
        ("[boot.loader", f"[boot.kernel.arm64]\n{AMD64}\n[boot.loader"),
        22,
        "boot.kernel.arm64: image.architectures has no arm64.*remove this table",
    ),
    (
        "a loader too many",
        ("[boot.loader.riscv64]", "[boot.loader.arm64]"),
        22,
        "boot.loader.arm64: image.architectures has no arm64",
    ),
    (
        "kernel is a word",
        ("[boot.kernel.amd64]\n", "[boot.kernel]\namd64 = 'linux'\n[seed]\n"),
        15,
        "boot.kernel.amd64: got 'linux'.*the table [boot.kernel.amd64]",
    ),
    ("no origin", (AMD64 + "\n", ""), 14, "needs one of package, path and pool"),
    ("two origins", (AMD64, f'{AMD64}\npath = "k"'), 16, "has package and path.*one of them"),
    (
        "package is an address",
        ('"linux-image-amd64"', '"http://x/y"'),
        15,
        "boot.kernel.amd64.package: got 'http://x/y'.*a Debian package of the suite",
    ),
    ("path is absolute", ('"loaders/mine"', '"/loaders"'), 23, "relative to the spec"),
    ("path is empty", ('"loaders/mine"', '""'), 23, "boot.loader.riscv64.path: got ''"),
    ("path leads back", ('"loaders/mine"', '"loaders/../x"'), 23, "without inner .."),
    ("pool is an address", ('"pool/', '"http://x/pool/'), 19, "no package for riscv64 in a mirror"),
    ("pool leads outside", ('"pool/main/l', '"pool/../l'), 19, "no package for riscv64"),
    ("pool of another", ("_riscv64.deb", "_amd64.deb"), 19, "is no package for riscv64"),
    ("pool without hash", (f'sha256 = "{HASH}"\n', ""), 18, "sha256: missing.*pool and sha256 tog"),
    ("hash without pool", (AMD64, f'{AMD64}\nsha256 = "{HASH}"'), 16, "stands without pool"),
    ("hash of another kind", (HASH, "sha256:" + HASH), 20, "64 lower-case hexadecimal"),
    ("command line of two lines", ("quiet", "a\\nb"), 16, "holds '\\n', which not every boot"),
    ("command line with a dollar", ("quiet", "a=$b"), 16, "holds '$'"),
    ("command line in quotes", ("quiet", "'a b'"), 16, 'holds "\'"'),
    ("command line in letters", ("quiet", "ä"), 16, "holds 'ä'.*plain ASCII"),
    ("command line with half", ('+p\\"', "+p"), 16, 'holds a " without its partner'),
    ("command line too long", ("quiet", "q" * 512), 16, "one line of at most 512 characters"),
    ("the volume named", ("quiet", "sourcery.volume=1-2"), 16, "sets sourcery.volume, which the"),
    (
        "the volume in quotes",
        ("quiet", '\\"sourcery.volume=1-2\\"'),
        16,
        "leave sourcery.volume out",
    ),
    ("the remedy named", ("quiet", "sourcery.missing=x"), 16, "sets sourcery.missing"),
    ("an initramfs named", ("quiet", "initrd=/x"), 16, "sets initrd, which the build sets"),
    ("a module's file", ('"usb_storage"', '"usb-storage.ko"'), 17, "no name of a kernel module"),
    ("modules in one word", ('["usb_storage"]', '"usb_storage"'), 17, "a list of names of kernel"),
    ("a tree outside", ("starfive/*.dtb", "../x.dtb"), 21, "a relative pattern of .dtb files"),
    ("a tree that is none", ("starfive/*.dtb", "starfive/*"), 21, "got 'starfive/*'"),
]


@pytest.mark.parametrize(("change", "line", "words"), [pytest.param(*c, id=n) for n, *c in BAD])
def test_a_bad_section_is_refused(change: tuple[str, str], line: int, words: str) -> None:
    assert change[0] in GOOD
    with pytest.raises(InputError) as refused:
        spec.parse(GOOD.replace(*change, 1), Path("my.toml"))
    told = refused.value.diagnostics()
    assert refused.value.status == 2
    assert re.search(rf"my.toml, line {line}\b|line {line}: ", told), told
    pattern = ".*".join(re.escape(part) for part in words.split(".*"))
    assert re.search(pattern, told, re.DOTALL), told


@pytest.mark.parametrize("name", ["syslinux", "kernel.amd64", "systemd-boot.riscv64"])
def test_a_source_cannot_have_the_name_of_what_boots(name: str) -> None:
    text = GOOD.replace("commands =", f'name = "{name}"\ncommands =')
    with pytest.raises(InputError, match="is taken"):
        spec.parse(text)
    without = text[: text.index("[boot]")]
    assert spec.parse(without).sources[0].name == name


@given(st.text(max_size=40))
def test_a_command_line_is_one_that_every_loader_passes_on_or_refused(line: str) -> None:
    text = GOOD.replace('command_line = "console=tty0  quiet dyndbg=\\"file a +p\\""', "")
    origin = boot_section.Kernel(package="linux-image-amd64", command_line=line)
    found = spec.parse(text)
    assert found.boot is not None
    kernels = found.boot.kernels.model_copy(update={"amd64": origin})
    boot = found.boot.model_copy(update={"kernels": kernels})
    if not list(boot.mistakes(found.image.architectures)):
        said = boot.command_line("amd64")
        assert said.isascii()
        assert said.isprintable()
        assert not set(said) & set("'\\$`#")
        assert said.count('"') % 2 == 0
