"""Command line: the only part of the project that prints, asks for attention, or exits.

`entry` starts it. `main` has the arguments parsed (`app`, `commands/`), then carries the command
out (`views/`) under one handler that turns every error into words and an exit status. What a
command needs beyond that is imported when it runs, so that `--help` and a build with nothing to do
start fast.
"""
