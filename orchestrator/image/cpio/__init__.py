"""Cpio archives (newc, Zstandard): writer, reader, and a second reader that checks every byte."""
