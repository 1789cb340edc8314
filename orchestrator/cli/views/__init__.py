"""Carries the commands out and formats what they show; one module a command, or a pair of them."""
