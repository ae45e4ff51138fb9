"""From the LoRA adapters of a launch to the option of its engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from xinfer.errors import InvalidRequest
from xinfer.model.engine import find_engine
from xinfer.types.deployment import LaunchSpec
from xinfer.types.model import LoraAdapter

OPTION = "lora"
"""Option of engines that have adapters: `LoraAdapter` by name."""
PARAM = "peft_model_config"
"""The launch's field."""


def adapter_options(spec: LaunchSpec, engine: str, engines: Sequence[str]) -> dict[str, Any]:
    """The engine's options for the launch's adapters, with absolute paths.

    Args:
        engines: those that run the model, for the message.

    Raises:
        InvalidRequest: the engine has no adapters, a path leads nowhere, or the option is given
            as well.
    """
    if not _has_adapters(engine):
        able = [name for name in engines if _has_adapters(name)]
        raise InvalidRequest(
            f"Engine {engine} has no LoRA adapters. "
            + (f"Engines that have: {', '.join(able)}." if able else "No other engine here has."),
            code="unsupported_parameter",
            param=PARAM,
        )
    if OPTION in spec.options:
        raise InvalidRequest(
            f"Give LoRA adapters either in {PARAM} or as the option {OPTION}, not as both.",
            param=OPTION,
        )
    adapters = {name: _resolved(name, adapter) for name, adapter in spec.adapters.items()}
    return {OPTION: msgspec.to_builtins(adapters)}


def _has_adapters(engine: str) -> bool:
    return OPTION in find_engine(engine)[1].options().__struct_fields__


def _resolved(name: str, adapter: LoraAdapter) -> LoraAdapter:
    try:
        path = Path(adapter.path).expanduser().resolve(strict=True)
    except (OSError, RuntimeError, ValueError):  # not there; ~nobody or a loop of links; a NUL
        raise InvalidRequest(
            f"LoRA adapter {name}: there is no file or directory {adapter.path!r}.", param=PARAM
        ) from None
    return LoraAdapter(str(path), adapter.scale)
