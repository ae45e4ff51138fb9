"""The two forms of Llama: JSON, and Python."""

from __future__ import annotations

import ast
import re
import warnings

from xinfer.model.llm.pipeline.tools.calls import (
    BrokenCall,
    Functions,
    call_of,
    make_call,
    read_json,
)
from xinfer.model.llm.pipeline.tools.ends import BracketEnd
from xinfer.model.llm.pipeline.tools.parser import LeadingParser
from xinfer.types.event import ToolCall

_TAG = "<|python_tag|>"
_KEYS = ("name", "type", "function", "parameters", "arguments")
_JSON = re.compile(r'\{\s*(?:"(?P<key>[^"]*)(?P<end>"?))?')
_PYTHON = re.compile(r"\[\s*(?P<name>[A-Za-z_][\w.]*)?(?P<bracket>\()?")
_MAX_PYTHON = 64 << 10
"""Characters of calls in Python that are looked at."""


class LlamaJsonParser(LeadingParser):
    """`{"name": "f", "parameters": {…}}`, several with semicolons between them."""

    markers = (_TAG,)
    between = "; \t\r\n"

    def __init__(self, functions: Functions) -> None:
        super().__init__(functions)
        self._json = BracketEnd()

    def _may_begin(self, text: str) -> bool | None:
        if text.startswith(_TAG):
            return True
        if _TAG.startswith(text):
            return None
        found = _JSON.match(text)
        if found is None:
            return False
        if found["end"]:
            return found["key"] in _KEYS
        if found.end() < len(text):
            return False
        key = found["key"] or ""
        return None if any(one.startswith(key) for one in _KEYS) else False

    def _end(self, text: str) -> int | None:
        return self._json.find(text)

    def _parse(self, block: str) -> list[ToolCall]:
        self._json = BracketEnd()
        call = call_of(read_json(block.removeprefix(_TAG)))
        if call.name not in self._functions:
            raise BrokenCall
        return [call]


class PythonicParser(LeadingParser):
    """`[f(a=1), g(b="x")]`, all values literals."""

    def __init__(self, functions: Functions) -> None:
        super().__init__(functions)
        self._brackets = BracketEnd(python=True)

    def _may_begin(self, text: str) -> bool | None:
        found = _PYTHON.match(text)
        if found is None:
            return False
        name = found["name"] or ""
        if found["bracket"]:
            return name in self._functions
        if found.end() < len(text):
            return False
        return None if any(one.startswith(name) for one in self._functions.names) else False

    def _end(self, text: str) -> int | None:
        return self._brackets.find(text)

    def _parse(self, block: str) -> list[ToolCall]:
        self._brackets = BracketEnd(python=True)
        if len(block) > _MAX_PYTHON:
            raise BrokenCall
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of escapes that Python does not know
                tree = ast.parse(block.strip(), mode="eval").body
            if not isinstance(tree, ast.List):
                raise BrokenCall
            return [self._call(node) for node in tree.elts]
        except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
            raise BrokenCall from error

    def _call(self, node: ast.expr) -> ToolCall:
        if not isinstance(node, ast.Call) or node.args:
            raise BrokenCall
        name = ast.unparse(node.func)
        if name not in self._functions:
            raise BrokenCall
        arguments = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                raise BrokenCall
            arguments[keyword.arg] = ast.literal_eval(keyword.value)
        return make_call(name, arguments)
