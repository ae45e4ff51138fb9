"""llama.cpp's server with a language model, which completes prompts of token ids."""

from __future__ import annotations

import atexit
from collections.abc import Callable
from typing import Any

from xinfer.errors import EngineFailed, InvalidRequest
from xinfer.model.llm.xllamacpp.guide import HEADER
from xinfer.model.llm.xllamacpp.options import XllamacppOptions
from xinfer.model.xllamacpp.server import Answer, EmbeddedServer, common_params, failure_of

Chunk = Answer


# llama.cpp keeps the tokenizer of its last grammar, and knows it by where the model's vocabulary is
# in memory: that model has to stay until there is a grammar for another one.
_last_with_grammar: Any = None


@atexit.register
def _release_last() -> None:
    global _last_with_grammar
    _last_with_grammar = None


class LlamaServer(EmbeddedServer):
    """One loaded model. Every method may be called from any thread.

    `end_ids` are the tokens that end a text; `has_grammars`, whether this build of llama.cpp has
    llguidance in it.

    Args:
        path: the file, or the first of its parts.
        context: tokens for each of the options' `n_parallel` slots.

    Raises:
        InvalidRequest, Unavailable, EngineFailed: as `EmbeddedServer`.
    """

    def __init__(self, path: str, context: int, options: XllamacppOptions) -> None:
        super().__init__(path, _params(path, context, options))
        # Also a sign that it runs.
        self.end_ids = self._find_end_ids()
        self.has_grammars = self._try_grammar()

    def _find_end_ids(self) -> frozenset[int]:
        """The tokens that end a text for llama.cpp: those it forbids when told to ignore them."""
        answer = self.complete(
            {"prompt": [0], "max_tokens": 1, "ignore_eos": True, "verbose": True}
        )
        settings = answer["__verbose"]["generation_settings"]
        return frozenset(bias["token"] for bias in settings["logit_bias"])

    def _try_grammar(self) -> bool:
        """Whether it keeps to a grammar for llguidance; a build without it refuses one."""
        body = {"prompt": [0], "max_tokens": 1, "grammar": f"{HEADER}start: <[0]>"}
        try:
            answer = self.complete({**body, "verbose": True, "return_tokens": True})
        except (InvalidRequest, EngineFailed, RuntimeError):
            return False
        tokens: list[int] = answer["__verbose"]["tokens"]
        return tokens == [0]

    def complete(
        self, body: dict[str, Any], on_chunk: Callable[[Chunk], bool] | None = None
    ) -> Chunk:
        """Run one completion; blocks. With `on_chunk` it streams until that returns True.

        Raises:
            EngineFailed: llama.cpp refused, where it does not stream.
        """
        if "grammar" in body:
            global _last_with_grammar
            _last_with_grammar = self._server
        if on_chunk is not None:
            self._server.handle_completions({**body, "stream": True}, on_chunk)
            return {}
        answer: Chunk = self._server.handle_completions(body)
        if "error" in answer:
            raise failure_of(answer)
        return answer


def _params(path: str, context: int, options: XllamacppOptions) -> Any:
    params = common_params(path, options)
    params.n_ctx = context * options.n_parallel
    params.n_parallel = options.n_parallel
    params.n_batch = options.n_batch
    params.n_ubatch = min(options.n_ubatch, options.n_batch)
    params.cpuparams_batch.n_threads = options.n_threads_batch or options.threads
    params.cache_ram_mib = options.cache_ram_mib
    # Control tokens must show in the text, or their bytes would be missing from the chunks.
    params.special = True
    return params
