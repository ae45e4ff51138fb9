"""llama.cpp's context: the KV cache, and computing a step in it.

What would end the process is checked here before llama.cpp sees it: a batch over its size, a
token outside the vocabulary, a part of the cache copied where only all of it can be.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xinfer.errors import EngineFailed
from xinfer.model.llm.llama_cpp.kv_cache import KvCache
from xinfer.model.llm.llama_cpp.library import AbortFlag, error_lines, library
from xinfer.model.llm.llama_cpp.model import LlamaModel, load_failure
from xinfer.model.llm.llama_cpp.options import LlamaCppOptions
from xinfer.model.llm.llama_cpp.scheduler import Chunk

Row = NDArray[np.float32]


class Outcome(Enum):
    """How a step ended."""

    DONE = 0
    NO_ROOM = 1
    """The cache has no place for it; nothing was computed."""
    ABORTED = 2
    """Some of it may have been computed."""


class LlamaContext:
    """One context of a model. Belongs to one thread; only `abort` may come from another.

    Args:
        path: the model's file, for messages.
        kv: the KV cache's size and form.
        slots: sequences in it.
        batch: tokens in one step.

    Raises:
        Unavailable: no memory for the cache or the buffers.
        EngineFailed: llama.cpp refuses for another reason.
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
        llama = self._llama = library()
        self._model = model
        self._size = batch
        self._abort = AbortFlag(llama)
        params = llama.llama_context_default_params()
        params.n_ctx = kv.cells
        params.n_seq_max = slots
        params.n_batch = batch
        params.n_ubatch = min(options.n_ubatch, batch)
        params.n_outputs_max = slots
        params.n_threads = options.threads
        params.n_threads_batch = options.n_threads_batch or options.threads
        params.kv_unified = kv.unified
        params.flash_attn_type = {
            "auto": llama.LLAMA_FLASH_ATTN_TYPE_AUTO,
            "on": llama.LLAMA_FLASH_ATTN_TYPE_ENABLED,
            "off": llama.LLAMA_FLASH_ATTN_TYPE_DISABLED,
        }[options.flash_attn]
        params.type_k = getattr(llama, f"GGML_TYPE_{options.cache_type_k.upper()}")
        params.type_v = getattr(llama, f"GGML_TYPE_{options.cache_type_v.upper()}")
        params.abort_callback = self._abort.callback
        params.abort_callback_data = self._abort.data
        params.no_perf = True
        with error_lines() as lines:
            self.pointer = llama.llama_init_from_model(model.pointer, params)
        if not self.pointer:
            raise load_failure(path, lines)
        self._memory = llama.llama_get_memory(self.pointer)
        self._batch = _Batch(llama, batch)

    def decode(self, chunks: Sequence[Chunk]) -> Outcome:
        """Compute a step; then `logits` has a row for each chunk that is the last of its tokens.

        Raises:
            EngineFailed: llama.cpp failed; its memory cannot be relied on any more.
        """
        self._batch.fill(chunks, self._size, self._model.vocabulary_size)
        code = self._llama.llama_decode(self.pointer, self._batch.struct)
        if code in (0, 1, 2):
            return Outcome(code)
        raise EngineFailed(f"llama.cpp failed to compute a step (llama_decode returned {code}).")

    def logits(self, rows: int) -> NDArray[np.float32]:
        """The logits of the last step as (rows, vocabulary); valid until the next one."""
        pointer = self._llama.llama_get_logits(self.pointer)
        if not pointer:
            raise EngineFailed("llama.cpp has computed a step and gives no logits.")
        size = self._model.vocabulary_size
        address = ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float))
        return np.ctypeslib.as_array(address, shape=(rows, size))

    def use_adapter(self, adapter: Any, scale: float = 1.0) -> None:
        """Compute the next steps with this LoRA adapter, or with none.

        Raises:
            EngineFailed: llama.cpp does not take it.
        """
        llama = self._llama
        kept = [] if adapter is None else [adapter]
        pointers = (ctypes.c_void_p * len(kept))(*kept)
        scales = (ctypes.c_float * len(kept))(*[scale] * len(kept))
        pointers = ctypes.cast(pointers, ctypes.POINTER(llama.llama_adapter_lora_p_ctypes))
        if llama.llama_set_adapters_lora(self.pointer, pointers, len(kept), scales) != 0:
            raise EngineFailed("llama.cpp does not take this LoRA adapter.")

    def abort(self) -> None:
        """End the step that is being computed, on the processor within one operation of it."""
        self._abort.set()

    def expect_no_abort(self) -> None:
        """Take back `abort`, before the next step."""
        self._abort.clear()

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

    def close(self) -> None:
        """Release it; before the model."""
        if self.pointer:
            self._llama.llama_free(self.pointer)
            self.pointer = None


class _Batch:
    """A batch of llama.cpp whose arrays are numpy's, filled without a call for each token."""

    def __init__(self, llama: Any, size: int) -> None:
        self._tokens = np.zeros(size, np.int32)
        self._positions = np.zeros(size, np.int32)
        self._counts = np.ones(size, np.int32)
        self._slots = np.zeros(size, np.int32)
        self._outputs = np.zeros(size, np.int8)
        step = self._slots.itemsize
        self._pointers = (self._slots.ctypes.data + step * np.arange(size)).astype(np.uintp)
        struct = self.struct = llama.llama_batch()
        struct.token = _pointer(self._tokens, llama.llama_token)
        struct.pos = _pointer(self._positions, llama.llama_pos)
        struct.n_seq_id = _pointer(self._counts, ctypes.c_int32)
        struct.seq_id = _pointer(self._pointers, ctypes.POINTER(llama.llama_seq_id))
        struct.logits = _pointer(self._outputs, ctypes.c_int8)

    def fill(self, chunks: Sequence[Chunk], size: int, vocabulary_size: int) -> None:
        total = sum(chunk.count for chunk in chunks)
        if total > size:
            raise EngineFailed(f"A step of {total} tokens is more than the {size} of a batch.")
        self._outputs[:total] = 0
        end = 0
        for chunk in chunks:
            begin, end = end, end + chunk.count
            self._slots[begin:end] = chunk.slot
            if chunk.count == 1:
                self._tokens[begin] = chunk.sequence.tokens[chunk.start]
                self._positions[begin] = chunk.start
            else:
                self._tokens[begin:end] = chunk.tokens
                self._positions[begin:end] = np.arange(chunk.start, chunk.start + chunk.count)
            self._outputs[end - 1] = chunk.last
        tokens = self._tokens[:total]
        if total and not 0 <= tokens.min() <= tokens.max() < vocabulary_size:
            raise EngineFailed("A step has a token that the model does not have.")
        self.struct.n_tokens = total


def _pointer(array: NDArray[Any], kind: Any) -> Any:
    return ctypes.cast(array.ctypes.data, ctypes.POINTER(kind))
