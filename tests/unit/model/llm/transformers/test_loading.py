"""Options of loading, each with a model that is computed; and what cannot be loaded, with words."""

from __future__ import annotations

import asyncio
import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.recompute import RecomputeInTransformers
from tests.support.token_engine import driving
from tests.unit.model.llm.transformers.conftest import MakeModel
from xinfer.errors import InvalidRequest, Unavailable
from xinfer.model.engine import parse_options
from xinfer.model.inspect.model import inspect_path
from xinfer.model.llm.transformers.engine import TransformersEngine
from xinfer.types.model import Loaded, ModelSpec

pytestmark = pytest.mark.anyio

PROMPT = [5, 6, 7, 8, 9]


def made(path: Path, **options: Any) -> tuple[TransformersEngine, ModelSpec]:
    given = {"n_threads": 1, "max_model_len": 128, "max_num_seqs": 2, **options}
    spec = inspect_path(str(path))
    return TransformersEngine(
        spec,
        parse_options(TransformersEngine, "transformers", given),  # type: ignore[arg-type]
    ), spec


def refusal(path: Path, **options: Any) -> InvalidRequest:
    engine, _ = made(path, **options)
    with pytest.raises(InvalidRequest) as refused:
        engine.load(lambda _: None)
    engine.close()
    return refused.value


async def computes(path: Path, **options: Any) -> tuple[Loaded, list[int], str]:
    """What was loaded, an answer, and the type of the first layer's weights."""
    engine, spec = made(path, **options)
    async with driving(engine, spec) as driver:
        answers = await asyncio.gather(*(driver.ask(PROMPT, 6) for _ in range(2)))
        assert [answer.failure for answer in answers] == [None, None]
        assert answers[0].ids == answers[1].ids
        model = engine._model
        assert model is not None
        weights = model.model.model.layers[0].mlp.up_proj.weight
        return driver.loaded, answers[0].ids, str(weights.dtype).removeprefix("torch.")


@pytest.fixture
def compressed(make_model: MakeModel, tmp_path: Path) -> Path:
    """A model in 4 bits of the format compressed-tensors."""
    from compressed_tensors.compressors import ModelCompressor
    from compressed_tensors.quantization import (
        QuantizationArgs,
        QuantizationConfig,
        QuantizationScheme,
        apply_quantization_config,
    )
    from transformers import LlamaForCausalLM

    target = Path(shutil.copytree(make_model("llama"), tmp_path / "m"))
    model = LlamaForCausalLM.from_pretrained(target)
    group = 32
    weights = QuantizationArgs(num_bits=4, type="int", strategy="group", group_size=group)
    scheme = QuantizationScheme(targets=["Linear"], weights=weights)
    apply_quantization_config(
        model,
        QuantizationConfig(
            config_groups={"group_0": scheme}, ignore=["lm_head"], format="pack-quantized"
        ),
    )
    for module in model.modules():
        if hasattr(module, "weight_scale"):
            groups = module.weight.data.unflatten(1, (-1, group))
            module.weight_scale.data.copy_(groups.abs().amax(-1) / 7)
    compressor = ModelCompressor.from_pretrained_model(model, quantization_format="pack-quantized")
    compressor.compress_model(model)
    model.save_pretrained(target)
    compressor.update_config(str(target))
    return target


@pytest.mark.parametrize(
    ("options", "dtype", "weights"),
    [
        ({}, "float32", "float32"),
        ({"torch_dtype": "bfloat16"}, "bfloat16", "bfloat16"),
        ({"torch_dtype": "float16"}, "float16", "float16"),
        ({"device_map": "auto"}, "float32", "float32"),
        ({"device_map": {"": "cpu"}}, "float32", "float32"),
        ({"attn_implementation": "eager", "batching": "rows"}, "float32", "float32"),
        ({"load_in_bits": 8}, "float32", "int8"),
        ({"load_in_bits": 4, "torch_dtype": "bfloat16"}, "bfloat16", "uint8"),
        (
            {"quantization_config": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}},
            "float32",
            "uint8",
        ),
    ],
)
async def test_a_model_is_loaded_as_its_options_say(
    options: dict[str, Any], dtype: str, weights: str, make_model: MakeModel
) -> None:
    loaded, ids, kept = await computes(make_model("llama"), **options)
    assert (loaded.details["dtype"], kept) == (dtype, weights)
    assert ids
    if weights == "float32":
        assert ids == (await computes(make_model("llama")))[1]


async def test_attention_that_was_asked_for_is_what_computes_row_by_row(
    make_model: MakeModel,
) -> None:
    for asked in ("eager", "sdpa"):
        engine, spec = made(make_model("llama"), attn_implementation=asked, batching="rows")
        async with driving(engine, spec):
            assert engine._model is not None
            assert engine._model.attention == asked


async def test_files_in_8_bits_are_read(make_model: MakeModel, tmp_path: Path) -> None:
    from transformers import BitsAndBytesConfig, LlamaForCausalLM

    path = Path(shutil.copytree(make_model("llama"), tmp_path / "m"))
    how = BitsAndBytesConfig(load_in_8bit=True)
    LlamaForCausalLM.from_pretrained(path, quantization_config=how).save_pretrained(path)
    assert inspect_path(str(path)).format == "bnb"
    _, ids, kept = await computes(path)
    assert kept == "int8"
    assert ids == (await computes(make_model("llama"), load_in_bits=8))[1]


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # what it imports
async def test_compressed_tensors_are_read(compressed: Path) -> None:
    spec = inspect_path(str(compressed))
    assert (spec.format, spec.quantization) == ("compressed-tensors", "Int4")
    assert TransformersEngine.support(spec).ok
    _, ids, _ = await computes(compressed)
    right = RecomputeInTransformers(compressed).greedy(PROMPT, 6, 1e-3)
    assert len(right.ids) > 1
    assert ids[: len(right.ids) - 1] == right.ids[:-1]  # the last may be undecided


@pytest.mark.parametrize(
    ("name", "reason", "extra"),
    [
        ("bnb", "the package bitsandbytes is not installed, which reads", "quantization"),
        (
            "compressed-tensors",
            "the package compressed_tensors is not installed, which reads",
            "quantization",
        ),
        ("gptq", "format gptq: pip install optimum gptqmodel", None),
        ("awq", "format awq: pip install gptqmodel", None),
    ],
)
def test_formats_whose_package_is_missing_say_what_brings_it(
    name: str, reason: str, extra: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantizing = {"bitsandbytes", "compressed_tensors", "optimum", "gptqmodel"}
    monkeypatch.setattr(
        "xinfer.model.llm.transformers.formats.find_spec",
        lambda package: None if package in quantizing else find_spec(package),
    )
    spec = ModelSpec(name="m", format=name, architecture="LlamaForCausalLM")
    support = TransformersEngine.support(spec)
    assert not support.ok
    assert reason in support.reason
    assert support.extra == extra
    assert TransformersEngine.support(msgspec.structs.replace(spec, format="pytorch")).ok


@pytest.mark.parametrize(
    ("options", "field", "words"),
    [
        ({"device": "nowhere"}, "device", "There is no device 'nowhere'"),
        ({"device_map": "nowhere"}, "device_map", "takes a device, one of auto, balanced"),
        ({"device_map": {"": "cuda:7"}}, "device_map", "There is no device 'cuda:7' here"),
        ({"device_map": {"": 7}}, "device_map", "There is no device 'cuda:7' here"),
        (
            {"attn_implementation": "flash_attention_2"},
            "attn_implementation",
            "cannot load the model",
        ),
        (
            {"quantization_config": {"load_in_4bit": True, "bits": 5}},
            "quantization_config",
            "'bits' is not known; expected load_in_4bit or load_in_8bit",
        ),
        (
            {"quantization_config": {"llm_int8_threshold": 5.0}},
            "quantization_config",
            "it does not say how many bits",
        ),
        (
            {"load_in_bits": 4, "quantization_config": {"load_in_8bit": True}},
            "quantization_config",
            "only one can be used",
        ),
        ({"lora": {"a": "/nowhere"}}, "lora", "LoRA adapter a: /nowhere has no adapter_config"),
    ],
)
def test_options_that_cannot_be_are_named(
    options: dict[str, Any], field: str, words: str, make_model: MakeModel
) -> None:
    error = refusal(make_model("llama"), **options)
    assert error.param == field
    assert words in error.message


@pytest.mark.parametrize(
    "options", [{"load_in_bits": 4}, {"quantization_config": {"load_in_4bit": True}}]
)
def test_quantising_without_its_package_names_the_extra(
    options: dict[str, Any], make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xinfer.model.llm.transformers.quantization.find_spec", lambda _: None)
    error = refusal(make_model("llama"), **options)
    assert error.param == next(iter(options))
    assert "pip install 'xinfer[quantization]'" in error.message


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("model.safetensors", "cannot load the model"),
        ("tokenizer.json", "tokenizer"),
        ("config.json", "configuration"),
    ],
)
def test_damaged_files_are_named(
    damage: str, words: str, make_model: MakeModel, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(make_model("llama"), tmp_path / "m"))
    engine, _ = made(path)
    (path / damage).write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{not a header}")
    with pytest.raises(InvalidRequest, match=words) as refused:
        engine.load(lambda _: None)
    engine.close()
    assert str(path) in refused.value.message


def test_weights_that_are_not_there_are_not_replaced_by_random_ones(
    make_model: MakeModel, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    path = Path(shutil.copytree(make_model("llama"), tmp_path / "m"))
    tensors = load_file(path / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
    error = refusal(path)
    assert "model.layers.1.mlp.up_proj.weight" in error.message
    assert error.param == "model_path"


def test_an_architecture_that_the_library_does_not_know_is_named(
    make_model: MakeModel, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(make_model("llama"), tmp_path / "m"))
    config = json.loads((path / "config.json").read_text())
    own = {"model_type": "quasar", "architectures": ["QuasarForCausalLM"]}
    (path / "config.json").write_text(json.dumps(config | own))
    support = TransformersEngine.support(inspect_path(str(path)))
    assert "has no language model QuasarForCausalLM" in support.reason
    assert "quasar" in refusal(path).message


@pytest.mark.parametrize(
    "raised",
    [
        MemoryError("no more"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate "
            "memory: you tried to allocate 9000000000 bytes. Error code 12\nand more"
        ),
    ],
)
def test_a_model_that_does_not_fit_is_no_ones_mistake(
    raised: Exception, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import LlamaForCausalLM

    def failing(*_: Any, **__: Any) -> None:
        raise raised

    monkeypatch.setattr(LlamaForCausalLM, "from_pretrained", failing)
    engine, _ = made(make_model("llama"))
    with pytest.raises(Unavailable, match="There is no memory for the model in") as refused:
        engine.load(lambda _: None)
    engine.close()
    assert refused.value.code == "no_capacity"
    assert "quantise it (load_in_bits)" in refused.value.message
