"""What engines say that a model will take, against what a process takes that has loaded it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import gguf
import pytest

from tests.support.gguf_models import END, STOP, byte_level, random_llama
from tests.support.gguf_shapes import gemma3, latent_attention, mamba
from tools.gguf_llama import LlamaFile, Shape
from xinfer.model.engine import find_engine, parse_options
from xinfer.types.model import Memory, ModelSpec

ROOT = Path(__file__).parents[3]
TOLERANCE = 0.15


def llama(path: Path, *, quantized: bool, **shape: int) -> Path:
    types = gguf.GGMLQuantizationType
    kept = types.Q8_0 if quantized else types.F32
    sizes = Shape(context=1 << 16, **shape)
    with LlamaFile(path, byte_level(), sizes, bos=END, eos=STOP, weights=kept) as file:
        file.random_tensors(0, [])
    return path


CONFIGURATIONS: dict[str, tuple[str, Callable[[Path], Path], dict[str, Any], dict[str, Any]]] = {
    "few heads for keys, cache in 8 bits": (
        "llama-cpp-python",
        partial(
            llama, quantized=False, width=384, layers=6, feed_forward=1152, heads=12, kv_heads=4
        ),
        {"n_ctx": 256, "n_parallel": 4, "cache_type_k": "q8_0", "cache_type_v": "q8_0"},
        {"n_ctx": 12_000},
    ),
    "weights in 8 bits, a shared cache": (
        "llama-cpp-python",
        partial(
            llama, quantized=True, width=640, layers=4, feed_forward=2560, heads=10, kv_heads=10
        ),
        {"n_ctx": 256, "n_parallel": 8, "n_kv": 1024},
        {"n_ctx": 4096, "n_kv": 10_000},
    ),
    "latent attention in 32 bits": (
        "llama-cpp-python",
        partial(latent_attention, width=320, layers=5, heads=6, latent=192),
        {"n_ctx": 256, "n_parallel": 1, "cache_type_k": "f32", "cache_type_v": "f32"},
        {"n_ctx": 20_000},
    ),
    "layers with windows": (
        "xllamacpp",
        partial(gemma3, width=320, layers=18, heads=6, kv_heads=3, window=1024),
        {"n_ctx": 256, "n_parallel": 3},
        {"n_ctx": 14_000},
    ),
    "states instead of a cache": (
        "xllamacpp",
        partial(mamba, width=384, layers=6, state=96),
        {"n_ctx": 256, "n_parallel": 1},
        {"n_parallel": 100},
    ),
}


def estimated(engine: str, path: Path, options: dict[str, Any]) -> Memory:
    kind = find_engine(engine)[1]
    spec = ModelSpec(name="m", format="ggufv2", path=str(path))
    return kind.estimate(spec, parse_options(kind, engine, options))


def measured(engine: str, path: Path, options: dict[str, Any]) -> int:
    """Bytes that loading adds to a process."""
    words = [engine, str(path), json.dumps({"n_threads": 1, **options})]
    child = subprocess.run(
        [sys.executable, "-m", "tests.unit.model.loaded_memory", *words],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    return int(child.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def nearly_nothing(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Memory, int]]:
    """What an engine takes for a tiny model, which is what it takes for itself."""
    path = random_llama(tmp_path_factory.mktemp("tiny") / "tiny.gguf")
    options = {"n_ctx": 256, "n_parallel": 1}

    @cache
    def of(engine: str) -> tuple[Memory, int]:
        return estimated(engine, path, options), measured(engine, path, options)

    return of


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_weights_and_cache_are_as_large_as_was_said(
    name: str, tmp_path: Path, nearly_nothing: Callable[[str], tuple[Memory, int]]
) -> None:
    engine, make, options, more = CONFIGURATIONS[name]
    path = make(tmp_path / "m.gguf")
    tiny, tiny_taken = nearly_nothing(engine)
    small, small_taken = estimated(engine, path, options), measured(engine, path, options)
    large, large_taken = (kind(engine, path, {**options, **more}) for kind in (estimated, measured))

    cache = large.kv_cache - small.kv_cache
    assert large_taken - small_taken == pytest.approx(cache, rel=TOLERANCE)
    weights = small.weights - tiny.weights
    beside = small.kv_cache - tiny.kv_cache
    assert small_taken - tiny_taken - beside == pytest.approx(weights, rel=TOLERANCE)
    assert min(cache, weights) > 20e6
