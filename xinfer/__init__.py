"""xinfer: a distributed model-serving server."""

__version__ = "0.1.0"
