"""Modules: what leads to a stick and all that it needs, whatever it is packed in."""

from __future__ import annotations

import gzip
import lzma

import pytest
import zstandard

from orchestrator.boot.modules import Modules
from reproducibility.errors import InputError
from tests.unit.orchestrator.boot.made import Memory, elf_64, module


def _modules(memory: Memory, content: dict[str, bytes]) -> Modules:
    return Modules(memory.tree(content), "the kernel", memory.read)


def _names(memory: Memory, content: dict[str, bytes], *further: str) -> list[str]:
    return [found.file for found in _modules(memory, content).wanted(further)]


def test_what_a_module_needs_comes_with_it(memory: Memory) -> None:
    content = {
        "kernel/usb-storage.ko": module("depends=scsi-mod,usbcore"),
        "kernel/scsi_mod.ko": module("depends=scsi_common"),
        "kernel/scsi_common.ko": module("depends="),
        "kernel/usbcore.ko": module("depends=usb-common", "softdep=pre: phy post: quirk nowhere"),
        "kernel/usb-common.ko": module(),
        "kernel/phy.ko": module("depends="),
        "kernel/quirk.ko": module("depends="),
        "kernel/sound.ko": module("depends=usbcore"),
    }
    assert _names(memory, content) == [
        "phy.ko",
        "quirk.ko",
        "scsi_common.ko",
        "scsi_mod.ko",
        "usb-common.ko",
        "usb-storage.ko",
        "usbcore.ko",
    ]


def test_circles_end(memory: Memory) -> None:
    content = {"vfat.ko": module("depends=fat"), "fat.ko": module("softdep=pre: vfat")}
    assert _names(memory, content) == ["fat.ko", "vfat.ko"]


def test_what_is_built_in_is_left_out(memory: Memory) -> None:
    content = {
        "vfat.ko": module("depends=fat"),
        "fat.ko": module(),
        "modules.builtin": b"kernel/fs/fat/fat.ko\nkernel/drivers/sd-mod.ko\n",
    }
    assert _names(memory, content) == ["vfat.ko"]
    # To ask for it is no mistake: it is there.
    assert _names(memory, content, "sd_mod", "fat") == ["vfat.ko"]


def test_names_are_the_same_with_either_dash(memory: Memory) -> None:
    content = {"nls_iso8859-1.ko": module(), "my_card.ko": module()}
    assert _names(memory, content, "my-card") == ["my_card.ko", "nls_iso8859-1.ko"]


def test_every_packing(memory: Memory) -> None:
    plain = [module(f"depends={name}") for name in ("", "fat", "nls")]
    content = {
        "vfat.ko.xz": lzma.compress(plain[0]),
        "nvme.ko.gz": gzip.compress(plain[1]),
        "ahci.ko.zst": zstandard.compress(plain[2]),
        "uas.ko": plain[0],
        "readme.txt": b"no module",
    }
    found = _modules(memory, content).wanted(())
    assert {one.file: one.content for one in found} == {
        "vfat.ko": plain[0],
        "nvme.ko": plain[1],
        "ahci.ko": plain[2],
        "uas.ko": plain[0],
    }


def test_a_module_that_is_not_there(memory: Memory) -> None:
    with pytest.raises(InputError, match="no module e1000; nearest: e1000e") as caught:
        _names(memory, {"e1000e.ko": module(), "vfat.ko": module()}, "e1000")
    assert caught.value.subject == "the kernel"
    assert "spec" in caught.value.remedy


def test_no_modules_at_all(memory: Memory) -> None:
    with pytest.raises(InputError, match="no kernel module lies in"):
        _names(memory, {"modules.builtin": b""})


def test_two_files_that_are_one_module(memory: Memory) -> None:
    with pytest.raises(InputError, match=r"updates/sd-mod\.ko are both the module sd_mod"):
        _names(memory, {"kernel/sd_mod.ko": module(), "updates/sd-mod.ko": module()})


def test_a_damaged_module(memory: Memory) -> None:
    for name, data in {"vfat.ko.xz": b"xz", "vfat.ko.gz": b"gz", "vfat.ko.zst": b"zst"}.items():
        with pytest.raises(InputError, match="cannot be unpacked") as caught:
            _names(memory, {name: data})
        assert caught.value.subject == f"the kernel, {name}"
    with pytest.raises(InputError, match="not a whole 64-bit"):
        _names(memory, {"vfat.ko": b"text"})
    with pytest.raises(InputError, match=r"no \.modinfo section"):
        _names(memory, {"vfat.ko": elf_64({".text": b""})})


def test_a_module_that_is_cut_short(memory: Memory) -> None:
    whole = lzma.compress(module("depends=fat") + bytes(range(256)) * 64)
    with pytest.raises(InputError, match="it is cut short"):
        _names(memory, {"vfat.ko.xz": whole[:-20]})
    packed = zstandard.compress(module() + bytes(range(256)) * 64)
    with pytest.raises(InputError, match="it is cut short"):
        _names(memory, {"vfat.ko.zst": packed[:-20]})
