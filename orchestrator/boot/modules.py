"""Selects the kernel modules of the initramfs: those that lead to a stick, and their dependencies.

What a module needs is read from its own `.modinfo` section ("depends", "softdep"), so that no
`modules.dep` is needed, which a Debian package does not hold: depmod makes it on the target.
Source: Linux include/linux/module.h (MODULE_INFO, MODULE_SOFTDEP), Documentation/kbuild/kbuild.rst
(modules.builtin), scripts/Makefile.modinst (the compressions of modules).
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from orchestrator.boot import elf
from orchestrator.files import decompression
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from reproducibility.digest import Digest
    from reproducibility.manifest import Entry, Tree

# By what leads to the stick; patterns of names, in which - and _ are the same. The device loads
# only what its hardware asks for, so that a name more costs space on the stick and nothing else.
DEFAULT: Final = (
    # What the stick's file system needs, under the options that the initramfs mounts it with.
    *("vfat", "nls-cp437", "nls-iso8859-1", "nls-ascii", "nls-utf8"),
    # Virtual machines: QEMU and most clouds, VMware, Hyper-V, Xen.
    *("virtio-pci", "virtio-mmio", "virtio-blk", "virtio-scsi"),
    *("vmw_pvscsi", "hv_storvsc", "xen-blkfront"),
    # Disks: SCSI, SATA, old ATA, NVMe, also behind Intel's volume controller.
    *("sd_mod", "sr_mod", "ahci", "ahci-platform", "ata_piix", "ata_generic"),
    *(
        "ahci-dwc",
        "ahci-mvebu",
        "ahci_ceva",
        "ahci_qoriq",
        "ahci_tegra",
        "ahci_xgene",
        "ahci_sunxi",
    ),
    *("nvme", "vmd"),
    # USB storage; the controllers of PCs and of boards.
    *("usb-storage", "uas", "ums-*"),
    *("xhci-pci", "xhci-pci-renesas", "ehci-pci", "ohci-pci", "uhci-hcd"),
    *("xhci-plat-hcd", "ehci-platform", "ohci-platform", "xhci-mtk-hcd", "xhci-rcar-hcd"),
    *("xhci-tegra", "ehci-orion", "ehci-fsl", "fsl-mph-dr-of"),
    *(
        "dwc2",
        "dwc3",
        "dwc3-*",
        "musb_hdrc",
        "sunxi",
        "mpfs",
        "ci_hdrc",
        "ci_hdrc_*",
        "usbmisc_imx",
    ),
    *("cdns3", "cdns3-*", "cdns-usb-common", "onboard_usb_*", "usb-conn-gpio"),
    # SD and MMC; the hosts of PCs and of boards.
    *("mmc_block", "sdhci", "sdhci-*", "sdhci_*", "rtsx_pci_sdmmc", "rtsx_usb_sdmmc"),
    *("bcm2835", "dw_mmc", "dw_mmc-*", "meson-gx-mmc", "mtk-sd", "sunxi-mmc", "armmmci", "mmci"),
    *("renesas_sdhi_internal_dmac", "renesas_sdhi_sys_dmac", "mmc_spi", "of_mmc_spi"),
    *("pwrseq_emmc", "pwrseq_simple"),
    # What boards put between: power, pins, clocks, the physical layer. Nothing of them is named as
    # needed by the hosts above; the device tree asks for them.
    *("fixed", "gpio-regulator", "pwm-regulator", "axp20x-*", "rk8xx-*", "rk808-regulator"),
    *("fan53555", "da9063-*", "tps65086*", "bd718x7-regulator", "pca9450-regulator"),
    *("i2c-rk3x", "i2c-mv64xxx", "i2c-meson", "i2c-imx", "i2c-designware-*", "sunxi-rsb"),
    *("gpio-rockchip", "gpio-dwapb", "gpio-generic", "pinctrl-axp209"),
    *("phy-rockchip-emmc", "phy-rockchip-inno-usb2", "phy-rockchip-naneng-combphy"),
    *("phy-rockchip-pcie", "phy-rockchip-snps-pcie3", "phy-rockchip-typec", "phy-rockchip-usb*"),
    *("phy-sun4i-usb", "phy-sun50i-usb3", "phy-jh7110-usb", "phy-jh7110-pcie"),
    *("phy-meson*", "phy-mvebu-*", "phy-tegra-xusb", "phy-mtk-tphy", "phy-xgene", "phy-zynqmp"),
    *("phy-fsl-imx8m*", "phy-generic", "phy-rcar-gen3-usb2", "reset-raspberrypi", "reset-imx7"),
    *("pcie-brcmstb", "pcie-rockchip-host", "pci-meson", "clk-starfive-jh7110-*", "clk-sg2042-*"),
    # Keyboards of a PC's own console, for the emergency shell.
    *("usbhid", "hid-generic", "hid-apple", "hyperv-keyboard", "i8042", "atkbd", "virtio_input"),
)

# Bytes of a module, and of all that go into the initramfs, unpacked. Debian's have 8 MB at most and
# some 20 together; with all that a debugger wants, twenty times as many.
_LARGEST = 256 << 20
_LARGEST_SUM = 512 << 20
_SUFFIXES = (".ko", ".ko.xz", ".ko.gz", ".ko.zst")


@dataclass(frozen=True)
class Module:
    """A module: its normalised name (with _ and no -), its file's name (`*.ko`), its content."""

    name: str
    file: str
    content: bytes


@dataclass(frozen=True)
class Modules:
    """The modules of a kernel. `folder`: `lib/modules/<release>`, as a tree; `subject`: whose."""

    folder: Tree
    subject: str
    read: Callable[[Digest], bytes]

    def wanted(self, further: Iterable[str]) -> list[Module]:
        """The default modules and `further`, with all that they need, sorted by name.

        Raises:
            InputError: the kernel has no such module as `further` names; two files are one module;
                or a file is damaged. Names it.
        """
        files, builtin = self._files(), self._builtin()
        patterns = [normal(pattern) for pattern in DEFAULT]
        waiting = {name for name in files if any(fnmatchcase(name, p) for p in patterns)}
        for name in map(normal, further):
            if name not in files and name not in builtin:
                raise self._unknown(name, files)
            waiting.add(name)
        found: dict[str, Module] = {}
        room = _LARGEST_SUM
        while waiting:
            name = waiting.pop()
            if name in builtin or name not in files:
                continue
            module = self._load(name, files[name])
            found[name] = module
            room -= len(module.content)
            if room < 0:
                raise InputError(
                    f"the modules for the initramfs have more than {_LARGEST_SUM >> 20} MiB",
                    subject=self.subject,
                    remedy="install them without debugging data: "
                    "`make modules_install INSTALL_MOD_STRIP=1`",
                )
            waiting |= needs(module.content, files[name].path) - found.keys()
        return [found[name] for name in sorted(found)]

    def _files(self) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        for entry in self.folder.files():
            path = PurePosixPath(entry.path)
            if not path.name.endswith(_SUFFIXES) or path.parts[0] in {"build", "source"}:
                continue
            name = normal(path.name.partition(".ko")[0])
            if name in found:
                raise InputError(
                    f"{found[name].path} and {entry.path} are both the module {name}",
                    subject=self.subject,
                    remedy="leave one of them out of the kernel's folder",
                )
            found[name] = entry
        if not found:
            raise InputError(
                "no kernel module lies in lib/modules/<release>",
                subject=self.subject,
                remedy="name the package (or folder) of a kernel with its modules installed",
            )
        return found

    def _builtin(self) -> set[str]:
        entry = self.folder.get("modules.builtin")
        lines = self.read(entry.content).decode("ascii", "replace").split() if entry else []
        return {normal(PurePosixPath(line).name.partition(".ko")[0]) for line in lines}

    def _load(self, name: str, entry: Entry) -> Module:
        file = PurePosixPath(entry.path).name
        stem, suffix, packed = file.partition(".ko")
        content = _unpacked(self.read(entry.content), packed, f"{self.subject}, {entry.path}")
        return Module(name, stem + suffix, content)

    def _unknown(self, name: str, files: Mapping[str, Entry]) -> InputError:
        near = get_close_matches(name, files, 1)
        meant = f"; nearest: {near[0]}" if near else ""
        return InputError(
            f"the kernel has no module {name}{meant}",
            subject=self.subject,
            remedy="correct the name in the spec, or remove it",
        )


def normal(name: str) -> str:
    """A module's name as the kernel compares it: - and _ are the same."""
    return name.replace("-", "_")


def needs(module: bytes, subject: str) -> set[str]:
    """The normalised names of what a module wants loaded with it.

    Raises:
        InputError: not an ELF file, or without a `.modinfo` section.
    """
    content = elf.section(module, ".modinfo", subject)
    if content is None:
        raise InputError(
            "a kernel module has no .modinfo section",
            subject=subject,
            remedy="build the kernel's modules again without removing sections",
        )
    found: set[str] = set()
    for line in content.split(b"\0"):
        key, _, value = line.decode("utf-8", "replace").partition("=")
        if key == "depends":
            found.update(value.split(","))
        elif key == "softdep":
            found.update(word for word in value.split() if not word.endswith(":"))
    return {normal(name) for name in found if name}


def _unpacked(data: bytes, suffix: str, subject: str) -> bytes:
    try:
        return decompression.unpacked(
            data, suffix, decompression.limit(len(data), _LARGEST, decompression.PROGRAM)
        )
    except (OSError, *decompression.DAMAGED) as error:
        raise InputError(
            f"a kernel module cannot be unpacked: {error}",
            subject=subject,
            remedy="fetch the kernel package again",
        ) from error
