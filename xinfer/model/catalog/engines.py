"""What each engine can run of a model here, and why the others cannot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xinfer.errors import InvalidRequest
from xinfer.model.catalog.describe import size_text
from xinfer.model.catalog.forms import find_forms
from xinfer.model.catalog.refusal import CODE_SETTING, not_in_this_version
from xinfer.model.catalog.select import select
from xinfer.model.catalog.support import EngineSupport, ask_engines, ordered_engines, reason_of
from xinfer.model.catalog.surroundings import Surroundings
from xinfer.model.catalog.words import planned_engines
from xinfer.model.inspect.weights import refuse_pickles
from xinfer.types.deployment import LaunchSpec
from xinfer.types.model import ModelSpec

_REASONS = 3
"""The most that are said of one engine."""


def engines_of(spec: LaunchSpec, around: Surroundings) -> dict[str, list[dict[str, Any]] | str]:
    """By engine: the forms that it runs, one entry for each format and size, or the reason why
    it runs none, with the extra that would bring it. Blocks, as `resolve` does.

    Args:
        spec: names the model, and may ask for a form of it.

    Raises:
        What `resolve` raises, but for what it says of engines.
    """
    forms = find_forms(spec, around)
    models = select(forms.spec, forms.models)
    refusals: list[str] = []
    if not around.pickle_allowed:
        models = [model for model in models if not _refused(model, refusals)]
    answers: dict[str, list[dict[str, Any]] | str] = {}
    for name in ordered_engines():
        if not models:
            answers[name] = refusals[0]
            continue
        asked = ask_engines([name], models, around.host)
        allowed = around.code_allowed
        able = [one for one in asked if one.support.ok and (allowed or not one.support.runs_code)]
        answers[name] = _entries([one.model for one in able]) if able else _refusal(asked)
    planned = [name for model in models for name in planned_engines(model.type, model.format)]
    for name in planned:
        answers.setdefault(name, not_in_this_version([name]))
    return answers


def _refused(model: ModelSpec, refusals: list[str]) -> bool:
    try:
        refuse_pickles(model)
    except InvalidRequest as error:
        refusals.append(error.message)
        return True
    return False


def _entries(models: Sequence[ModelSpec]) -> list[dict[str, Any]]:
    quantizations: dict[tuple[str, float | None], list[str]] = {}
    for model in models:
        there = quantizations.setdefault((model.format, model.size_in_billions), [])
        if model.quantization not in there:
            there.append(model.quantization)
    return [
        {
            "model_name": models[0].name,
            "model_format": form,
            "model_size_in_billions": size_text(size),
            "quantizations": names,
        }
        for (form, size), names in quantizations.items()
    ]


def _refusal(asked: Sequence[EngineSupport]) -> str:
    for each in asked:
        if each.support.ok:
            return (
                f"It would have to run program code that comes with the model, which the "
                f"administrator has not allowed ({CODE_SETTING}=1)."
            )
    reasons = list(dict.fromkeys(reason_of(each.support) for each in asked))
    return "; ".join(reasons[:_REASONS])
