"""Writes an image to a stick (block device), after checking what uses it; reads it back."""
