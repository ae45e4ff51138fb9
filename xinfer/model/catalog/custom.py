"""Models that users registered, whose files say more of them than users have to."""

from __future__ import annotations

import msgspec

from xinfer.errors import InvalidRequest, NotFound
from xinfer.model.catalog.schema import Entry
from xinfer.model.inspect.model import inspect_variants
from xinfer.types.model import ModelSpec

_INSPECTED = ("LLM", "embedding", "rerank")


class CustomEntry(Entry, frozen=True, kw_only=True):
    """A model that a user registered."""

    builtin: bool = False

    def models(self) -> list[ModelSpec]:
        """As of any entry; files on this machine are read. Variants whose files are gone are left
        out, as long as there are others.

        Raises:
            NotFound, InvalidRequest: no variant can be had; `param` is model_uri.
        """
        found: list[ModelSpec] = []
        reasons = []
        for model in Entry.models(self):
            try:
                found += _with_facts(model, self)
            except (NotFound, InvalidRequest) as error:
                reasons.append(error)
        if not found and reasons:
            raise reasons[0]
        return found


def _with_facts(model: ModelSpec, entry: Entry) -> list[ModelSpec]:
    """The variant by its files, or all that it may be if they hold several. What was registered
    counts where it says more. Abilities are those of both: whether a model calls tools or sees
    pictures is in its files."""
    if not model.path or model.type not in _INSPECTED:
        return [model]
    there = inspect_variants(model.path, param="model_uri")
    there = [one for one in there if one.format == model.format] or there
    named = model.quantization.lower()
    there = [one for one in there if one.quantization.lower() == named] or there
    return [_merged(model, entry, facts) for facts in there]


def _merged(model: ModelSpec, entry: Entry, facts: ModelSpec) -> ModelSpec:
    return msgspec.structs.replace(
        facts,
        name=model.name,
        type=model.type,
        family=entry.family or facts.family,
        description=model.description or facts.description,
        languages=model.languages,
        abilities=tuple(dict.fromkeys((*model.abilities, *facts.abilities))),
        context_length=model.context_length or facts.context_length,
        dimensions=model.dimensions or facts.dimensions,
        size_in_billions=model.size_in_billions or facts.size_in_billions,
        quantization=model.quantization if facts.quantization == "none" else facts.quantization,
        chat_template=model.chat_template,
        fallback_template=model.fallback_template,
        stop=model.stop,
        stop_token_ids=model.stop_token_ids,
        tool_call_parser=model.tool_call_parser,
        reasoning_tags=model.reasoning_tags,
    )
