"""Engine arguments of the installed vLLM are options by their own names."""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

from xinfer.errors import InvalidRequest
from xinfer.model.engine import parse_options
from xinfer.model.llm.vllm.engine import VllmEngine
from xinfer.model.llm.vllm.options import VllmOptions
from xinfer.model.option_descriptions import describe_options
from xinfer.model.vllm import installed
from xinfer.model.vllm.installed import NOT_TAKEN, further, with_installed

SOURCE = """
raise SystemExit("nobody runs this")

class EngineArgs:
    model: str = ModelConfig.model
    dtype: ModelDType = ModelConfig.dtype
    trust_remote_code: bool = False
    enable_expert_parallel: bool = ParallelConfig.enable_expert_parallel
    speculative_config: dict[str, Any] | None = None
    _internal: int = 0

class AsyncEngineArgs(EngineArgs):
    other: int = 1

class Unrelated:
    unrelated: int = 1
"""


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A package vllm with the source above."""
    file = tmp_path / "engine" / "arg_utils.py"
    file.parent.mkdir()
    file.write_text(SOURCE)
    found = ModuleSpec("vllm", None)
    found.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(installed, "find_spec", lambda name: found)
    return file


def options(given: dict[str, Any]) -> VllmOptions:
    parsed = parse_options(VllmEngine, "vllm", given)
    assert isinstance(parsed, VllmOptions)
    return parsed


@pytest.mark.usefixtures("vllm")
def test_they_are_added_to_the_described_ones() -> None:
    names = with_installed(VllmOptions).__struct_fields__
    described = VllmOptions.__struct_fields__
    assert names[: len(described)] == described
    assert names[len(described) :] == ("enable_expert_parallel", "speculative_config", "other")


@pytest.mark.usefixtures("vllm")
def test_those_that_were_given_are_passed_on_and_no_others() -> None:
    made = options({"enable_expert_parallel": "true", "dtype": "float32"})
    assert further(made, VllmOptions) == {"enable_expert_parallel": "true"}
    assert further(options({}), VllmOptions) == {}
    assert further(options({"speculative_config": None}), VllmOptions) == {}


@pytest.mark.usefixtures("vllm")
def test_the_described_ones_alone_are_shown() -> None:
    shown = describe_options(with_installed(VllmOptions))
    assert [option.name for option in shown] == list(VllmOptions.__struct_fields__)
    assert all(option.description for option in shown)


@pytest.mark.usefixtures("vllm")
@pytest.mark.parametrize("name", ["trust_remote_code", "model", "unrelated", "_internal", "others"])
def test_what_is_not_taken_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(InvalidRequest, match=f"no option '{name}'") as refused:
        options({name: 1})
    assert refused.value.param == name


def test_without_vllm_there_are_the_described_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "find_spec", lambda name: None)
    assert with_installed(VllmOptions).__struct_fields__ == VllmOptions.__struct_fields__


def test_none_of_the_described_ones_is_kept_from_the_launch() -> None:
    assert not NOT_TAKEN & set(VllmOptions.__struct_fields__)
