"""Steps and results, and the scheduler that runs and caches them."""
