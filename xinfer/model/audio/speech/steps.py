"""A look between the steps of a model that makes a sentence in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


class Steps:
    """Passed each time that one of some modules is about to compute.

    Args:
        modules: of PyTorch.
    """

    def __init__(self, modules: Iterable[Any]) -> None:
        self._still_wanted: Callable[[], None] = lambda: None
        for module in modules:
            module.register_forward_pre_hook(self._pass)

    def watch(self, still_wanted: Callable[[], None]) -> None:
        """What is called with each of the next steps; what it raises ends the model's call."""
        self._still_wanted = still_wanted

    def _pass(self, *_: Any) -> None:
        self._still_wanted()
