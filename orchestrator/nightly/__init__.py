"""One night from beginning to end, unattended: lock, build, audit, boot, verify, compare, tell."""
