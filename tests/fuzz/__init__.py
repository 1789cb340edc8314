"""Every parser of the project, thrown at with what nobody means to write."""
