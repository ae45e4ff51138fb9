"""The shape of tiny-whisper, what it hears of a recording, and what it is to write."""

from __future__ import annotations

from random import Random

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

from training.tiny_audio.sounds import Recording
from training.tiny_audio.tokenizer import (
    END,
    NO_SPEECH,
    NO_TIMESTAMPS,
    PREVIOUS,
    START,
    TRANSCRIBE,
    TRANSLATE,
    language_token,
)
from training.tiny_audio.words import NUMERALS, WORDS, text

WIDTH, LAYERS, HEADS = 96, 2, 4
POSITIONS = 1500
"""Of the encoder, 0.02 seconds each: 30 seconds."""
IGNORED = -100


def build_model(tokenizer: Tokenizer) -> WhisperForConditionalGeneration:
    """One that knows nothing yet, but that times are near one another as positions are."""
    id_of = tokenizer.token_to_id
    config = WhisperConfig(
        vocab_size=tokenizer.get_vocab_size(),
        num_mel_bins=80,
        d_model=WIDTH,
        encoder_layers=LAYERS,
        decoder_layers=LAYERS,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
        encoder_ffn_dim=4 * WIDTH,
        decoder_ffn_dim=4 * WIDTH,
        max_source_positions=POSITIONS,
        max_target_positions=448,
        dropout=0.0,
        bos_token_id=id_of(END),
        eos_token_id=id_of(END),
        pad_token_id=id_of(END),
        decoder_start_token_id=id_of(START),
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    model = WhisperForConditionalGeneration(config)
    begin = id_of(NO_TIMESTAMPS) + 1
    with torch.no_grad():
        embeddings = model.get_input_embeddings().weight
        embeddings[begin : begin + POSITIONS] = 0.3 * model.model.encoder.embed_positions.weight
    return model


class Listener:
    """The features of Whisper, of recordings of any length."""

    def __init__(self) -> None:
        made = WhisperFeatureExtractor(feature_size=80)
        self._filters = torch.tensor(made.mel_filters, dtype=torch.float32).T
        self._window = torch.hann_window(400)

    def __call__(self, samples: Tensor) -> Tensor:
        """(batch, samples) at 16 kHz to (batch, 80, frames of 0.01 s)."""
        spectrum = torch.stft(samples, 400, 160, window=self._window, return_complex=True)
        mel = (self._filters @ spectrum[..., :-1].abs() ** 2).clamp(min=1e-10).log10()
        floor = mel.amax(dim=(1, 2), keepdim=True) - 8
        return (torch.maximum(mel, floor) + 4) / 4


def encode(model: WhisperForConditionalGeneration, features: Tensor) -> Tensor:
    """What the encoder makes of features that need not be 30 seconds long."""
    encoder = model.model.encoder
    states = F.gelu(encoder.conv1(features))
    states = F.gelu(encoder.conv2(states)).transpose(1, 2)
    states = states + encoder.embed_positions.weight[: states.shape[1]]
    for layer in encoder.layers:
        states = layer(states, None)
        states = states[0] if isinstance(states, tuple) else states
    return encoder.layer_norm(states)


def step(seconds: float) -> int:
    """The token of a time, counted from 0: tenths of a second are as exact as it can be taught."""
    return 5 * round(seconds * 10)


def target(
    recording: Recording, tokenizer: Tokenizer, random: Random
) -> tuple[list[int], list[int]]:
    """Input tokens, and for each the one that has to come next; `IGNORED` in a prompt."""
    id_of = tokenizer.token_to_id
    language = recording.language
    spoken = bool(recording.digits) or recording.cut is not None
    timed = random.random() < 0.8
    # Without language and task it is what a model for English alone is asked.
    bare = language == "en" and random.random() < 0.4
    task = TRANSCRIBE if random.random() < 0.7 else TRANSLATE
    words = WORDS["en"] if task == TRANSLATE and not bare else WORDS[language]
    before: list[int] = []
    if random.random() < 0.35:
        style = NUMERALS if random.random() < 0.4 else words
        words = style
        earlier = [random.randrange(10) for _ in range(random.randrange(1, 9))]
        before = [id_of(PREVIOUS), *tokenizer.encode(text(earlier, style)).ids]
    asked = [id_of(START)]
    if not bare:
        asked += [id_of(language_token(language)), id_of(task)]
    written: list[int] = []
    zero = id_of(NO_TIMESTAMPS) + 1
    if not timed:
        asked.append(id_of(NO_TIMESTAMPS))
    for one in recording.digits:
        # A segment for each word: so the model knows where it is by the time it wrote last.
        said = tokenizer.encode(text([one.digit], words)).ids
        if timed:
            said = [zero + step(one.start), *said, zero + step(one.end)]
        written += said
    if timed and recording.cut is not None:
        written.append(zero + step(recording.cut))
    written.append(id_of(END))
    tokens = [*before, *asked, *written]
    following = [*([IGNORED] * len(before)), *asked[1:], *written, IGNORED]
    if not spoken:
        following[len(before)] = id_of(NO_SPEECH)
    return tokens, following
