"""What the launch form says as a command is what it says as a request."""

from __future__ import annotations

import importlib
import json
import shlex
from collections.abc import Mapping
from typing import Any

import pytest
from playwright.sync_api import Locator, Page

from tests.support.server import Server
from xinfer.api.schemas.launch import LaunchBody
from xinfer.deploy.cli import main

CHOSEN = {
    "Model Type": "LLM",
    "Hub": "modelscope",
    "Think before answering": "false",
    "Tell thoughts apart": "false",
    "Tool calls in pieces": "true",
    "Code that comes with the model": "false",
    "commands": "true",
}
TYPED = {
    "Model UID": "my echo",
    "Replica": "2",
    "Path of the files on the server": "/models/it's mine",
    "Further names": "gpt-4o-mini, gpt",
    "Worker": "10.0.0.2",
    "GPU indices": "0,1",
    "Labels of the worker": "zone=a\ndisk=b=c",
    "A place for each replica": '[{"devices": [{"worker_ip": "10.0.0.2"}]}]',
    "Priority": "-3",
    "Requests that may wait": "7",
    "Requests at once": "9",
    "Parser of thoughts": "none",
    "Parser of tool calls": "hermes",
    "LoRA adapters": "polite=/models/polite.gguf",
    "Python packages": "peft==0.17.1\neinops",
    "Directories of packages": "/wheels",
    "Environment variables": "OMP_NUM_THREADS=4",
    "token_interval": "0.5",
    "context_length": "512",
    "fail_on_load": "8",
}
ELSEWHERE = {"model_engine", "model_format", "model_size_in_billions", "quantization"}
"""Fields of the form that the model decides about: `test_launch` fills them in."""
NEEDLESS = {"exist_ok", "n_worker", "keep_alive", "enable_virtual_env"}
"""Fields that change nothing of what a person fills in."""


def test_every_field_of_a_launch_can_be_filled_in_and_copied_as_a_command(
    page: Page, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.goto(f"{server.url}/#/launch/echo")
    form = page.get_by_role("dialog", name="echo")
    form.get_by_text("Advanced options").click()
    form.get_by_role("combobox", name="N-GPU").select_option("none")
    for label, value in CHOSEN.items():
        form.get_by_role("combobox", name=label, exact=True).select_option(value)
    for label, text in TYPED.items():
        form.get_by_role("textbox", name=label, exact=True).fill(text)
    form.get_by_text("The same from a command line").click()
    request = body_of(form.get_by_role("group", name="curl"))
    options = {"commands", "token_interval", "context_length", "fail_on_load"}
    assert request.keys() == (LaunchBody.model_fields.keys() - ELSEWHERE - NEEDLESS) | options
    LaunchBody.model_validate(request)

    words = shlex.split(form.get_by_role("group", name="xinference").inner_text())
    assert sent_by(words, monkeypatch) == request


def body_of(curl: Locator) -> dict[str, Any]:
    """The JSON that a command of curl posts."""
    words = shlex.split(curl.inner_text())
    body: dict[str, Any] = json.loads(words[words.index("-d") + 1])
    return body


def sent_by(words: list[str], monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Any]:
    """What the command asks the server for, without what it says of itself."""
    sent: list[dict[str, Any]] = []
    command = importlib.import_module("xinfer.deploy.cli.launch")

    def launched(_: object, request: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        sent.append(dict(request))
        return "m", {}

    monkeypatch.setattr(command, "launched", launched)
    main(words[1:], standalone_mode=False)
    (request,) = sent
    lora = request["peft_model_config"]
    request["peft_model_config"] = {"lora_list": lora["lora_list"]}
    own = {"wait_ready": False, "n_worker": 1}
    return {
        name: value
        for name, value in request.items()
        if own.get(name, ...) != value and (value is not None or name == "n_gpu")
    }
