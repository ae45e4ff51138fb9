"""Questions to tiny-chat whose answers are certain: no rounding changes them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from training.tiny_chat.score import MAX_TOKENS, PROMPTS, SCORE
from training.tiny_chat.template import render
from xinfer.types.request import CompletionRequest, Sampling


@dataclass(frozen=True)
class Question:
    """A conversation, rendered, and the answer that was committed with the weights."""

    id: str
    request: CompletionRequest
    answer: str


def certain_questions() -> list[Question]:
    """Those whose answer has a margin of more than 0.5 at every token."""
    prompts = json.loads(PROMPTS.read_text(encoding="utf-8"))
    score = json.loads(SCORE.read_text(encoding="utf-8"))
    asked = {prompt["id"]: prompt for prompt in prompts["questions"] + prompts["tool_calls"]}
    answers = {result["id"]: result["answer"] for result in score["results"]}
    return [Question(id, _request(asked[id]), answers[id]) for id in score["equality"]]


def _request(prompt: dict[str, Any]) -> CompletionRequest:
    text = render(
        prompt["messages"],
        prompt.get("tools", ()),
        enable_thinking=prompt.get("enable_thinking", False),
    )
    return CompletionRequest(prompt=text, sampling=Sampling(temperature=0.0, max_tokens=MAX_TOKENS))
