"""The context that encodes: sequences in, one row for each out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from xinfer.errors import Cancelled, EngineFailed, Unavailable
from xinfer.model.encode.llama_cpp.options import RerankOptions
from xinfer.model.llama_cpp.binding import library
from xinfer.model.llama_cpp.context import Context
from xinfer.model.llama_cpp.kv_cache import KvCache, cache_types
from xinfer.model.llama_cpp.model import LlamaModel
from xinfer.model.memory import rounded

_ABORTED, _NO_MEMORY = 2, -2


class EncodeContext(Context):
    """A context that pools the tokens of each sequence.

    Args:
        path: the model's file, for messages.
        pooling: mean, cls, last or rank.
        width: numbers in a row.
        longest: tokens of one sequence.
        batch: tokens computed at once. A longer sequence needs `continues`.

    Raises:
        Unavailable, EngineFailed: as `Context`.
    """

    def __init__(
        self,
        model: LlamaModel,
        options: RerankOptions,
        *,
        path: str,
        pooling: str,
        width: int,
        longest: int,
        batch: int,
    ) -> None:
        size = _size(options, batch)
        kv = plan_kv(options, longest, batch)
        super().__init__(
            model,
            options,
            path=path,
            embeddings=True,
            pooling_type=getattr(library(), f"LLAMA_POOLING_TYPE_{pooling.upper()}"),
            n_ctx=kv.cells,
            n_seq_max=options.items,
            # Tokens that see each other, or whose mean is taken, have to be in one micro-batch.
            n_batch=size,
            n_ubatch=size,
            kv_unified=kv.unified,
            type_k=kv.type_k,
            type_v=kv.type_v,
        )
        self._width = width
        self._size = size
        self._spoiled = False
        causal = bool(self._memory) and self._llama.llama_get_causal_attn(self.pointer)
        self.continues: bool = causal and pooling in ("last", "rank")
        """Whether a sequence can be computed in pieces: its last token has seen all others."""
        encoder = self._llama.llama_model_has_encoder(model.pointer)
        self._compute = self._llama.llama_encode if encoder else self._llama.llama_decode

    def compute(self, sequences: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Rows of (sequences, width), computed at once; or one longer sequence in pieces.

        Raises:
            Cancelled: `abort` was called meanwhile.
            Unavailable: llama.cpp gets no memory for it.
            EngineFailed: llama.cpp failed for another reason.
        """
        if self._memory:
            # Cells that nobody looks at are multiplied by zero, which does not help against NaN.
            self._llama.llama_memory_clear(self._memory, self._spoiled)
        for pieces in self._steps(sequences):
            self._batch.clear()
            for slot, (start, ids) in enumerate(pieces):
                self._batch.mark(self._batch.add(slot, start, ids))
            self._check(self._compute(self.pointer, self._batch.struct()))
        rows = np.empty((len(sequences), self._width), np.float32)
        for slot in range(len(sequences)):
            pointer = self._llama.llama_get_embeddings_seq(self.pointer, slot)
            if not pointer:
                raise EngineFailed("llama.cpp has computed a batch and gives no result for it.")
            rows[slot] = np.ctypeslib.as_array(pointer, shape=(self._width,))
        self._spoiled = not np.isfinite(rows).all()
        return rows

    def _steps(
        self, sequences: Sequence[Sequence[int]]
    ) -> Iterator[list[tuple[int, Sequence[int]]]]:
        if not (self.continues and len(sequences) == 1):
            yield [(0, ids) for ids in sequences]
            return
        ids = sequences[0]
        for start in range(0, len(ids), self._size):
            yield [(start, ids[start : start + self._size])]

    def _check(self, code: int) -> None:
        if code == _ABORTED:
            raise Cancelled("The model was unloaded while this was computed.")
        if code == _NO_MEMORY:
            raise Unavailable(
                "There is not enough memory to compute so many tokens at once. Launch the model "
                "with a smaller n_batch or n_ctx.",
                code="no_capacity",
            )
        if code != 0:
            raise EngineFailed(f"llama.cpp failed to compute a batch (it returned {code}).")


def plan_kv(options: RerankOptions, longest: int, batch: int) -> KvCache:
    """What a model that has a KV cache needs of it; it is empty between batches.

    Raises:
        InvalidRequest: as `cache_types`.
    """
    return KvCache(rounded(max(longest, _size(options, batch))), True, **cache_types(options))


def _size(options: RerankOptions, batch: int) -> int:
    """llama.cpp measures its buffers with equal sequences, and ends the process over a rest."""
    return -(-batch // options.items) * options.items
