"""A context of a model: what llama.cpp computes in, and the batch it is given.

What would end the process is checked here before llama.cpp sees it: a batch over its size, a
token outside the vocabulary.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xinfer.errors import EngineFailed
from xinfer.model.llama_cpp.binding import AbortFlag, error_lines, library
from xinfer.model.llama_cpp.model import LlamaModel, load_failure
from xinfer.model.llama_cpp.options import ModelOptions


class Context:
    """Belongs to one thread; only `abort` may come from another.

    Args:
        path: the model's file, for messages.
        parameters: fields of `llama_context_params`.

    Raises:
        Unavailable: no memory for the cache or the buffers.
        EngineFailed: llama.cpp refuses for another reason.
    """

    def __init__(
        self, model: LlamaModel, options: ModelOptions, *, path: str, **parameters: Any
    ) -> None:
        llama = self._llama = library()
        self._model = model
        self._abort = AbortFlag(llama)
        params = llama.llama_context_default_params()
        params.n_threads = options.threads
        params.n_threads_batch = options.threads
        params.flash_attn_type = {
            "auto": llama.LLAMA_FLASH_ATTN_TYPE_AUTO,
            "on": llama.LLAMA_FLASH_ATTN_TYPE_ENABLED,
            "off": llama.LLAMA_FLASH_ATTN_TYPE_DISABLED,
        }[options.flash_attn]
        params.abort_callback = self._abort.callback
        params.abort_callback_data = self._abort.data
        params.no_perf = True
        for name, value in parameters.items():
            getattr(params, name)  # ctypes would take any name
            setattr(params, name, value)
        with error_lines() as lines:
            self.pointer = llama.llama_init_from_model(model.pointer, params)
        if not self.pointer:
            raise load_failure(path, lines)
        self._memory = llama.llama_get_memory(self.pointer)
        """None for a model that keeps nothing between steps."""
        self._batch = Batch(llama, parameters["n_batch"], model.vocabulary_size)

    def abort(self) -> None:
        """End the step that is being computed, on the processor within one operation of it."""
        self._abort.set()

    def expect_no_abort(self) -> None:
        """Take back `abort`, before the next step."""
        self._abort.clear()

    def close(self) -> None:
        """Release it; before the model."""
        if self.pointer:
            self._llama.llama_free(self.pointer)
            self.pointer = None


class Batch:
    """A batch of llama.cpp whose arrays are numpy's, filled without a call for each token.

    Args:
        size: tokens in it at most.
    """

    def __init__(self, llama: Any, size: int, vocabulary_size: int) -> None:
        self._size = size
        self._vocabulary_size = vocabulary_size
        self._used = 0
        self._tokens = np.zeros(size, np.int32)
        self._positions = np.zeros(size, np.int32)
        self._counts = np.ones(size, np.int32)
        self._slots = np.zeros(size, np.int32)
        self._outputs = np.zeros(size, np.int8)
        step = self._slots.itemsize
        self._pointers = (self._slots.ctypes.data + step * np.arange(size)).astype(np.uintp)
        struct = self._struct = llama.llama_batch()
        struct.token = _pointer(self._tokens, llama.llama_token)
        struct.pos = _pointer(self._positions, llama.llama_pos)
        struct.n_seq_id = _pointer(self._counts, ctypes.c_int32)
        struct.seq_id = _pointer(self._pointers, ctypes.POINTER(llama.llama_seq_id))
        struct.logits = _pointer(self._outputs, ctypes.c_int8)

    def clear(self) -> None:
        """Begin another step."""
        self._used = 0

    def add(self, slot: int, start: int, tokens: Sequence[int]) -> slice:
        """Put tokens of a sequence, from position `start` on, behind those that are in it.

        Returns:
            Their rows, for `mark`.

        Raises:
            EngineFailed: there is no room for them.
        """
        begin, end = self._used, self._used + len(tokens)
        if end > self._size:
            raise EngineFailed(f"A step of {end} tokens is more than the {self._size} of a batch.")
        self._used = end
        rows = slice(begin, end)
        self._outputs[rows] = 0
        self._slots[rows] = slot
        if len(tokens) == 1:
            self._tokens[begin] = tokens[0]
            self._positions[begin] = start
        else:
            self._tokens[rows] = tokens
            self._positions[rows] = np.arange(start, start + len(tokens))
        return rows

    def mark(self, rows: slice | int) -> None:
        """Have llama.cpp give its output for these rows."""
        self._outputs[rows] = 1

    def struct(self) -> Any:
        """The batch as llama.cpp takes it.

        Raises:
            EngineFailed: a token in it does not exist.
        """
        tokens = self._tokens[: self._used]
        if self._used and not 0 <= tokens.min() <= tokens.max() < self._vocabulary_size:
            raise EngineFailed("A step has a token that the model does not have.")
        self._struct.n_tokens = self._used
        return self._struct


def _pointer(array: NDArray[Any], kind: Any) -> Any:
    return ctypes.cast(array.ctypes.data, ctypes.POINTER(kind))
