"""The JSON of a registration: Xinference's fields, all that both of its versions have."""

from __future__ import annotations

from typing import Annotated

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0)]
"""0 as if it were left out."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where the files are."""

    model_id: str | None = None
    model_uri: str | None = None
    model_hub: str = "huggingface"
    model_revision: str | None = None
    quantization: str | None = None
    quantizations: list[str] | None = None
    model_file_name_template: str | None = None
    model_file_name_split_template: str | None = None
    quantization_parts: dict[str, list[str]] | None = None
    multimodal_projectors: list[str] | None = None


class Spec(Place, frozen=True, kw_only=True):
    """A variant; in Xinference's own files it has a place on each hub in `model_src`."""

    model_format: str | None = None
    model_size_in_billions: int | float | str | None = None
    activated_size_in_billions: int | float | str | None = None
    model_src: dict[str, Place] | None = None


class Body(Spec, frozen=True, kw_only=True):
    """A model; in version 1 it is its own only variant."""

    model_name: str
    model_family: str | None = None
    model_description: str | None = None
    model_lang: list[str] | None = None
    language: list[str] | str | None = None
    model_ability: list[str] | None = None
    context_length: Count | None = None
    max_tokens: Count | None = None
    dimensions: Count | None = None
    type: str | None = None
    multilingual: bool | None = None
    architectures: list[str] | None = None
    chat_template: str | None = None
    stop: list[str] | str | None = None
    stop_token_ids: list[int] | None = None
    tool_parser: str | None = None
    reasoning_start_tag: str | None = None
    reasoning_end_tag: str | None = None
    model_specs: list[Spec] | None = None
