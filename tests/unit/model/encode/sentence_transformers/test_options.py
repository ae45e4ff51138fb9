"""How much is computed at once, where nobody says."""

from __future__ import annotations

import pytest

from xinfer.model.encode.sentence_transformers.options import SentenceTransformersOptions


@pytest.mark.parametrize(("threads", "tokens"), [(1, 1024), (2, 2048), (4, 4096), (16, 4096)])
def test_each_thread_of_processors_has_its_share(threads: int, tokens: int) -> None:
    options = SentenceTransformersOptions(n_threads=threads)
    assert options.tokens_at_once(accelerator=False) == tokens
    assert options.tokens_at_once(accelerator=True) == 16384


def test_what_is_said_holds_everywhere() -> None:
    options = SentenceTransformersOptions(n_threads=4, batch_tokens=100)
    assert {options.tokens_at_once(accelerator=where) for where in (False, True)} == {100}
