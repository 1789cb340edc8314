"""Audits a finished build: every step again under other conditions, compared with its result."""
