"""A model in one of the layouts of PyTorch's world, or converted from there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xinfer.model.inspect.card import Card, read_card
from xinfer.model.inspect.config_shape import config_shape
from xinfer.model.inspect.context import context_length, encoder_length
from xinfer.model.inspect.encoders import Module, embedding_spec, read_modules, rerank_spec
from xinfer.model.inspect.json_files import Listing, section, strings
from xinfer.model.inspect.kind import (
    AUDIO,
    EMBEDDING,
    LLM,
    RERANK,
    architecture,
    audio_abilities,
    llm_abilities,
    type_of,
)
from xinfer.model.inspect.needed import needed_files
from xinfer.model.inspect.parameters import in_billions, sense_bytes
from xinfer.model.inspect.pipelines import (
    INDEX,
    pipeline_abilities,
    pipeline_class,
    pipeline_type,
    pipeline_weights,
)
from xinfer.model.inspect.quantization import quantization
from xinfer.model.inspect.template import chat_template, template_abilities
from xinfer.model.inspect.weights import Weights, find_weights
from xinfer.types.model import EncodeSpec, ModelSpec

_CONFIG, _MISTRAL = "config.json", "params.json"
_VOICES = {"BarkModel": ("speaker_embeddings/",), "SpeechT5ForTextToSpeech": ("voices/",)}
"""Folders with the voices of models that speak."""


def inspect_directory(files: Listing, *, name: str) -> ModelSpec:
    """The model that the files are together.

    Raises:
        InvalidRequest: they are none, or none that is served; files are damaged or missing.
    """
    card = read_card(files)
    if INDEX in files:
        return _pipeline(files, name, card)
    if _is_ctranslate2(files):
        return _ctranslate2(files, name, card)
    modules = read_modules(files)
    folder = next((one.folder for one in modules if one.kind == "Transformer"), "")
    config = files.json(f"{folder}{_CONFIG}")
    mistral = not config and _MISTRAL in files
    if mistral:
        config = {"architectures": ["MistralForCausalLM"], **files.json(_MISTRAL)}
    weights = find_weights(files, folder=folder, consolidated=mistral)
    if not config and not modules:
        raise files.refusal(weights.files[0], "there is no config.json that says what it is")
    kind = type_of(config, files, card, name) if config else EMBEDDING
    form, quantized, bits = quantization(config, files)
    tokenizer = files.json(f"{folder}tokenizer_config.json")
    names = _weights_of_modules(files, modules, weights)
    head = architecture(config)
    folders = [*(one.folder for one in modules if one.folder), *_VOICES.get(head, ())]
    dimensions, encode = _encode(kind, config, head, modules, files)
    return ModelSpec(
        name=name,
        type=kind,
        family=str(config.get("model_type", "")),
        format="mistral" if mistral else form,
        size_in_billions=in_billions(weights.parameters(bits)),
        quantization=quantized,
        context_length=context_length(config, tokenizer)
        if kind in (LLM, AUDIO)
        else encoder_length(config, tokenizer, files, folder),
        dimensions=dimensions,
        abilities=_abilities(kind, config, tokenizer, files),
        languages=_languages(card),
        size_bytes=sum(files.size(one) for one in names),
        files=tuple(needed_files(files, names, folders)),
        architecture=head,
        shape=config_shape(config, weights.tensors, sense_bytes(weights.tensors)),
        encode=encode,
        remote_code=tuple(
            dict.fromkeys(
                (*remote_code(config, tokenizer), *(one.code for one in modules if one.code))
            )
        ),
    )


def remote_code(*configs: Mapping[str, Any]) -> tuple[str, ...]:
    """The files of program code that configurations name, once each."""
    found: dict[str, None] = {}
    for config in configs:
        for value in section(config, "auto_map").values():
            for reference in strings(value):
                module = reference.rpartition(".")[0]
                if module:
                    found[f"{module}.py"] = None
    return tuple(found)


def _weights_of_modules(files: Listing, modules: list[Module], weights: Weights) -> list[str]:
    """All files of weights, with those of the further steps of a sentence-transformers model."""
    names = list(weights.files)
    for module in modules:
        if module.kind == "Dense" and module.folder:
            names += find_weights(files, folder=module.folder).files
    return list(dict.fromkeys(names))


def _abilities(
    kind: str, config: Mapping[str, Any], tokenizer: Mapping[str, Any], files: Listing
) -> tuple[str, ...]:
    if kind == LLM:
        return llm_abilities(config, files, template_abilities(chat_template(files, tokenizer)))
    return audio_abilities(config) if kind == AUDIO else ()


def _encode(
    kind: str, config: Mapping[str, Any], head: str, modules: list[Module], files: Listing
) -> tuple[int, EncodeSpec | None]:
    """The length of its vectors, and what else its results are."""
    if kind == EMBEDDING:
        return embedding_spec(config, modules, files)
    return 0, rerank_spec(config, head) if kind == RERANK else None


def _pipeline(files: Listing, name: str, card: Card) -> ModelSpec:
    head = pipeline_class(files)
    parts = pipeline_weights(files)
    names = [one for part in parts for one in part.files]
    folders = {one[: one.index("/") + 1] for one in files.by_name if "/" in one}
    return ModelSpec(
        name=name,
        type=pipeline_type(head),
        format="diffusers",
        size_in_billions=in_billions(sum(part.parameters() for part in parts)),
        abilities=pipeline_abilities(head),
        languages=_languages(card),
        size_bytes=sum(part.size for part in parts),
        files=tuple(needed_files(files, [INDEX, *names], folders)),
        architecture=head,
    )


def _is_ctranslate2(files: Listing) -> bool:
    """Whether it is a Whisper model in the format of faster-whisper."""
    return "model.bin" in files and ("vocabulary.json" in files or "vocabulary.txt" in files)


def _ctranslate2(files: Listing, name: str, card: Card) -> ModelSpec:
    return ModelSpec(
        name=name,
        type=AUDIO,
        family="whisper",
        format="ctranslate2",
        abilities=("audio2text",),
        languages=_languages(card),
        size_bytes=files.size("model.bin"),
        files=("model.bin", *needed_files(files, [], [])),
        architecture="WhisperForConditionalGeneration",
    )


def _languages(card: Card) -> tuple[str, ...]:
    return tuple(card.get("language") or card.get("languages") or ("en",))
