"""What people do on the page, and what is there before they come."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Locator, Page

from tests.support.server import Server


@contextmanager
def running_model(server: Server, **launch: Any) -> Iterator[str]:
    """A model launched through the API, for tests of what comes after; terminated at the end."""
    answer = server.http.post("/v1/models", json=launch)
    answer.raise_for_status()
    uid = answer.json()["model_uid"]
    try:
        yield uid
    finally:
        server.http.delete(f"/v1/models/{uid}")


@contextmanager
def registered_model(server: Server, **description: Any) -> Iterator[str]:
    """A language model registered through the API; forgotten at the end."""
    answer = server.http.post(
        "/v1/model_registrations/LLM", json={"model": json.dumps(description)}
    )
    answer.raise_for_status()
    try:
        yield description["model_name"]
    finally:
        server.http.delete(f"/v1/model_registrations/LLM/{description['model_name']}")


def card(page: Page, uid: str) -> Locator:
    """The model's card in Running Models."""
    return page.get_by_role("article", name=uid, exact=True)


def configure(page: Page, name: str) -> Locator:
    """The drawer in which the launch of a model of the catalogue is filled in."""
    page.get_by_role("button", name=name, exact=True).click()
    return page.get_by_role("dialog", name=name)


def say(page: Page, text: str) -> None:
    page.get_by_role("textbox", name="Message").fill(text)
    page.get_by_role("button", name="Send").click()


def answer_of(page: Page, uid: str) -> Locator:
    """The last answer of a model in the conversation."""
    return page.get_by_role("log", name="Conversation").get_by_role("article", name=uid).last
