"""`suffix` of /v1/completions on real engines, with a tiny model that has the tokens for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import openai
import pytest

from tests.support.gguf_models import byte_level, random_llama
from tests.support.server import Server
from tools.gguf_llama import Vocabulary

FIM = ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"]
BEFORE, BEHIND = "def f(a.b", "'ll:\n\n"


def code_model(path: Path) -> Path:
    plain = byte_level()
    types = [*plain.types, *[int(gguf.TokenType.CONTROL)] * len(FIM)]
    vocabulary = Vocabulary(plain.kind, [*plain.tokens, *FIM], types, plain.merges, plain.scores)
    return random_llama(path, vocabulary=vocabulary)


@pytest.mark.parametrize("engine", ["llama-cpp-python", "xllamacpp"])
def test_text_is_filled_in_between_two_others(server: Server, tmp_path: Path, engine: str) -> None:
    path = code_model(tmp_path / "coder.gguf")
    uid = server.launch(str(path), model_uid=f"coder-{engine}", model_engine=engine, n_threads=1)

    def ids(prompt: str) -> list[int]:
        answer = server.http.post(
            "/tokenize", json={"model": uid, "prompt": prompt, "add_special_tokens": False}
        )
        return list(answer.json()["tokens"])

    before, behind, (pre, suf, mid) = ids(BEFORE), ids(BEHIND), [ids(text)[0] for text in FIM]
    asked: dict[str, Any] = {"model": uid, "temperature": 0, "max_tokens": 8}
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0) as client:
        filled = client.completions.create(prompt=BEFORE, suffix=BEHIND, **asked)
        spelled = client.completions.create(prompt=[pre, *before, suf, *behind, mid], **asked)
        assert filled.choices[0].text == spelled.choices[0].text
        assert filled.usage.prompt_tokens == spelled.usage.prompt_tokens
        plain = client.completions.create(prompt=BEFORE, **asked)
        assert plain.choices[0].text != filled.choices[0].text
        several = client.completions.create(prompt=[BEFORE, "x"], suffix=BEHIND, n=2, **asked)
        assert [choice.text for choice in several.choices[:2]] == [filled.choices[0].text] * 2
    server.terminate(uid)


def test_a_model_that_cannot_says_so(server: Server) -> None:
    uid = server.launch(model_uid="no-coder")
    answer = server.http.post("/v1/completions", json={"model": uid, "prompt": "a", "suffix": "b"})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "suffix"
    server.terminate(uid)
