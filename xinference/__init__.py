"""The name under which tutorials and existing programs import xinfer."""

from xinfer import __version__

__all__ = ["__version__"]
