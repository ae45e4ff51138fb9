"""Runs the xllamacpp engine for a test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.token_engine import GREEDY, Answer, Driver, driving
from xinfer.model.inspect.model import inspect_path
from xinfer.model.llm.xllamacpp.engine import XllamacppEngine
from xinfer.model.llm.xllamacpp.options import XllamacppOptions

__all__ = ["GREEDY", "Answer", "Driver", "running"]


@asynccontextmanager
async def running(path: Path, **options: Any) -> AsyncIterator[Driver]:
    """A loaded engine with one thread, 512 tokens of context and two slots by default."""
    settings = XllamacppOptions(**{"n_threads": 1, "n_ctx": 512, "n_parallel": 2, **options})
    spec = inspect_path(str(path))
    async with driving(XllamacppEngine(spec, settings), spec) as driver:
        yield driver
