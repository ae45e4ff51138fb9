from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from xinfer.errors import InvalidRequest
from xinfer.model.llm.pipeline.template import MAX_SOURCE, ChatTemplate, RenderedTooLong

CHATML = """
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
"""
HELLO = [{"role": "user", "content": "Hello!"}]


def template(source: str, *, max_length: int = 10_000, **special_tokens: str) -> ChatTemplate:
    return ChatTemplate(source, special_tokens, max_length=max_length)


def render(source: str, messages: list[dict[str, Any]] = HELLO, **options: Any) -> str:
    return template(source, bos_token="<s>").render(messages, options)


def test_earlier_thoughts_have_the_name_that_the_template_has_for_them() -> None:
    source = "{% for message in messages %}{{ message.thinking }}{{ message.content }}{% endfor %}"
    thought = {"role": "assistant", "content": "", "reasoning_content": "Hm."}
    template = ChatTemplate(source, {}, max_length=1000)
    assert template.render([thought], {}) == "Hm."
    assert template.render([{**thought, "content": "Yes."}], {}) == "Yes."


def test_messages_become_a_prompt_that_ends_where_the_answer_begins() -> None:
    messages = [{"role": "system", "content": "Be brief."}, *HELLO]
    assert render(CHATML, messages) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\nHello!<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_blocks_leave_no_white_space_behind() -> None:
    source = "{% if true %}\na\n   {% endif %}\nb"
    assert render(source) == "a\nb"


def test_special_tokens_and_options_are_variables() -> None:
    source = "{{ bos_token }}{% if enable_thinking is defined and enable_thinking %}T{% endif %}"
    assert render(source) == "<s>"
    assert render(source, enable_thinking=True) == "<s>T"


def test_tools_and_documents_are_defined_and_none() -> None:
    assert render("{{ tools is none }} {{ documents is none }}") == "True True"


def test_tojson_writes_what_models_were_trained_to_see() -> None:
    messages = [{"role": "user", "content": "<b> & 中", "n": {"b": 1, "a": 2}}]
    assert render("{{ messages[0].content | tojson }}", messages) == '"<b> & 中"'
    assert render("{{ messages[0].n | tojson(indent=1) }}", messages) == ('{\n "b": 1,\n "a": 2\n}')


def test_loop_controls_and_the_generation_tag_are_known() -> None:
    source = (
        "{% for n in [1, 2, 3] %}{% if n == 2 %}{% continue %}{% endif %}{{ n }}{% endfor %}"
        "{% generation %}said{% endgeneration %}"
    )
    assert render(source) == "13said"


def test_strftime_now_gives_the_date() -> None:
    before = datetime.now().strftime("%Y")
    rendered = render("{{ strftime_now('%Y') }}")
    assert rendered in {before, datetime.now().strftime("%Y")}


def test_the_templates_own_refusal_reaches_the_user() -> None:
    with pytest.raises(InvalidRequest, match="roles must alternate") as caught:
        render("{{ raise_exception('roles must alternate') }}")
    assert caught.value.param == "messages"


def test_an_error_inside_the_template_is_the_requests_error() -> None:
    with pytest.raises(InvalidRequest, match="can only concatenate str") as caught:
        render(CHATML, [{"role": "user", "content": None}])
    assert caught.value.param == "messages"


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{% for i in range(1000000) %}{% endfor %}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
    ],
)
def test_the_sandbox_refuses_what_a_template_has_no_business_with(source: str) -> None:
    with pytest.raises(InvalidRequest):
        render(source)


@pytest.mark.parametrize(
    "name", ["messages", "add_generation_prompt", "tools", "bos_token", "raise_exception"]
)
def test_options_cannot_replace_what_the_server_sets(name: str) -> None:
    with pytest.raises(InvalidRequest, match=name) as caught:
        template(CHATML, bos_token="<s>").render(HELLO, {name: None})
    assert caught.value.param == "chat_template_kwargs"


def test_a_source_that_is_not_jinja_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="not valid"):
        template("{% if %}")


def test_a_source_of_excessive_length_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=str(MAX_SOURCE)):
        template(" " * (MAX_SOURCE + 1))


def test_rendering_is_given_up_at_the_length_limit() -> None:
    source = "{% for i in range(90000) %}{% for j in range(90000) %}x{% endfor %}{% endfor %}"
    with pytest.raises(RenderedTooLong):
        template(source, max_length=500).render(HELLO, {})


PARTS = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]


def test_text_parts_are_joined_for_a_template_that_takes_strings() -> None:
    assert render("{{ messages[0].content }}", [{"role": "user", "content": PARTS}]) == "one\ntwo"


def test_a_template_that_takes_only_parts_is_given_parts() -> None:
    source = "{% for part in messages[0].content %}[{{ part['text'] }}]{% endfor %}"
    assert render(source) == "[Hello!]"
    assert render(source, [{"role": "user", "content": PARTS}]) == "[one\ntwo]"


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:,"}},
        {"type": "text"},
        {"type": "text", "text": 1},
        "text",
    ],
)
def test_a_part_that_is_not_text_is_named(part: Any) -> None:
    messages: list[dict[str, Any]] = [*HELLO, {"role": "user", "content": [PARTS[0], part]}]
    with pytest.raises(InvalidRequest, match=r"messages\[1\]\.content\[1\]") as caught:
        render(CHATML, messages)
    assert caught.value.param == "messages[1].content[1]"


def test_a_developer_is_the_system_where_the_template_knows_no_other_name() -> None:
    messages = [{"role": "developer", "content": "Be brief."}]
    assert render("{{ messages[0].role }}", messages) == "system"
    assert render("{# developer #}{{ messages[0].role }}", messages) == "developer"
    assert messages[0]["role"] == "developer"


def called(arguments: str, id: str = "call_1") -> list[dict[str, Any]]:
    function = {"name": "f", "arguments": arguments}
    return [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": id, "function": function}]},
        {"role": "tool", "tool_call_id": id, "content": "1"},
    ]


CALLS = "{% for m in messages %}{% for c in m.tool_calls or [] %}"


def test_arguments_of_earlier_calls_are_objects_unless_the_template_wants_text() -> None:
    objects = CALLS + "{{ c.function.arguments | tojson }}{% endfor %}{% endfor %}"
    assert template(objects).render(called('{"a": "é"}'), {}) == '{"a": "é"}'
    assert template(objects).render(called(""), {}) == "{}"
    text = CALLS + "{{ 'x' + c['function']['arguments'] }}{% endfor %}{% endfor %}"
    assert template(text).render(called('{"a":  1}'), {}) == 'x{"a":  1}'
    either = CALLS + "{% if c.function.arguments is string %}S{% endif %}{% endfor %}{% endfor %}"
    assert template(either).render(called("not json"), {}) == "S"


def test_text_that_a_call_comes_without_is_empty_where_the_template_wants_text() -> None:
    shown = CALLS + "{{ c.function.arguments | tojson }}{% endfor %}"
    text = shown + "{{ '[' + m.content + ']' }}{% endfor %}"
    assert template(text).render(called("{}"), {}) == "[hi]{}[][1]"
    missing = shown + "{% if m.content is none %}-{% endif %}{% endfor %}"
    assert template(missing).render(called("{}"), {}) == "{}-"


def test_ids_of_calls_are_short_where_the_template_wants_that() -> None:
    source = (
        CALLS + "{% if c.id | length != 9 %}{{ raise_exception('id') }}{% endif %}{{ c.id }}"
        "{% endfor %}{% if m.tool_call_id is defined %}={{ m.tool_call_id }}{% endif %}{% endfor %}"
    )
    made, answered = template(source).render(called("{}", "call_of_another"), {}).split("=")
    assert made == answered
    assert len(made) == 9
    assert template(source).render(called("{}", "abcdefgh1"), {}) == "abcdefgh1=abcdefgh1"


def test_it_is_known_whether_functions_are_shown() -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    shows = template("{% for t in tools or [] %}{{ t.function.name }}{% endfor %}.")
    assert shows.takes_tools
    assert shows.render([{"role": "user", "content": "hi"}], {}, [tool]) == "f."
    assert not template("{{ messages[0].content }}").takes_tools
