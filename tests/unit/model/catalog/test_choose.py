"""Which form of a model is taken, on which engine, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.model.catalog.fakes import (
    ONE_GPU,
    PROCESSORS,
    FakeHubs,
    GiB,
    fake_engine,
    gguf,
    runs_pytorch,
)
from xinfer.errors import InvalidRequest
from xinfer.model.catalog.catalogue import Catalogue
from xinfer.model.catalog.expected import expected_memory
from xinfer.model.catalog.host import Host, expected_bytes
from xinfer.model.catalog.resolve import Resolved, resolve
from xinfer.model.catalog.surroundings import Surroundings
from xinfer.model.catalog.words import PLANNED
from xinfer.model.engine import BUILTIN, Support
from xinfer.model.llm.llama_cpp.options import LlamaCppOptions
from xinfer.types.deployment import LaunchSpec
from xinfer.types.model import ModelSpec

NAME = "lab/model"
QUANTS = ("Q2_K", "Q4_0", "Q4_K_M", "Q5_K_M", "Q8_0", "F16")


def pytorch(size: float, **fields: Any) -> ModelSpec:
    return ModelSpec(name="model", format="pytorch", size_in_billions=size, **fields)


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> dict[str, type[Any]]:
    """Fake engines by name, besides which there is none."""
    known = {
        "transformers": fake_engine(runs_pytorch, "cuda"),
        "llama-cpp-python": fake_engine(
            lambda spec: Support(spec.format == "ggufv2", "it runs .gguf files"), "cuda"
        ),
    }
    monkeypatch.setattr("xinfer.model.engine.BUILTIN", known)
    monkeypatch.setattr("xinfer.model.catalog.support.BUILTIN", known)
    for module in ("support", "choose", "resolve"):
        monkeypatch.setattr(
            f"xinfer.model.catalog.{module}.find_engine", lambda name: (name, known[name])
        )
    monkeypatch.setattr("xinfer.model.catalog.support.engine_names", lambda: sorted(known))
    return known


def launch(
    forms: list[ModelSpec], host: Host = PROCESSORS, *, code_allowed: bool = False, **fields: Any
) -> Resolved:
    around = Surroundings(Catalogue(), FakeHubs({NAME: forms}), host, code_allowed)
    return resolve(LaunchSpec(model_name=NAME, **fields), around)


def refused(forms: list[ModelSpec], **fields: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as raised:
        launch(forms, **fields)
    return raised.value


@pytest.mark.usefixtures("engines")
class TestAForm:
    def test_on_processors_the_usual_quantisation_is_taken_and_said_why(self) -> None:
        forms = [pytorch(7), *(gguf("m", each, size_in_billions=7) for each in QUANTS)]
        chosen = launch(forms)
        assert (chosen.engine, chosen.model.quantization) == ("llama-cpp-python", "Q4_K_M")
        assert "and 1 more: ggufv2 Q4_K_M suits the processors best." in chosen.reason

    def test_a_form_that_is_not_quantised_is_called_by_its_format(self) -> None:
        reason = launch([pytorch(7), gguf("m", "Q8_0", size_in_billions=7)]).reason
        assert "Of pytorch, ggufv2 Q8_0: ggufv2 Q8_0 suits the processors best." in reason

    def test_without_the_usual_one_the_nearest_is_taken(self) -> None:
        forms = [gguf("m", each) for each in ("F16", "Q8_0", "Q4_0", "Q2_K")]
        assert launch(forms).model.quantization == "Q4_0"

    def test_on_an_accelerator_the_model_as_it_was_published_is_taken_where_it_fits(self) -> None:
        forms = [
            ModelSpec(name="m", format="gptq", quantization="Int4", size_in_billions=7),
            pytorch(7),
            gguf("m", "Q4_K_M", size_in_billions=7),
        ]
        chosen = launch(forms, ONE_GPU)
        assert (chosen.engine, chosen.model.format) == ("transformers", "pytorch")

    def test_on_an_accelerator_that_is_too_small_a_smaller_form_is_taken(self) -> None:
        forms = [
            pytorch(14),
            ModelSpec(name="m", format="gptq", quantization="Int8", size_in_billions=14),
            ModelSpec(name="m", format="gptq", quantization="Int4", size_in_billions=14),
        ]
        assert launch(forms, ONE_GPU).model.quantization == "Int8"
        small = Host(accelerators={"cuda": (11 * GiB,)}, memory=64 * GiB)
        assert launch(forms, small).model.quantization == "Int4"

    def test_two_accelerators_together_hold_what_one_does_not(self) -> None:
        two = Host(accelerators={"cuda": (24 * GiB, 24 * GiB)}, memory=64 * GiB)
        forms = [
            pytorch(14),
            ModelSpec(name="m", format="gptq", quantization="Int4", size_in_billions=14),
        ]
        assert launch(forms, two).model.format == "pytorch"

    def test_accelerators_that_no_engine_computes_on_count_for_nothing(self) -> None:
        other = Host(accelerators={"rocm": (80 * GiB,)}, memory=64 * GiB)
        forms = [pytorch(7), gguf("m", "Q4_K_M", size_in_billions=7)]
        assert launch(forms, other).model.format == "ggufv2"

    def test_engines_compute_on_what_they_do_as_workers_have_them(self) -> None:
        host = Host(
            accelerators={"cuda": (24 * GiB,)},
            memory=64 * GiB,
            engines={"transformers": frozenset({"cuda"}), "llama-cpp-python": frozenset({"rocm"})},
        )
        forms = [gguf("m", "Q4_K_M", size_in_billions=7), pytorch(7)]
        assert launch(forms, host).engine == "transformers"

    def test_what_is_too_large_everywhere_is_tried_and_that_is_said(self) -> None:
        forms = [gguf("m", each, size_in_billions=400) for each in QUANTS]
        chosen = launch(forms)
        assert chosen.model.quantization == "Q4_K_M"
        assert "none is sure to fit the processors; Q4_K_M is tried." in chosen.reason

    def test_the_smallest_size_is_taken_and_the_others_are_named(self) -> None:
        forms = [gguf("m", "Q4_K_M", size_in_billions=size) for size in (14.0, 7.0, 72.0)]
        chosen = launch(forms)
        assert chosen.model.size_in_billions == 7
        assert "Of the sizes 14, 7, 72 (in billions) the smallest is taken." in chosen.reason

    def test_forms_whose_counts_differ_a_little_are_of_one_size(self) -> None:
        forms = [pytorch(0.494), gguf("m", "Q4_K_M", size_in_billions=0.53)]
        chosen = launch(forms)
        assert chosen.model.format == "ggufv2"
        assert "smallest" not in chosen.reason

    def test_a_size_that_only_others_run_is_no_choice(self) -> None:
        forms = [ModelSpec(name="m", format="mlx", size_in_billions=0.5), gguf("m", "Q4_0")]
        assert launch(forms).model.format == "ggufv2"


@pytest.mark.usefixtures("engines")
class TestAnEngine:
    def test_one_that_is_asked_for_wins(self) -> None:
        forms = [gguf("m", "Q4_K_M", size_in_billions=7), pytorch(7)]
        chosen = launch(forms, model_engine="Transformers")
        assert (chosen.engine, chosen.model.format) == ("transformers", "pytorch")
        assert chosen.reason.startswith("transformers was asked for.")

    def test_one_that_cannot_is_refused_with_what_can(self) -> None:
        error = refused([gguf("m", "Q4_K_M")], model_engine="transformers")
        assert error.param == "model_engine"
        assert "Engine transformers cannot run m" in error.message
        assert "it runs PyTorch's formats" in error.message
        assert "Engines that can: llama-cpp-python, in the form --model-format ggufv2" in (
            error.message
        )

    def test_one_that_xinfer_is_to_have_is_said_to_be_missing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(PLANNED, "tomorrow", "image")
        error = refused([pytorch(7)], model_engine="tomorrow")
        assert "The engine tomorrow is not in this version of xinfer." in error.message
        assert "Engines here: transformers, llama-cpp-python." in error.message

    @pytest.mark.parametrize(
        ("engine", "instead"),
        [
            ("MLX", "llama.cpp"),
            ("SGLang", "vllm"),
            ("LMDEPLOY", "vllm"),
            ("PyTorch", "transformers"),
            ("ctransformers", "llama.cpp"),
        ],
    )
    def test_one_without_counterpart_is_refused_with_what_to_use(
        self, engine: str, instead: str
    ) -> None:
        error = refused([pytorch(7)], model_engine=engine)
        assert error.param == "model_engine"
        assert f"There is no engine {engine} here. Instead: " in error.message
        assert f"--model-engine {instead}" in error.message

    @pytest.mark.parametrize("word", ["flag", "sentence-transformers", "Sentence_Transformers"])
    def test_one_may_have_several_names(self, engines: dict[str, type[Any]], word: str) -> None:
        engines["sentence_transformers"] = fake_engine(runs_pytorch)
        assert launch([pytorch(7)], model_engine=word).engine == "sentence_transformers"

    def test_one_of_somebody_else_goes_before_what_would_stand_for_it(
        self, engines: dict[str, type[Any]]
    ) -> None:
        engines["mlx"] = fake_engine(lambda spec: Support(spec.format == "mlx"))
        form = ModelSpec(name="m", format="mlx")
        assert launch([form], model_engine="MLX").engine == "mlx"

    def test_one_that_cannot_be_imported_does_not_keep_the_others_from_running(
        self, engines: dict[str, type[Any]]
    ) -> None:
        def broken(spec: ModelSpec) -> Support:
            raise ImportError("libcuda.so")

        engines["broken"] = fake_engine(broken)
        assert launch([gguf("m", "Q4_0")]).engine == "llama-cpp-python"
        error = refused([gguf("m", "Q4_0")], model_engine="broken")
        assert "cannot be imported: libcuda.so" in error.message


@pytest.mark.usefixtures("engines")
class TestBits:
    @pytest.mark.parametrize(("word", "bits"), [("4-bit", 4), ("8-BIT", 8)])
    def test_bits_of_pytorch_are_an_option_of_the_engine(self, word: str, bits: int) -> None:
        forms = [gguf("m", "Q4_K_M", size_in_billions=7), pytorch(7)]
        for form in (None, "pytorch"):
            chosen = launch(forms, quantization=word, model_format=form)
            assert (chosen.engine, chosen.model.quantization) == ("transformers", "none")
            assert chosen.options == {"load_in_bits": bits}

    def test_an_engine_that_does_not_quantise_is_refused(
        self, engines: dict[str, type[Any]]
    ) -> None:
        known = BUILTIN["echo"]
        assert known
        engines.clear()
        from xinfer.model.llm.echo import EchoEngine

        engines["transformers"] = fake_engine(runs_pytorch)
        engines["transformers"].options = EchoEngine.options
        error = refused([pytorch(7)], quantization="4-bit")
        assert "quantises to 4 bits while it loads" in error.message


@pytest.mark.usefixtures("engines")
class TestCodeThatComesWithAModel:
    CODE = pytorch(6, remote_code=("modeling_chatglm.py",))

    def test_is_refused_naming_the_files_and_the_administrators_setting(self) -> None:
        error = refused([self.CODE], trust_remote_code=True)
        assert (error.code, error.param) == ("remote_code_refused", "trust_remote_code")
        assert "modeling_chatglm.py" in error.message
        assert "XINFERENCE_TRUST_REMOTE_CODE=1" in error.message

    def test_runs_where_the_administrator_allows_it(self) -> None:
        for asked in (True, None):
            chosen = launch([self.CODE], code_allowed=True, trust_remote_code=asked)
            assert chosen.engine == "transformers"

    def test_does_not_run_where_the_launch_says_no(self) -> None:
        error = refused([self.CODE], code_allowed=True, trust_remote_code=False)
        assert error.param == "trust_remote_code"

    def test_gives_way_to_an_engine_that_does_without(self, engines: dict[str, type[Any]]) -> None:
        engines["vllm"] = fake_engine(lambda spec: Support(spec.format == "pytorch"), "cuda")
        for allowed in (True, False):
            assert launch([self.CODE], ONE_GPU, code_allowed=allowed).engine == "vllm"

    def test_asking_for_trust_changes_nothing_for_a_model_without(self) -> None:
        plain = [pytorch(7)]
        assert launch(plain, trust_remote_code=True) == launch(plain)


def test_a_model_is_expected_to_take_more_than_its_weights() -> None:
    assert expected_bytes(ModelSpec(name="m", size_bytes=10, size_in_billions=7)) == 12
    assert 4e9 < expected_bytes(gguf("m", "Q4_K_M", size_in_billions=7)) < 6e9
    assert expected_bytes(ModelSpec(name="m")) == 0


def test_memory_of_files_on_a_hub_follows_the_options() -> None:
    model = gguf("m", "Q4_K_M", size_in_billions=7, context_length=32768)
    usual = expected_memory(model, LlamaCppOptions())
    less = expected_memory(model, LlamaCppOptions(n_ctx=1024, n_parallel=1, n_gpu_layers=0))
    assert usual.weights == less.weights > 4e9
    assert usual.kv_cache == 32 * less.kv_cache > 0
    assert (usual.spills, usual.processors_only) == (True, False)
    assert less.processors_only
    assert not expected_memory(pytorch(7), LlamaCppOptions()).spills
