"""From a launch as the user asked for it to one concrete model on one engine."""

from __future__ import annotations

from typing import Any

import msgspec

from xinfer.errors import InvalidRequest
from xinfer.model.catalog.adapters import adapter_options
from xinfer.model.catalog.choose import Choice, choose, has_option
from xinfer.model.catalog.expected import expected_memory
from xinfer.model.catalog.forms import examine, find_forms
from xinfer.model.catalog.select import select
from xinfer.model.catalog.support import ask_engines, ordered_engines
from xinfer.model.catalog.surroundings import Surroundings
from xinfer.model.catalog.words import BITS_OPTION, parse_bits
from xinfer.model.engine import find_engine, parse_options
from xinfer.model.llm.pipeline.reasoning import reasoning_tags
from xinfer.model.llm.pipeline.tools import tool_parser
from xinfer.model.llm.pipeline.tools.registry import HARMONY
from xinfer.types.deployment import LaunchSpec
from xinfer.types.model import Memory, ModelSpec


class Resolved(msgspec.Struct, frozen=True):
    """What will be launched; `options` are valid for `engine`."""

    model: ModelSpec
    engine: str
    options: dict[str, Any]
    reason: str = ""
    """Why this engine and this form of the model, as sentences."""
    memory: Memory = Memory()
    """What each replica is expected to take."""


def resolve(spec: LaunchSpec, around: Surroundings) -> Resolved:
    """Decide model, engine and options of a launch. Blocks: it reads headers, of files here or of
    a repository, and downloads nothing else.

    Raises:
        NotFound: no such name, repository or path.
        InvalidRequest: nothing here runs what was asked for; `param` names the field at fault.
        Forbidden, Unavailable: what the hubs say.
        EngineFailed: a file in the cache is damaged.
    """
    forms = find_forms(spec, around)
    spec = forms.spec
    selected = select(spec, forms.models)
    allowed = around.code_allowed and spec.trust_remote_code is not False
    choice = choose(spec, selected, forms.models, around.host, code_allowed=allowed)
    model = examine(choice.model, around)
    if model != choice.model:
        # The files may say what the catalogue does not know: that code of theirs is needed.
        own = choose(spec, [model], forms.models, around.host, code_allowed=allowed)
        if own.engine != choice.engine:
            choice = own
    return _finish(spec, choice, model, around)


def _finish(spec: LaunchSpec, choice: Choice, model: ModelSpec, around: Surroundings) -> Resolved:
    kind = find_engine(choice.engine)[1]
    model = _as_told(spec, model)
    options = spec.options
    if spec.n_gpu is None and has_option(choice.engine, "n_gpu_layers"):
        options = {"n_gpu_layers": 0, **options}
    bits = parse_bits(spec.quantization)
    if bits is not None:
        options = {BITS_OPTION: bits, **options}
    if spec.adapters:
        asked = ask_engines(ordered_engines(), [model], around.host)
        engines = [each.engine for each in asked if each.support.ok]
        options = {**options, **adapter_options(spec, choice.engine, engines)}
    checked = parse_options(kind, choice.engine, options)
    here = model if model.path or not model.sources else around.hubs.located(model)
    if here.path or not here.sources:
        try:
            memory = kind.estimate(here, checked)
        except InvalidRequest:
            damage = around.hubs.damage(here) if here.sources else None
            if damage is None:
                raise
            raise damage from None
    else:
        memory = expected_memory(model, checked)
    return Resolved(model, choice.engine, options, choice.reason, memory)


def _as_told(spec: LaunchSpec, model: ModelSpec) -> ModelSpec:
    """The model with what the launch says of its chats.

    Raises:
        InvalidRequest: there is no such parser of calls or of thoughts.
    """
    kwargs = dict(model.template_kwargs)
    if spec.enable_thinking is not None:
        kwargs.update(enable_thinking=spec.enable_thinking, thinking=spec.enable_thinking)
    if spec.tool_call_parser and spec.tool_call_parser != HARMONY:
        tool_parser(spec.tool_call_parser)
    tags = reasoning_tags(spec.reasoning_parser) if spec.reasoning_parser else None
    return msgspec.structs.replace(
        model,
        template_kwargs=kwargs,
        tool_call_parser=spec.tool_call_parser or model.tool_call_parser,
        reasoning_tags=model.reasoning_tags if tags is None else tuple(tags),
        reasoning_content=spec.reasoning_content,
    )
