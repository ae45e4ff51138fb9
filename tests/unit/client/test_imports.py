"""The names that programs import, and what importing them costs."""

from __future__ import annotations

import subprocess
import sys

import xinfer.client
import xinference
import xinference.client
from xinference.client import handlers


def test_the_older_names_are_the_same_classes() -> None:
    for name in xinfer.client.__all__:
        assert getattr(xinference.client, name) is getattr(xinfer.client, name)
    assert xinference.client.RESTfulClient is xinfer.client.Client
    assert xinference.client.AsyncRESTfulClient is xinfer.client.AsyncClient
    assert handlers.ChatModelHandle is xinfer.client.RESTfulChatModelHandle
    assert xinference.__version__ == xinfer.__version__


def test_the_client_imports_nothing_of_the_server() -> None:
    code = "import sys, xinfer.client; print(*sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    modules = output.split()
    ours = {name for name in modules if name.startswith("xinfer.")}
    assert {name for name in ours if not name.startswith("xinfer.client")} == set()
    assert not {"fastapi", "pydantic", "xoscar", "msgspec", "uvicorn"} & set(modules)
