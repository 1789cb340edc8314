from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from orchestrator.tool_image import layers
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from pathlib import Path

STATUS = """\
Package: bash
Essential: yes
Status: install ok installed
Version: 5.2-2

Package: gone
Status: deinstall ok config-files
Version: 1

Package: half
Status: install ok half-configured
Version: 2
"""


def member(name: str, data: bytes | None = None, **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    made = tarfile.TarInfo(name)
    made.type = tarfile.DIRTYPE if data is None else tarfile.REGTYPE
    made.size = len(data or b"")
    made.mtime = 1_700_000_000
    for field, value in fields.items():
        setattr(made, field, value)
    return made, data or b""


def packed(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for one, data in members:
            archive.addfile(one, io.BytesIO(data))
    return path


def names(path: Path) -> list[str]:
    with tarfile.open(path) as archive:
        return archive.getnames()


def root(folder: Path) -> Path:
    return packed(
        folder / "root.tar",
        member("."),
        member("./dev"),
        member("./dev/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
        member("./devices", b"kept"),
        member("./project"),
        member("./usr"),
        member("./usr/bin/ping", b"x", mode=0o4755, pax_headers={"SCHILY.xattr.user.a": "b"}),
        member("./usr/local"),
        member("./usr/local/bin/orchestrate", b"#!", uid=0, mode=0o755),
        member("./usr/localized", b""),
        member("./var/cache/sourcery"),
        member("./var/lib/dpkg/status", STATUS.encode()),
    )


def test_debian_and_the_tool_are_layers_of_their_own(tmp_path: Path) -> None:
    found = layers.part(root(tmp_path), tmp_path)
    debian, tool = found.layers
    assert names(tool) == [
        "./project", "./usr/local", "./usr/local/bin/orchestrate", "./var/cache/sourcery",
    ]  # fmt: skip
    assert names(debian) == [
        ".", "./dev", "./devices", "./usr", "./usr/bin/ping", "./usr/localized",
        "./var/lib/dpkg/status",
    ]  # fmt: skip
    assert found.installed == {"bash": "5.2-2"}


def test_members_keep_what_they_are(tmp_path: Path) -> None:
    debian, _ = layers.part(root(tmp_path), tmp_path).layers
    with tarfile.open(debian) as archive:
        ping = archive.getmember("./usr/bin/ping")
        assert (ping.mode, ping.mtime, ping.uid) == (0o4755, 1_700_000_000, 0)
        assert ping.pax_headers["SCHILY.xattr.user.a"] == "b"
        content = archive.extractfile(ping)
        assert content is not None
        assert content.read() == b"x"


def test_what_is_no_system_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="has no packages"):
        layers.part(packed(tmp_path / "empty.tar", member(".")), tmp_path)
    (tmp_path / "damaged.tar").write_bytes(b"no tar" * 200)
    with pytest.raises(InfrastructureError, match="is no tar"):
        layers.part(tmp_path / "damaged.tar", tmp_path)


def test_what_is_installed_otherwise_is_named() -> None:
    wanted = {"bash": "1", "dash": "1", "same": "1"}
    found = {"bash": "2", "same": "1", "zsh": "1"}
    assert list(layers.differing(wanted, found)) == [
        "bash: pinned 1, installed 2",
        "dash: pinned 1, installed not at all",
        "zsh: pinned not at all, installed 1",
    ]
    assert list(layers.differing(wanted, wanted)) == []
