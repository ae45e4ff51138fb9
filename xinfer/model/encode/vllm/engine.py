"""The pooling engine on vLLM: embedding models, rerank models and classifiers with a head.

vLLM is imported when a model is loaded.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from xinfer.errors import Cancelled, EngineFailed, InvalidRequest, Unavailable, XinferError
from xinfer.model.encode.batches import refusal
from xinfer.model.encode.beginnings import Beginnings
from xinfer.model.encode.files import is_language_model, with_facts
from xinfer.model.encode.vllm.arguments import engine_arguments, pooling_of
from xinfer.model.encode.vllm.options import OF_LANGUAGE_MODELS, VllmPoolingOptions
from xinfer.model.encode_engine import EmbedResult, Encoded, Item, Pair, RankResult, Result
from xinfer.model.engine import EngineOptions, Support
from xinfer.model.memory import estimate
from xinfer.model.vllm import installed
from xinfer.model.vllm.arguments import environment
from xinfer.model.vllm.failures import is_memory
from xinfer.model.vllm.records import Records
from xinfer.types.model import (
    Abilities,
    EncodeAbilities,
    EngineStats,
    Loaded,
    Memory,
    ModelSpec,
    Progress,
)

if TYPE_CHECKING:
    from vllm.v1.engine.llm_engine import LLMEngine

    from xinfer.model.encode.tokens import Tokens

TYPES = ("embedding", "rerank")


class VllmPoolingEngine:
    """vLLM's scheduler in this process, stepped by whoever wants results: a batch begins and ends
    with the call."""

    def __init__(self, spec: ModelSpec, options: VllmPoolingOptions) -> None:
        self._spec = spec
        self._options = options
        self._llm: LLMEngine | None = None
        self._tokens: Tokens | None = None
        self._beginnings: Beginnings | None = None
        self._directory: TemporaryDirectory[str] | None = None
        self._longest = 0
        self._scores = 0
        self._closing = False
        self._tokenizing = threading.Lock()
        self._encoding = threading.Lock()
        self._requests = 0
        self._running = 0
        self._computed = 0

    @classmethod
    def support(cls, spec: ModelSpec) -> Support:
        if spec.type not in TYPES:
            return Support(
                False, f"it runs embedding and rerank models, not models of type {spec.type}"
            )
        if spec.encode is not None and spec.encode.generative:
            return Support(False, "of rerank models it runs those with a head")
        return installed.support(spec)

    @classmethod
    def options(cls) -> type[EngineOptions]:
        return installed.with_installed(VllmPoolingOptions, without=OF_LANGUAGE_MODELS)

    @classmethod
    def accelerators(cls) -> frozenset[str] | None:
        return installed.accelerators()

    @classmethod
    def estimate(cls, spec: ModelSpec, options: VllmPoolingOptions) -> Memory:
        accelerated = bool(cls.accelerators())
        tokens = options.max_num_batched_tokens or 8192
        memory = estimate(spec, context=tokens, tokens_at_once=tokens)
        return msgspec.structs.replace(memory, processors_only=not accelerated)

    def load(self, progress: Callable[[Progress], None]) -> Loaded:
        spec = with_facts(self._spec)
        if spec.type == "rerank" and is_language_model(spec.path):
            raise InvalidRequest(
                f"{spec.name} answers yes or no as a language model does. Launch it with "
                "--model-engine sentence_transformers.",
                param="model_engine",
            )
        progress(Progress(0.02, "loading", "Importing vLLM"))
        self._directory = TemporaryDirectory(prefix="xinfer-vllm-")
        records = Records(Path(self._directory.name))
        accelerated = bool(self.accelerators())
        os.environ.update(
            environment(self._options, records.config, accelerated=accelerated, alone=True)
        )
        from transformers import AutoTokenizer
        from vllm.platforms import current_platform
        from vllm.v1.engine.llm_engine import LLMEngine

        from xinfer.model.encode.tokens import Tokens
        from xinfer.model.vllm.loading import start

        devices = current_platform.device_count() if accelerated else 0
        arguments = engine_arguments(spec, self._options, devices=devices)
        llm = self._llm = start(LLMEngine.from_engine_args, arguments, records, progress, spec.name)
        config = llm.model_config
        tokenizer = AutoTokenizer.from_pretrained(
            spec.path, local_files_only=True, trust_remote_code=bool(spec.remote_code)
        )
        self._tokens = Tokens(tokenizer, spec.path)
        self._longest = config.max_model_len
        self._beginnings = Beginnings(self._tokens.word_ends, self._longest)
        self._scores = 0 if spec.type == "embedding" else int(config.hf_config.num_labels)
        progress(Progress(1.0, "loading"))
        return Loaded(
            context_length=self._longest,
            concurrency=self._options.max_num_seqs,
            abilities=Abilities(cancel="end", encode=self._abilities(spec, llm)),
            backend=current_platform.device_type,
            details={
                "architecture": config.architecture,
                "dtype": str(config.dtype).removeprefix("torch."),
                "tensor_parallel_size": arguments["tensor_parallel_size"],
            },
        )

    def _abilities(self, spec: ModelSpec, llm: LLMEngine) -> EncodeAbilities:
        told = spec.encode
        shared: dict[str, Any] = {
            "batch_tokens": llm.vllm_config.scheduler_config.max_num_batched_tokens,
            "batch_items": self._options.max_num_seqs,
            "truncate": self._options.truncate,
        }
        if spec.type == "rerank":
            labels = told.labels if told is not None else ()
            return EncodeAbilities(pooling="rank", scores=self._scores, labels=labels, **shared)
        return EncodeAbilities(
            pooling=pooling_of(spec),
            dimensions=self._dimensions(llm),
            normalised=bool(told and told.normalised),
            matryoshka=bool(told and told.smaller_dimensions),
            prompts=told.prompts if told is not None else {},
            **shared,
        )

    def _dimensions(self, llm: LLMEngine) -> int:
        """By a first vector: layers behind the encoder may change what its files say."""
        assert self._tokens is not None
        (result,) = self._compute(llm, self._tokens.texts(["a"]))
        return len(result)

    def close(self) -> None:
        """Release the model; blocks until the step that is computed is there."""
        self._closing = True
        with self._tokenizing, self._encoding:
            if self._llm is not None:
                self._llm.engine_core.shutdown()
                self._llm = None
            if self._directory is not None:
                self._directory.cleanup()
                self._directory = None

    def stats(self) -> EngineStats:
        return EngineStats(running=self._running, prompt_tokens=self._computed)

    def spell(self, ids: Sequence[int]) -> list[str]:
        return self._open_tokens().spell(ids)

    def tokenize(self, items: Sequence[Item]) -> list[Encoded]:
        with self._tokenizing:
            tokens = self._open_tokens()
            assert self._beginnings is not None
            return self._beginnings.tokenize(items, partial(self._tokenize, tokens))

    def _tokenize(self, tokens: Tokens, items: Sequence[Item]) -> list[Encoded]:
        texts = [item for item in items if not isinstance(item, Pair)]
        pairs = [item for item in items if isinstance(item, Pair)]
        if self._scores == 0 and pairs:
            raise InvalidRequest("An embedding model takes texts, not pairs of texts.")
        if not pairs and self._scores != 1:  # also a classifier of texts
            return tokens.texts(texts)
        if texts:
            raise InvalidRequest("A rerank model takes pairs of a query and a document.")
        return tokens.pairs(pairs)

    def encode(self, batch: Sequence[Encoded]) -> list[Result | XinferError]:
        with self._encoding:
            self._running = len(batch)
            try:
                return self._encode(batch)
            finally:
                self._running = 0

    def _encode(self, batch: Sequence[Encoded]) -> list[Result | XinferError]:
        llm, size = self._open(), self._open_tokens().size
        results: list[Result | XinferError | None] = [
            refusal(item, self._longest, size) for item in batch
        ]
        able = [index for index, error in enumerate(results) if error is None]
        made = self._compute(llm, [batch[index] for index in able])
        for index, row in zip(able, made, strict=True):
            if not np.isfinite(row).all():
                results[index] = EngineFailed("The model's result for this text is not a number.")
            else:
                results[index] = RankResult(row) if self._scores else EmbedResult(row)
            self._computed += len(batch[index])
        return [result for result in results if result is not None]

    def _compute(self, llm: LLMEngine, items: Sequence[Encoded]) -> list[NDArray[np.float32]]:
        """A row for each item.

        Raises:
            Unavailable: there is no memory for so much at once.
            Cancelled: the engine was closed meanwhile.
            EngineFailed: vLLM failed.
        """
        places: dict[str, int] = {}
        rows: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(items)
        internal = []
        try:
            for place, item in enumerate(items):
                self._requests += 1
                number = str(self._requests)
                places[number] = place
                internal.append(self._add(llm, number, item))
            while places:
                self._open()
                for output in llm.step():
                    if output.finished:
                        rows[places.pop(output.request_id)] = _row(output)
        except XinferError:
            llm.abort_request(internal, internal=True)
            raise
        except Exception as error:  # whatever PyTorch and vLLM raise
            llm.abort_request(internal, internal=True)
            if is_memory(error):
                raise Unavailable(
                    "There is not enough memory to compute so many tokens at once. Launch the "
                    "model with a smaller max_num_batched_tokens.",
                    code="no_capacity",
                ) from error
            raise EngineFailed(f"vLLM failed: {error!r}") from error
        return rows

    def _add(self, llm: LLMEngine, number: str, item: Encoded) -> str:
        from vllm.inputs import tokens_input
        from vllm.pooling_params import PoolingParams

        if not self._scores:
            params = PoolingParams(task="embed")
        else:
            assert self._tokens is not None
            # Scores as the head makes them; what is made of them is the pipeline's.
            params = PoolingParams(task="classify", use_activation=False)
            if item.pair and self._tokens.second_type:
                params.extra_kwargs = {"compressed_token_type_ids": item.cut[0]}
        return str(llm.add_request(number, tokens_input(item.ids), params))

    def _open(self) -> LLMEngine:
        if self._closing or self._llm is None:
            raise Cancelled("The model was unloaded.")
        return self._llm

    def _open_tokens(self) -> Tokens:
        if self._closing or self._tokens is None:
            raise Cancelled("The model was unloaded.")
        return self._tokens


def _row(output: Any) -> NDArray[np.float32]:
    data = output.outputs.data
    return np.asarray(data.float().cpu().numpy(), np.float32).reshape(-1)
