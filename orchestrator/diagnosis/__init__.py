"""Says why two results differ: where the first difference lies, and what kind of cause it has."""
