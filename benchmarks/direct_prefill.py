"""`python -m benchmarks.direct_prefill`: a model of Transformers called for one token a prompt.

It reads one plan as JSON on stdin and prints one outcome on stdout.
"""

from __future__ import annotations

import os
import sys
import time

import msgspec

from benchmarks.direct import Direct
from benchmarks.plan import Outcome
from benchmarks.window import Window
from xinfer import system


def measure(plan: Direct) -> Outcome:
    """Prompts one after the other, each through the model with a new cache, and the likeliest
    token of each; the first is the warm-up."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

    torch.set_num_threads(int(plan.options["n_threads"]))
    model = AutoModelForCausalLM.from_pretrained(plan.model, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(plan.model)
    window = Window({"engine": os.getpid()})
    firsts = []
    window.open()
    with torch.inference_mode():
        for prompt in plan.prompts:
            begun = time.perf_counter()
            ids = torch.tensor([tokenizer.encode(prompt, add_special_tokens=False)])
            cache = DynamicCache(config=model.config)
            logits = model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
            int(logits[0, -1].argmax())
            firsts.append(time.perf_counter() - begun)
    return window.close(len(firsts), firsts=firsts)


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Direct)
    system.write_all(sys.stdout.fileno(), msgspec.json.encode(measure(plan)))


if __name__ == "__main__":
    main()
