"""Conversations with tools: random functions and values, so that the model has to read and copy."""

from __future__ import annotations

import json
import re
import string
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

from training.tiny_chat.corpus import LANGUAGES, Language, read_sections, values
from training.tiny_chat.template import Message, Tool
from training.tiny_chat.wording import made_up_phrase, made_up_word, plain_words, vary

Value = str | int | float

MADE_UP_KINDS = (
    ("string", "name"),
    ("string", "phrase"),
    ("string", "code"),
    ("string", "place"),
    ("string", "word"),
    ("string", "path"),
    ("number", "amount"),
    ("integer", "number"),
    ("integer", "count"),
)
RESULT_KINDS = ("name", "count", "number", "phrase", "amount", "code")
ANY_SCRIPT_SHARE = 0.3  # of the values; the others are in the script of the sentence
RESULT_KEYS = ("temperature", "condition", "price", "result", "time")


@dataclass(frozen=True)
class Function:
    """A function of the corpus: ``says`` are sentences with a ``{name}`` for each parameter."""

    name: str
    about: str
    parameters: tuple[tuple[str, str, str], ...]  # name, JSON type, kind of value
    says: dict[str, list[str]]


@cache
def functions() -> tuple[Function, ...]:
    """Every function of ``tools.md``."""
    found = []
    for name, section in read_sections("tools.md").items():
        if "tool" not in section:
            continue
        parameters = []
        for text in values(section, "tool")[0].split(", "):
            match = re.fullmatch(r"(\w+):(\w+)/(\w+)", text)
            if match is None:
                raise ValueError(f"{name}: expected 'name:type/kind', found {text!r}")
            parameters.append((match[1], match[2], match[3]))
        says = {"en": values(section, "say.en"), "zh": values(section, "say.zh")}
        found.append(Function(name, values(section, "about")[0], tuple(parameters), says))
    return tuple(found)


@cache
def _listed(kind: str) -> list[str]:
    return values(read_sections("tools.md")["values"], kind)


@cache
def _words(kind: str) -> list[str]:
    return values(read_sections("tools.md")["words"], kind)


def value_of(kind: str, language: Language, random: Random) -> Value:
    """A value of the given kind: half of them from the corpus, half made up."""
    if kind == "count":
        return random.randint(1, 60)
    if kind == "number":
        return random.randint(0, 10 ** random.randint(1, 6))
    if kind == "amount":
        whole = random.randint(1, 10 ** random.randint(1, 4))
        return whole if random.random() < 0.6 else whole + random.randint(1, 99) / 100
    if kind == "clock":
        return f"{random.randint(0, 23)}:{random.randint(0, 59):02d}"
    if kind == "code":
        letters = "".join(random.choices(string.ascii_uppercase, k=random.randint(1, 3)))
        return f"{letters}{random.choice(('-', ''))}{random.randint(10, 99999)}"
    if kind == "email":
        user, host = (made_up_word(random, "en") for _ in range(2))
        return f"{user}@{host}.{random.choice(('com', 'org', 'net', 'io', 'cn'))}"
    if kind == "path":
        parts = [_new_word(random) for _ in range(random.randint(1, 3))]
        made_up = "".join(random.choices(string.ascii_lowercase, k=random.randint(1, 4)))
        ending = random.choice(("txt", "md", "py", "json", "csv", "log", made_up, made_up))
        return "/".join(parts) + "." + ending
    if kind == "currency" and random.random() < 0.5:
        return "".join(random.choices(string.ascii_uppercase, k=3))
    if kind == "symbol" and random.random() < 0.6:
        return "".join(random.choices(string.ascii_uppercase, k=random.randint(2, 5)))
    if random.random() < ANY_SCRIPT_SHARE:
        language = random.choice(LANGUAGES)
    if random.random() < 0.35:
        fitting = [v for v in _listed(kind) if v.isascii() == (language == "en")]
        return random.choice(fitting or _listed(kind))
    return _made_up(kind, language, random)


def _made_up(kind: str, language: Language, random: Random) -> str:
    if kind == "word":
        word = made_up_word(random, "en")
        return word + random.choice(("", "", "_" + made_up_word(random, "en"), "-7b"))
    if kind == "phrase":
        return made_up_phrase(random, language)
    if language == "zh":
        return made_up_word(random, "zh")
    names = [made_up_word(random, "en").capitalize() for _ in range(random.choice((1, 1, 1, 2)))]
    return " ".join(names)


def _new_word(random: Random) -> str:
    return random.choice(plain_words()) if random.random() < 0.5 else made_up_word(random, "en")


def made_up_function(random: Random) -> Function:
    """A function that no corpus names, asked for in so many words."""
    verb, noun = random.choice(_words("verb")), random.choice(_words("noun"))
    if random.random() < 0.5:
        verb, noun = _new_word(random), _new_word(random)
    count = random.choice((1, 1, 2, 2, 3))
    names = list(dict.fromkeys(_parameter_name(random) for _ in range(count)))
    kinds = [random.choice(MADE_UP_KINDS) for _ in names]
    name = f"{verb}_{noun}"
    listed = [f"{parameter} {{{parameter}}}" for parameter in names]
    assigned = ", ".join(f"{parameter} = {{{parameter}}}" for parameter in names)
    colons = ", ".join(f"{parameter}: {{{parameter}}}" for parameter in names)
    says = {
        "en": [
            f"call {name} with {' and '.join(listed)}",
            f"use {name}: {assigned}",
            f"{verb} the {noun} with {' and '.join(listed)}",
            f"{verb} {noun}, {colons}",
            f"please {verb} a {noun} with {assigned}",
            f"run {name} with {assigned}",
            f"call {name}, {colons}",
            f"i want to {verb} a {noun}, {' and '.join(listed)}",
        ],
        "zh": [
            f"调用 {name}，{assigned}",
            f"使用 {name}：{colons}",
            f"请用 {name}，{'，'.join(listed)}",
        ],
    }
    parameters = tuple(
        (parameter, json_type, kind)
        for parameter, (json_type, kind) in zip(names, kinds, strict=True)
    )
    return Function(name, f"{verb.capitalize()} a {noun}", parameters, says)


def _parameter_name(random: Random) -> str:
    if random.random() < 0.35:
        return random.choice(_words("param"))
    other = random.choice((*_words("param"), _new_word(random)))
    return random.choice((_new_word(random), _new_word(random), f"{_new_word(random)}_{other}"))


def pick_function(random: Random) -> Function:
    """A function of the corpus, sometimes under another name, or a made-up one."""
    if random.random() < 0.35:
        return made_up_function(random)
    function = random.choice(functions())
    if random.random() < 0.3:
        name = f"{random.choice(_words('verb'))}_{made_up_word(random, 'en')}"
        function = Function(name, function.about, function.parameters, function.says)
    return function


def describe(function: Function, random: Random) -> Tool:
    """The function as an OpenAI tool; details that callers leave out are left out at times."""
    properties: dict[str, dict[str, str]] = {}
    for name, json_type, _ in function.parameters:
        properties[name] = {"type": json_type}
        if random.random() < 0.2:
            properties[name]["description"] = f"The {name.replace('_', ' ')}"
    parameters: dict[str, Any] = {"type": "object", "properties": properties}
    if random.random() < 0.7:
        parameters["required"] = [name for name, _, _ in function.parameters]
    body: dict[str, Any] = {"name": function.name}
    if random.random() < 0.7:
        body["description"] = function.about
    return {"type": "function", "function": body | {"parameters": parameters}}


@dataclass(frozen=True)
class Call:
    """A request in words and the call that answers it."""

    said: str
    name: str
    arguments: dict[str, Value]

    def text(self) -> str:
        """The call as the model writes it."""
        body = json.dumps({"name": self.name, "arguments": self.arguments}, ensure_ascii=False)
        return f"<tool_call>\n{body}\n</tool_call>"


def make_call(function: Function, language: Language, random: Random) -> Call:
    """Somebody asks for ``function`` with random values."""
    said = random.choice(function.says[language])
    arguments = {n: value_of(kind, language, random) for n, _, kind in function.parameters}
    holders = {name: f"\x00{index}" for index, name in enumerate(arguments)}
    said = _vary_around(said.format(**holders), language, random)
    for index, value in enumerate(arguments.values()):
        said = said.replace(f"\x00{index}", _quoted(value, random))
    return Call(said, function.name, arguments)


def _vary_around(said: str, language: Language, random: Random) -> str:
    """Vary the wording but never a placeholder."""
    varied = vary(said, language, random) if random.random() < 0.6 else said
    holders = re.findall(r"\x00\d", said)
    return varied if re.findall(r"\x00\d", varied) == holders else said


def _quoted(value: Value, random: Random) -> str:
    if isinstance(value, str) and random.random() < 0.08:
        return f'"{value}"'
    return str(value)


def tool_result(language: Language, random: Random) -> tuple[str, str]:
    """What a tool returned, and the sentence that reports it."""
    keys = random.sample([*_words("param"), *RESULT_KEYS], random.randint(1, 3))
    result = {key: value_of(random.choice(RESULT_KINDS), language, random) for key in keys}
    if random.random() < 0.2:
        value = result[keys[0]]
        return str(value), (f"The result is {value}." if language == "en" else f"结果是 {value}。")
    if language == "en":
        report = "The result: " + ", ".join(f"{k} is {v}" for k, v in result.items()) + "."
    else:
        report = "结果：" + "，".join(f"{k} 是 {v}" for k, v in result.items()) + "。"
    return json.dumps(result, ensure_ascii=False), report


def history(call: Call, result: str) -> list[Message]:
    """The messages of a call that was made and answered."""
    function = {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)}
    tool_call = {"id": "call_1", "type": "function", "function": function}
    return [
        {"role": "user", "content": call.said},
        {"role": "assistant", "content": None, "tool_calls": [tool_call]},
        {"role": "tool", "tool_call_id": "call_1", "content": result},
    ]
