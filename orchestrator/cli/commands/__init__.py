"""One module a command: its arguments and options, as typer reads them.

Each function only turns its arguments into a `Call`; what the call does is in `orchestrator.cli.
views`, which is loaded when it is done, after the whole command line has been read.
"""
