"""Steps on Transformers: either one call of the model for all tokens, or one for each sequence."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence as Sequences
from typing import TYPE_CHECKING, Any

import torch
from transformers import DynamicCache

from xinfer.errors import EngineFailed, XinferError
from xinfer.model.llm.scheduling.computer import Choice, Outcome, Uncomputable
from xinfer.model.llm.scheduling.scheduler import Chunk, Sequence
from xinfer.model.llm.transformers.attention import NAME, Piece, SlotCache, Step
from xinfer.model.llm.transformers.failures import first_line
from xinfer.model.llm.transformers.model import HfModel
from xinfer.model.llm.transformers.sampler import Chooser, choose, log_probabilities, resolve
from xinfer.model.llm.transformers.vision import Vision
from xinfer.model.torch_device import is_no_memory

if TYPE_CHECKING:
    from xinfer.model.llm.constraint.compiler import ConstraintCompiler


class HfComputer(ABC):
    """A `Computer`, but for computing a step, which `forward` does.

    Args:
        constraints: for the model's vocabulary, where they can be enforced.
        end_ids: tokens that end an output.
    """

    def __init__(
        self, model: HfModel, constraints: ConstraintCompiler | None, end_ids: frozenset[int]
    ) -> None:
        self.end_ids = end_ids
        self._constraints = constraints
        self.vocabulary_size = model.vocabulary_size
        self.adapters = model.adapters
        self._model = model
        self._choosers: dict[int, Chooser] = {}
        self._logits = torch.empty(0)
        self.vision: Vision | None = None
        """What pictures are computed with, where the model takes any."""

    def begin(self, sequence: Sequence) -> None:
        request = sequence.request
        sampling = request.sampling
        matcher = None
        if request.constraint is not None and self._constraints is not None:
            matcher = self._constraints.matcher(request.constraint)
            matcher.replay(request.resume)
        self._choosers[request.id] = Chooser(
            resolve(sampling, self._model.sampling_defaults),
            seed=sampling.seed,
            bias=sampling.logit_bias or {},
            forbidden=sorted(self.end_ids) if sampling.ignore_eos else (),
            prompt=[token for token in request.prompt if token >= 0],
            output=request.resume,
            matcher=matcher,
            vocabulary_size=self.vocabulary_size,
            device=self._model.device,
        )

    def forget(self, sequence: Sequence) -> None:
        self._choosers.pop(sequence.request.id, None)

    def compute(self, chunks: Sequences[Chunk]) -> Outcome:
        first = chunks[0]
        self._model.use_adapter(first.sequence.request.adapter)
        try:
            with torch.inference_mode():
                self._logits = self.forward(chunks).float()
        except Exception as error:
            if is_no_memory(error):
                longest = max(chunks, key=lambda chunk: chunk.start + chunk.count)
                raise Uncomputable(longest.sequence, _no_memory(longest, error)) from error
            if first.medium is not None:
                raise Uncomputable(first.sequence, _no_picture(error)) from error
            raise
        return Outcome.DONE

    @abstractmethod
    def forward(self, chunks: Sequences[Chunk]) -> torch.Tensor:
        """Compute the chunks; the scores after each that is the last of its tokens, as (chunks,
        vocabulary), in their order."""

    def choose(self, sequences: Sequences[Sequence]) -> list[Choice | XinferError]:
        try:
            with torch.inference_mode():
                return self._choose(sequences)
        except Exception as error:
            if not is_no_memory(error):
                raise
            return [
                EngineFailed(
                    f"There is no memory to choose the tokens of {len(sequences)} requests: "
                    f"{first_line(error)} Launch with a smaller max_num_seqs, or ask later.",
                    code="out_of_memory",
                )
            ] * len(sequences)

    def _inputs(self, chunk: Chunk) -> tuple[list[int], torch.Tensor, dict[str, torch.Tensor]]:
        """A chunk's tokens, their positions as of a `Piece`, and the picture where it is one."""
        media = chunk.sequence.request.media
        if chunk.medium is None:
            start = chunk.start if media is None else media.position(chunk.start)
            return chunk.tokens, torch.arange(start, start + chunk.count)[None], {}
        assert self.vision is not None
        number = chunk.medium
        return media.ids[number], media.positions(number), self.vision.inputs(media, number)

    def _choose(self, sequences: Sequences[Sequence]) -> list[Choice | XinferError]:
        logits = self._logits
        wanted = [each.request.sampling.logprobs for each in sequences]
        asked = [row for row, most in enumerate(wanted) if most is not None]
        untouched = {row: logits[row].clone() for row in asked}
        found = choose(
            logits,
            [self._choosers[each.request.id] for each in sequences],
            [each.output for each in sequences],
        )
        choices: list[Choice | XinferError] = []
        for row, token in enumerate(found):
            most = wanted[row]
            if not isinstance(token, int):
                choices.append(token)
            elif most is None or token in self.end_ids:
                choices.append(Choice(token))
            else:
                choices.append(Choice(token, log_probabilities(untouched[row], token, most)))
        return choices

    def interrupt(self) -> None:  # noqa: B027 - there is nothing to do
        """A call of the model cannot be interrupted; `max_batch_tokens` bounds it."""

    def expect_no_interrupt(self) -> None:  # noqa: B027 - the same
        """Nothing was interrupted."""


class PackedComputer(HfComputer):
    """One call of the model for the tokens of all sequences; the attention keeps them apart."""

    def __init__(
        self,
        model: HfModel,
        constraints: ConstraintCompiler | None,
        end_ids: frozenset[int],
        *,
        slots: int,
        longest: int,
    ) -> None:
        super().__init__(model, constraints, end_ids)
        model.exchange_attention(NAME)
        self.cache = SlotCache(slots, longest)

    def forward(self, chunks: Sequences[Chunk]) -> torch.Tensor:
        order = sorted(range(len(chunks)), key=lambda index: chunks[index].count > 1)
        ordered = [chunks[index] for index in order]
        self.cache.reserve(max(chunk.start + chunk.count for chunk in chunks))
        device = self._model.device
        rows = [0] * len(chunks)
        tokens: list[int] = []
        pieces = []
        picture: dict[str, torch.Tensor] = {}
        for index, chunk in zip(order, ordered, strict=True):
            own, positions, beside = self._inputs(chunk)
            tokens += own
            picture |= beside
            pieces.append(Piece(chunk.slot, chunk.start, positions, self._blocks(chunk)))
            rows[index] = len(tokens) - 1
        step = Step(pieces, self.cache.capacity).to(device)
        self.cache.step = step
        kept = torch.tensor(
            [row for row, chunk in zip(rows, chunks, strict=True) if chunk.last], dtype=torch.long
        )
        result = self._model.model(
            input_ids=torch.tensor([tokens], device=device),
            position_ids=step.positions,
            past_key_values=self.cache,
            use_cache=True,
            # One row at least: some models cannot compute none.
            logits_to_keep=(kept if len(kept) else torch.zeros(1, dtype=torch.long)).to(device),
            **picture,
        )
        logits: torch.Tensor = result.logits[0]
        return logits[: len(kept)]

    def _blocks(self, chunk: Chunk) -> Sequences[int]:
        if chunk.medium is None or self.vision is None:
            return ()
        return self.vision.blocks(chunk.sequence.request.media, chunk.medium)

    def remove(self, slot: int, start: int) -> bool:
        return True  # what lies behind a sequence's end is not looked at

    def copy(self, source: int, target: int) -> None:
        self.cache.copy_slot(source, target)

    def continues(self, slot: int, start: int) -> bool:
        return True


class RowsComputer(HfComputer):
    """A call of the model for each sequence, with Transformers' own cache: for models that keep
    something else than keys and values, or whose attention cannot be exchanged.

    Args:
        one_by_one: the model begins with any number of tokens, and goes on with one at a time.
    """

    def __init__(
        self,
        model: HfModel,
        constraints: ConstraintCompiler | None,
        end_ids: frozenset[int],
        *,
        slots: int,
        one_by_one: bool,
    ) -> None:
        super().__init__(model, constraints, end_ids)
        self.one_by_one = one_by_one
        self._cache_name = "cache_params" if "cache_params" in model.inputs else "past_key_values"
        self._caches: list[Any] = [None] * slots
        self._held = [0] * slots

    def forward(self, chunks: Sequences[Chunk]) -> torch.Tensor:
        rows = [self._row(chunk) for chunk in chunks]
        kept = [row for row, chunk in zip(rows, chunks, strict=True) if chunk.last]
        return torch.cat(kept) if kept else torch.empty((0, self.vocabulary_size))

    def _row(self, chunk: Chunk) -> torch.Tensor:
        tokens, positions, picture = self._inputs(chunk)
        slot = chunk.slot
        if not (self.one_by_one and chunk.start) or picture:
            return self._call(slot, tokens, positions, picture)
        for number, token in enumerate(tokens):
            logits = self._call(slot, [token], positions[..., number : number + 1], {})
        return logits

    def _call(
        self,
        slot: int,
        tokens: list[int],
        positions: torch.Tensor,
        picture: dict[str, torch.Tensor],
    ) -> torch.Tensor:
        if self._caches[slot] is None:
            self._caches[slot] = DynamicCache(config=self._model.config)
        device = self._model.device
        try:
            result = self._model.model(
                input_ids=torch.tensor([tokens], device=device),
                position_ids=positions.to(device),
                use_cache=True,
                logits_to_keep=1,
                **{self._cache_name: self._caches[slot]},
                **picture,
            )
        except BaseException:
            self.remove(slot, 0)  # some of its layers have these tokens, others have not
            raise
        self._held[slot] += len(tokens)
        logits: torch.Tensor = result.logits[:, -1]
        return logits

    def remove(self, slot: int, start: int) -> bool:
        beyond = self._held[slot] - start
        cache = self._caches[slot]
        if start == 0 or cache is None:
            self._caches[slot] = None
            self._held[slot] = 0
            return start == 0
        if beyond > 0:
            if not all(getattr(layer, "is_croppable", False) for layer in cache.layers):
                return False  # a state does not go back
            try:
                cache.crop(-beyond)
            except RuntimeError:  # what a window needs has been forgotten
                return False
            self._held[slot] = start
        return beyond >= 0

    def copy(self, source: int, target: int) -> None:
        try:
            self._caches[target] = copy.deepcopy(self._caches[source])
        except Exception as error:
            if not is_no_memory(error):
                raise
            return  # it is computed again
        self._held[target] = self._held[source]

    def continues(self, slot: int, start: int) -> bool:
        return self._held[slot] == start


def _no_memory(chunk: Chunk, error: BaseException) -> EngineFailed:
    return EngineFailed(
        f"There is no memory to compute {chunk.start + chunk.count} tokens of this request beside "
        f"the others: {first_line(error)} Launch with a smaller max_model_len or max_num_seqs, or "
        "ask later.",
        code="out_of_memory",
    )


def _no_picture(error: Exception) -> XinferError:
    if isinstance(error, XinferError):
        return error
    return EngineFailed(
        f"The model failed to compute a picture of this request: {first_line(error)}"
    )
