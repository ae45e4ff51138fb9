"""What a model says after pictures, worked out by mtmd's own helper in one sequence."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xinfer.model.llama_cpp.binding import library, media_library

DECIDED = 0.002
"""A lead of the likeliest token that does not depend on the order of additions in 32 bits."""


class Reference:
    """Shares no code with the engine but the library: prompts with mtmd's markers, all pictures
    decoded at once, a fresh context for each answer, numpy to read the result."""

    def __init__(self, model: Path, projector: Path) -> None:
        self._llama, self._mtmd = library(), media_library()
        params = self._llama.llama_model_default_params()
        params.n_gpu_layers = 0
        self._model = self._llama.llama_model_load_from_file(str(model).encode(), params)
        assert self._model
        media_params = self._mtmd.mtmd_context_params_default()
        media_params.use_gpu = False
        media_params.n_threads = 1
        self._vision = self._mtmd.mtmd_init_from_file(
            str(projector).encode(), self._model, media_params
        )
        assert self._vision

    def answer(
        self, texts: Sequence[str], pictures: Sequence[bytes], tokens: int
    ) -> tuple[int, list[int]]:
        """The prompt's tokens, and of the greedy answer as many tokens as are decided."""
        llama, mtmd = self._llama, self._mtmd
        bitmaps = [self._bitmap(picture) for picture in pictures]
        text = mtmd.mtmd_default_marker().decode().join(texts).encode()
        chunks = mtmd.mtmd_input_chunks_init()
        array = (mtmd.mtmd_bitmap_p_ctypes * len(bitmaps))(*bitmaps)
        prompt = mtmd.mtmd_input_text(text, len(text), False, True)
        assert not mtmd.mtmd_tokenize(
            self._vision, chunks, ctypes.byref(prompt), array, len(bitmaps)
        )
        context = self._context()
        end = ctypes.c_int32()
        assert not mtmd.mtmd_helper_eval_chunks(
            self._vision, context, chunks, 0, 0, 512, True, ctypes.byref(end)
        )
        ids: list[int] = []
        while len(ids) < tokens:
            scores = self._scores(context)
            second, first = np.argsort(scores)[-2:]
            if scores[first] - scores[second] < DECIDED:
                break
            ids.append(int(first))
            one = (llama.llama_token * 1)(ids[-1])
            assert not llama.llama_decode(context, llama.llama_batch_get_one(one, 1))
        count = mtmd.mtmd_helper_get_n_tokens(chunks)
        llama.llama_free(context)
        mtmd.mtmd_input_chunks_free(chunks)
        for bitmap in bitmaps:
            mtmd.mtmd_bitmap_free(bitmap)
        return count, ids

    def close(self) -> None:
        self._mtmd.mtmd_free(self._vision)
        self._llama.llama_model_free(self._model)

    def _bitmap(self, picture: bytes) -> Any:
        data = (ctypes.c_uint8 * len(picture)).from_buffer_copy(picture)
        return self._mtmd.mtmd_helper_bitmap_init_from_buf(self._vision, data, len(picture), False)

    def _context(self) -> Any:
        llama = self._llama
        params = llama.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = 1024
        params.n_threads = params.n_threads_batch = 1
        params.type_k = params.type_v = llama.GGML_TYPE_F32
        params.flash_attn_type = llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
        return llama.llama_init_from_model(self._model, params)

    def _scores(self, context: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
        vocabulary = self._llama.llama_model_get_vocab(self._model)
        size = self._llama.llama_vocab_n_tokens(vocabulary)
        row = self._llama.llama_get_logits_ith(context, -1)
        return np.ctypeslib.as_array(row, shape=(size,)).copy()
