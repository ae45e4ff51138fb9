"""Steps on llama.cpp: its context computes them, its samplers choose for each request."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Sequences
from typing import TYPE_CHECKING

from xinfer.errors import EngineFailed, XinferError
from xinfer.model.llama_cpp.model import LlamaModel
from xinfer.model.llm.llama_cpp.adapters import LoadedAdapter
from xinfer.model.llm.llama_cpp.context import LlamaContext
from xinfer.model.llm.llama_cpp.sampler import Candidates, Row, Sampler, log_probability, resolve
from xinfer.model.llm.llama_cpp.vision import Vision
from xinfer.model.llm.scheduling.computer import Choice, Outcome, Uncomputable
from xinfer.model.llm.scheduling.scheduler import Chunk, Sequence

if TYPE_CHECKING:
    from xinfer.model.llm.constraint.compiler import ConstraintCompiler


class LlamaComputer:
    """A `Computer`.

    Args:
        context_length: tokens of one request.
        defaults: the model's own sampling parameters.
        adapters: the model's LoRA adapters by name.
        constraints: for the model's vocabulary, where they can be enforced.
        vision: what computes pictures.
    """

    def __init__(
        self,
        model: LlamaModel,
        context: LlamaContext,
        *,
        context_length: int,
        defaults: Mapping[str, float],
        adapters: Mapping[str, LoadedAdapter],
        constraints: ConstraintCompiler | None,
        vision: Vision | None,
    ) -> None:
        self.end_ids = frozenset(model.end_ids)
        self.vocabulary_size = model.vocabulary_size
        self.adapters = frozenset(adapters)
        self._model = model
        self._context = context
        self._context_length = context_length
        self._defaults = defaults
        self._loaded = adapters
        self._constraints = constraints
        self._vision = vision
        self._candidates = Candidates(model.vocabulary_size)
        self._suppressed = model.suppressed_ids()
        self._samplers: dict[int, Sampler] = {}
        self._adapter: str | None = None

    def begin(self, sequence: Sequence) -> None:
        self._samplers[sequence.request.id] = self._sampler(sequence)

    def forget(self, sequence: Sequence) -> None:
        sampler = self._samplers.pop(sequence.request.id, None)
        if sampler is not None:
            sampler.close()

    def compute(self, chunks: Sequences[Chunk]) -> Outcome:
        first = chunks[0]
        adapter = first.sequence.request.adapter
        if adapter != self._adapter:
            self._context.use_adapter(None if adapter is None else self._loaded[adapter])
            self._adapter = adapter
        if first.medium is None:
            return self._context.decode(chunks)
        assert self._vision is not None
        media = first.sequence.request.media
        outcome = self._context.compute_medium(
            self._vision, media, first.medium, first.slot, first.position
        )
        if outcome is None:
            raise Uncomputable(
                first.sequence,
                EngineFailed(
                    "llama.cpp failed to compute a picture of this request; the model's log has "
                    "its reason."
                ),
            )
        return outcome

    def choose(self, sequences: Sequences[Sequence]) -> list[Choice | XinferError]:
        logits = self._context.logits(len(sequences))
        return [self._choose(each, row) for each, row in zip(sequences, logits, strict=True)]

    def interrupt(self) -> None:
        self._context.abort()

    def expect_no_interrupt(self) -> None:
        self._context.expect_no_abort()

    def _choose(self, sequence: Sequence, row: Row) -> Choice | XinferError:
        request = sequence.request
        try:
            token = self._samplers[request.id].sample(row, sequence.output)
        except XinferError as error:
            return error
        wanted = request.sampling.logprobs
        if wanted is None or token in self.end_ids:
            return Choice(token)
        return Choice(token, log_probability(row, token, wanted))

    def _sampler(self, sequence: Sequence) -> Sampler:
        request = sequence.request
        sampling = request.sampling
        forbidden = list(self._suppressed)
        if sampling.ignore_eos:
            forbidden += self.end_ids
        matcher = None
        if request.constraint is not None and self._constraints is not None:
            matcher = self._constraints.matcher(request.constraint)
            matcher.replay(request.resume)
        return Sampler(
            resolve(sampling, self._defaults, self._context_length),
            vocabulary=self._model.vocabulary,
            candidates=self._candidates,
            seed=sampling.seed,
            bias=sampling.logit_bias or {},
            forbidden=forbidden,
            matcher=matcher,
            history=sequence.text_tokens(),
        )
