"""How one request chooses its tokens: a chain of llama.cpp's samplers, seeded by position."""

from __future__ import annotations

import ctypes
import math
import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from xinfer.errors import EngineFailed
from xinfer.model.engine import Logprob
from xinfer.model.llama_cpp.binding import library
from xinfer.types.request import Sampling

if TYPE_CHECKING:
    from xinfer.model.llm.constraint.matcher import Matcher

Row = NDArray[np.float32]

HONOURED = frozenset(Sampling.__struct_fields__) - {"max_tokens", "logprobs"}

# llama.cpp takes 2**32 - 1 as "choose one".
_SEEDS = (1 << 32) - 1
_NOTHING_LEFT = "No token is left that the request's parameters allow."
_COLDEST = 1e-6
"""Below, dividing by the temperature leaves the range of a 32-bit float; nothing else is likely."""
_LEAST_PENALTY = 1e-5
"""The same for the repetition penalty: sorting what is no number ends the process."""
_BREAKERS = ("\n", ":", '"', "*")
_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class SamplerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Every sampling parameter with a value: the request's, else the model's, else llama.cpp's."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repeat_penalty: float
    repeat_last_n: int
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    typical_p: float = 1.0
    top_n_sigma: float = -1.0
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = -1
    dry_sequence_breakers: tuple[str, ...] = _BREAKERS

    @property
    def penalises(self) -> bool:
        """Whether tokens that were there before count."""
        return self.repeat_last_n > 0 and (
            self.repeat_penalty != 1.0
            or self.presence_penalty != 0.0
            or self.frequency_penalty != 0.0
        )


def resolve(sampling: Sampling, defaults: Mapping[str, float], context: int) -> SamplerSettings:
    """The request's parameters over the model's `defaults`, which have llama.cpp's names.

    Windows that reach back are cut to `context` tokens, which -1 stands for; a temperature too low
    to divide by is 0.
    """
    asked = {
        name: value
        for name in SamplerSettings.__struct_fields__
        if (value := getattr(sampling, name, None)) is not None
    }
    if sampling.repetition_penalty is not None:
        asked["repeat_penalty"] = sampling.repetition_penalty
    values: dict[str, Any] = {**defaults, **asked}
    values["top_k"] = int(values["top_k"])
    if values["temperature"] < _COLDEST:
        values["temperature"] = 0.0
    values["repeat_penalty"] = max(values["repeat_penalty"], _LEAST_PENALTY)
    for name in ("repeat_last_n", "dry_penalty_last_n"):
        window = int(values.get(name, -1))
        values[name] = context if window < 0 else min(window, context)
    return SamplerSettings(**values)


class Candidates:
    """The array that llama.cpp's samplers work on; one for a whole engine."""

    def __init__(self, vocabulary_size: int) -> None:
        llama = library()
        self.size = vocabulary_size
        self._ids = np.arange(vocabulary_size, dtype=np.int32)
        self._array = np.zeros(vocabulary_size, _CANDIDATE)
        self._data = ctypes.cast(self._array.ctypes.data, llama.llama_token_data_p)
        self._struct = llama.llama_token_data_array()
        self.pointer = ctypes.byref(self._struct)

    def fill(self, row: Row) -> None:
        """All tokens, with these logits."""
        self._array["id"] = self._ids
        self._array["logit"] = row
        struct = self._struct
        struct.data, struct.size = self._data, self.size
        struct.selected, struct.sorted = -1, False

    def selected(self) -> tuple[int, float]:
        """The chosen token and its logit; (-1, -inf) when none is chosen."""
        index = self._struct.selected
        if not 0 <= index < self._struct.size:
            return -1, -math.inf
        chosen = self._struct.data[index]
        return chosen.id, chosen.logit


class Sampler:
    """One request's. Belongs to the engine's thread.

    What chooses at random is made anew for each token, from the seed and the token's position in
    the output: the same tokens come whoever else is in the batch, and after a continuation.
    (Mirostat keeps a state of its own and goes on with it.)

    Args:
        vocabulary: llama.cpp's.
        forbidden: tokens that are never chosen.
        matcher: of the request's constraint, with the resumed output behind it.
        history: prompt and resumed output, for the samplers that look back.
    """

    def __init__(
        self,
        settings: SamplerSettings,
        *,
        vocabulary: Any,
        candidates: Candidates,
        seed: int | None,
        bias: Mapping[int, float],
        forbidden: Sequence[int],
        matcher: Matcher | None,
        history: Sequence[int],
    ) -> None:
        self._llama = library()
        self._vocabulary = vocabulary
        self._candidates = candidates
        self._seed = secrets.randbits(32) if seed is None else seed
        self._settings = settings
        biases = {**bias, **dict.fromkeys(forbidden, -math.inf)}
        self._biased = np.fromiter(biases, np.int64, len(biases))
        self._biases = np.fromiter(biases.values(), np.float32, len(biases))
        self._matcher = matcher
        self._chain = self._llama.llama_sampler_chain_init(
            self._llama.llama_sampler_chain_default_params()
        )
        self._fixed = 0
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        self._looks_back = settings.penalises or settings.dry_multiplier != 0.0
        if self._looks_back:
            window = max(settings.repeat_last_n, settings.dry_penalty_last_n)
            for token in history[-window:] if window else ():
                self._llama.llama_sampler_accept(self._chain, token)
        self._greedy = settings.temperature <= 0.0 and matcher is None and self._fixed == 0

    def sample(self, row: Row, position: int) -> int:
        """The next token, which is token number `position` of the output.

        Raises:
            InvalidRequest: the constraint leaves no token, or is too complex to follow.
            EngineFailed: the logits are no numbers, or no token is possible.
        """
        if not len(self._biased):
            token = self._choose(row, position)
        else:
            kept = row[self._biased]
            row[self._biased] += self._biases
            try:
                token = self._choose(row, position)
            finally:
                row[self._biased] = kept  # they are the model's again
        if self._looks_back:
            self._llama.llama_sampler_accept(self._chain, token)
        if self._matcher is not None:
            self._matcher.accept(token)
        return token

    def close(self) -> None:
        """Release llama.cpp's samplers."""
        self._llama.llama_sampler_free(self._chain)
        self._chain = None

    def _choose(self, row: Row, position: int) -> int:
        if self._greedy:
            token = int(row.argmax())
            _check(float(row[token]))
            if row[token] == -math.inf:
                raise EngineFailed(_NOTHING_LEFT)
            return token
        _check(float(row.sum()))  # sorting what is no number ends the process
        self._reseed(position)
        return self._pick(row)

    def _pick(self, row: Row) -> int:
        """Choose first and ask the matcher about that one token: a mask of all costs more."""
        candidates, llama, matcher = self._candidates, self._llama, self._matcher
        candidates.fill(row)
        llama.llama_sampler_apply(self._chain, candidates.pointer)
        token, logit = candidates.selected()
        if matcher is not None and not (token >= 0 and matcher.allows(token)):
            candidates.fill(np.where(matcher.mask(), row, -np.inf))
            llama.llama_sampler_apply(self._chain, candidates.pointer)
            token, logit = candidates.selected()
        if token < 0 or not logit > -math.inf:
            if matcher is not None:
                raise matcher.nothing_left()
            raise EngineFailed(_NOTHING_LEFT)
        return token

    def _build(self) -> None:
        """The part of the chain that stays: everything but what chooses."""
        llama, settings = self._llama, self._settings
        if settings.penalises:
            self._add(
                llama.llama_sampler_init_penalties(
                    self._candidates.size,
                    settings.repeat_last_n,
                    settings.repeat_penalty,
                    settings.frequency_penalty,
                    settings.presence_penalty,
                )
            )
        if settings.dry_multiplier != 0.0:
            breakers = [breaker.encode() for breaker in settings.dry_sequence_breakers]
            self._add(
                llama.llama_sampler_init_dry(
                    self._vocabulary,
                    settings.dry_multiplier,
                    settings.dry_base,
                    settings.dry_allowed_length,
                    settings.dry_penalty_last_n,
                    (ctypes.c_char_p * len(breakers))(*breakers),
                    len(breakers),
                )
            )
        if settings.temperature <= 0.0:
            if self._fixed or self._matcher is not None:
                llama.llama_sampler_chain_add(self._chain, llama.llama_sampler_init_greedy())
            return
        if settings.mirostat:
            self._add(llama.llama_sampler_init_temp(settings.temperature))
            self._add(self._mirostat())
            return
        if settings.top_n_sigma > 0.0:
            self._add(llama.llama_sampler_init_top_n_sigma(settings.top_n_sigma))
        if settings.top_k > 0:
            self._add(llama.llama_sampler_init_top_k(settings.top_k))
        if settings.typical_p < 1.0:
            self._add(llama.llama_sampler_init_typical(settings.typical_p, 1))
        if settings.top_p < 1.0:
            self._add(llama.llama_sampler_init_top_p(settings.top_p, 1))
        if settings.min_p > 0.0:
            self._add(llama.llama_sampler_init_min_p(settings.min_p, 1))

    def _mirostat(self) -> Any:
        llama, settings = self._llama, self._settings
        seed, tau, eta = self._seed % _SEEDS, settings.mirostat_tau, settings.mirostat_eta
        if settings.mirostat == 1:
            size = self._candidates.size
            return llama.llama_sampler_init_mirostat(size, seed, tau, eta, 100)
        return llama.llama_sampler_init_mirostat_v2(seed, tau, eta)

    def _add(self, sampler: Any) -> None:
        self._llama.llama_sampler_chain_add(self._chain, sampler)
        self._fixed += 1

    def _reseed(self, position: int) -> None:
        """The end of the chain, which chooses at random, for this position."""
        llama, settings = self._llama, self._settings
        if settings.temperature <= 0.0 or settings.mirostat:
            return
        while llama.llama_sampler_chain_n(self._chain) > self._fixed:
            llama.llama_sampler_free(llama.llama_sampler_chain_remove(self._chain, self._fixed))
        seed = (self._seed + position * 0x9E3779B1) % _SEEDS
        add = llama.llama_sampler_chain_add
        if settings.xtc_probability > 0.0:
            probability, threshold = settings.xtc_probability, settings.xtc_threshold
            own = (seed + 0x85EBCA6B) % _SEEDS  # its draw is not the one that chooses
            add(self._chain, llama.llama_sampler_init_xtc(probability, threshold, 1, own))
        add(self._chain, llama.llama_sampler_init_temp(settings.temperature))
        add(self._chain, llama.llama_sampler_init_dist(seed))


def _check(logit: float) -> None:
    """
    Raises:
        EngineFailed: it is no number.
    """
    if not logit < math.inf:
        raise EngineFailed("The model has computed logits that are not numbers.")


def log_probability(row: Row, token: int, most: int) -> Logprob:
    """A token's, as the model sees it, beside those of the `most` likeliest."""
    peak = float(row.max())
    total = peak + math.log(float(np.exp(row - peak).sum(dtype=np.float64)))
    top: list[tuple[int, float]] = []
    if most:
        most = min(most, len(row))
        likeliest = np.argpartition(row, -most)[-most:]
        likeliest = likeliest[np.argsort(-row[likeliest], kind="stable")]
        top = [(int(one), float(row[one]) - total) for one in likeliest]
    return Logprob(float(row[token]) - total, top)
