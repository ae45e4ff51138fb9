"""The sentence-transformers engine: embedding and rerank models on PyTorch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from importlib.util import find_spec

import msgspec
import numpy as np
from numpy.typing import NDArray

from xinfer.errors import Cancelled, EngineFailed, InvalidRequest, XinferError
from xinfer.model.encode.batches import refusal
from xinfer.model.encode.beginnings import Beginnings
from xinfer.model.encode.files import is_language_model, with_facts
from xinfer.model.encode.sentence_transformers.model import EncodeModel
from xinfer.model.encode.sentence_transformers.options import SentenceTransformersOptions
from xinfer.model.encode.sentence_transformers.padding import features, padded_groups
from xinfer.model.encode_engine import Encoded, Item, Result
from xinfer.model.engine import EngineOptions, Support
from xinfer.model.memory import estimate_on_torch
from xinfer.model.torch_build import torch_accelerators
from xinfer.model.torch_device import Place, choose_place, memory_errors
from xinfer.types.model import Abilities, EngineStats, Loaded, Memory, ModelSpec, Progress

TYPES = ("embedding", "rerank")
PACKAGES = ("torch", "transformers", "sentence_transformers")
_LESS_AT_ONCE = "Launch the model with a smaller batch_tokens or max_tokens, or on another device."
_TOO_MANY = f"to compute so many tokens at once. {_LESS_AT_ONCE}"


class SentenceTransformersEngine:
    """Plain inference on sorted, padded batches; no other library of the model is loaded before
    `load`."""

    def __init__(self, spec: ModelSpec, options: SentenceTransformersOptions) -> None:
        self._spec = spec
        self._options = options
        self._model: EncodeModel | None = None
        self._beginnings: Beginnings | None = None
        self._place: Place | None = None
        self._longest = 0
        self._tokens_at_once = 0
        self._closing = False
        self._encoding = threading.Lock()
        self._running = 0
        self._computed = 0

    @classmethod
    def support(cls, spec: ModelSpec) -> Support:
        if spec.type not in TYPES:
            return Support(
                False, f"it runs embedding and rerank models, not models of type {spec.type}"
            )
        if spec.format != "pytorch":
            return Support(False, "it runs models in Hugging Face's format (pytorch) only")
        elsewhere = [name for name in spec.remote_code if "--" in name]
        if elsewhere:
            return Support(
                False, f"program code of the model is in another repository: {', '.join(elsewhere)}"
            )
        missing = [package for package in PACKAGES if find_spec(package) is None]
        if missing:
            return Support(False, f"{', '.join(missing)} is not installed", spec.type)
        return Support(True, runs_code=bool(spec.remote_code))

    @classmethod
    def options(cls) -> type[EngineOptions]:
        return SentenceTransformersOptions

    @classmethod
    def accelerators(cls) -> frozenset[str] | None:
        if any(find_spec(package) is None for package in PACKAGES):
            return None
        return torch_accelerators()

    @classmethod
    def estimate(cls, spec: ModelSpec, options: SentenceTransformersOptions) -> Memory:
        tokens = options.tokens_at_once(accelerator=options.device != "cpu")
        return estimate_on_torch(
            spec,
            tokens,
            device=options.device,
            dtype=options.dtype,
            accelerated=bool(torch_accelerators()),
        )

    def load(self, progress: Callable[[Progress], None]) -> Loaded:
        import torch

        options = self._options
        torch.set_num_threads(options.threads)
        place = self._place = choose_place(options.device, options.dtype)
        progress(Progress(0.1, "loading"))
        with memory_errors(f"for {self._spec.path}. {_LESS_AT_ONCE}"):
            model = self._model = self._load_model(place)
        longest = options.max_tokens or model.longest
        if longest > model.longest:
            raise InvalidRequest(
                f"max_tokens is {longest}, and the model takes {model.longest} tokens. Give "
                f"max_tokens up to {model.longest}.",
                param="max_tokens",
            )
        self._longest = longest
        self._beginnings = Beginnings(model.tokens.word_ends, longest)
        tokens = self._tokens_at_once = options.tokens_at_once(accelerator=place.device != "cpu")
        progress(Progress(1.0, "loading"))
        abilities = model.abilities(tokens=tokens, items=options.batch_items)
        abilities = msgspec.structs.replace(abilities, truncate=options.truncate)
        return Loaded(
            context_length=longest,
            concurrency=options.batch_items,
            abilities=Abilities(cancel="end", encode=abilities),
            backend=place.device,
            details={"dtype": str(place.dtype).removeprefix("torch."), "threads": options.threads},
        )

    def _load_model(self, place: Place) -> EncodeModel:
        spec = with_facts(self._spec)
        if spec.type == "embedding":
            from xinfer.model.encode.sentence_transformers.embedding import EmbeddingModel

            return EmbeddingModel(spec, place)
        if is_language_model(spec.path):
            from xinfer.model.encode.sentence_transformers.generative import GenerativeModel

            return GenerativeModel(spec, place, instruction=self._options.instruction)
        from xinfer.model.encode.sentence_transformers.cross_encoder import CrossEncoderModel

        return CrossEncoderModel(spec, place)

    def close(self) -> None:
        """Release the model; blocks until the group that is computed is there."""
        self._closing = True
        with self._encoding:
            self._model = None

    def stats(self) -> EngineStats:
        return EngineStats(running=self._running, prompt_tokens=self._computed)

    def spell(self, ids: Sequence[int]) -> list[str]:
        return self._open().tokens.spell(ids)

    def tokenize(self, items: Sequence[Item]) -> list[Encoded]:
        model = self._open()
        assert self._beginnings is not None
        return self._beginnings.tokenize(items, model.tokenize)

    def encode(self, batch: Sequence[Encoded]) -> list[Result | XinferError]:
        with self._encoding:
            self._running = len(batch)
            try:
                return self._encode(self._open(), batch)
            finally:
                self._running = 0

    def _encode(self, model: EncodeModel, batch: Sequence[Encoded]) -> list[Result | XinferError]:
        results: list[Result | XinferError | None] = [
            refusal(item, self._longest, model.tokens.size) for item in batch
        ]
        able = [index for index, error in enumerate(results) if error is None]
        for group in padded_groups(
            [len(batch[index]) for index in able],
            tokens=self._tokens_at_once,
            items=self._options.batch_items,
        ):
            self._open()
            indices = [able[member] for member in group]
            made = self._rows(model, [batch[index] for index in indices])
            for index, *rows in zip(indices, *made, strict=True):
                results[index] = (
                    model.result(batch[index], *rows)
                    if all(np.isfinite(row).all() for row in rows)
                    else EngineFailed("The model's result for this text is not a number.")
                )
                self._computed += len(batch[index])
        return [result for result in results if result is not None]

    def _rows(self, model: EncodeModel, items: list[Encoded]) -> list[NDArray[np.float32]]:
        import torch

        assert self._place is not None
        with torch.inference_mode(), memory_errors(_TOO_MANY):
            made = features(items, padding=model.tokens.padding, second_type=model.second_type)
            made = {name: tensor.to(self._place.device) for name, tensor in made.items()}
            return [tensor.float().cpu().numpy() for tensor in model.compute(made)]

    def _open(self) -> EncodeModel:
        if self._closing or self._model is None:
            raise Cancelled("The model was unloaded.")
        return self._model
