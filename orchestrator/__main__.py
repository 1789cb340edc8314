"""`python -m orchestrator` is `orchestrate`."""

from orchestrator.entry import main

main()
