"""What engines say that a model will take, before it is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.gguf_additions import vision_tower
from tests.support.gguf_models import random_llama
from xinfer.errors import InvalidRequest
from xinfer.model import memory
from xinfer.model.encode.llama_cpp.embedding import LlamaCppEmbedding
from xinfer.model.encode.llama_cpp.options import EmbeddingOptions
from xinfer.model.engine import find_engine, parse_options
from xinfer.model.inspect.gguf import read_gguf
from xinfer.model.llm.echo import EchoEngine
from xinfer.model.llm.echo.options import EchoOptions
from xinfer.model.memory import RESERVE
from xinfer.types.model import Memory, ModelSpec
from xinfer.types.shape import LayerCache, ModelShape

GGUF_ENGINES = ["llama-cpp-python", "xllamacpp"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "m.gguf"
    random_llama(path)
    return path


def estimate(engine: str, path: Path, **options: Any) -> Memory:
    kind = find_engine(engine)[1]
    spec = ModelSpec(name="m", format="ggufv2", path=str(path))
    return kind.estimate(spec, parse_options(kind, engine, options))


def cache_of(path: Path, tokens: int) -> int:
    """By the file's own numbers: keys and values of 16 bits."""
    gguf = read_gguf(path)
    key = gguf.architecture
    width = gguf.values[f"{key}.embedding_length"] // gguf.values[f"{key}.attention.head_count"]
    heads = gguf.values[f"{key}.attention.head_count_kv"]
    return int(tokens * 2 * 2 * width * heads * gguf.values[f"{key}.block_count"])


@pytest.mark.parametrize("engine", GGUF_ENGINES)
def test_weights_are_the_file_and_the_cache_grows_with_context_and_requests(
    model: Path, engine: str
) -> None:
    one = estimate(engine, model, n_ctx=256, n_parallel=1)
    assert one.weights == model.stat().st_size
    assert one.kv_cache == cache_of(model, 256)
    assert estimate(engine, model, n_ctx=256, n_parallel=4).kv_cache == 4 * one.kv_cache
    narrow = estimate(engine, model, n_ctx=256, n_parallel=1, cache_type_k="q8_0")
    assert one.kv_cache * 0.75 < narrow.kv_cache < one.kv_cache


@pytest.mark.parametrize("engine", GGUF_ENGINES)
def test_buffers_grow_with_the_tokens_computed_at_once(model: Path, engine: str) -> None:
    small = estimate(engine, model, n_ubatch=64)
    assert small.overhead * 2 == estimate(engine, model, n_ubatch=128).overhead > 0
    assert small.accelerator_overhead == RESERVE


@pytest.mark.parametrize("engine", GGUF_ENGINES)
def test_a_model_kept_off_accelerators_says_so(model: Path, engine: str) -> None:
    assert not estimate(engine, model).processors_only
    assert estimate(engine, model, n_gpu_layers=0).processors_only


def test_a_model_that_is_not_split_is_not_divided(model: Path) -> None:
    assert estimate("llama-cpp-python", model).divides
    assert not estimate("llama-cpp-python", model, split_mode="none").divides


def test_adapters_count_and_one_that_is_not_there_is_for_the_load_to_refuse(
    model: Path, tmp_path: Path
) -> None:
    adapter = tmp_path / "a.gguf"
    adapter.write_bytes(bytes(1000))
    lora = {"a": str(adapter), "again": {"path": str(adapter)}, "gone": "/nowhere.gguf"}
    plain = estimate("llama-cpp-python", model)
    assert estimate("llama-cpp-python", model, lora=lora).weights == plain.weights + 1000


def test_a_projector_beside_the_model_counts(tmp_path: Path) -> None:
    model, projector = tmp_path / "m.gguf", tmp_path / "mmproj-m.gguf"
    random_llama(model)
    alone = estimate("llama-cpp-python", model)
    vision_tower(projector, 64)
    assert estimate("llama-cpp-python", model).weights == alone.weights + projector.stat().st_size
    assert estimate("llama-cpp-python", model, mmproj="off") == alone


@pytest.mark.parametrize("engine", GGUF_ENGINES)
def test_options_that_cannot_be_are_refused_before_anything_is_started(
    model: Path, engine: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        estimate(engine, model, n_ctx=10**6)
    assert caught.value.param == "n_ctx"


def test_an_embedding_model_is_estimated_alike(model: Path) -> None:
    spec = ModelSpec(name="m", type="embedding", format="ggufv2", path=str(model))
    memory = LlamaCppEmbedding.estimate(spec, EmbeddingOptions(n_ctx=256, n_batch=256))
    assert (memory.weights, memory.kv_cache) == (model.stat().st_size, cache_of(model, 256))


def test_an_echo_takes_nothing() -> None:
    assert EchoEngine.estimate(ModelSpec(name="echo"), EchoOptions()) == Memory()
    assert EchoEngine.accelerators() == frozenset()


LLAMA_8B = ModelShape(
    layers=32,
    hidden=4096,
    intermediate=14336,
    heads=32,
    kv_heads=8,
    head_dim=128,
    vocab=128256,
    caches=(LayerCache(layers=32, key=1024, value=1024),),
)


def test_a_model_whose_shape_is_known_is_estimated_by_it() -> None:
    model = ModelSpec(name="m", format="pytorch", size_bytes=16_060_000_000, shape=LLAMA_8B)
    one = memory.estimate(model, 8192)
    assert one.weights == 16_060_000_000
    assert one.kv_cache == 8192 * 32 * 2 * 1024 * 2
    assert memory.estimate(model, 8192, 4).kv_cache == 4 * one.kv_cache
    assert memory.estimate(model, 8192, kv_bytes=1).kv_cache == one.kv_cache / 2
    assert one.accelerator_overhead > RESERVE
    assert one.divides


@pytest.mark.parametrize(
    ("form", "quantization", "billions", "actual"),
    [
        ("pytorch", "none", 8.03, 16.06),  # Llama 3.1
        ("pytorch", "none", 0.494, 0.988),  # Qwen 2.5
        ("ggufv2", "Q4_K_M", 8.03, 4.92),
        ("ggufv2", "Q8_0", 8.03, 8.54),
        ("ggufv2", "Q6_K", 7.62, 6.25),
        ("ggufv2", "Q2_K", 8.03, 3.18),
        ("ggufv2", "IQ4_XS", 8.03, 4.45),
        ("gptq", "Int4", 7.62, 5.58),
        ("awq", "none", 7.62, 5.58),
        ("gptq", "Int8", 7.62, 8.8),
        ("fp8", "FP8", 8.03, 9.08),
        ("bnb", "4-bit", 8.03, 5.7),
    ],
)
def test_weights_of_a_model_of_which_the_size_alone_is_known_are_not_underestimated(
    form: str, quantization: str, billions: float, actual: float
) -> None:
    """Against the sizes in GB of files that hubs have."""
    spec = ModelSpec(name="m", format=form, quantization=quantization, size_in_billions=billions)
    assert actual * 0.99 < memory.weight_bytes(spec) / 1e9 < actual * 1.35


def test_the_cache_of_a_model_of_which_the_size_alone_is_known_is_as_of_the_largest() -> None:
    """Llama 2 has 32 layers of 4096, 40 of 5120, and, with fewer heads for keys, 80 of 8192."""
    for billions, elements in ((6.74, 32 * 4096), (13.0, 40 * 5120), (69.0, 80 * 1024)):
        spec = ModelSpec(name="m", format="pytorch", size_in_billions=billions)
        guessed = memory.estimate(spec, 1000).kv_cache
        assert guessed > 0.98 * 1000 * 2 * 2 * elements
    assert guessed < 1000 * 2 * 2 * 80 * 8192 * 1.1


def test_models_that_keep_nothing_of_a_text_have_no_cache() -> None:
    model = ModelSpec(name="m", type="embedding", size_in_billions=0.6, format="pytorch")
    assert memory.estimate(model, 8192, 16).kv_cache == 0


def test_a_model_of_which_nothing_is_known_takes_nothing_but_the_reserve() -> None:
    assert memory.estimate(ModelSpec(name="m"), 8192) == Memory(
        accelerator_overhead=RESERVE, divides=True
    )


@pytest.mark.parametrize(
    ("device", "dtype", "accelerated", "weights"),
    [
        ("auto", "auto", False, 4e9),  # float32 on processors
        ("cpu", "auto", True, 4e9),
        ("auto", "auto", True, 2e9),  # as the files are
        ("auto", "float32", True, 4e9),
        ("cpu", "bfloat16", False, 2e9),
    ],
)
def test_weights_on_pytorch_are_as_wide_as_they_are_computed(
    device: str, dtype: str, accelerated: bool, weights: float
) -> None:
    spec = ModelSpec(
        name="m", type="audio", format="pytorch", size_in_billions=1.0, size_bytes=2_000_000_000
    )
    found = memory.estimate_on_torch(spec, 500, device=device, dtype=dtype, accelerated=accelerated)
    assert found.weights == weights
    assert found.processors_only is (device == "cpu")
    assert not found.divides
