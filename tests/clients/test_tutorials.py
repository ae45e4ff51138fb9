"""What tutorials of other projects have people do, from start to end: a server with a home, a hub
and a key, models by their names, then FastGPT's and One-API's curl, and Dify's form."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import requests

from tests.support.fake_hub import FakeHub, fake_hub
from tests.support.gguf_models import script_model
from tests.support.server import Server, running_server

KEY = "sk-of-the-server"
REPO = "Xorbits/Qwen-14B-Chat-GGUF"
ANSWER = "Hello there"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeHub]:
    file = script_model(tmp_path_factory.mktemp("hub") / "a.gguf", [b"Hello", b" ", b"there"])
    with fake_hub() as hub:
        hub.add(REPO, {"Qwen-14B-Chat.Q4_K_M.gguf": file.read_bytes()})
        yield hub


def command(server: Server, words: str) -> str:
    """What a command prints."""
    done = subprocess.run(
        [sys.executable, "-m", "xinfer.deploy.cli", *words.split()],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "XINFERENCE_ENDPOINT": server.url, "XINFERENCE_API_KEY": KEY},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def server(hub: FakeHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """XINFERENCE_HOME=… XINFERENCE_MODEL_SRC=modelscope XINFERENCE_API_KEY=… xinference-local, and
    a model of each kind that tutorials launch."""
    own = {"HF_HOME": "/nowhere", "MODELSCOPE_CACHE": "/nowhere"}
    chosen = {"XINFERENCE_MODEL_SRC": "modelscope", "XINFERENCE_API_KEY": KEY}
    home = tmp_path_factory.mktemp("home")
    with running_server(home=home, **hub.environment, **own, **chosen) as server:
        flags = "--size-in-billions 14 --model-format ggufv2 --quantization Q4_K_M --replica 1"
        said = command(server, f"launch --model-name qwen-chat --model-uid qwen-chat {flags}")
        assert said == "Model uid: qwen-chat\n"
        for name, kind in (("tiny-embed", "embedding"), ("tiny-rerank", "rerank")):
            command(server, f"launch --model-name {name} --model-type {kind}")
        yield server


def curl(url: str, body: dict[str, Any], key: str = KEY) -> Any:
    """As tutorials have it: `curl --location --request POST …`."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    flags = [word for name in headers for word in ("--header", f"{name}: {headers[name]}")]
    done = subprocess.run(
        [
            "curl",
            "-s",
            "--location",
            "--request",
            "POST",
            url,
            *flags,
            "--data-raw",
            json.dumps(body),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return json.loads(done.stdout)


def test_weights_come_from_modelscope_into_the_home(server: Server, hub: FakeHub) -> None:
    assert hub.requests
    assert all(request.path.startswith("/api/v1/models/") for request in hub.requests)
    (file,) = (server.home / "cache/modelscope").rglob("*.gguf")
    assert Path(os.path.realpath(file)).is_relative_to(os.path.realpath(server.home))


def test_one_apis_curl(server: Server) -> None:
    """A channel of the type OpenAI: base URL without /v1, any models, the key."""
    body = {"model": "qwen-chat", "messages": [{"role": "user", "content": "Hello!"}]}
    answer = curl(f"{server.url}/v1/chat/completions", body)
    assert answer["choices"][0]["message"]["content"] == ANSWER
    assert answer["usage"]["total_tokens"] > 0
    refused = curl(f"{server.url}/v1/chat/completions", body, key="sk-of-somebody")
    assert refused["error"]["code"] == "invalid_api_key"


def test_fastgpts_curl(server: Server) -> None:
    """A language model and an index model by One-API, a rerank model by its request URL."""
    body: dict[str, Any] = {"model": "tiny-embed", "input": ["my bike is broken"]}
    vector = curl(f"{server.url}/v1/embeddings", body)["data"][0]["embedding"]
    assert all(isinstance(number, float) for number in vector)
    body = {"model": "tiny-rerank", "query": "my bike is broken"}
    body["documents"] = ["cheap flights", "how to mend a bicycle"]
    results = curl(f"{server.url}/v1/rerank", body)["results"]
    assert [one["index"] for one in results] == [1, 0]
    assert results[0]["relevance_score"] > results[1]["relevance_score"]


def test_difys_form(server: Server) -> None:
    """Server URL, model UID and API key; then what its plugin does with these."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the package itself
        from xinference_client import RESTfulClient

        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {KEY}"
            kinds = {}
            for uid in ("qwen-chat", "tiny-embed", "tiny-rerank"):
                answer = session.get(f"{server.url}/v1/models/{uid}", timeout=10)
                assert answer.status_code == 200
                kinds[uid] = answer.json()["model_type"]
        assert kinds == {"qwen-chat": "LLM", "tiny-embed": "embedding", "tiny-rerank": "rerank"}
        client = RESTfulClient(server.url, KEY)
        vectors = client.get_model("tiny-embed").create_embedding(["ping"])
        assert vectors["usage"]["total_tokens"] > 0
        ranked = client.get_model("tiny-rerank").rerank(
            ["cheap flights", "how to mend a bicycle"], "my bike is broken", top_n=1
        )
        assert ranked["results"][0]["index"] == 1
        with pytest.raises(RuntimeError, match="does not know that key"):
            RESTfulClient(server.url, "sk-of-somebody").get_model("qwen-chat")
        client.close()
        del client
        gc.collect()  # while the filter holds
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY) as chat:
        stream = chat.chat.completions.create(
            model="qwen-chat",
            messages=[{"role": "user", "content": "Hello!"}],
            stream=True,
            temperature=0.01,
            user="me",
        )
        assert (
            "".join(one.choices[0].delta.content or "" for one in stream if one.choices) == ANSWER
        )
