"""What the engine says that a model will take; and that a process takes as much."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.gguf_models import random_llama
from tools.hf_llama import write_tokenizer
from xinfer.model.engine import parse_options
from xinfer.model.inspect.model import inspect_path
from xinfer.model.llm.transformers.engine import TransformersEngine
from xinfer.types.model import Memory, ModelSpec

ROOT = Path(__file__).parents[5]
TOLERANCE = 0.15


@pytest.fixture(scope="module", params=["llama", "llama in 16 bits", "gemma2"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 20 to 50 million parameters."""
    return made(tmp_path_factory.mktemp("sized"), request.param)


def made(directory: Path, kind: str) -> Path:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    shape: dict[str, dict[str, Any]] = {
        "tiny": {"hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 128},
        "llama": {
            **{"hidden_size": 512, "num_hidden_layers": 8, "intermediate_size": 1536},
            **{"num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 20_000},
        },
        "gemma2": {
            **{"hidden_size": 512, "num_hidden_layers": 6, "intermediate_size": 2048},
            **{"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 64},
            "sliding_window": 512,
        },
    }
    half = kind.endswith("16 bits")
    family = kind.partition(" ")[0]
    config = AutoConfig.for_model(
        "llama" if family == "tiny" else family,
        **{
            **{"vocab_size": 400, "num_attention_heads": 4, "max_position_embeddings": 8192},
            **{"eos_token_id": 2, "bos_token_id": None, "pad_token_id": None},
            **shape[family],
        },
    )
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    (model.to(torch.bfloat16) if half else model).save_pretrained(directory)
    write_tokenizer(random_llama(directory.with_suffix(".gguf")), directory)
    return directory


def estimated(spec: ModelSpec, **options: Any) -> Memory:
    chosen = parse_options(TransformersEngine, "transformers", options)
    return TransformersEngine.estimate(spec, chosen)  # type: ignore[arg-type]


def taken(path: Path, **options: Any) -> int:
    """Bytes that loading adds to a process, and a request that fills the context."""
    words = [str(path), json.dumps({"n_threads": 1, **options})]
    child = subprocess.run(
        [sys.executable, "-m", "tests.unit.model.llm.transformers.loaded_memory", *words],
        cwd=ROOT,
        # What is freed goes back at once, so that it is not counted.
        env={**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "262144"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    return int(child.stdout.splitlines()[-1])


@pytest.mark.slow
def test_a_process_takes_what_was_said(model: Path, tmp_path: Path) -> None:
    large = {"max_model_len": 2048, "max_num_seqs": 16}
    small = {"max_model_len": 64, "max_num_seqs": 1}
    tiny = made(tmp_path / "tiny", "tiny")
    said = estimated(inspect_path(str(model)), **large)
    least = taken(tiny, **small)
    assert taken(model, **large) - least == pytest.approx(
        said.weights + said.kv_cache, rel=TOLERANCE
    )


LLAMA = ModelSpec(
    name="m", format="pytorch", size_in_billions=7.0, size_bytes=28_000_000_000, quantization="none"
)


@pytest.mark.parametrize(
    ("options", "gigabytes"),
    [
        ({}, 28),
        ({"torch_dtype": "float32"}, 28),
        ({"torch_dtype": "bfloat16"}, 14),
    ],
)
def test_weights_take_what_their_type_does(options: dict[str, Any], gigabytes: int) -> None:
    assert estimated(LLAMA, **options).weights == pytest.approx(gigabytes * 1e9, rel=0.01)


@pytest.mark.parametrize(
    ("options", "least", "most"),
    [
        ({"load_in_bits": 8}, 7, 12),
        ({"load_in_bits": 4}, 3.5, 9),
        ({"quantization_config": {"load_in_4bit": True}}, 3.5, 9),
        ({"load_in_bits": 4, "torch_dtype": "bfloat16"}, 3.5, 6.5),
    ],
)
def test_weights_that_are_quantised_while_loading_take_less(
    options: dict[str, Any], least: float, most: float
) -> None:
    assert least * 1e9 < estimated(LLAMA, **options).weights < most * 1e9


def test_formats_that_are_unpacked_on_processors_take_what_they_are_unpacked_to() -> None:
    packed = msgspec.structs.replace(
        LLAMA, format="compressed-tensors", quantization="Int4", size_bytes=4_000_000_000
    )
    assert estimated(packed).weights == pytest.approx(28e9, rel=0.01)
    kept = msgspec.structs.replace(packed, format="gptq")
    assert estimated(kept).weights == 4_000_000_000


def test_a_longer_context_takes_more_for_the_scores_of_attention() -> None:
    short, long = (
        estimated(LLAMA, max_model_len=length, max_num_seqs=1).overhead for length in (1024, 8192)
    )
    assert long > 3 * short
