"""What a run of the benchmarks can be told."""

from __future__ import annotations

from typing import Any

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Figures that a setting does not concern ignore it."""

    repeats: int | None = None
    """How often the arms take turns; each figure's own number by default."""
    engine: str = "llama-cpp-python"
    """The engine that runs the .gguf file."""
    engine_options: dict[str, Any] = {}
    """Launch options of it, over those that the benchmarks give."""
    llama_server: str | None = None
    """Path of the llama-server to compare with."""
    xinference: str | None = None
    """Path of the program xinference-local of the Xinference to compare with."""
    streams: tuple[int, ...] | None = None
    """Concurrent streams; each figure's own numbers by default."""
