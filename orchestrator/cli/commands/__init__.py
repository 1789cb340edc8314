"""Arguments and options of the commands, for typer; one module a command.

Each function only turns its arguments into a `Call`. What the call does is in
`orchestrator.cli.views`, which is imported when the command runs.
"""
