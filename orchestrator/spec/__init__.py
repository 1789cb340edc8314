"""Spec (`sourcery.toml`): models, and diagnostics of mistakes in it."""
