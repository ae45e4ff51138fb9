"""How tokens are chosen: all rows of a step together, each as its own request asks."""

from __future__ import annotations

import hashlib
import math
import secrets
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
import torch

from xinfer.errors import EngineFailed, XinferError
from xinfer.model.engine import Logprob
from xinfer.types.request import Sampling

if TYPE_CHECKING:
    from xinfer.model.llm.constraint.matcher import Matcher

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
        matcher: of the request's constraint, with `output` behind it.
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
        matcher: Matcher | None = None,
        vocabulary_size: int,
        device: torch.device,
    ) -> None:
        self.settings = settings
        self.matcher = matcher
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
        scores[self._biased] += self._biases
        if self._said is not None:
            penalty = self.settings.repetition_penalty
            if penalty != 1.0:
                penalised = torch.where(scores > 0, scores / penalty, scores * penalty)
                scores.copy_(torch.where(self._seen, penalised, scores))
            scores -= self.settings.frequency_penalty * self._said
            scores -= self.settings.presence_penalty * (self._said > 0)

    def accept(self, token: int) -> None:
        """The token was chosen."""
        if self._said is not None:
            self._said[token] += 1
            self._seen[token] = True

    def draw(self, position: int, purpose: int = 0) -> int:
        """32 random bits for the token at this position of the output."""
        material = struct.pack("<qqB", _signed(self.seed), position, purpose)
        return int.from_bytes(hashlib.blake2b(material, digest_size=4).digest(), "little")


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
    # What cuts the distribution changes it, and a row whose choice is refused is cut again.
    bound = {row: logits[row].clone() for row, each in enumerate(choosers) if each.matcher}
    tokens = _choose(logits, choosers, positions)
    for row, scores in bound.items():
        tokens[row] = _choose_allowed(tokens[row], scores, choosers[row], positions[row])
    for token, chooser in zip(tokens, choosers, strict=True):
        if isinstance(token, int):
            chooser.accept(token)
    return tokens


def _choose(
    logits: torch.Tensor, choosers: Sequence[Chooser], positions: Sequence[int]
) -> list[int | XinferError]:
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
    return tokens


def _choose_allowed(
    token: int | XinferError, scores: torch.Tensor, chooser: Chooser, position: int
) -> int | XinferError:
    """The token, where the constraint allows it; else one that it does.

    Args:
        scores: (vocabulary,), before any was cut off.
    """
    matcher = chooser.matcher
    assert matcher is not None
    if not isinstance(token, int):
        return token
    try:
        if not matcher.allows(token):
            scores[torch.from_numpy(~matcher.mask()).to(scores.device)] = -math.inf
            if scores.max() == -math.inf:
                return matcher.nothing_left()
            (token,) = _choose(scores[None], [chooser], [position])
        if isinstance(token, int):
            matcher.accept(token)
    except XinferError as error:
        return error
    return token


def log_probabilities(row: torch.Tensor, token: int, most: int) -> Logprob:
    """How likely a token was, and the `most` likeliest ones. `row` is (vocabulary,), as the model
    made it."""
    logs = row.log_softmax(dim=-1)
    values, ids = logs.topk(min(most, len(logs)))
    return Logprob(float(logs[token]), list(zip(ids.tolist(), values.tolist(), strict=True)))


def _sample(
    logits: torch.Tensor, choosers: Sequence[Chooser], positions: Sequence[int]
) -> list[int]:
    for row, chooser in enumerate(choosers):
        for cut in _CUTS:
            cut(logits[row], chooser, positions[row])
    logits = logits / _column([chooser.settings.temperature for chooser in choosers], logits)
    draws = torch.tensor(
        [_wrapped(chooser.draw(at)) for chooser, at in zip(choosers, positions, strict=True)],
        dtype=torch.int32,
        device=logits.device,
    )
    tokens = torch.empty(len(choosers), dtype=torch.long, device=logits.device)
    cut_short = torch.tensor([_cuts_short(chooser.settings) for chooser in choosers])
    whole = (~cut_short).nonzero()[:, 0].tolist()
    short = cut_short.nonzero()[:, 0].tolist()
    if whole:
        ids = torch.arange(logits.shape[-1], dtype=torch.int32, device=logits.device)
        tokens[whole] = _race(logits[whole], ids[None], draws[whole])
    if short:
        rows, some = logits[short], [choosers[row] for row in short]
        scores, candidates = _likeliest(rows, some)
        picked = _race(scores, candidates.int(), draws[short])
        tokens[short] = candidates.gather(1, picked[:, None])[:, 0]
    return list(tokens.tolist())


def _cuts_short(settings: SamplerSettings) -> bool:
    return settings.top_p < 1 or settings.min_p > 0 or settings.top_k > 0


def _race(scores: torch.Tensor, ids: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """The index of each row's choice: the one whose score, with a random head start, is highest
    (the Gumbel-max trick).

    A token's head start follows from the row's draw and from its id. So nothing depends on which
    other tokens and rows are there, and scores that differ by rounding choose alike.
    """
    bits = _mixed(ids * _wrapped(0x9E3779B1) + draws[:, None])
    # As many bits as a float holds with the half: at 1, the head start would be without bounds.
    uniform = ((bits & 0x7FFFFF).float() + 0.5) / (1 << 23)
    return (scores - (-uniform.log()).log()).argmax(dim=-1)


def _mixed(bits: torch.Tensor) -> torch.Tensor:
    """Bits of 32-bit integers, each of which depends on all that came in (after C. Wellons'
    lowbias32)."""
    bits = bits ^ ((bits >> 16) & 0xFFFF)
    bits = bits * 0x7FEB352D
    bits = bits ^ ((bits >> 15) & 0x1FFFF)
    bits = bits * _wrapped(0x846CA68B)
    return bits ^ ((bits >> 16) & 0xFFFF)


def _wrapped(number: int) -> int:
    """The signed 32-bit integer with the same bits."""
    return (number + (1 << 31)) % (1 << 32) - (1 << 31)


def _likeliest(
    logits: torch.Tensor, choosers: Sequence[Chooser]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores and ids of the tokens that top_k, top_p and min_p leave, the likeliest first; those
    they do not leave have -inf."""
    size = logits.shape[-1]
    scores, ids = logits.topk(min(size, _LIKELIEST), sorted=True)
    total = logits.logsumexp(dim=-1, keepdim=True)
    if scores.shape[-1] < size and _needs_more(scores, total, choosers):
        scores, ids = logits.sort(dim=-1, descending=True)
    return scores.masked_fill(~_left(scores, total, choosers), -math.inf), ids


def _left(scores: torch.Tensor, total: torch.Tensor, choosers: Sequence[Chooser]) -> torch.Tensor:
    """Which of the sorted candidates top_k, top_p and min_p leave, one after the other."""
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
    return kept


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
    if chooser.draw(position, 1) >= settings.xtc_probability * (1 << 32):
        return
    shares = scores.softmax(dim=-1)
    best = (shares >= settings.xtc_threshold).nonzero()[:, 0]
    if len(best) > 1:
        least = best[shares[best].argmin()]
        scores[best[best != least]] = -math.inf


_CUTS: tuple[Callable[[torch.Tensor, Chooser, int], None], ...] = (_top_n_sigma, _typical, _xtc)
