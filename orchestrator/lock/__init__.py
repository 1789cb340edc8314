"""Lock: models of pinned inputs, the file, and the public log's records of them."""
