"""Exit statuses by which a child tells the launcher something."""

from __future__ import annotations

REFUSES_TO_START = 78
"""What keeps it from starting will not go away by itself, and its log says what: starting it again
is of no use. The number is that of a wrong configuration in sysexits.h."""
