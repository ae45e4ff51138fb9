"""Which form a model writes calls in: by its chat template, unless it is told."""

from __future__ import annotations

from xinfer.errors import InvalidRequest
from xinfer.model.llm.pipeline.tools.deepseek import DeepSeekParser
from xinfer.model.llm.pipeline.tools.glm import Glm4Parser
from xinfer.model.llm.pipeline.tools.hermes import HermesParser
from xinfer.model.llm.pipeline.tools.llama import LlamaJsonParser
from xinfer.model.llm.pipeline.tools.mistral import MistralParser
from xinfer.model.llm.pipeline.tools.parser import ToolParser
from xinfer.model.llm.pipeline.tools.pythonic import PythonicParser
from xinfer.model.llm.pipeline.tools.xml import Glm45Parser, Qwen3CoderParser

HARMONY = "openai"
"""vLLM's name of gpt-oss's form, which is not one of calls alone: see `pipeline.harmony`."""

PARSERS: dict[str, type[ToolParser]] = {
    "deepseek_v3": DeepSeekParser,
    "glm4": Glm4Parser,
    "glm45": Glm45Parser,
    "hermes": HermesParser,
    "llama3_json": LlamaJsonParser,
    "mistral": MistralParser,
    "pythonic": PythonicParser,
    "qwen3_coder": Qwen3CoderParser,
}
"""By the names that vLLM has for them."""

_SIGNS: list[tuple[tuple[str, ...], str]] = [
    (("<tool_call>", "<function="), "qwen3_coder"),
    (("<tool_call>", "<arg_key>"), "glm45"),
    (("<tool_call>",), "hermes"),
    (("[TOOL_CALLS]",), "mistral"),
    (("<｜tool▁calls▁begin｜>",), "deepseek_v3"),
    (("<|start_header_id|>", '"parameters":'), "llama3_json"),
    (("[func_name1(",), "pythonic"),
    (("<|observation|>", "<|assistant|>"), "glm4"),
]
"""What templates contain; the first row that is there whole counts."""

ALIASES = {
    "deepseek-r1": "deepseek_v3",
    "deepseek-v3": "deepseek_v3",
    "deepseek-v3.1": "deepseek_v3",
    "llama3": "llama3_json",
    "qwen": "hermes",
}
"""Xinference's names, in descriptions of models."""

DEFAULT = "hermes"
"""Of templates that show functions and say nothing of the form: it has been copied most."""


def tool_parser(name: str) -> type[ToolParser]:
    """The parser of a name.

    Raises:
        InvalidRequest: there is none; the message names those there are.
    """
    parser = PARSERS.get(ALIASES.get(name, name))
    if parser is None:
        there = ", ".join([*PARSERS, HARMONY, *ALIASES])
        raise InvalidRequest(
            f"There is no tool_call_parser {name[:100]!r}; there are: {there}.",
            param="tool_call_parser",
        )
    return parser


def is_parser(name: str) -> bool:
    """Whether a form of calls has this name."""
    return name in PARSERS or name in ALIASES or name == HARMONY


def detect(template: str) -> type[ToolParser]:
    """The parser for the model of a chat template."""
    for signs, name in _SIGNS:
        if all(sign in template for sign in signs):
            return PARSERS[name]
    return PARSERS[DEFAULT]
