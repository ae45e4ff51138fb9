"""The work that generation is measured with: prompts to one model, and as a client sends them."""

from __future__ import annotations

import json

from benchmarks.harness import load
from benchmarks.model import prompts
from benchmarks.plan import Generations, Outcome, Target
from benchmarks.report import Row, ratios

PROMPT_TOKENS = 64
NEW_TOKENS = 64
_WARM_UP_SEED = 0
_WARM_UP_TOKENS = 4
_PATH = "/v1/completions"


class Server:
    """A server with the benchmarks' model ready on it.

    Args:
        model: its name there.
        watch: the server's processes, pid by role.
    """

    def __init__(self, port: int, model: str, watch: dict[str, int]) -> None:
        self._port = port
        self._model = model
        self._watch = watch

    def generate(self, texts: list[str], *, streams: int, tokens: int = NEW_TOKENS) -> Outcome:
        """Have a client process send the prompts, `streams` at once, and read the answers.

        Raises:
            CannotMeasure: the server answered wrongly or not in time.
        """
        target = Target(port=self._port, path=_PATH, connections=streams, watch=self._watch)
        bodies = [self._body(text, tokens) for text in texts]
        return load(Generations(target=target, bodies=bodies, tokens=tokens))

    def warm_up(self, slots: int) -> None:
        """Have each slot used once."""
        texts = prompts(slots, tokens=PROMPT_TOKENS, seed=_WARM_UP_SEED)
        self.generate(texts, streams=slots, tokens=_WARM_UP_TOKENS)

    def _body(self, prompt: str, tokens: int) -> bytes:
        body = {
            "model": self._model,
            "prompt": prompt,
            "max_tokens": tokens,
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        return json.dumps(body).encode()


def prompts_for(streams: int, *, repeat: int) -> list[str]:
    """Enough for some work at so many streams; others in each repeat, so that none is cached."""
    count = max(4, min(2 * streams, 32), streams)
    return prompts(count, tokens=PROMPT_TOKENS, seed=1000 * streams + repeat)


def rate(outcome: Outcome) -> float:
    """Tokens a second."""
    return outcome.items / outcome.seconds


def cost(outcome: Outcome) -> float:
    """Milliseconds of processor time a token, of all watched processes together."""
    return sum(outcome.processor.values()) / outcome.items * 1e3


def beside(
    streams: int, ours: list[Outcome], theirs: list[Outcome], *, named: str, goal: float
) -> list[Row]:
    """What the server made beside what `named` did at so many streams."""
    level = "1 stream" if streams == 1 else f"{streams} streams"
    mine, other = [rate(outcome) for outcome in ours], [rate(outcome) for outcome in theirs]
    return [
        Row(f"{level}: server / {named}", "×", ratios(mine, other), goal, at_least=True),
        Row(f"{level}: tokens, server", "/s", mine),
        Row(f"{level}: tokens, {named}", "/s", other),
        Row(f"{level}: processor of a token, server", "ms", [cost(o) for o in ours]),
        Row(f"{level}: processor of a token, {named}", "ms", [cost(o) for o in theirs]),
    ]
