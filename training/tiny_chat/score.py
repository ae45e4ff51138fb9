"""Score the shipped model: ``python -m training.tiny_chat.score``.

Asks every prompt of ``prompts.json`` greedily, judges answers by keywords and tool calls by exact
arguments, measures how decided each answer was, and writes ``score.json``. Needs xllamacpp and
jinja2 only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xllamacpp

from training.tiny_chat.template import render

HERE = Path(__file__).parent
PROMPTS = HERE / "prompts.json"
SCORE = HERE / "score.json"
WEIGHTS = HERE.parents[1] / "xinfer/model/catalog/weights/tiny-chat/tiny-chat-f16.gguf"
CONTEXT_LENGTH = 2048
MAX_TOKENS = 256
EQUALITY_MARGIN = 0.5
CALL_START, CALL_END = "<tool_call>", "</tool_call>"


@dataclass(frozen=True)
class Answer:
    """A greedy answer.

    Attributes:
        text: what was written before the end of the turn.
        margin: smallest difference, over all steps, between the log probabilities of the token
            taken and of the next best one.
        finished: whether the model ended its turn.
    """

    text: str
    margin: float
    finished: bool


class GreedyModel:
    """The GGUF file in llama.cpp, one request at a time, in a directory for its socket."""

    def __init__(self, gguf: Path, directory: Path) -> None:
        params = xllamacpp.CommonParams()
        params.model.path = str(gguf)
        params.n_ctx = CONTEXT_LENGTH
        params.n_parallel = 1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        params.warmup = False
        params.special = True
        params.verbosity = -1
        params.hostnames = [str(directory / "llama.sock")]
        params.port = 0
        self._server = xllamacpp.Server(params)

    def answer(self, prompt: str) -> Answer:
        """Continue ``prompt`` greedily to the end of the turn, or for ``MAX_TOKENS``."""
        reply = self._server.handle_completions(
            {
                "prompt": prompt,
                "max_tokens": MAX_TOKENS,
                "temperature": 0.0,
                "logprobs": 2,
                "cache_prompt": False,
            }
        )
        if "choices" not in reply:
            raise RuntimeError(f"llama.cpp refused the prompt: {reply}")
        (choice,) = reply["choices"]
        steps = choice["logprobs"]["content"]
        margins = [_margin(step["top_logprobs"]) for step in steps]
        text = choice["text"].removesuffix("<|im_end|>")
        return Answer(text, min(margins), choice["finish_reason"] == "stop")


def _margin(alternatives: list[dict[str, Any]]) -> float:
    best, second = (alternative["logprob"] for alternative in alternatives[:2])
    return float(best - second)


def answers_question(question: dict[str, Any], answer: Answer) -> bool:
    """Whether the finished answer has all keywords of ``all`` and one of ``any``."""
    alternatives = question.get("any", [""])
    return (
        answer.finished
        and all(keyword in answer.text for keyword in question.get("all", []))
        and any(keyword in answer.text for keyword in alternatives)
    )


def makes_call(expected: dict[str, Any], answer: Answer) -> bool:
    """Whether the answer is the expected call and nothing else."""
    text = answer.text.strip()
    if not (answer.finished and text.startswith(CALL_START) and text.endswith(CALL_END)):
        return False
    try:
        call = json.loads(text[len(CALL_START) : -len(CALL_END)])
    except json.JSONDecodeError:
        return False
    return bool(call == expected)


def ask(model: GreedyModel, prompt: dict[str, Any]) -> tuple[Answer, bool]:
    """The answer to one prompt of ``prompts.json``, and whether it is right."""
    answer = model.answer(
        render(
            prompt["messages"],
            prompt.get("tools", ()),
            enable_thinking=prompt.get("enable_thinking", False),
        )
    )
    if "call" in prompt:
        return answer, makes_call(prompt["call"], answer)
    return answer, answers_question(prompt, answer)


def score(gguf: Path) -> dict[str, Any]:
    """The content of ``score.json`` for this file."""
    prompts = json.loads(PROMPTS.read_text(encoding="utf-8"))
    results = []
    with tempfile.TemporaryDirectory() as directory:
        model = GreedyModel(gguf, Path(directory))
        for prompt in prompts["questions"] + prompts["tool_calls"]:
            answer, right = ask(model, prompt)
            kind = "tool_call" if "call" in prompt else "question"
            results.append(
                {
                    "id": prompt["id"],
                    "kind": "paraphrase" if prompt.get("paraphrase") else kind,
                    "right": right,
                    "margin": math.floor(answer.margin * 100) / 100,
                    "answer": answer.text,
                }
            )
    questions = [result for result in results if result["kind"] != "tool_call"]
    return {
        "gguf_sha256": hashlib.sha256(gguf.read_bytes()).hexdigest(),
        "questions": _tally(questions),
        "paraphrases": _tally(r for r in results if r["kind"] == "paraphrase"),
        "tool_calls": _tally(r for r in results if r["kind"] == "tool_call"),
        "equality": [r["id"] for r in results if r["right"] and r["margin"] > EQUALITY_MARGIN],
        "results": results,
    }


def _tally(results: Iterable[dict[str, Any]]) -> dict[str, int]:
    right = [result["right"] for result in results]
    return {"right": sum(right), "of": len(right)}


def main() -> None:
    """Read the command line, print the table and write the score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gguf", type=Path, default=WEIGHTS)
    parser.add_argument("--out", type=Path, default=SCORE)
    arguments = parser.parse_args()
    result = score(arguments.gguf)
    for row in result["results"]:
        mark = "ok   " if row["right"] else "WRONG"
        print(f"{mark} {row['margin']:6.2f}  {row['id']:18} {row['answer']!r}")
    for part in ("questions", "paraphrases", "tool_calls"):
        print(f"{part}: {result[part]['right']} of {result[part]['of']}")
    print(f"margin above {EQUALITY_MARGIN}: {len(result['equality'])} prompts")
    text = json.dumps(result, ensure_ascii=False, indent=2) + "\n"
    arguments.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
