"""`python -m benchmarks.direct_generate`: Transformers' own `generate`, with nothing around it.

It reads one plan as JSON on stdin and prints one outcome on stdout.
"""

from __future__ import annotations

import os
import sys

import msgspec

from benchmarks.direct import Direct
from benchmarks.plan import Outcome
from benchmarks.window import Window
from xinfer import system

_WARM_UP_TOKENS = 4


def measure(plan: Direct) -> Outcome:
    """Prompts of equal lengths, in batches of `streams`, and greedily so many tokens of each."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(int(plan.options["n_threads"]))
    model = AutoModelForCausalLM.from_pretrained(plan.model, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(plan.model)
    ids = torch.tensor(tokenizer(plan.prompts, add_special_tokens=False)["input_ids"])
    window = Window({"engine": os.getpid()})

    def generate(batch: torch.Tensor, tokens: int) -> None:
        model.generate(
            batch,
            attention_mask=torch.ones_like(batch),
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            do_sample=False,
            pad_token_id=0,
        )

    with torch.inference_mode():
        generate(ids[: plan.streams], _WARM_UP_TOKENS)
        window.open()
        for batch in ids.split(plan.streams):
            generate(batch, plan.tokens)
        return window.close(len(ids) * plan.tokens)


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Direct)
    system.write_all(sys.stdout.fileno(), msgspec.json.encode(measure(plan)))


if __name__ == "__main__":
    main()
