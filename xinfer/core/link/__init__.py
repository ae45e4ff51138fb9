"""Links: authenticated streams of length-prefixed frames between two processes.

A link knows nothing of what its frames mean. Its end is the sign of loss on both sides.
"""

from xinfer.core.link.connect import connect
from xinfer.core.link.frames import FrameTooLarge
from xinfer.core.link.link import Link, LinkClosed, LinkHandler
from xinfer.core.link.serve import LinkServer, serve

__all__ = ["FrameTooLarge", "Link", "LinkClosed", "LinkHandler", "LinkServer", "connect", "serve"]
