"""llama.cpp's server with a model that encodes: token ids in, one row for each sequence out."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xinfer.errors import EngineFailed
from xinfer.model.encode.xllamacpp.options import RerankOptions
from xinfer.model.xllamacpp.server import EmbeddedServer, common_params, failure_of


class EncodeServer(EmbeddedServer):
    """One loaded model that pools the tokens of each sequence.

    Args:
        path: the file, or the first of its parts.
        pooling: mean, cls or last.
        longest: tokens of one sequence.
        batch: tokens computed at once; fewer than `longest` only where it `can_split`.

    Raises:
        InvalidRequest, Unavailable, EngineFailed: as `EmbeddedServer`.
    """

    def __init__(
        self, path: str, options: RerankOptions, *, pooling: str, longest: int, batch: int
    ) -> None:
        super().__init__(path, _params(path, options, pooling, longest, batch))
        # Also a sign that it runs.
        self.compute([[0]])

    def compute(self, sequences: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Rows of (sequences, width), not normalised; blocks.

        Raises:
            InvalidRequest, EngineFailed: llama.cpp refused one of them, and so all.
        """
        answer: dict[str, Any] = self._server.handle_embeddings(
            {
                "input": [list(ids) for ids in sequences],
                # Exact, also where a number is not finite.
                "encoding_format": "base64",
                "embd_normalize": -1,
            }
        )
        if "error" in answer:
            raise failure_of(answer)
        rows: list[NDArray[np.float32] | None] = [None] * len(sequences)
        for item in answer["data"]:
            rows[item["index"]] = np.frombuffer(base64.b64decode(item["embedding"]), np.float32)
        found = [row for row in rows if row is not None]
        if len(found) != len(rows):
            raise EngineFailed("llama.cpp has computed a batch and gives no result for a text.")
        return np.stack(found)


def _params(path: str, options: RerankOptions, pooling: str, longest: int, batch: int) -> Any:
    import xllamacpp

    params = common_params(path, options)
    params.embedding = True
    kinds = xllamacpp.llama_pooling_type
    params.pooling_type = getattr(kinds, f"LLAMA_POOLING_TYPE_{pooling.upper()}")
    params.n_parallel = options.items
    # One room for all: a slot of its own for each would take the longest text's memory each.
    params.kv_unified = True
    params.n_ctx = longest + batch
    params.n_batch = params.n_ubatch = batch
    params.cache_ram_mib = 0
    params.cache_prompt = False
    return params
