"""One window of sound made tokens, by greedy search or by chance."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from xinfer.model.audio.transcribing import REPETITIVE, UNLIKELY
from xinfer.model.audio.whisper.rules import TimeRules
from xinfer.model.audio.whisper.vocabulary import Vocabulary

if TYPE_CHECKING:
    from torch import Generator, Tensor


class Written(NamedTuple):
    """What a window was made into."""

    tokens: list[int]
    """Text and times, without the end."""
    temperature: float
    avg_logprob: float
    """By natural logarithm, of a token, the end among them."""
    compression_ratio: float
    no_speech_prob: float

    @property
    def doubtful(self) -> bool:
        """Whether a higher temperature may do better."""
        return self.compression_ratio > REPETITIVE or self.avg_logprob < UNLIKELY


class Decoder:
    """Whisper's decoder on one request; not for several threads."""

    def __init__(
        self,
        model: Any,
        vocabulary: Vocabulary,
        generator: Generator,
        still_wanted: Callable[[], None],
    ) -> None:
        self._model = model
        self._vocabulary = vocabulary
        self._rules = TimeRules(vocabulary)
        self._generator = generator
        self._still_wanted = still_wanted
        self._longest = int(model.config.max_target_positions)

    def language(self, states: Tensor) -> tuple[str, float]:
        """The likeliest language of a window, and its probability among those that there are."""
        codes = list(self._vocabulary.languages)
        logits, _ = self._step(states, [self._vocabulary.start], None)
        told = logits[-1, [self._vocabulary.languages[code] for code in codes]].softmax(0)
        best = int(told.argmax())
        return codes[best], float(told[best])

    def write(
        self,
        states: Tensor,
        opening: list[int],
        before: Sequence[int],
        temperatures: Sequence[float],
    ) -> Written:
        """The transcript at the first of these temperatures that gives one which is not doubtful.

        Args:
            states: (1, positions, width), what the encoder made of the window.
            opening: start, language, task.
            before: text that it goes on behind; the end of it is taken.
        """
        prompt = self._prompt(before, opening)
        for temperature in temperatures:
            written = self._written(states, prompt, temperature, len(prompt) - len(opening))
            if not written.doubtful or temperature == temperatures[-1]:
                break
        return written

    def _prompt(self, before: Sequence[int], opening: list[int]) -> list[int]:
        room = self._longest // 2 - 1
        if not before or self._vocabulary.previous is None:
            return opening
        return [self._vocabulary.previous, *before[-room:], *opening]

    def _written(
        self, states: Tensor, prompt: list[int], temperature: float, start: int
    ) -> Written:
        """Args: start: where in the prompt the token of the start is."""
        import torch

        vocabulary = self._vocabulary
        tokens: list[int] = []
        total = silent = 0.0
        most = min(self._longest // 2, self._longest - len(prompt))
        given, cache = prompt, None
        while len(tokens) < most:
            self._still_wanted()
            logits, cache = self._step(states, given, cache)
            if given is prompt and vocabulary.no_speech is not None:
                silent = float(logits[start].softmax(0)[vocabulary.no_speech])
            last = logits[-1]
            self._rules.apply(last, tokens)
            chances = last.log_softmax(0)
            if temperature > 0:
                weights = (last / temperature).softmax(0)
                token = int(torch.multinomial(weights, 1, generator=self._generator))
            else:
                token = int(last.argmax())
            total += float(chances[token])
            if token == vocabulary.end:
                break
            tokens.append(token)
            given = [token]
        text = vocabulary.decode(tokens).strip().encode()
        ratio = len(text) / len(zlib.compress(text)) if text else 0.0
        return Written(tokens, temperature, total / (len(tokens) + 1), ratio, silent)

    def _step(self, states: Tensor, given: Sequence[int], cache: Any) -> tuple[Tensor, Any]:
        """Logits of what comes behind each given token, (given, vocabulary), on the processor."""
        import torch

        ids = torch.tensor([given], device=states.device)
        made = self._model.model.decoder(
            input_ids=ids, encoder_hidden_states=states, past_key_values=cache, use_cache=True
        )
        return self._model.proj_out(made.last_hidden_state[0]).float().cpu(), made.past_key_values
