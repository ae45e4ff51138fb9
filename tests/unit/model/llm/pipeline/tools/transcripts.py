"""What models of each form write, and the calls in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

FUNCTIONS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            },
        },
    },
    {"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}},
]

NESTED = {"query": 'the "日本語" </tool_call> {x}\n\\', "filter": {"tags": ["a", "b"], "max": None}}


@dataclass(frozen=True)
class Transcript:
    """An output and what it is made of."""

    id: str
    parser: str
    output: str
    calls: list[tuple[str, dict[str, Any]]]
    text: str = ""


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


PARIS = ("get_weather", {"city": "Paris 🌦", "days": 3})
ROME = ("get_weather", {"city": "Rome"})
SEARCH = ("search", NESTED)


def _hermes(call: tuple[str, Any]) -> str:
    return f"<tool_call>\n{_json({'name': call[0], 'arguments': call[1]})}\n</tool_call>"


_SEP, _CALL, _CALL_END = "<｜tool▁sep｜>", "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>"


def _deepseek(body: str) -> str:
    return f"<｜tool▁calls▁begin｜>{body}<｜tool▁calls▁end｜>"


def _deepseek_v3(call: tuple[str, Any]) -> str:
    return f"{_CALL}function{_SEP}{call[0]}\n```json\n{_json(call[1])}\n```{_CALL_END}"


TRANSCRIPTS = [
    Transcript("one", "hermes", _hermes(PARIS), [PARIS]),
    Transcript(
        "text-and-several",
        "hermes",
        f"Let me look.\n\n{_hermes(PARIS)}\n{_hermes(SEARCH)}\n",
        [PARIS, SEARCH],
        "Let me look.",
    ),
    Transcript("no-end", "hermes", _hermes(ROME).removesuffix("\n</tool_call>"), [ROME]),
    Transcript(
        "one",
        "qwen3_coder",
        "I look.\n<tool_call>\n<function=get_weather>\n<parameter=city>\nParis 🌦\n</parameter>\n"
        "<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>",
        [PARIS],
        "I look.",
    ),
    Transcript(
        "json-and-lines",
        "qwen3_coder",
        "<tool_call>\n<function=search>\n<parameter=filter>\n"
        '{"tags": ["a"]}\n</parameter>\n<parameter=query>\nline one\nline two <b>\n</parameter>\n'
        "</function>\n</tool_call>\n<tool_call>\n<function=search>\n</function>\n</tool_call>",
        [
            ("search", {"filter": {"tags": ["a"]}, "query": "line one\nline two <b>"}),
            ("search", {}),
        ],
    ),
    Transcript("one", "llama3_json", _json({"name": "search", "parameters": NESTED}), [SEARCH]),
    Transcript(
        "several",
        "llama3_json",
        f"{_json({'name': PARIS[0], 'parameters': PARIS[1]})}; "
        f"{_json({'name': ROME[0], 'parameters': ROME[1]})}",
        [PARIS, ROME],
    ),
    Transcript(
        "tag",
        "llama3_json",
        f"<|python_tag|>{_json({'type': 'function', 'name': ROME[0], 'parameters': ROME[1]})}",
        [ROME],
    ),
    Transcript(
        "several",
        "pythonic",
        '[get_weather(city="Paris 🌦", days=3), search(query=\'a "b" ] )\', deep={"x": [1, None]})]',
        [PARIS, ("search", {"query": 'a "b" ] )', "deep": {"x": [1, None]}})],
    ),
    Transcript(
        "list",
        "mistral",
        "Sure. [TOOL_CALLS]"
        + _json(
            [{"name": PARIS[0], "arguments": PARIS[1]}, {"name": "search", "arguments": NESTED}]
        ),
        [PARIS, SEARCH],
        "Sure.",
    ),
    Transcript(
        "by-name",
        "mistral",
        f"[TOOL_CALLS]get_weather[ARGS]{_json(PARIS[1])}[TOOL_CALLS]search{_json(NESTED)}",
        [PARIS, SEARCH],
    ),
    Transcript(
        "v3",
        "deepseek_v3",
        "I look it up." + _deepseek(f"{_deepseek_v3(PARIS)}\n{_deepseek_v3(SEARCH)}"),
        [PARIS, SEARCH],
        "I look it up.",
    ),
    Transcript(
        "v3.1",
        "deepseek_v3",
        _deepseek(f"{_CALL}search{_SEP}{_json(NESTED)}{_CALL_END}"),
        [SEARCH],
    ),
    Transcript("one", "glm4", f"search\n{_json(NESTED)}", [SEARCH]),
    Transcript(
        "several",
        "glm45",
        "Well.\n<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris 🌦</arg_value>\n"
        "<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>\n"
        "<tool_call>search</tool_call>",
        [PARIS, ("search", {})],
        "Well.",
    ),
]

NO_CALLS = [
    ("hermes", "The tag <tool_ca is cut, <tool_call>{broken</tool_call> and more <"),
    ("hermes", '<tool_call>{"name": "get_weather", "arguments": {"city": "Par'),
    ("hermes", '<tool_call>{"name": 3, "arguments": {}}</tool_call>'),
    ("hermes", '<tool_call>{"name": "f", "arguments": {"a": NaN}}</tool_call> \n'),
    ("hermes", '<tool_call>{"name": "f", "arguments": {"a": "\\ud800"}}</tool_call>'),
    ("hermes", "  plain text, with an end. \n"),
    ("hermes", "<tool_call>" + "[" * 5000 + "</tool_call>"),
    ("qwen3_coder", "<tool_call>\n<function=f>\n<parameter=a>\n1\n</function>\n</tool_call>"),
    (
        "qwen3_coder",
        "<tool_call><function=f>stray<parameter=a>1</parameter></function></tool_call>",
    ),
    ("llama3_json", '{"answer": 42}'),
    ("llama3_json", '{"name": "unknown", "parameters": {}}'),
    ("llama3_json", 'So {"name": "search", "parameters": {}}'),
    ("pythonic", "[1] is a footnote, don't you see"),
    ("pythonic", "[search(1)]"),
    ("pythonic", "[search(a=__import__('os'))]"),
    ("pythonic", "[search(a=" + "-" * 20000 + "1)]"),
    ("pythonic", "[search(a=" + "(" * 5000 + "1)]"),
    ("mistral", '[TOOL_CALLS][{"name": "search"'),
    ("mistral", "[TOOL_CALLS] and [TOOL"),
    ("deepseek_v3", "<｜tool▁calls▁begin｜>nothing<｜tool▁calls▁end｜> <｜tool"),
    ("deepseek_v3", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>sea"),
    ("glm4", "search engines are useful"),
    ("glm4", "search\nis what I do"),
    ("glm45", "<tool_call>f<arg_key>a</arg_key></tool_call>"),
    ("glm45", "<tool_call>f\n<x</tool_call>"),
]
"""Outputs in which something is missing or wrong: all of them stay as they are."""
