"""The committed weights of tiny-chat: size, tokenizer, and the score they shipped with."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from training.tiny_chat.corpus import intents
from training.tiny_chat.score import (
    EQUALITY_MARGIN,
    PROMPTS,
    SCORE,
    WEIGHTS,
    Answer,
    GreedyModel,
    answers_question,
    ask,
    makes_call,
)
from training.tiny_chat.template import TEMPLATE_FILE

FIVE_MEGABYTES = 5_000_000
COMMITTED: dict[str, Any] = json.loads(SCORE.read_text(encoding="utf-8"))
PROMPT_SET: dict[str, Any] = json.loads(PROMPTS.read_text(encoding="utf-8"))
RESCORED = ("hello", "zh-hello", "p-port", "lora-think", "t-weather", "t-order")


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(WEIGHTS.parent / "tokenizer.json"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> GreedyModel:
    return GreedyModel(WEIGHTS, tmp_path_factory.mktemp("llama"))


@pytest.mark.parametrize("name", ["model.safetensors", "tiny-chat-f16.gguf"])
def test_weights_take_at_most_five_megabytes(name: str) -> None:
    assert (WEIGHTS.parent / name).stat().st_size <= FIVE_MEGABYTES


def test_the_committed_score_is_that_of_the_committed_weights() -> None:
    assert COMMITTED["gguf_sha256"] == hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()


def test_the_committed_score_is_that_of_the_committed_prompts() -> None:
    asked = [p["id"] for p in PROMPT_SET["questions"] + PROMPT_SET["tool_calls"]]
    assert [result["id"] for result in COMMITTED["results"]] == asked


def test_the_score_is_high_enough() -> None:
    assert COMMITTED["questions"]["of"] == 60
    assert COMMITTED["questions"]["right"] >= 55
    assert COMMITTED["paraphrases"]["of"] == 20
    assert COMMITTED["tool_calls"]["of"] == 10
    assert COMMITTED["tool_calls"]["right"] >= 9


def test_enough_answers_are_decided_enough_for_equality_tests() -> None:
    by_id = {result["id"]: result for result in COMMITTED["results"]}
    assert len(COMMITTED["equality"]) >= 8
    for prompt_id in COMMITTED["equality"]:
        assert by_id[prompt_id]["right"]
        assert by_id[prompt_id]["margin"] > EQUALITY_MARGIN


@pytest.mark.parametrize("prompt_id", RESCORED)
def test_asking_again_gives_the_committed_answer(model: GreedyModel, prompt_id: str) -> None:
    prompts = PROMPT_SET["questions"] + PROMPT_SET["tool_calls"]
    (prompt,) = (prompt for prompt in prompts if prompt["id"] == prompt_id)
    (committed,) = (result for result in COMMITTED["results"] if result["id"] == prompt_id)
    answer, right = ask(model, prompt)
    assert right
    assert answer.text == committed["answer"]


def test_every_file_has_the_committed_template() -> None:
    template = TEMPLATE_FILE.read_text(encoding="utf-8")
    config = json.loads((WEIGHTS.parent / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert config["chat_template"] == template
    assert template.encode() in WEIGHTS.read_bytes()


def test_the_shape_suits_every_engine() -> None:
    config = json.loads((WEIGHTS.parent / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["Qwen2ForCausalLM"]
    head_dim = config["hidden_size"] // config["num_attention_heads"]
    assert head_dim >= 32
    for width in ("hidden_size", "intermediate_size", "vocab_size"):
        assert config[width] % 32 == 0


@pytest.mark.parametrize(
    "text",
    ["Hello, world!", "你好，世界！", "naïve café 😀", "  two  spaces\n\ttab\r\n", "x = 3.14 # ok"],
)
def test_the_tokenizer_returns_the_text_it_was_given(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_the_tokenizer_returns_every_answer_of_the_corpus(tokenizer: Tokenizer) -> None:
    for intent in intents():
        assert tokenizer.decode(tokenizer.encode(intent.answer).ids) == intent.answer


@pytest.mark.parametrize("value", ["Reykjavik", "哈尔滨", "Quillon"])
def test_a_value_has_the_same_tokens_in_a_sentence_and_in_json(
    tokenizer: Tokenizer, value: str
) -> None:
    tokens = tokenizer.encode(value).tokens
    for text in (f"in {value} ", f'{{"city": "{value}"}}', f"在{value}的"):
        found = tokenizer.encode(text).tokens
        assert any(found[i : i + len(tokens)] == tokens for i in range(len(found))), text


@pytest.mark.parametrize(
    ("text", "finished", "right"),
    [
        ("Port 9997.", True, True),
        ("Port 9997.", False, False),
        ("Port 80.", True, False),
    ],
)
def test_a_question_is_right_with_its_keywords_and_an_end(
    text: str, finished: bool, right: bool
) -> None:
    question = {"all": ["9997"], "any": ["Port", "port"]}
    assert answers_question(question, Answer(text, 1.0, finished)) is right


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ('<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>', True),
        ('<tool_call>\n{"name": "f", "arguments": {"a": "1"}}\n</tool_call>', False),
        ('<tool_call>\n{"name": "f", "arguments": {"a": 1}\n</tool_call>', False),
        ('Sure: <tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>', False),
    ],
)
def test_a_call_is_right_only_when_it_is_exactly_the_expected_one(text: str, right: bool) -> None:
    expected = {"name": "f", "arguments": {"a": 1}}
    assert makes_call(expected, Answer(text, 1.0, True)) is right


@pytest.mark.slow
def test_training_again_reaches_the_same_score(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="training needs the extra [train]")
    from training.tiny_chat.retrain import retrain

    score = retrain(tmp_path)
    assert score["questions"]["right"] >= 55
    assert score["tool_calls"]["right"] >= 9
    assert len(score["equality"]) >= 8
