"""How a build scales on a farm of many workers: its own graph, its measured times, simulated."""
