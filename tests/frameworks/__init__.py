"""Frameworks that people build on, unmodified, in an environment of their own."""
