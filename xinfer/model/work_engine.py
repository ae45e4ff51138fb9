"""The contract of engines that work on a request in steps: they draw, write speech down, or speak.

They are engines as `xinfer.model.engine` says. A request has a thread to itself from its first step
to its last, and there are never more of them at once than `Loaded.concurrency`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias, runtime_checkable

from xinfer.model.engine import Engine
from xinfer.types.event import Usage
from xinfer.types.product import Product
from xinfer.types.request import WorkRequest

Report: TypeAlias = Callable[[Product], None]
"""To be called with how far the work has come, after each step of it, and with all that it makes,
as soon as that is made.

Raises:
    Cancelled: nothing more is wanted. The engine lets go of the request and passes it on.
"""


class EngineBroken(Exception):
    """The engine can compute nothing any more; its process is to be started again."""


@runtime_checkable
class WorkEngine(Engine, Protocol):
    """Images and audio; once loaded it says by `Abilities.tasks` what it does."""

    def check(self, request: WorkRequest) -> None:
        """Refuse what cannot be done, before anything is spent on it; media are not decoded before
        their bounds have been checked here.

        Blocks; may be called from any thread, while others work.

        Raises:
            InvalidRequest: it is for a model of another type, or asks for what this one cannot do.
            PayloadTooLarge: a medium is beyond the bounds.
        """
        ...

    def work(self, request: WorkRequest, report: Report) -> Usage:
        """Do it. Blocks, on a thread of the request's own; `check` has let it pass.

        Returns:
            What it came to, in tokens, where the model has any; nothing is reported after it.

        Raises:
            Cancelled: as `report` does, or because the engine was closed meanwhile.
            Unavailable: there is no memory for it.
            EngineBroken: nothing can be computed any more.
            Exception: any other fails this request alone.
        """
        ...
