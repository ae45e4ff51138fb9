"""The gateway, in each API process: which replica, over which link, and again if it is lost."""

from xinfer.core.gateway.choices import (
    ChoiceEvents,
    alike,
    complete_choices,
    open_choices,
    share,
    together,
)
from xinfer.core.gateway.control import Control
from xinfer.core.gateway.encoding import Encoding
from xinfer.core.gateway.gateway import Completion, Gateway
from xinfer.core.gateway.stream import ResponseStream
from xinfer.core.gateway.table import RoutingTable
from xinfer.core.gateway.working import InMemory, Keeper, Work, WorkStream

__all__ = [
    "ChoiceEvents",
    "Completion",
    "Control",
    "Encoding",
    "Gateway",
    "InMemory",
    "Keeper",
    "ResponseStream",
    "RoutingTable",
    "Work",
    "WorkStream",
    "alike",
    "complete_choices",
    "open_choices",
    "share",
    "together",
]
