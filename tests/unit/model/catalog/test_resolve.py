"""From launches to models on engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import pytest

from tests.support.gguf_models import random_llama
from tests.unit.model.catalog.fakes import FakeHubs
from xinfer.errors import InvalidRequest, NotFound
from xinfer.model.catalog.catalogue import Catalogue
from xinfer.model.catalog.resolve import Resolved
from xinfer.model.catalog.resolve import resolve as resolve_launch
from xinfer.model.catalog.surroundings import Surroundings
from xinfer.model.engine import parse_options
from xinfer.model.llm.llama_cpp.engine import LlamaCppEngine
from xinfer.model.llm.llama_cpp.options import LlamaCppOptions
from xinfer.types.deployment import LaunchSpec
from xinfer.types.model import LoraAdapter


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_llama(tmp_path_factory.mktemp("models") / "small.gguf")


def launch(model_name: str | Path, **fields: Any) -> LaunchSpec:
    return LaunchSpec(model_name=str(model_name), **fields)


def resolve(spec: LaunchSpec) -> Resolved:
    return resolve_launch(spec, Surroundings(Catalogue(), FakeHubs()))


def refusal(spec: LaunchSpec) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as raised:
        resolve(spec)
    return raised.value


def test_echo_runs_on_echo() -> None:
    resolved = resolve(launch("Echo", model_type="LLM", options={"concurrency": 2}))
    assert (resolved.engine, resolved.model.name) == ("echo", "echo")
    assert resolved.options == {"concurrency": 2}


@pytest.fixture
def base_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra [llama-cpp]."""
    monkeypatch.setattr("xinfer.model.llm.llama_cpp.engine.installed", lambda: False)
    monkeypatch.setattr("xinfer.model.encode.llama_cpp.engine.installed", lambda: False)


@pytest.mark.usefixtures("base_install")
def test_tiny_chat_runs_on_the_base_installs_engine() -> None:
    resolved = resolve(launch("tiny-chat"))
    assert resolved.engine == "xllamacpp"
    assert resolved.model.format == "ggufv2"
    assert resolved.model.path.endswith(".gguf")


def test_path_needs_nothing_else(model: Path) -> None:
    resolved = resolve(launch(model))
    assert resolved.engine == "llama-cpp-python"
    assert (resolved.model.name, resolved.model.path) == ("small", str(model.resolve()))


def test_paths_are_absolute_or_begin_at_the_home(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model.parent)
    monkeypatch.setenv("HOME", str(model.parent))
    assert resolve(launch("~/small.gguf")).model.path == str(model.resolve())
    for name in ("small.gguf", "./small.gguf", "."):
        assert refusal(launch(name)).param == "model_name"


def test_model_path_gives_the_weights_and_model_name_the_name(model: Path) -> None:
    resolved = resolve(launch("my-model", model_path=str(model)))
    assert (resolved.model.name, resolved.model.path) == ("my-model", str(model.resolve()))


def test_path_twice_is_refused(model: Path) -> None:
    assert refusal(launch(model, model_path=str(model))).param == "model_path"


@pytest.mark.parametrize("engine", ["xllamacpp", "XLlamaCpp"])
def test_engines_are_found_in_any_case(model: Path, engine: str) -> None:
    assert resolve(launch(model, model_engine=engine)).engine == "xllamacpp"


@pytest.mark.parametrize("name", ["llama.cpp", "LLAMA.CPP"])
def test_llama_cpp_means_the_compiled_one_where_it_is_installed(model: Path, name: str) -> None:
    assert resolve(launch(model, model_engine=name)).engine == "llama-cpp-python"


@pytest.mark.usefixtures("base_install")
def test_llama_cpp_means_the_wheel_in_the_base_install(model: Path) -> None:
    assert resolve(launch(model, model_engine="llama.cpp")).engine == "xllamacpp"


@pytest.mark.usefixtures("base_install")
def test_engine_that_is_not_installed_names_its_extra(model: Path) -> None:
    error = refusal(launch(model, model_engine="llama-cpp-python"))
    assert "pip install 'xinfer[llama-cpp]'" in error.message
    assert "Engines that can: xllamacpp" in error.message


def test_engine_of_old_is_refused_with_what_replaces_it(model: Path) -> None:
    error = refusal(launch(model, model_engine="ctransformers"))
    assert error.param == "model_engine"
    assert "--model-engine llama.cpp" in error.message


def test_engine_that_cannot_says_why_and_which_can(model: Path) -> None:
    error = refusal(launch(model, model_engine="echo"))
    assert error.param == "model_engine"
    assert "Engine echo cannot run small" in error.message
    assert "Engines that can: llama-cpp-python, xllamacpp" in error.message


def test_unknown_engine_is_refused(model: Path) -> None:
    error = refusal(launch(model, model_engine="os.system"))
    assert error.param == "model_engine"
    assert "xllamacpp" in error.message


def test_wrong_type_names_the_field() -> None:
    error = refusal(launch("echo", model_type="embedding"))
    assert error.param == "model_type"
    assert "is a model of type LLM, not embedding" in error.message


@pytest.mark.usefixtures("base_install")
def test_model_that_no_engine_runs_lists_the_reasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = gguf.GGUFWriter(tmp_path / "bert.gguf", "bert")
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    for binding in ("llama_cpp.engine.installed", "xllamacpp.engine.find_spec"):
        monkeypatch.setattr(f"xinfer.model.encode.{binding}", lambda *_: None)
    error = refusal(launch(tmp_path / "bert.gguf"))
    assert "No engine here can run bert (embedding, ggufv2)" in error.message
    assert "xllamacpp: it runs language models" in error.message
    assert "llama-cpp-embedding: the package llama-cpp-python is not installed" in error.message
    assert "pip install 'xinfer[llama-cpp]'" in error.message
    assert "xllamacpp-embedding: the package xllamacpp is not installed" in error.message


def test_format_that_needs_an_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for engine in ("llm.transformers.engine", "vllm.installed"):
        monkeypatch.setattr(f"xinfer.model.{engine}.find_spec", lambda name: None)
    error = refusal(launch("tiny-chat", model_format="pytorch"))
    assert error.param == "model_format"
    assert "transformers: the package torch is not installed" in error.message
    assert "pip install 'xinfer[transformers]'" in error.message
    assert "pip install 'xinfer[vllm]'" in error.message
    assert "--model-format ggufv2" in error.message


@pytest.mark.parametrize(
    ("field", "value"),
    [("model_format", "mlx"), ("quantization", "Q4_K_M"), ("model_size_in_billions", 7.0)],
)
def test_variant_that_is_not_there_lists_what_is(field: str, value: object) -> None:
    error = refusal(launch("tiny-chat", **{field: value}))
    assert error.param == field
    assert "it is with: " in error.message


def test_variant_is_chosen_in_any_case_and_by_round_size(model: Path) -> None:
    resolved = resolve(
        launch(model, model_format="GGUF", quantization="f32", model_size_in_billions=0.0001)
    )
    assert resolved.model.path == str(model.resolve())


def test_unknown_option_lists_the_known_ones(model: Path) -> None:
    error = refusal(launch(model, options={"n_ctxx": 1}))
    assert error.param == "n_ctxx"
    assert "n_ctx, n_parallel" in error.message


@pytest.mark.parametrize(
    "options", [{"n_ctx": 0}, {"n_parallel": "many"}, {"flash_attn": "maybe"}, {"n_batch": -1}]
)
def test_bad_option_value_names_the_option(model: Path, options: dict[str, Any]) -> None:
    assert refusal(launch(model, options=options)).param == next(iter(options))


def test_unknown_name_is_not_found() -> None:
    with pytest.raises(NotFound) as raised:
        resolve(launch("Qwen/Qwen3-0.6B"))
    assert raised.value.code == "model_not_found"


@pytest.mark.parametrize("name", ["/etc/passwd", "../../etc", "/tmp/a\0.gguf", "/" + "a" * 10_240])
def test_hostile_paths_are_refused_by_field(name: str) -> None:
    with pytest.raises((InvalidRequest, NotFound)) as raised:
        resolve(launch(name))
    assert raised.value.param == "model_name"


def test_the_choice_of_the_engine_is_explained() -> None:
    assert "first engine" in resolve(LaunchSpec(model_name="tiny-chat")).reason
    asked = resolve(LaunchSpec(model_name="tiny-chat", model_engine="xllamacpp"))
    assert asked.reason == "xllamacpp was asked for."
    asked = resolve(LaunchSpec(model_name="tiny-chat", model_engine="llama.cpp"))
    assert asked.reason.startswith("llama.cpp was asked for; llama-cpp-python is the first of")


def test_a_launch_without_accelerators_keeps_every_layer_on_the_processor() -> None:
    assert resolve(LaunchSpec(model_name="tiny-chat", n_gpu=None)).options == {"n_gpu_layers": 0}
    chosen = LaunchSpec(model_name="tiny-chat", n_gpu=None, options={"n_gpu_layers": 3})
    assert resolve(chosen).options == {"n_gpu_layers": 3}
    assert resolve(LaunchSpec(model_name="echo", n_gpu=None)).options == {}


def test_lora_adapters_become_the_engines_option(model: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter.gguf"
    adapter.touch()
    link = tmp_path / "link.gguf"
    link.symlink_to(adapter)
    adapters = {"a": LoraAdapter(str(adapter)), "b": LoraAdapter(str(link), 0.5)}
    resolved = resolve(launch(model, options={"n_ctx": 64}, adapters=adapters))
    assert (resolved.engine, resolved.options) == (
        "llama-cpp-python",
        {
            "n_ctx": 64,
            "lora": {
                "a": {"path": str(adapter.resolve()), "scale": 1.0},
                "b": {"path": str(adapter.resolve()), "scale": 0.5},
            },
        },
    )
    # As a worker is given them.
    options = parse_options(LlamaCppEngine, resolved.engine, resolved.options)
    assert options == LlamaCppOptions(
        n_ctx=64,
        lora={name: LoraAdapter(str(adapter.resolve()), a.scale) for name, a in adapters.items()},
    )


def test_an_engine_without_adapters_refuses_them(model: Path) -> None:
    adapters = {"a": LoraAdapter(str(model))}
    error = refusal(launch(model, model_engine="xllamacpp", adapters=adapters))
    assert (error.code, error.param) == ("unsupported_parameter", "peft_model_config")
    assert "Engines that have: llama-cpp-python." in error.message
    assert "No other engine here has" in refusal(launch("echo", adapters=adapters)).message


@pytest.mark.parametrize("path", ["/nowhere/a.gguf", "~nobody-at-all/a.gguf", "nul\0"])
def test_an_adapter_that_is_not_there_is_refused_by_name(model: Path, path: str) -> None:
    error = refusal(launch(model, adapters={"mine": LoraAdapter(path)}))
    assert error.param == "peft_model_config"
    assert error.message.startswith("LoRA adapter mine: ")


def test_adapters_given_twice_are_refused(model: Path) -> None:
    both = launch(model, adapters={"a": LoraAdapter(str(model))}, options={"lora": {"b": "/b"}})
    assert refusal(both).param == "lora"


def test_a_launch_says_how_the_model_thinks_and_calls() -> None:
    told = resolve(
        launch(
            "tiny-chat",
            enable_thinking=True,
            tool_call_parser="mistral",
            reasoning_content=False,
        )
    ).model
    assert told.template_kwargs == {"enable_thinking": True, "thinking": True}
    assert told.tool_call_parser == "mistral"
    assert not told.reasoning_content
    plain = resolve(launch("tiny-chat")).model
    assert (plain.template_kwargs, plain.tool_call_parser) == ({}, "")
    assert plain.reasoning_content
    assert {"tools", "reasoning", "hybrid"} <= set(plain.abilities)


def test_a_launch_names_the_tags_of_thoughts() -> None:
    told = resolve(launch("tiny-chat", reasoning_parser="mistral")).model
    assert told.reasoning_tags == ("[THINK]", "[/THINK]")
    error = refusal(launch("tiny-chat", reasoning_parser="nonesuch"))
    assert error.param == "reasoning_parser"
    assert "deepseek_r1" in error.message


@pytest.mark.parametrize("name", ["openai", "qwen", "llama3", "deepseek-v3"])
def test_names_of_other_servers_are_parsers_of_calls(name: str) -> None:
    told = resolve(launch("tiny-chat", tool_call_parser=name)).model
    assert told.tool_call_parser == name


def test_an_unknown_parser_of_calls_is_refused() -> None:
    error = refusal(launch("tiny-chat", tool_call_parser="nonesuch"))
    assert error.param == "tool_call_parser"
    assert "hermes" in error.message
