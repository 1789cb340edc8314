"""Pages for a browser as values: HTML, what is on every page, and how it looks.

Pure, and knows nothing of builds and nights: `orchestrator.report` and `orchestrator.site` do.
"""
