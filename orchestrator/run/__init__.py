"""`orchestrate run`: a root in Linux namespaces on this machine (PID 1, pty, binfmt_misc)."""
