"""What a model thinks before it answers, told apart by the tags around it."""

from __future__ import annotations

from typing import NamedTuple

from xinfer.errors import InvalidRequest
from xinfer.model.llm.pipeline.tools.ends import marker_begins


class Tags(NamedTuple):
    """What a model's thoughts stand between."""

    begin: str
    end: str


PARSERS = {
    "deepseek_r1": Tags("<think>", "</think>"),
    "mistral": Tags("[THINK]", "[/THINK]"),
    "seed_oss": Tags("<seed:think>", "</seed:think>"),
    "command_a": Tags("<|START_THINKING|>", "<|END_THINKING|>"),
}
"""Tags by the names of those who write them, by vLLM's where it has them."""
_ALIASES = {"qwen3": "deepseek_r1", "think": "deepseek_r1"}


def find_tags(template: str) -> Tags | None:
    """The tags that a chat template knows of; None: the model does not think."""
    for tags in PARSERS.values():
        if tags.begin in template or tags.end in template:
            return tags
    return None


def reasoning_tags(name: str) -> Tags:
    """The tags of a name.

    Raises:
        InvalidRequest: there are none; the message names those there are.
    """
    tags = PARSERS.get(_ALIASES.get(name, name))
    if tags is None:
        raise InvalidRequest(
            f"There is no reasoning_parser {name[:100]!r}; there are: "
            f"{', '.join([*PARSERS, *_ALIASES])}.",
            param="reasoning_parser",
        )
    return tags


class Thought(NamedTuple):
    """What has become certain."""

    reasoning: str = ""
    text: str = ""


class ReasoningParser:
    """Divides an answer into thoughts, which can only come first, and text.

    White space around the thoughts, and before the text that follows them, belongs to neither.

    Args:
        opened: the prompt ends with the opening tag, so that the answer begins with thoughts.
    """

    __slots__ = ("_begin", "_done", "_end", "_gap", "_held", "thinking")

    def __init__(self, tags: Tags, *, opened: bool) -> None:
        self._begin, self._end = tags
        self.thinking = opened
        """Thoughts have begun and have not ended."""
        self._done = False
        self._held = ""
        self._gap = False
        """The next white space is to be left out."""
        if opened:
            self._gap = True

    @property
    def held(self) -> int:
        """Characters that are held back."""
        return len(self._held)

    @property
    def done(self) -> bool:
        """All that follows is text, and need not be fed."""
        return self._done

    def feed(self, text: str) -> Thought:
        """Take more of the answer."""
        if self._done:
            return Thought("", text)
        self._held += text
        if not self.thinking and not self._gap:
            return self._look_for_begin()
        if self.thinking:
            return self._think()
        return self._look_for_text("")

    def finish(self) -> Thought:
        """The end."""
        rest, self._held = self._held, ""
        if self.thinking:
            return Thought(rest.rstrip(), "")
        return Thought("", "" if self._gap else rest)

    def _look_for_begin(self) -> Thought:
        lead = self._held.lstrip()
        if lead.startswith(self._begin):
            self._held = lead[len(self._begin) :]
            self.thinking = self._gap = True
            return self._think()
        if self._begin.startswith(lead):
            return Thought()
        self._done = True
        text, self._held = self._held, ""
        return Thought("", text)

    def _think(self) -> Thought:
        if self._gap:
            self._held = self._held.lstrip()
            self._gap = not self._held
        end = self._held.find(self._end)
        if end >= 0:
            reasoning = self._held[:end].rstrip()
            self._held = self._held[end + len(self._end) :]
            self.thinking, self._gap = False, True
            return self._look_for_text(reasoning)
        certain = self._held[: marker_begins(self._held, self._end)].rstrip()
        self._held = self._held[len(certain) :]
        return Thought(certain, "")

    def _look_for_text(self, reasoning: str) -> Thought:
        self._held = self._held.lstrip()
        if not self._held:
            return Thought(reasoning, "")
        self._done, self._gap = True, False
        text, self._held = self._held, ""
        return Thought(reasoning, text)
