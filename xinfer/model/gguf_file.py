"""What every engine for GGUF does with the file before llama.cpp sees it."""

from __future__ import annotations

from xinfer.errors import InvalidRequest
from xinfer.model.inspect.gguf import GgufMetadata
from xinfer.model.inspect.parts import read_parts

DEFAULT_CONTEXT = 8192
"""Tokens of a request at the most, where the launch does not say; memory is taken for it."""


def read_headers(path: str) -> list[GgufMetadata]:
    """The headers of the model's files, each of which is complete.

    llama.cpp ends the process over a file that ends too early; this finds it first.

    Raises:
        InvalidRequest: a file cannot be read, is damaged or too short.
    """
    try:
        return read_parts(path)
    except OSError as error:
        raise InvalidRequest(f"Cannot read {path}: {error.strerror}.", param="model_path") from None


def context_length(gguf: GgufMetadata, asked: int | None) -> int:
    """Tokens of one request.

    Raises:
        InvalidRequest: more was asked for than the model was made for.
    """
    trained = gguf.context_length
    if asked is None:
        return min(trained or DEFAULT_CONTEXT, DEFAULT_CONTEXT)
    if trained and asked > trained:
        raise InvalidRequest(
            f"n_ctx is {asked}, and the model's own context is {trained} tokens. "
            f"Give n_ctx up to {trained}.",
            param="n_ctx",
        )
    return asked
