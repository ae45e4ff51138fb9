"""A conversation with a model: what was said, what is set, and the next answer as it comes."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from xinfer.client import ChatModelHandle
from xinfer.client.wire import JSON

Piece = tuple[str, str]
"""A piece of an answer: its kind, `thought` or `text`, and itself."""


def _switch(text: str) -> bool:
    try:
        return {"on": True, "true": True, "off": False, "false": False}[text.lower()]
    except KeyError:
        raise ValueError from None


SETTINGS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "temperature": ("temperature", float),
    "top_p": ("top_p", float),
    "top_k": ("top_k", int),
    "min_p": ("min_p", float),
    "max_tokens": ("max_tokens", int),
    "seed": ("seed", int),
    "presence_penalty": ("presence_penalty", float),
    "frequency_penalty": ("frequency_penalty", float),
    "repetition_penalty": ("repetition_penalty", float),
    "stop": ("stop", str),
    "think": ("enable_thinking", _switch),
}
"""What may be set, by the name it is set by: the request's field, and its type."""

_EXPECTED: dict[Callable[[str], Any], str] = {
    float: "a number",
    int: "a whole number",
    _switch: "on or off",
}


class Conversation:
    """With one model.

    Args:
        system: instructions before all that is said.
    """

    def __init__(self, handle: ChatModelHandle, *, system: str | None = None) -> None:
        self._handle = handle
        self.system = system
        self.settings: dict[str, Any] = {}
        """Fields of each request; what is not here is the model's own."""
        self.pictures: list[str] = []
        """URLs that go with the next question."""
        self._turns: list[JSON] = []

    def clear(self) -> None:
        """Forget what was said; what is set stays."""
        self._turns.clear()
        self.pictures.clear()

    def set(self, name: str, value: str) -> None:
        """Set one of `SETTINGS` from text; without a value it is the model's own again.

        Raises:
            ValueError: there is no such setting, or the value is none of it; in words.
        """
        if name not in SETTINGS:
            raise ValueError(f"{name!r} cannot be set; these can: {', '.join(SETTINGS)}")
        field, kind = SETTINGS[name]
        if not value:
            self.settings.pop(field, None)
            return
        try:
            self.settings[field] = kind(value)
        except ValueError:
            raise ValueError(f"{name} is {value!r}; expected {_EXPECTED[kind]}") from None

    def ask(self, question: str) -> Generator[Piece, None, str | None]:
        """The answer as it comes; closing it ends the request. What has come is then part of the
        conversation, and so it is when it is whole; a question that failed is not.

        Returns:
            Why the answer ended, as far as the model said.

        Raises:
            APIError: the server refused it, or failed.
        """
        asked = {"role": "user", "content": self._content(question)}
        system = [{"role": "system", "content": self.system}] if self.system else []
        config = {**self.settings, "stream": True}
        answer = self._handle.chat([*system, *self._turns, asked], generate_config=config)
        assert not isinstance(answer, dict)
        text, reason = "", None
        with closing(answer):
            try:
                for delta, ended in _deltas(answer):
                    reason = ended or reason
                    if delta.get("reasoning_content"):
                        yield "thought", delta["reasoning_content"]
                    if delta.get("content"):
                        text += delta["content"]
                        yield "text", delta["content"]
            except (GeneratorExit, KeyboardInterrupt):
                self._remember(asked, text)
                raise
        self._remember(asked, text)
        return reason

    def _remember(self, asked: JSON, text: str) -> None:
        self._turns += [asked, {"role": "assistant", "content": text}]
        self.pictures.clear()

    def _content(self, question: str) -> Any:
        if not self.pictures:
            return question
        shown = [{"type": "image_url", "image_url": {"url": url}} for url in self.pictures]
        return [*shown, {"type": "text", "text": question}]


def picture(source: str) -> str:
    """The URL of a picture: as it is, or of a file's bytes.

    Raises:
        OSError: the file cannot be read.
    """
    if source.startswith(("http://", "https://", "data:")):
        return source
    data = Path(source).expanduser().read_bytes()
    kind = mimetypes.guess_type(source)[0] or "image/png"
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _deltas(events: Iterator[JSON]) -> Iterator[tuple[Mapping[str, Any], str | None]]:
    for event in events:
        for choice in event["choices"]:
            yield choice.get("delta") or {}, choice.get("finish_reason")
