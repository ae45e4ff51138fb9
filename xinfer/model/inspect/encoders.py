"""What the files of an embedding or rerank model say of its results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from xinfer.model.inspect.json_files import Listing, number, section
from xinfer.types.model import EncodeSpec

_POOLINGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "last",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
}
_NAMES = {"lasttoken": "last"}
_SMALLER = ("matryoshka_dims", "matryoshka_dimensions")


class Module(msgspec.Struct, frozen=True):
    """One step of a sentence-transformers model."""

    kind: str
    """Transformer, Pooling, Dense, Normalize, …"""
    folder: str
    """With a `/` at its end; empty for the directory itself."""
    code: str = ""
    """The file of program code that it is in; empty for a step of sentence-transformers' own."""


def read_modules(files: Listing) -> list[Module]:
    """The steps of a sentence-transformers model; none if it is not one.

    Raises:
        InvalidRequest: modules.json is damaged.
    """
    if "modules.json" not in files:
        return []
    steps = files.json_value("modules.json")
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise files.refusal("modules.json", "it holds no list of modules")
    return [
        Module(
            str(step.get("type", "")).rpartition(".")[2],
            f"{step['path']}/" if isinstance(step.get("path"), str) and step["path"] else "",
            _own_code(str(step.get("type", ""))),
        )
        for step in steps
    ]


def _own_code(step: str) -> str:
    module = step.rpartition(".")[0]
    known = not module or module.partition(".")[0] == "sentence_transformers"
    return "" if known else f"{module}.py"


def embedding_spec(
    config: Mapping[str, Any], modules: list[Module], files: Listing
) -> tuple[int, EncodeSpec]:
    """The length of its vectors, 0 when unknown, and what they are: by sentence-transformers' steps
    and prompts, or by the bare encoder."""
    dimensions = number(config, "hidden_size", "dim", "d_model", "n_embd")
    pooling, normalised = "", False
    for module in modules:
        step = files.json(f"{module.folder}config.json") if module.folder else {}
        if module.kind == "Pooling":
            pooling = _pooling(step)
            width = number(step, "word_embedding_dimension", "embedding_dimension")
            dimensions = width * (pooling.count("+") + 1) or dimensions
        elif module.kind == "Dense":
            dimensions = number(step, "out_features") or dimensions
        normalised = module.kind == "Normalize"
    told = files.json("config_sentence_transformers.json")
    prompts = {
        str(purpose): prompt
        for purpose, prompt in section(told, "prompts").items()
        if isinstance(prompt, str) and prompt
    }
    default = told.get("default_prompt_name")
    return dimensions, EncodeSpec(
        smaller_dimensions=_smaller(config) or _smaller(told),
        pooling=pooling,
        normalised=normalised,
        prompts=prompts,
        default_prompt=default if isinstance(default, str) and default in prompts else "",
    )


def rerank_spec(config: Mapping[str, Any], head: str) -> EncodeSpec:
    """How many scores it gives and what for."""
    if not head.endswith(("ForSequenceClassification", "ForRanking", "ForReranking")):
        return EncodeSpec(generative=True)
    names = section(config, "id2label")
    labels = [str(names[key]) for key in sorted(names, key=_position)]
    count = number(config, "num_labels") or len(labels)
    if not count:
        count = 2  # Transformers' own default
    return EncodeSpec(
        labels=tuple(labels[:count]) or tuple(f"LABEL_{one}" for one in range(min(count, 1000)))
    )


def _position(key: str) -> tuple[int, str]:
    return (int(key[:6]) if key[:6].isdecimal() else 0, key)


def _pooling(step: Mapping[str, Any]) -> str:
    """Several that are put one behind the other are joined by `+`."""
    told = step.get("pooling_mode")
    if isinstance(told, str) and told:
        return _NAMES.get(told, told)
    return "+".join(name for key, name in _POOLINGS.items() if step.get(key) is True)


def _smaller(config: Mapping[str, Any]) -> tuple[int, ...]:
    for key in _SMALLER:
        sizes = config.get(key)
        if isinstance(sizes, list):
            return tuple(sorted({size for size in sizes if type(size) is int and size > 0}))
    return ()
