"""The context that generates: the KV cache, and computing a step in it."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xinfer.errors import EngineFailed
from xinfer.model.llama_cpp.context import Context
from xinfer.model.llama_cpp.kv_cache import KvCache
from xinfer.model.llama_cpp.model import LlamaModel
from xinfer.model.llm.llama_cpp.adapters import LoadedAdapter
from xinfer.model.llm.llama_cpp.options import LlamaCppOptions
from xinfer.model.llm.llama_cpp.vision import Pictures, Vision
from xinfer.model.llm.scheduling.computer import Outcome
from xinfer.model.llm.scheduling.scheduler import Chunk

Row = NDArray[np.float32]


class LlamaContext(Context):
    """A context whose steps end in logits.

    Args:
        path: the model's file, for messages.
        kv: the KV cache's size and form.
        slots: sequences in it.
        batch: tokens in one step.

    Raises:
        Unavailable, EngineFailed: as `Context`.
    """

    def __init__(
        self,
        model: LlamaModel,
        options: LlamaCppOptions,
        *,
        path: str,
        kv: KvCache,
        slots: int,
        batch: int,
    ) -> None:
        self._size = batch
        super().__init__(
            model,
            options,
            path=path,
            n_ctx=kv.cells,
            n_seq_max=slots,
            n_batch=batch,
            n_ubatch=min(options.n_ubatch, batch),
            n_outputs_max=slots,
            n_threads_batch=options.n_threads_batch or options.threads,
            kv_unified=kv.unified,
            type_k=kv.type_k,
            type_v=kv.type_v,
        )
        self._slots = slots
        self._rows = np.empty((0, 0), np.float32)
        self._rows_at = 0

    def decode(self, chunks: Sequence[Chunk]) -> Outcome:
        """Compute a step; then `logits` has a row for each chunk that is the last of its tokens.

        Raises:
            EngineFailed: llama.cpp failed; its memory cannot be relied on any more.
        """
        batch = self._batch
        batch.clear()
        for chunk in chunks:
            rows = batch.add(chunk.slot, chunk.position, chunk.tokens)
            if chunk.last:
                batch.mark(rows.stop - 1)
        code = self._llama.llama_decode(self.pointer, batch.struct())
        if code in (0, 1, 2):
            return Outcome(code)
        raise EngineFailed(f"llama.cpp failed to compute a step (llama_decode returned {code}).")

    def compute_medium(
        self, vision: Vision, pictures: Pictures, number: int, slot: int, position: int
    ) -> Outcome | None:
        """Compute a medium of a sequence, as a step of its own; None: it cannot be computed.

        Raises:
            EngineFailed: as of `decode`.
        """
        code = vision.compute(self.pointer, pictures, number, slot, position, self._size)
        if code == -1:
            return None
        if code in (0, 1, 2):
            return Outcome(code)
        raise EngineFailed(f"llama.cpp failed to compute a picture (it returned {code}).")

    def logits(self, rows: int) -> NDArray[np.float32]:
        """The logits of the last step as (rows, vocabulary); valid until the next one."""
        pointer = self._llama.llama_get_logits(self.pointer)
        if not pointer:
            raise EngineFailed("llama.cpp has computed a step and gives no logits.")
        address = ctypes.addressof(pointer.contents)
        if address != self._rows_at:
            # It has room for a row of each slot, and llama.cpp may move it.
            shape = (self._slots, self._model.vocabulary_size)
            self._rows = np.ctypeslib.as_array(pointer, shape=shape)
            self._rows_at = address
        return self._rows[:rows]

    def use_adapter(self, adapter: LoadedAdapter | None) -> None:
        """Compute the next steps with this LoRA adapter, or with none.

        Raises:
            EngineFailed: llama.cpp does not take it.
        """
        llama = self._llama
        chosen = [] if adapter is None else [adapter]
        pointers = (llama.llama_adapter_lora_p_ctypes * len(chosen))(*[a.pointer for a in chosen])
        scales = (ctypes.c_float * len(chosen))(*[a.scale for a in chosen])
        if llama.llama_set_adapters_lora(self.pointer, pointers, len(chosen), scales) != 0:
            raise EngineFailed("llama.cpp does not take this LoRA adapter.")

    def remove(self, slot: int, start: int) -> bool:
        removed: bool = self._llama.llama_memory_seq_rm(self._memory, slot, start, -1)
        return removed

    def copy(self, source: int, target: int) -> None:
        # In a divided cache llama.cpp copies the whole of it or ends the process.
        self._llama.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    def continues(self, slot: int, start: int) -> bool:
        """Whether the slot holds what the next token at `start` looks back at.

        A model with a sliding window, or with a state instead of a cache, may have dropped it.
        """
        first: int = self._llama.llama_memory_seq_pos_min(self._memory, slot)
        return 0 <= first <= max(0, start - self._model.sliding_window)
