"""The built-in models: data files, lookup, and from a launch to a concrete model."""
