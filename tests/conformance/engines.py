"""The engines that the suite holds to the contract, and what each of them promises.

A new engine is a row here. Files of another format are made in `models.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from xinfer.model.engine import BUILTIN


@dataclass(frozen=True, kw_only=True)
class Setup:
    """How an engine is to be launched, in no engine's own words."""

    context: int = 512
    """Tokens of one request, prompt and output together."""
    slots: int = 4
    """Requests at once."""
    step: int | None = None
    """Prompt tokens that one step computes at most; None: as many as the engine likes."""
    cells: int | None = None
    """Tokens that its cache holds, of all requests together; None: enough for all of them."""
    exact: bool = True
    """Compute as precisely as the engine can; otherwise as it is launched by default."""
    adapters: dict[str, Path] = field(default_factory=dict)
    """LoRA adapters by name."""


@dataclass(frozen=True, kw_only=True)
class EngineCase:
    """One engine: a row of the table."""

    name: str
    variant: str = ""
    """What its options have to do with; empty for what they are by default."""
    format: str | None
    """Of the models it runs; None: it reads no files."""
    options: Callable[[Setup], dict[str, Any]]
    abilities: frozenset[str]
    """What it declares: resume, logprobs, adapters, kinds of constraints."""
    reuses: bool = False
    """It keeps what it computed for the prefixes of later prompts."""
    bounded: bool = False
    """`Setup.cells` can be less than its slots need."""
    resumes_samples: bool = False
    """A sampled output with a seed goes on, when resumed, exactly as it would have."""
    resumes_constraints: bool = False
    """A constraint holds on from where the output is resumed."""
    resumes_penalties: bool = True
    """Penalties that look at the output alone go on counting where it is resumed; such a request is
    refused to be resumed otherwise."""
    most: Mapping[str, float] = field(default_factory=dict)
    """The most that it takes of some sampling fields."""
    whole_prompts: bool = False
    """A prompt is computed in one step, however long it is."""
    forget: Callable[[Any], Awaitable[object]] | None = None
    """Its processes start so slowly that tests take turns on one engine. This empties its cache."""

    @property
    def chooses(self) -> bool:
        """It has a model, and so tokens to choose from."""
        return self.format is not None

    @property
    def shared(self) -> bool:
        """Tests take turns on one engine."""
        return self.forget is not None

    @property
    def id(self) -> str:
        return f"{self.name}-{self.variant}" if self.variant else self.name


def _echo(setup: Setup) -> dict[str, Any]:
    return {"context_length": setup.context, "concurrency": setup.slots}


def _llama_options(setup: Setup) -> dict[str, Any]:
    options: dict[str, Any] = {
        "n_ctx": setup.context,
        "n_parallel": setup.slots,
        "n_threads": 1,
    }
    if setup.exact:
        options |= {"flash_attn": "off", "cache_type_k": "f32", "cache_type_v": "f32"}
    if setup.step is not None:
        options |= {"n_batch": setup.step}
    return options


def _llama_cpp(setup: Setup) -> dict[str, Any]:
    options = _llama_options(setup)
    if setup.adapters:
        options |= {"lora": {name: str(path) for name, path in setup.adapters.items()}}
    return options


def _llama_cpp_shared(setup: Setup) -> dict[str, Any]:
    options = _llama_cpp(setup) | {"kv_unified": True}
    return options if setup.cells is None else options | {"n_kv": setup.cells}


CONSTRAINTS = frozenset(
    {"json_object", "json_schema", "regex", "choice", "grammar", "structural_tag"}
)
"""Kinds of constraints."""

ECHO = EngineCase(
    name="echo",
    format=None,
    options=_echo,
    abilities=frozenset({"resume", "logprobs"}),
)

XLLAMACPP = EngineCase(
    name="xllamacpp",
    format="ggufv2",
    options=_llama_options,
    abilities=frozenset({"resume"}) | CONSTRAINTS,
    reuses=True,
    resumes_constraints=True,
)

LLAMA_CPP = EngineCase(
    name="llama-cpp-python",
    format="ggufv2",
    options=_llama_cpp,
    abilities=frozenset({"resume", "logprobs", "adapters"}) | CONSTRAINTS,
    reuses=True,
    resumes_samples=True,
    resumes_constraints=True,
)

LLAMA_CPP_SHARED = replace(
    LLAMA_CPP, variant="shared-cache", options=_llama_cpp_shared, bounded=True
)


def _transformers(setup: Setup) -> dict[str, Any]:
    options: dict[str, Any] = {
        "max_model_len": setup.context,
        "max_num_seqs": setup.slots,
        "n_threads": 1,
        "torch_dtype": "float32",
        "lora": {name: str(path) for name, path in setup.adapters.items()},
    }
    return options if setup.step is None else options | {"max_batch_tokens": setup.step}


def _transformers_rows(setup: Setup) -> dict[str, Any]:
    return _transformers(setup) | {"batching": "rows"}


TRANSFORMERS = EngineCase(
    name="transformers",
    format="pytorch",
    options=_transformers,
    abilities=frozenset({"resume", "logprobs", "adapters"}) | CONSTRAINTS,
    reuses=True,
    resumes_samples=True,
    resumes_constraints=True,
)

TRANSFORMERS_ROWS = replace(TRANSFORMERS, variant="rows", options=_transformers_rows)


def _vllm(setup: Setup) -> dict[str, Any]:
    return {
        "max_model_len": setup.context,
        "max_num_seqs": 16,
        "block_size": 32,
        "kv_cache_memory_bytes": 256 << 20,
        "n_threads": 1,
        "dtype": "float32",
        "lora": {name: str(path) for name, path in setup.adapters.items()},
    }


async def _vllm_forget(engine: Any) -> None:
    while not await engine._llm.reset_prefix_cache():  # blocks of what was aborted just now
        pass


VLLM = EngineCase(
    name="vllm",
    format="pytorch",
    options=_vllm,
    abilities=frozenset({"resume", "logprobs", "adapters"}) | CONSTRAINTS,
    reuses=True,
    resumes_penalties=False,
    most={"temperature": 2.0, "presence_penalty": 2.0, "frequency_penalty": 2.0},
    whole_prompts=True,
    forget=_vllm_forget,
)

ALL = (ECHO, XLLAMACPP, LLAMA_CPP, LLAMA_CPP_SHARED, TRANSFORMERS, TRANSFORMERS_ROWS, VLLM)

CASES = tuple(case for case in ALL if case is not VLLM or find_spec("vllm") is not None)
"""vLLM has an environment of its own, and is tested there: `make test-vllm`."""


def engines(which: Callable[[EngineCase], bool] = lambda case: True) -> pytest.MarkDecorator:
    """Run a test, by its argument `subject`, on each engine that is built in and fits."""
    return pytest.mark.parametrize(
        "subject",
        [pytest.param(case, id=case.id) for case in CASES if case.name in BUILTIN and which(case)],
        indirect=True,
    )


def declaring(*abilities: str) -> pytest.MarkDecorator:
    """Run a test on the engines that declare all of these abilities."""
    return engines(lambda case: case.abilities.issuperset(abilities))


def lacking(ability: str) -> pytest.MarkDecorator:
    """Run a test on the engines that do not declare this ability."""
    return engines(lambda case: ability not in case.abilities)
