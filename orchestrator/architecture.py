"""Architectures that images are for, by the go command's names (GOARCH)."""

from __future__ import annotations

from typing import Literal

Architecture = Literal["amd64", "arm64", "riscv64"]
