"""Calls of functions in a model's output, in the forms that models write them."""

from xinfer.model.llm.pipeline.tools.calls import Functions
from xinfer.model.llm.pipeline.tools.parser import Parsed, ToolParser
from xinfer.model.llm.pipeline.tools.registry import PARSERS, detect, tool_parser

__all__ = ["PARSERS", "Functions", "Parsed", "ToolParser", "detect", "tool_parser"]
