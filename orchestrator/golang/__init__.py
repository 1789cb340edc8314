"""Go toolchain, commands and compile seed: the steps that build them, and their checks."""
