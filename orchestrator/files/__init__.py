"""Files and paths that a person gives: text, documents, bounded decompression."""
