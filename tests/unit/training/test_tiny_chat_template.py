"""The chat template of tiny-chat renders whatever clients send."""

from __future__ import annotations

from typing import Any

import pytest
from jinja2 import TemplateError

from training.tiny_chat.template import render

NO_THOUGHT = "<|im_start|>assistant\n<think>\n\n</think>\n\n"
WEATHER = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}},
}


def call(arguments: Any) -> dict[str, Any]:
    function = {"name": "get_weather", "arguments": arguments}
    return {"id": "c1", "type": "function", "function": function}


def test_a_question_ends_in_an_empty_thought() -> None:
    prompt = render([{"role": "user", "content": "Hello!"}])
    assert prompt == "<|im_start|>user\nHello!<|im_end|>\n" + NO_THOUGHT


def test_thinking_leaves_the_thought_to_the_model() -> None:
    prompt = render([{"role": "user", "content": "Hello!"}], enable_thinking=True)
    assert prompt.endswith("<|im_start|>assistant\n")


def test_system_and_tools_share_the_first_message() -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    prompt = render(messages, [WEATHER])
    assert prompt.startswith("<|im_start|>system\nBe brief.\n\n# Tools\n")
    assert '<tools>\n{"type": "function", "function": {"name": "get_weather"' in prompt
    assert prompt.count("<|im_start|>system") == 1


def test_a_later_system_message_keeps_its_place() -> None:
    messages = [{"role": "user", "content": "Hi"}, {"role": "developer", "content": "Be brief."}]
    assert "Hi<|im_end|>\n<|im_start|>system\nBe brief.<|im_end|>\n" in render(messages)


@pytest.mark.parametrize("arguments", ['{"city": "上海"}', {"city": "上海"}])
def test_a_past_call_is_written_as_the_model_writes_it(arguments: Any) -> None:
    history = [{"role": "assistant", "content": None, "tool_calls": [call(arguments)]}]
    expected = (
        '<|im_start|>assistant\n<tool_call>\n{"name": "get_weather", "arguments": '
        '{"city": "上海"}}\n</tool_call><|im_end|>\n'
    )
    assert expected in render(history)


@pytest.mark.parametrize("arguments", ["", None, {}])
def test_a_call_without_arguments_has_an_empty_object(arguments: Any) -> None:
    history = [{"role": "assistant", "content": "", "tool_calls": [call(arguments)]}]
    assert '{"name": "get_weather", "arguments": {}}' in render(history)


def test_results_of_parallel_calls_share_one_turn() -> None:
    history = [
        {"role": "assistant", "content": "", "tool_calls": [call("{}"), call("{}")]},
        {"role": "tool", "content": "sunny"},
        {"role": "tool", "content": "rainy"},
        {"role": "user", "content": "Thanks"},
    ]
    expected = (
        '</tool_call>\n<tool_call>\n{"name": "get_weather", "arguments": {}}\n</tool_call>'
        "<|im_end|>\n<|im_start|>user\n<tool_response>\nsunny\n</tool_response>"
        "\n<tool_response>\nrainy\n</tool_response><|im_end|>\n<|im_start|>user\nThanks"
    )
    assert expected in render(history)


def test_past_thoughts_are_left_out() -> None:
    history = [{"role": "assistant", "content": "<think>\nhm\n</think>\n\nYes."}]
    assert render(history).startswith("<|im_start|>assistant\nYes.<|im_end|>\n")


def test_text_parts_are_joined() -> None:
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    assert "<|im_start|>user\nHello<|im_end|>" in render([{"role": "user", "content": parts}])


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(TemplateError, match=r"role must be system, .* not narrator"):
        render([{"role": "narrator", "content": "Once upon a time"}])
