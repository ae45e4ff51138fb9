"""`from xinference.client import Client`: xinfer's client under its older name."""

from xinfer.client import *  # noqa: F403
from xinfer.client import __all__ as __all__
