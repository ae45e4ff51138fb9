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

DEFAULT = "hermes"
"""Of templates that show functions and say nothing of the form: it has been copied most."""


def tool_parser(name: str) -> type[ToolParser]:
    """The parser of a name.

    Raises:
        InvalidRequest: there is none; the message names those there are.
    """
    try:
        return PARSERS[name]
    except KeyError:
        raise InvalidRequest(
            f"There is no tool_call_parser {name[:100]!r}; there are: {', '.join(PARSERS)}.",
            param="tool_call_parser",
        ) from None


def detect(template: str) -> type[ToolParser]:
    """The parser for the model of a chat template."""
    for signs, name in _SIGNS:
        if all(sign in template for sign in signs):
            return PARSERS[name]
    return PARSERS[DEFAULT]
