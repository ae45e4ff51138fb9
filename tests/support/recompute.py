"""What a model says, worked out without any of an engine's cleverness.

Each token comes from a fresh evaluation of everything before it: one sequence, one batch, an
empty cache of full precision, and numpy to read the result. It shares no code with an engine.
"""

from __future__ import annotations

import ctypes
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Expected:
    """The greedy answer to a prompt.

    Attributes:
        ids: without the token that ended it.
        finish: stop or length.
        lead: the smallest distance, over all steps, between the logits of the token taken and of
            the next best one. An answer with a good lead comes out alike however it is computed.
    """

    ids: list[int]
    finish: str
    lead: float


class Reference(Protocol):
    """The truth about one model."""

    def greedy(self, prompt: Sequence[int], max_tokens: int, least: float = 0.0) -> Expected:
        """The answer; given up after the first token whose lead is less than `least`."""
        ...

    def logits(self, tokens: Sequence[int]) -> Array:
        """Raw scores, shape (vocabulary,), of what follows `tokens`."""
        ...

    def close(self) -> None: ...


class EchoReference:
    """What the echo engine promises: the prompt, once."""

    def greedy(self, prompt: Sequence[int], max_tokens: int, least: float = 0.0) -> Expected:
        ids = list(prompt[:max_tokens])
        return Expected(ids, "length" if len(ids) == max_tokens else "stop", np.inf)

    def logits(self, tokens: Sequence[int]) -> Array:
        raise AssertionError("an echo does not choose")

    def close(self) -> None: ...


class Greedy(ABC):
    """Greedy decoding by fresh evaluations; what it found out once it remembers."""

    def __init__(self, ends: Collection[int]) -> None:
        self._ends = ends
        self._best: dict[tuple[int, ...], tuple[int, float]] = {}

    @abstractmethod
    def logits(self, tokens: Sequence[int]) -> Array: ...

    def best(self, tokens: Sequence[int]) -> tuple[int, float]:
        """The most likely next token, and its lead over the second."""
        known = self._best.get(tuple(tokens))
        if known is None:
            scores = self.logits(tokens)
            second, first = np.argsort(scores)[-2:]
            known = int(first), float(scores[first] - scores[second])
            self._best[tuple(tokens)] = known
        return known

    def greedy(self, prompt: Sequence[int], max_tokens: int, least: float = 0.0) -> Expected:
        ids: list[int] = []
        smallest = np.inf
        while len(ids) < max_tokens and smallest >= least:
            token, lead = self.best([*prompt, *ids])
            smallest = min(smallest, lead)
            if token in self._ends:
                return Expected(ids, "stop", smallest)
            ids.append(token)
        return Expected(ids, "length", smallest)


class Recompute(Greedy):
    """A GGUF model on llama.cpp's plain functions.

    Args:
        adapter: a LoRA adapter to apply.
        context: tokens that `logits` takes at most.
    """

    def __init__(self, path: Path, adapter: Path | None = None, context: int = 2048) -> None:
        import llama_cpp

        self._llama = llama = llama_cpp
        model_params = llama.llama_model_default_params()
        model_params.n_gpu_layers = 0
        model_params.use_extra_bufts = False
        self._model = llama.llama_model_load_from_file(str(path).encode(), model_params)
        assert self._model, f"llama.cpp cannot load {path}"
        params = llama.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = context
        params.n_seq_max = 1
        params.n_threads = params.n_threads_batch = 1
        params.type_k = params.type_v = llama.GGML_TYPE_F32
        params.flash_attn_type = llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self._context = llama.llama_init_from_model(self._model, params)
        assert self._context, "llama.cpp cannot make a context"
        if adapter is not None:
            self._adapt(adapter)
        self._memory = llama.llama_get_memory(self._context)
        vocabulary = llama.llama_model_get_vocab(self._model)
        self._size: int = llama.llama_vocab_n_tokens(vocabulary)
        super().__init__(
            {token for token in range(self._size) if llama.llama_vocab_is_eog(vocabulary, token)}
        )

    def logits(self, tokens: Sequence[int]) -> Array:
        llama = self._llama
        llama.llama_memory_clear(self._memory, True)
        buffer = (llama.llama_token * len(tokens))(*tokens)
        status = llama.llama_decode(self._context, llama.llama_batch_get_one(buffer, len(tokens)))
        assert status == 0, f"llama_decode: {status}"
        scores = llama.llama_get_logits_ith(self._context, -1)
        return np.ctypeslib.as_array(scores, shape=(self._size,)).astype(np.float64)

    def close(self) -> None:
        self._llama.llama_free(self._context)
        self._llama.llama_model_free(self._model)

    def _adapt(self, path: Path) -> None:
        llama = self._llama
        adapter = llama.llama_adapter_lora_init(self._model, str(path).encode())
        assert adapter, f"llama.cpp cannot load {path}"
        adapters = (llama.llama_adapter_lora_p_ctypes * 1)(adapter)
        scales = (ctypes.c_float * 1)(1.0)
        assert llama.llama_set_adapters_lora(self._context, adapters, 1, scales) == 0


class RecomputeInTransformers(Greedy):
    """A model's directory, by one plain call of the model without any cache."""

    def __init__(self, path: Path, adapter: Path | None = None) -> None:
        import torch
        from transformers import AutoModelForCausalLM, GenerationConfig

        self._torch = torch
        self._model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
        if adapter is not None:
            self._model.load_adapter(str(adapter))
        self._model.eval()
        ends = GenerationConfig.from_pretrained(path).eos_token_id
        super().__init__({ends} if isinstance(ends, int) else set(ends))

    def logits(self, tokens: Sequence[int]) -> Array:
        with self._torch.inference_mode():
            ids = self._torch.tensor([list(tokens)])
            scores = self._model(input_ids=ids, use_cache=False).logits[0, -1]
        return np.asarray(scores.numpy(), np.float64)

    def close(self) -> None:
        self._model = None


def log_softmax(logits: Array) -> Array:
    """Natural logarithms of the probabilities."""
    shifted = logits - logits.max()
    return shifted - np.log(np.exp(shifted).sum())
