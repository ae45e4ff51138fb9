"""SCHEMA: tokens under a JSON schema beside free ones, of the engine's class in process."""

from __future__ import annotations

import json
import random
import time

from benchmarks.direct import Direct
from benchmarks.generation import NEW_TOKENS, prompts_for, rate
from benchmarks.gguf_servers import engine_options
from benchmarks.harness import CannotMeasure, carried_out
from benchmarks.model import model_path
from benchmarks.plan import Outcome
from benchmarks.report import Figure, Row, ratios
from benchmarks.settings import Settings
from xinfer.model.gguf_file import read_headers
from xinfer.model.llm.constraint.compiler import ConstraintCompiler
from xinfer.model.llm.constraint.matcher import Matcher
from xinfer.model.llm.pipeline.forms import behind_thoughts, constraint_of, valid
from xinfer.model.llm.tokenizer.pieces import Vocabulary
from xinfer.types.request import Constraint

_SLOTS = 16
_STREAMS = (1, 8)
_REPEATS = 3
_TOKENS = 2000
_SCHEMA = json.dumps(
    {
        "type": "array",
        "minItems": 1000,
        "items": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "maxLength": 40},
                "kind": {"enum": ["first", "second"]},
                "count": {"type": "integer", "minimum": 0, "maximum": 9999},
            },
            "required": ["name", "kind", "count"],
            "additionalProperties": False,
        },
    }
)
"""None of an answer's few tokens complete it."""
_MICROSECONDS = 1e6


def measure(settings: Settings) -> Figure:
    """The same prompts and as many tokens, free and under a schema, which the random model knows
    nothing of: nearly every token that it would choose is refused. And the matcher by itself.

    Raises:
        CannotMeasure: a process did not start, or answered wrongly.
    """
    levels = settings.streams or _STREAMS
    rows = []
    for streams in levels:
        free: list[Outcome] = []
        held: list[Outcome] = []
        for repeat in range(settings.repeats or _REPEATS):
            texts = prompts_for(streams, repeat=repeat)
            free.append(_direct(settings, texts, streams, None))
            held.append(_direct(settings, texts, streams, _SCHEMA))
        named = "1 stream" if streams == 1 else f"{streams} streams"
        bound, bare = [rate(outcome) for outcome in held], [rate(outcome) for outcome in free]
        rows.append(Row(f"{named}: under a schema / free", "×", ratios(bound, bare)))
        rows.append(Row(f"{named}: tokens, free", "/s", bare))
    return Figure("SCHEMA", f"Tokens under a schema: {settings.engine}", [*rows, *_matcher()])


def _direct(settings: Settings, texts: list[str], streams: int, schema: str | None) -> Outcome:
    plan = Direct(
        engine=settings.engine,
        options=engine_options(settings, _SLOTS),
        model=str(model_path()),
        prompts=texts,
        streams=streams,
        tokens=NEW_TOKENS,
        schema=schema,
    )
    return carried_out("benchmarks.direct", plan)


def _matcher() -> list[Row]:
    """Processor time of a test and a mask; tokens are drawn among those allowed."""
    compiler = ConstraintCompiler(_Tokens())
    matcher = compiler.matcher(Constraint("json_schema", _SCHEMA))
    numbers = random.Random(1)
    tests, masks = [], []
    for _ in range(_TOKENS):
        started = time.thread_time()
        mask = matcher.mask()
        masked = time.thread_time()
        token = int(numbers.choice(mask.nonzero()[0]))
        tests.append(_test(matcher, token) * _MICROSECONDS)
        masks.append((masked - started) * _MICROSECONDS)
    return [
        Row("matcher: test and take a token, processor", "µs", tests),
        Row("matcher: a mask, processor", "µs", masks),
        Row(
            "matcher: test and take a token of thoughts, processor",
            "µs",
            _thoughts(compiler, numbers),
        ),
    ]


def _thoughts(compiler: ConstraintCompiler, numbers: random.Random) -> list[float]:
    """The cost of a constraint where it has not begun."""
    form = behind_thoughts(valid(json.loads(_SCHEMA)), "<think>", "</think>", opened=True)
    matcher = compiler.matcher(constraint_of(form, ""))
    costs: list[float] = []
    while len(costs) < _TOKENS:
        token = int(numbers.choice(matcher.mask().nonzero()[0]))
        costs.append(_test(matcher, token) * _MICROSECONDS)
    return costs


def _test(matcher: Matcher, token: int) -> float:
    started = time.thread_time()
    if not matcher.allows(token):
        raise CannotMeasure(f"The token {token} of a mask is not allowed.")
    matcher.accept(token)
    return time.thread_time() - started


class _Tokens:
    """The model's tokens, as far as a matcher asks for them."""

    def __init__(self) -> None:
        gguf = read_headers(str(model_path()))[0]
        self._pieces = Vocabulary(gguf).pieces
        self.eos_ids = frozenset({int(gguf.values["tokenizer.ggml.eos_token_id"])})
        self.vocabulary_size = len(self._pieces)

    def encode(self, text: str, *, special: bool) -> list[int]:
        data = text.encode()
        return [self._pieces.index(data)] if data in self._pieces else []

    def piece(self, token: int) -> bytes:
        return self._pieces[token]
