"""Engines that run actions, and the isolation that they enforce.

`registry` gives an engine by its name; `engine` says what one is.
"""
