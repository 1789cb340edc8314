"""Where an action runs: the engines, and the isolation that they keep.

`registry` gives an engine by its name; `engine` says what one is.
"""
