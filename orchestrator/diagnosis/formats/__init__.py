"""One module a file format: what it is made of, and what lies at a place in it."""
