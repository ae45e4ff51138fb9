"""Hubs, engines and hosts that resolving can be tested with, as plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from xinfer.errors import NotFound, Unavailable, XinferError
from xinfer.model.catalog.host import Host
from xinfer.model.engine import EngineOptions, Support
from xinfer.types.model import Memory, ModelSpec, Source

GiB = 1 << 30


class FakeHubs:
    """Repositories and a cache in memory.

    Args:
        repositories: forms by `owner/name`, on HuggingFace.
        cache: the same, of what was downloaded.
        online: whether a hub can be reached.
    """

    def __init__(
        self,
        repositories: Mapping[str, Sequence[ModelSpec]] | None = None,
        cache: Mapping[str, Sequence[ModelSpec]] | None = None,
        *,
        online: bool = True,
    ) -> None:
        self._repositories = repositories or {}
        self._cache = cache or {}
        self._online = online
        self.asked: list[Source] = []
        """Sources that a hub was asked for."""

    def cached(self, source: Source) -> list[ModelSpec]:
        if source.hub != "huggingface":
            return []
        return [_from(source, one) for one in self._cache.get(source.repo, ())]

    def inspect(self, sources: Sequence[Source]) -> list[ModelSpec]:
        self.asked += sources
        if not self._online:
            text = " ".join(f"{each.hub} cannot be reached: no route." for each in sources)
            raise Unavailable(text, code="hub_unreachable")
        for source in sources:
            if source.hub == "huggingface" and source.repo in self._repositories:
                return [_from(source, one) for one in self._repositories[source.repo]]
        raise NotFound(f"No hub has {sources[0].repo}.", code="model_not_found")

    def located(self, model: ModelSpec) -> ModelSpec:
        return model

    def damage(self, model: ModelSpec) -> XinferError | None:
        return None

    def kept(self) -> list[str]:
        return [f"hf:{name}" for name in self._cache]


def _from(source: Source, model: ModelSpec) -> ModelSpec:
    files = model.files if model.format == "ggufv2" else source.files
    return msgspec.structs.replace(
        model,
        sources=(msgspec.structs.replace(source, files=files),),
        hub=source.hub,
        model_id=source.repo,
    )


def gguf(name: str, quantization: str, **fields: Any) -> ModelSpec:
    """A form in GGUF, in a file of its own."""
    file = f"{name}-{quantization}.gguf"
    return ModelSpec(name=name, format="ggufv2", quantization=quantization, files=(file,), **fields)


class Options(EngineOptions):
    """Of an engine that quantises while it loads."""

    load_in_bits: int | None = None


def fake_engine(supports: Callable[[ModelSpec], Support], *kinds: str) -> type[Any]:
    """The class of an engine that computes on these kinds of accelerator."""

    class FakeEngine:
        @classmethod
        def support(cls, spec: ModelSpec) -> Support:
            return supports(spec)

        @classmethod
        def options(cls) -> type[EngineOptions]:
            return Options

        @classmethod
        def accelerators(cls) -> frozenset[str]:
            return frozenset(kinds)

        @classmethod
        def estimate(cls, spec: ModelSpec, options: Any) -> Memory:
            return Memory(weights=spec.size_bytes)

    return FakeEngine


def runs_pytorch(spec: ModelSpec) -> Support:
    if spec.format not in {"pytorch", "gptq", "awq"}:
        return Support(False, "it runs PyTorch's formats")
    return Support(True, runs_code=bool(spec.remote_code))


PROCESSORS = Host(memory=64 * GiB)
ONE_GPU = Host(accelerators={"cuda": (24 * GiB,)}, memory=64 * GiB)
