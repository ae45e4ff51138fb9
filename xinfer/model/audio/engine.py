"""What the engines for sound have in common: what they need, and requests that end with them."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from importlib.util import find_spec
from typing import ClassVar, Generic, TypeVar

from xinfer.errors import Cancelled
from xinfer.model.engine import EngineOptions, Support
from xinfer.model.work_engine import Report
from xinfer.types.event import Usage
from xinfer.types.model import EngineStats, ModelSpec
from xinfer.types.product import Product
from xinfer.types.request import WorkRequest

Options = TypeVar("Options", bound=EngineOptions)


class AudioEngine(ABC, Generic[Options]):
    """A `WorkEngine` without loading, and without what is asked of the model."""

    packages: ClassVar[tuple[str, ...]]
    """Modules that it imports in `load`."""
    extra: ClassVar[str] = "audio"
    """Of xinfer's, that brings them."""
    options_class: ClassVar[type[EngineOptions]]

    def __init__(self, spec: ModelSpec, options: Options) -> None:
        self._spec = spec
        self._options = options
        self._closing = threading.Event()
        self._counting = threading.Lock()
        self._running = 0

    @classmethod
    def support(cls, spec: ModelSpec) -> Support:
        reason = cls._refusal(spec)
        if reason:
            return Support(False, reason)
        missing = [name for name in cls._needed(spec) if find_spec(name) is None]
        if missing:
            return Support(False, f"{', '.join(missing)} is not installed", cls.extra)
        return Support(True)

    @classmethod
    def options(cls) -> type[EngineOptions]:
        return cls.options_class

    @classmethod
    def accelerators(cls) -> frozenset[str] | None:
        if any(find_spec(name) is None for name in cls.packages):
            return None
        return cls._accelerators()

    def work(self, request: WorkRequest, report: Report) -> Usage:
        def told(product: Product) -> None:
            if self._closing.is_set():
                raise Cancelled("The model was unloaded.")
            report(product)

        with self._counting:
            self._running += 1
        try:
            return self._work(request, told)
        finally:
            with self._counting:
                self._running -= 1

    def stats(self) -> EngineStats:
        return EngineStats(running=self._running)

    def close(self) -> None:
        self._closing.set()
        self._release()

    @classmethod
    @abstractmethod
    def _refusal(cls, spec: ModelSpec) -> str:
        """Why it does not run such a model, wherever it is installed; empty if it does."""

    @classmethod
    def _needed(cls, spec: ModelSpec) -> tuple[str, ...]:
        """Modules that it needs for this model."""
        return cls.packages

    @classmethod
    @abstractmethod
    def _accelerators(cls) -> frozenset[str]:
        """Kinds that it computes on, where its packages are installed."""

    @abstractmethod
    def _work(self, request: WorkRequest, told: Report) -> Usage:
        """As `WorkEngine.work`; `told` ends it when the engine is closed."""

    @abstractmethod
    def _release(self) -> None:
        """Let go of the model; it may still be in use."""
