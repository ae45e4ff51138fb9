"""Models that draw, one folder an engine, and what these share."""
