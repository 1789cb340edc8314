"""`python -m orchestrator` is `orchestrate`."""

from orchestrator.cli.entry import main

main()
