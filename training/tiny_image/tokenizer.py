"""CLIP's kind of tokenizer, learned from the captions: their words are tokens, others spelled."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from training.tiny_image.shapes import pairs, scene

START, END = "<|startoftext|>", "<|endoftext|>"
LENGTH = 16
"""Tokens of a caption, the two that surround it among them."""
_SUFFIX = "</w>"
_MERGES = 1000
"""More than the words of the captions need."""


def build_tokenizer() -> CLIPTokenizer:
    """The same each time."""
    learned = Tokenizer(models.BPE(end_of_word_suffix=_SUFFIX))
    learned.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=2 * len(letters) + _MERGES,
        special_tokens=[],
        initial_alphabet=letters,
        end_of_word_suffix=_SUFFIX,
        show_progress=False,
    )
    learned.train_from_iterator(_captions(), trainer)
    merges = [tuple(merge) for merge in json.loads(learned.to_str())["model"]["merges"]]
    tokens = [*letters, *(letter + _SUFFIX for letter in letters)]
    tokens += ["".join(merge) for merge in merges] + [START, END]
    ids = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=ids, merges=merges, model_max_length=LENGTH)


def _captions() -> Iterator[str]:
    random = Random(0)
    for _ in range(50):
        for color, shape in pairs(held_out=False):
            yield scene(random, color, shape).caption
