"""The playground: each type of model, on models that are really there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.actions import answer_of, running_model, say
from tests.browser.conftest import Shoot
from tests.support.gguf_models import random_llama
from tests.support.server import Server

WEATHER = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Weather of a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]
MARKDOWN = """A **bold** word and <img src=x onerror="document.title='broken into'">
![a picture](https://example.com/p.png)

```python
print("hello")
```
"""


@pytest.fixture(scope="module")
def tiny_chat(server: Server) -> Iterator[str]:
    with running_model(server, model_name="tiny-chat", model_uid="try-chat") as uid:
        yield uid


def test_a_model_is_talked_to_and_the_talk_is_there_after_a_reload(
    page: Page, server: Server, tiny_chat: str, shoot: Shoot
) -> None:
    page.goto(f"{server.url}/ui/{tiny_chat}")
    expect(page.get_by_role("combobox", name="Model")).to_have_value(tiny_chat)
    page.get_by_text("Settings: system prompt, sampling, tools").click()
    page.get_by_role("textbox", name="System prompt").fill("You are a helpful assistant.")
    page.get_by_role("textbox", name="temperature").fill("0")
    page.get_by_role("combobox", name="Thinking").select_option("true")
    page.get_by_text("Settings: system prompt, sampling, tools").click()
    say(page, "How do I launch a model?")
    answer = answer_of(page, tiny_chat)
    expect(answer).to_contain_text("Launch it by its repository")
    expect(answer).to_contain_text("tokens/s")
    expect(answer.locator("code")).to_have_text("Qwen/Qwen3-0.6B")
    answer.get_by_text("Thinking").click()
    expect(answer).to_contain_text("The user asks about launching")

    page.get_by_text("The request: POST /v1/chat/completions").click()
    request = page.get_by_role("group", name="curl")
    for part in (
        '"temperature": 0',
        '"enable_thinking": true',
        "You are a helpful assistant.",
        "How do I launch a model?",
    ):
        expect(request).to_contain_text(part)
    page.get_by_text("The request: POST /v1/chat/completions").click()
    shoot("chat")

    page.reload()
    expect(answer_of(page, tiny_chat)).to_contain_text("Launch it by its repository")
    page.get_by_role("button", name="New chat").click()
    expect(page.get_by_text(f"Say something to {tiny_chat}.")).to_be_visible()


def test_a_model_calls_a_function_and_gets_what_it_gives(
    page: Page, server: Server, tiny_chat: str
) -> None:
    page.goto(f"{server.url}/#/playground/{tiny_chat}")
    page.get_by_text("Settings: system prompt, sampling, tools").click()
    page.get_by_role("textbox", name="Tools").fill("{}")
    expect(page.get_by_text("This is not a list in JSON.")).to_be_visible()
    page.get_by_role("textbox", name="Tools").fill(json.dumps(WEATHER))
    page.get_by_role("textbox", name="temperature").fill("0")
    say(page, "What is the weather in Paris?")
    call = page.get_by_role("group", name="Call of get_weather")
    expect(call).to_contain_text('get_weather({"city": "Paris"})')
    page.get_by_role("textbox", name="Result of get_weather").fill('{"celsius": 21}')
    page.get_by_role("button", name="Send results").click()
    expect(page.get_by_role("article", name="Results")).to_contain_text('{"celsius": 21}')
    expect(answer_of(page, tiny_chat)).to_contain_text("tokens")


def test_markdown_is_shown_as_such_and_nothing_in_it_runs_or_is_fetched(
    page: Page, server: Server
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    with running_model(server, model_name="echo", model_uid="writer") as uid:
        page.goto(f"{server.url}/#/playground/{uid}")
        say(page, MARKDOWN)
        answer = answer_of(page, uid)
        expect(answer.locator("strong")).to_have_text("bold")
        expect(answer.locator("pre .hljs-built_in")).to_have_text("print")
        expect(answer.get_by_role("button", name="Copy code")).to_be_visible()
        expect(answer.get_by_role("link", name="a picture")).to_be_visible()
        expect(answer).to_contain_text("<img src=x")
        expect(answer.locator("img")).to_have_count(0)
    assert "broken into" not in page.title()
    assert [url for url in asked if not url.startswith((server.url, "data:"))] == []


def test_stop_ends_a_long_answer_and_keeps_what_was_said(page: Page, server: Server) -> None:
    with running_model(
        server, model_name="echo", model_uid="slow-echo", token_interval=0.05
    ) as uid:
        page.goto(f"{server.url}/#/playground/{uid}")
        say(page, "on and on " * 100)
        answer = answer_of(page, uid)
        expect(answer).to_contain_text("on and on")
        page.get_by_role("button", name="Stop").click()
        expect(answer).to_contain_text("Stopped")
        expect(page.get_by_role("button", name="Send")).to_be_visible()


def test_a_model_that_does_not_chat_goes_on_with_a_text(
    page: Page, server: Server, tmp_path: Path
) -> None:
    model = random_llama(tmp_path / "base.gguf", template=None)
    with running_model(server, model_name=str(model), model_uid="goes-on") as uid:
        page.goto(f"{server.url}/#/playground/{uid}")
        page.get_by_role("textbox", name="Text to go on with").fill("Once upon a time")
        page.get_by_role("textbox", name="max_tokens").fill("8")
        with page.expect_request("**/v1/completions") as asked:
            page.get_by_role("button", name="Go on").click()
        expect(page.get_by_role("region", name="What the model writes")).not_to_be_empty()
        body = {"model": uid, "prompt": "Once upon a time", "max_tokens": 8}
        assert asked.value.post_data_json == body


def test_texts_are_compared(page: Page, server: Server, shoot: Shoot) -> None:
    with running_model(server, model_name="tiny-embed", model_uid="try-embed") as uid:
        page.goto(f"{server.url}/#/playground/{uid}")
        page.get_by_role("textbox", name="Texts").fill("the same\nthe same\nsomething else")
        page.get_by_role("button", name="Compare").click()
        rows = page.get_by_role("region", name="Similarity of the texts").get_by_role("row")
        expect(rows.nth(1).get_by_role("cell").nth(1)).to_have_text("1.000")
        other = rows.nth(1).get_by_role("cell").nth(2).inner_text()
        assert float(other) < 0.99
        shoot("embedding")
        page.get_by_text("The request: POST /v1/embeddings").click()
        expect(page.get_by_role("group", name="curl")).to_contain_text("something else")


def test_documents_are_ranked(page: Page, server: Server) -> None:
    with running_model(server, model_name="tiny-rerank", model_uid="try-rerank") as uid:
        page.goto(f"{server.url}/#/playground/{uid}")
        page.get_by_role("button", name="Rank").click()
        ranked = page.get_by_role("list", name="Documents by relevance").get_by_role("listitem")
        expect(ranked).to_have_count(3)
        expect(ranked.first).to_contain_text("A replica is one copy of a model.")
