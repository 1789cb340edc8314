"""The static pages of `orchestrate nightly`: an index, a page a night, years, a feed, a badge.

Pure functions from nights to bytes, for any web server that serves a folder, and for a browser that
opens it from the disk.
"""
