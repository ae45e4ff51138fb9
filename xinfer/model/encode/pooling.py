"""How the vectors of a text's tokens become one, as a .gguf file says."""

from __future__ import annotations

from typing import Any

from xinfer.errors import InvalidRequest
from xinfer.model.inspect.gguf import GgufMetadata
from xinfer.model.inspect.gguf_model import POOLINGS

_OF_VECTORS = ("mean", "cls", "last")


def pooling_of(gguf: GgufMetadata, asked: str | None) -> str:
    """mean, cls or last: what the launch asked for, else what the file says.

    Raises:
        InvalidRequest: neither says it.
    """
    said: Any = gguf.values.get(f"{gguf.architecture}.pooling_type")
    pooling = asked or POOLINGS.get(said, "")
    if pooling not in _OF_VECTORS:
        raise InvalidRequest(
            f"{gguf.path} does not say how its tokens make one vector. Give pooling: mean "
            "or cls for an encoder, last for a language model.",
            param="pooling",
        )
    return pooling
