"""From the JSON in which users describe a model of their own to an entry of the catalogue.

Both versions of Xinference's JSON are taken: in version 1 embedding, rerank, image and audio models
name their one repository beside the other fields, and variants list `quantizations`.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import msgspec

from xinfer.errors import InvalidRequest
from xinfer.model.catalog.catalogue import find_builtin
from xinfer.model.catalog.custom import CustomEntry
from xinfer.model.catalog.registration_body import Body, Spec
from xinfer.model.catalog.registration_variants import parse_variants
from xinfer.model.catalog.schema import TYPES
from xinfer.model.llm.pipeline.tools.registry import is_parser

MAX_TEXT = 1 << 18
"""Longest registration, in characters; a long chat template has a tenth of it."""
MAX_NAME = 100

ABILITIES = {
    "LLM": ("generate", "chat", "tools", "vision", "audio", "omni", "reasoning", "hybrid", "embed"),
    "embedding": ("embed",),
    "rerank": ("rerank",),
    "image": ("text2image", "image2image", "inpainting", "ocr", "docanalyze"),
    "audio": (
        "audio2text",
        "text2audio",
        "text2audio_zero_shot",
        "text2audio_voice_cloning",
        "text2audio_voice_design",
        "text2audio_emotion_control",
        "speaker_embedding",
        "text2music",
        "audio2audio",
    ),
}
MAX_TAG = 64
"""Characters of what marks thoughts; longer ones are not looked for."""
_OWN_ABILITIES = {"embedding": ("embed",), "rerank": ("rerank",)}
_FORBIDDEN = frozenset("+/?%#&=:\\")
_WHERE = re.compile(r" - at `\$\.?(.*)`$")
_NEUTRAL = frozenset({"version", "is_builtin", "model_type", "updated_at", "featured"})
"""Fields that need nothing to be done: what they say is known without them."""


class Registration(msgspec.Struct, frozen=True):
    """A model that a user described."""

    type: str
    text: str
    """The JSON."""
    entry: CustomEntry
    ignored: tuple[str, ...] = ()
    """Fields that have no effect."""


def parse_registration(kind: str, text: str) -> Registration:
    """The entry that a registration describes. Looks at no file and at no hub.

    Raises:
        InvalidRequest: with `param` naming the field of the JSON, or model_type or model.
    """
    check_type(kind)
    raw = _read(text)
    body = _typed(raw)
    check_name(body.model_name)
    template, chat_template = _templates(body)
    languages = _texts(body.language) or _texts(body.model_lang)
    parser = body.tool_parser or ""
    entry = CustomEntry(
        name=body.model_name,
        type=kind,
        family=body.model_family or "",
        description=body.model_description or "",
        languages=languages or ("en",),
        abilities=_abilities(kind, body),
        context_length=body.context_length or body.max_tokens or 0,
        dimensions=body.dimensions or 0,
        kind=body.type or "",
        multilingual=body.multilingual,
        architectures=tuple(body.architectures or ()),
        template=template,
        chat_template=chat_template,
        stop=_texts(body.stop),
        stop_token_ids=tuple(body.stop_token_ids or ()),
        tool_call_parser=parser if is_parser(parser) else "",
        reasoning_tags=_tags(body),
        variants=parse_variants(kind, body),
    )
    return Registration(kind, text, entry, _ignored(raw))


def check_type(kind: str) -> None:
    """Let a type pass that models can be registered of.

    Raises:
        InvalidRequest: it is another.
    """
    if kind not in TYPES:
        raise InvalidRequest(
            f"Models of type {kind[:100]!r} cannot be registered. Types: {', '.join(TYPES)}.",
            param="model_type",
        )


def check_name(name: str) -> None:
    """Let a name pass that can stand in an address, and is no path and no repository.

    Raises:
        InvalidRequest: it is none; `param` is model_name.
    """
    wrong = sorted({one for one in name if one in _FORBIDDEN or one.isspace() or _is_control(one)})
    if wrong:
        reason = f"contains {', '.join(map(ascii, wrong[:5]))}"
    elif not 0 < len(name) <= MAX_NAME:
        reason = f"has {len(name)} characters"
    elif not name[0].isalnum() or name.lower().endswith((".gguf", ".onnx")):
        reason = f"would be taken for a path: {name!r}"
    else:
        return
    raise InvalidRequest(
        f"model_name {reason}. Use 1 to {MAX_NAME} characters that begin with a letter or a digit; "
        "no white space, and none of + / ? % # & = : \\.",
        param="model_name",
    )


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def _read(text: str) -> dict[str, Any]:
    if len(text) > MAX_TEXT:
        raise InvalidRequest(
            f"The model's description has {len(text)} characters; at most {MAX_TEXT} are taken.",
            param="model",
        )
    try:
        raw = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidRequest(f"`model` is no valid JSON: {error}.", param="model") from None
    if not isinstance(raw, dict):
        raise InvalidRequest("`model` should be the JSON text of an object.", param="model")
    return raw


def _typed(raw: dict[str, Any]) -> Body:
    try:
        return msgspec.convert(raw, Body)
    except msgspec.ValidationError as error:
        where = _WHERE.search(str(error))
        missing = re.search(r"missing required field `(\w+)`", str(error))
        reason = _WHERE.sub("", str(error))
        path = ".".join(filter(None, [where[1] if where else "", missing[1] if missing else ""]))
        raise InvalidRequest(f"{path or 'model'}: {reason}.", param=path or "model") from None


def _ignored(raw: dict[str, Any]) -> tuple[str, ...]:
    names = [
        name
        for name, value in raw.items()
        if name not in Body.__struct_fields__ and name not in _NEUTRAL and value
    ]
    parser = raw.get("tool_parser")
    if parser and not is_parser(parser):  # Xinference's name of a form that is not read here
        names.append("tool_parser")
    for number, spec in enumerate(raw.get("model_specs") or ()):
        unknown = (name for name in spec if name not in Spec.__struct_fields__ and spec[name])
        names += [f"model_specs[{number}].{name}" for name in unknown]
    return tuple(names)


def _texts(value: list[str] | str | None) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else value or []
    return tuple(text for text in listed if text)


def _abilities(kind: str, body: Body) -> tuple[str, ...]:
    for ability in body.model_ability or ():
        if ability not in ABILITIES[kind]:
            raise InvalidRequest(
                f"model_ability has {ability[:100]!r}. Abilities of a model of type {kind}: "
                f"{', '.join(ABILITIES[kind])}.",
                param="model_ability",
            )
    return tuple(body.model_ability or ()) or _OWN_ABILITIES.get(kind, ())


def _tags(body: Body) -> tuple[str, ...]:
    """What thoughts stand between. A model is often said to have only the second one."""
    begin, end = body.reasoning_start_tag or "", body.reasoning_end_tag or ""
    if not end or max(len(begin), len(end)) > MAX_TAG:
        return ()
    return (begin or end.replace("/", "", 1), end)


def _templates(body: Body) -> tuple[str, str]:
    """The name of a template of ours for files that have none, and the template that was given."""
    family = find_builtin(body.model_family or "")
    given = body.chat_template or ""
    if given and "{" not in given:
        family = find_builtin(given)
        if family is None:
            raise InvalidRequest(
                f"chat_template is {given[:100]!r}: neither a Jinja template nor the name of a "
                "model that comes with xinfer.",
                param="chat_template",
            )
        given = ""
    return (family.template if family else ""), given
