"""Output of a build: root, image, `result.json`, output directory; a finished build read back."""
