"""Every boot file at its path on the stick."""
