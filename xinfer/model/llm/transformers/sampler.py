"""How tokens are chosen: all rows of a step together, each as its own request asks."""

from __future__ import annotations

import hashlib
import math
import secrets
import struct
from collections.abc import Callable, Mapping, Sequence

import msgspec
import torch

from xinfer.errors import EngineFailed, XinferError
from xinfer.model.engine import Logprob
from xinfer.types.request import Sampling

HONOURED = frozenset(
    {
        *("temperature", "top_p", "top_k", "min_p", "typical_p", "top_n_sigma"),
        *("xtc_probability", "xtc_threshold"),
        *("presence_penalty", "frequency_penalty", "repetition_penalty"),
        *("seed", "logit_bias", "ignore_eos"),
    }
)

_COLDEST = 1e-6
"""Below, dividing by the temperature leaves the range of a 32-bit float."""
_LIKELIEST = 1024
"""Tokens that are sorted; all of them are where these do not have the mass that is asked for."""
_NOTHING_LEFT = "No token is left that the request's parameters allow."


class SamplerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Every sampling parameter with a value."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    typical_p: float = 1.0
    top_n_sigma: float = -1.0
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0

    @property
    def penalises(self) -> bool:
        """Whether tokens that were there before count."""
        return (
            self.repetition_penalty != 1.0
            or self.presence_penalty != 0.0
            or self.frequency_penalty != 0.0
        )


def resolve(sampling: Sampling, defaults: Mapping[str, float]) -> SamplerSettings:
    """The request's parameters over the model's own."""
    asked = {
        name: value
        for name in SamplerSettings.__struct_fields__
        if (value := getattr(sampling, name, None)) is not None
    }
    values = {**defaults, **asked}
    values["top_k"] = int(values.get("top_k", 0))
    return SamplerSettings(**values)


class Chooser:
    """One request's: its settings, and what it has said so far.

    The repetition penalty counts prompt and output, the other two count the output alone, as
    OpenAI's do. What is random depends on the seed and on the token's position in the output, and
    on nothing else: not on who else is computed, and not on where the output was resumed.

    Args:
        forbidden: tokens that are never chosen.
        prompt, output: what there is already.
    """

    def __init__(
        self,
        settings: SamplerSettings,
        *,
        seed: int | None,
        bias: Mapping[int, float],
        forbidden: Sequence[int],
        prompt: Sequence[int],
        output: Sequence[int],
        vocabulary_size: int,
        device: torch.device,
    ) -> None:
        self.settings = settings
        self.greedy = settings.temperature < _COLDEST
        self.seed = secrets.randbits(63) if seed is None else seed
        biases = {**bias, **dict.fromkeys(forbidden, -math.inf)}
        self._biased = torch.tensor(list(biases), dtype=torch.long, device=device)
        self._biases = torch.tensor(list(biases.values()), dtype=torch.float32, device=device)
        self._said: torch.Tensor | None = None
        if settings.penalises:
            self._said = torch.zeros(vocabulary_size, device=device)
            self._seen = torch.zeros(vocabulary_size, dtype=torch.bool, device=device)
            self._seen[torch.tensor([*prompt, *output], device=device)] = True
            for token in output:
                self._said[token] += 1

    @property
    def changes(self) -> bool:
        """Whether `adjust` does anything."""
        return self._said is not None or len(self._biased) > 0

    def adjust(self, scores: torch.Tensor) -> None:
        """Biases and penalties, on one row (vocabulary,)."""
        if self._said is not None:
            penalty = self.settings.repetition_penalty
            if penalty != 1.0:
                penalised = torch.where(scores > 0, scores / penalty, scores * penalty)
                scores.copy_(torch.where(self._seen, penalised, scores))
            scores -= self.settings.frequency_penalty * self._said
            scores -= self.settings.presence_penalty * (self._said > 0)
        scores[self._biased] += self._biases

    def accept(self, token: int) -> None:
        """The token was chosen."""
        if self._said is not None:
            self._said[token] += 1
            self._seen[token] = True

    def draw(self, position: int, purpose: int = 0) -> float:
        """A number in [0, 1) for the token at this position of the output."""
        material = struct.pack("<qqB", _signed(self.seed), position, purpose)
        number = int.from_bytes(hashlib.blake2b(material, digest_size=8).digest(), "little")
        return (number >> 11) / (1 << 53)


def _signed(seed: int) -> int:
    return (seed + (1 << 63)) % (1 << 64) - (1 << 63)


def choose(
    logits: torch.Tensor, choosers: Sequence[Chooser], positions: Sequence[int]
) -> list[int | XinferError]:
    """A token for each row of `logits` (rows, vocabulary), which are changed.

    Args:
        positions: how many tokens each output has already.
    """
    for row, chooser in enumerate(choosers):
        if chooser.changes:
            chooser.adjust(logits[row])
    likeliest, best = logits.max(dim=-1)
    tokens: list[int | XinferError] = best.tolist()
    sampled = [row for row, chooser in enumerate(choosers) if not chooser.greedy]
    if sampled:
        rows = logits if len(sampled) == len(choosers) else logits[sampled]
        found = _sample(rows, [choosers[row] for row in sampled], [positions[r] for r in sampled])
        for row, pick in zip(sampled, found, strict=True):
            tokens[row] = pick
    for row, most in enumerate(likeliest.tolist()):
        if math.isnan(most) or most == math.inf:
            tokens[row] = EngineFailed("The model's scores are no numbers.")
        elif most == -math.inf:
            tokens[row] = EngineFailed(_NOTHING_LEFT)
        else:
            token = tokens[row]
            assert isinstance(token, int)
            choosers[row].accept(token)
    return tokens


def log_probabilities(row: torch.Tensor, token: int, most: int) -> Logprob:
    """How likely a token was, and the `most` likeliest ones. `row` is (vocabulary,), as the model
    made it."""
    logs = row.log_softmax(dim=-1)
    values, ids = logs.topk(most)
    return Logprob(float(logs[token]), list(zip(ids.tolist(), values.tolist(), strict=True)))


def _sample(
    logits: torch.Tensor, choosers: Sequence[Chooser], positions: Sequence[int]
) -> list[int]:
    for row, chooser in enumerate(choosers):
        for cut in _CUTS:
            cut(logits[row], chooser, positions[row])
    heat = _column([chooser.settings.temperature for chooser in choosers], logits)
    logits = logits / heat
    draws = [chooser.draw(at) for chooser, at in zip(choosers, positions, strict=True)]
    plain = all(
        c.settings.top_p >= 1 and c.settings.min_p <= 0 and c.settings.top_k <= 0 for c in choosers
    )
    if plain:
        shares = logits.softmax(dim=-1)
        return list(_pick(shares, draws).tolist())
    size = logits.shape[-1]
    scores, ids = logits.topk(min(size, _LIKELIEST), sorted=True)
    total = logits.logsumexp(dim=-1, keepdim=True)
    if scores.shape[-1] < size and _needs_more(scores, total, choosers):
        scores, ids = logits.sort(dim=-1, descending=True)
    shares = _cut(scores, total, choosers)
    return list(ids.gather(1, _pick(shares, draws)[:, None])[:, 0].tolist())


def _cut(scores: torch.Tensor, total: torch.Tensor, choosers: Sequence[Chooser]) -> torch.Tensor:
    """The shares of sorted candidates that top_k, top_p and min_p leave, one after the other."""
    size = scores.shape[-1]
    ks = [c.settings.top_k if c.settings.top_k > 0 else size for c in choosers]
    rank = torch.arange(size, device=scores.device)
    kept = rank < _column(ks, scores)
    shares = (scores - total).exp() * kept
    of_all = [c.settings.top_k <= 0 for c in choosers]
    within = torch.where(
        torch.tensor(of_all, device=scores.device)[:, None],
        torch.ones_like(total),
        shares.sum(dim=-1, keepdim=True),
    )
    before = shares.cumsum(dim=-1) - shares
    kept &= before < _column([c.settings.top_p for c in choosers], scores) * within
    kept &= shares >= _column([c.settings.min_p for c in choosers], scores) * shares[:, :1]
    kept[:, 0] = True
    return shares * kept


def _needs_more(scores: torch.Tensor, total: torch.Tensor, choosers: Sequence[Chooser]) -> bool:
    """Whether a row wants tokens beyond those that were sorted."""
    mass = (scores - total).exp().sum(dim=-1).tolist()
    for chooser, found, least in zip(choosers, mass, scores[:, -1].tolist(), strict=True):
        settings = chooser.settings
        if 0 < settings.top_k <= scores.shape[-1]:
            continue
        if least == -math.inf or (settings.top_p < 1 and found >= settings.top_p):
            continue
        return True
    return False


def _pick(shares: torch.Tensor, draws: Sequence[float]) -> torch.Tensor:
    """The index at which each row's shares, added up, exceed its draw."""
    sums = shares.double().cumsum(dim=-1)
    goal = torch.tensor(draws, dtype=sums.dtype, device=sums.device)[:, None] * sums[:, -1:]
    return torch.searchsorted(sums, goal, right=True)[:, 0].clamp(max=shares.shape[-1] - 1)


def _column(values: Sequence[float], like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32, device=like.device)[:, None]


def _top_n_sigma(scores: torch.Tensor, chooser: Chooser, position: int) -> None:
    n = chooser.settings.top_n_sigma
    if n > 0:
        there = scores[scores > -math.inf]
        scores[scores < there.max() - n * there.std(correction=0)] = -math.inf


def _typical(scores: torch.Tensor, chooser: Chooser, position: int) -> None:
    mass = chooser.settings.typical_p
    if mass >= 1:
        return
    logs = scores.log_softmax(dim=-1)
    shares = logs.exp()
    entropy = -(shares * logs).nansum()
    order = (-logs - entropy).abs().argsort()
    before = shares[order].cumsum(dim=-1) - shares[order]
    beyond = before >= mass
    beyond[0] = False
    scores[order[beyond]] = -math.inf


def _xtc(scores: torch.Tensor, chooser: Chooser, position: int) -> None:
    """Leaves out the best, but for the least of them."""
    settings = chooser.settings
    if settings.xtc_probability <= 0 or chooser.draw(position, 1) >= settings.xtc_probability:
        return
    shares = scores.softmax(dim=-1)
    best = (shares >= settings.xtc_threshold).nonzero()[:, 0]
    if len(best) > 1:
        least = best[shares[best].argmin()]
        scores[best[best != least]] = -math.inf


_CUTS: tuple[Callable[[torch.Tensor, Chooser, int], None], ...] = (_top_n_sigma, _typical, _xtc)
