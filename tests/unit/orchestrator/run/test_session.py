"""What `orchestrate run` makes of a root is what `init` makes of it on a device."""

from __future__ import annotations

import re

from orchestrator.run import session
from tests.conftest import ROOT


def test_file_systems_in_memory_are_those_of_the_device() -> None:
    source = (ROOT / "userland/internal/pid1/mounts.go").read_text("utf-8")
    pattern = r'kind: "tmpfs", target: "([^"]+)", [^}]*options: "([^"]+)"'
    assert dict(re.findall(pattern, source)) == session.MEMORY
