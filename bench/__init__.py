"""Measurements: this build against the procedure that it replaces, side by side in one run."""
