"""Training data: the tokens of random conversations in batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.tiny_chat.samples import sample
from training.tiny_chat.tokenizer import MESSAGE_END

MAX_LENGTH = 512  # tokens; a longer conversation is made anew
LENGTH_STEP = 32  # batches are padded to a multiple of it, which the compiler turns into fast code
POOL = 4096  # conversations that are sorted by length at a time


@dataclass(frozen=True)
class Batch:
    """Token ids (rows, length), flat positions that are learnt, and the token that follows each."""

    ids: Tensor
    learnt: Tensor
    following: Tensor


def batches(
    tokenizer: Tokenizer, random: Random, tokens: int, tool_share: float
) -> Iterator[Batch]:
    """Endless batches of about ``tokens`` tokens; each holds conversations of similar length."""
    while True:
        pool = [_encode(tokenizer, random, tool_share) for _ in range(POOL)]
        # By padded length only: answers of one length are answers to one question.
        pool.sort(key=lambda row: _padded(len(row[0])), reverse=True)
        made = []
        while pool:
            rows = tokens // _padded(len(pool[0][0]))
            made.append(pool[:rows])
            pool = pool[rows:]
        made.pop()  # not full: its shape would be compiled anew
        random.shuffle(made)
        yield from map(_collate, made)


def _padded(length: int) -> int:
    return -(-length // LENGTH_STEP) * LENGTH_STEP


def _encode(tokenizer: Tokenizer, random: Random, tool_share: float) -> tuple[list[int], int]:
    while True:
        made = sample(random, tool_share)
        prompt = tokenizer.encode(made.prompt).ids
        answer = tokenizer.encode(made.answer + MESSAGE_END).ids
        if len(prompt) + len(answer) <= MAX_LENGTH:
            return prompt + answer, len(prompt)


def _collate(rows: list[tuple[list[int], int]]) -> Batch:
    length = _padded(max(len(ids) for ids, _ in rows))
    padded = torch.zeros(len(rows), length, dtype=torch.long)
    learnt: list[int] = []
    following: list[int] = []
    for index, (ids, prompt_length) in enumerate(rows):
        padded[index, : len(ids)] = torch.tensor(ids)
        learnt += range(index * length + prompt_length - 1, index * length + len(ids) - 1)
        following += ids[prompt_length:]
    return Batch(padded, torch.tensor(learnt), torch.tensor(following))
