"""One thing that was looked at."""

from __future__ import annotations

from enum import Enum

import msgspec


class State(Enum):
    """How a thing is."""

    OK = "ok"
    ABSENT = "absent"
    """Not there, and nothing is wrong with that."""
    FAULT = "fault"


class Finding(msgspec.Struct, frozen=True):
    """What was seen, in words."""

    area: str
    """Packages, accelerators, …"""
    state: State
    text: str
    fix: str = ""
    """A command or a sentence that mends a fault, or brings what is absent."""
