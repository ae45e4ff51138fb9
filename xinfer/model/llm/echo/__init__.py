"""The echo engine: repeats its prompt, at a set pace, and fails on demand."""

from xinfer.model.llm.echo.engine import EchoEngine
from xinfer.model.llm.echo.options import EchoOptions
from xinfer.model.llm.echo.tokenizer import ByteTokenizer

__all__ = ["ByteTokenizer", "EchoEngine", "EchoOptions"]
