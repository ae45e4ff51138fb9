"""The corpus of tiny-chat: it is well-formed, and what is scored as unseen is unseen."""

from __future__ import annotations

import json
import re
from random import Random
from typing import Any

import pytest

from training.tiny_chat.corpus import CORPUS, intents, read_sections, values
from training.tiny_chat.samples import sample
from training.tiny_chat.score import PROMPTS
from training.tiny_chat.tool_samples import functions, made_up_function, make_call, value_of
from training.tiny_chat.wording import made_up_phrase, made_up_word, phrases, plain_words, vary

PROMPT_SET: dict[str, Any] = json.loads(PROMPTS.read_text(encoding="utf-8"))
PARAPHRASES = [p["messages"][-1]["content"] for p in PROMPT_SET["questions"] if p["paraphrase"]]


def normal(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text).strip().lower()


def test_the_prompts_are_sixty_questions_twenty_paraphrases_and_ten_tool_calls() -> None:
    assert len(PROMPT_SET["questions"]) == 60
    assert len(PARAPHRASES) == 20
    assert len(PROMPT_SET["tool_calls"]) == 10
    ids = [p["id"] for part in PROMPT_SET.values() for p in part]
    assert len(set(ids)) == 70


def test_no_paraphrase_is_a_question_of_the_corpus() -> None:
    asked = {normal(question) for intent in intents() for question in intent.questions}
    for intent in intents():
        for way in phrases("ask", intent.language):
            asked |= {normal(way.format(term)) for term in intent.terms}
    for language in ("en", "zh"):
        asked |= set(map(normal, values(read_sections("offtopic.md")["questions"], language)))
    assert not asked & set(map(normal, PARAPHRASES))


def test_no_paraphrase_comes_out_of_the_generator() -> None:
    random = Random(2024)
    paraphrases = set(map(normal, PARAPHRASES))
    for _ in range(5000):
        for message in sample(random).messages:
            assert normal(message["content"] or "") not in paraphrases


def test_no_text_value_of_a_tool_prompt_is_in_the_corpus() -> None:
    corpus = "\n".join(path.read_text(encoding="utf-8") for path in CORPUS.iterdir())
    for prompt in PROMPT_SET["tool_calls"]:
        for value in prompt["call"]["arguments"].values():
            if isinstance(value, str):
                assert not re.search(rf"\b{re.escape(value)}\b", corpus), value


@pytest.mark.parametrize("question", PROMPT_SET["questions"], ids=lambda p: p["id"])
def test_some_answer_of_the_corpus_has_the_keywords_of_each_question(
    question: dict[str, Any],
) -> None:
    answers = [intent.answer for intent in intents()]
    answers += [values(read_sections("offtopic.md")["answer"], lang)[0] for lang in ("en", "zh")]
    wanted = [word for word in question.get("all", []) if word not in ("<think>", "</think>")]
    assert any(all(word in answer for word in wanted) for answer in answers)


def test_every_intent_is_asked_in_both_languages() -> None:
    by_language = {
        language: [intent for intent in intents() if intent.language == language]
        for language in ("en", "zh")
    }
    assert [i.id for i in by_language["en"]] == [i.id for i in by_language["zh"]]
    assert len(by_language["en"]) >= 60
    assert all(intent.terms or intent.questions for intent in intents())


def test_every_sentence_of_a_tool_mentions_every_parameter() -> None:
    for function in functions():
        names = sorted(name for name, _, _ in function.parameters)
        for said in function.says["en"] + function.says["zh"]:
            assert sorted(re.findall(r"{(\w+)}", said)) == names, said


def test_a_call_copies_its_values_from_what_was_said() -> None:
    random = Random(7)
    for _ in range(300):
        call = make_call(made_up_function(random), random.choice(("en", "zh")), random)
        for value in call.arguments.values():
            assert str(value) in call.said


def test_parameters_of_made_up_functions_have_names_that_no_corpus_lists() -> None:
    random = Random(11)
    listed = set(values(read_sections("tools.md")["words"], "param"))
    names = {name for _ in range(200) for name, _, _ in made_up_function(random).parameters}
    assert len(names - listed) > 100


def test_values_come_in_either_script_whatever_the_language_of_the_sentence() -> None:
    random = Random(12)
    for language in ("en", "zh"):
        latin = [str(value_of("place", language, random)).isascii() for _ in range(400)]
        other = latin.count(language == "zh")
        assert 20 < other < 120


def test_made_up_words_often_begin_like_a_common_word_and_go_on_otherwise() -> None:
    random = Random(13)
    common = tuple(word for word in plain_words() if len(word) > 3)
    made_up = {made_up_word(random, "en") for _ in range(400)} - set(common)
    assert sum(word.startswith(common) for word in made_up) > 40


def test_made_up_phrases_often_keep_common_words_in_the_order_in_which_they_are_written() -> None:
    random = Random(14)
    texts = [intent.answer for intent in intents() if intent.language == "en"]
    texts += [v for s in read_sections("offtopic.md").values() for v in values(s, "en")]
    written = f" {' '.join(map(normal, texts))} "
    made_up = [made_up_phrase(random, "en") for _ in range(400)]
    assert all(phrase == phrase.strip() and phrase for phrase in made_up)
    assert sum(" " in phrase and f" {phrase} " in written for phrase in made_up) > 40


def test_the_same_seed_makes_the_same_conversations() -> None:
    one, two = Random(5), Random(5)
    assert [sample(one) for _ in range(50)] == [sample(two) for _ in range(50)]


def test_variation_never_empties_a_question() -> None:
    random = Random(3)
    for intent in intents():
        for question in intent.questions:
            assert normal(vary(question, intent.language, random))


def test_a_line_that_is_no_key_and_value_is_reported(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad.md").write_text("# Bad\n\n## section\nno colon here\n", encoding="utf-8")
    monkeypatch.setattr("training.tiny_chat.corpus.CORPUS", tmp_path)
    with pytest.raises(ValueError, match=r"bad\.md:4: expected 'key: value'"):
        read_sections("bad.md")
