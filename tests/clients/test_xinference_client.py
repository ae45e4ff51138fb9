"""xinference-client, unmodified, and our own client under the incumbent's name."""

from __future__ import annotations

import gc
import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_hub import fake_hub
from tests.support.server import Server, running_server
from tests.support.waiting import eventually
from xinfer.model.catalog.catalogue import find_builtin
from xinfer.model.hub.fetch import fetch
from xinfer.settings import Settings
from xinfer.types.model import ModelSpec, Source

# The third-party client leaves its connections to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(params=["xinference_client", "xinference.client"])
def client(request: pytest.FixtureRequest, server: Server) -> Iterator[Any]:
    made = importlib.import_module(request.param).RESTfulClient(server.url)
    yield made
    made.close()
    gc.collect()  # while the filters above hold


def test_launch_chat_stream_generate_list_terminate(client: Any) -> None:
    uid = client.launch_model(model_name="echo", model_type="LLM", model_uid="classic")
    assert uid == "classic"
    assert client.list_models()[uid]["model_name"] == "echo"
    assert client.describe_model(uid)["model_type"] == "LLM"
    model = client.get_model(uid)
    answer = model.chat(
        messages=[{"role": "user", "content": "hello there"}],
        generate_config={"max_tokens": 64, "temperature": 0.1},
    )
    assert answer["choices"][0]["message"]["content"] == "hello there"
    chunks = list(
        model.chat(
            messages=[{"role": "user", "content": "hello there"}],
            generate_config={"stream": True},
        )
    )
    text = "".join(
        choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]
    )
    assert text == "hello there"
    assert model.generate("plain")["choices"][0]["text"] == "plain"
    info = client.get_instance_info(model_name="echo", model_uid=uid)
    assert info[0]["status"] == "READY"
    client.terminate_model(uid)
    eventually(lambda: uid not in client.list_models(), 20)


def test_launch_without_waiting_and_watch_the_progress(client: Any, server: Server) -> None:
    uid = client.launch_model(
        model_name="echo", model_uid="classic-slow", load_seconds=0.5, wait_ready=False
    )
    seen = []

    def ready() -> bool:
        seen.append(client.get_launch_model_progress(uid)["progress"])
        return bool(client.get_instance_info("echo", uid)[0]["status"] == "READY")

    eventually(ready, 30)
    assert all(0 <= progress <= 1 for progress in seen)
    assert seen == sorted(seen)
    server.terminate(uid)


def test_errors_carry_the_detail(client: Any, server: Server) -> None:
    with pytest.raises(RuntimeError, match="nothing-like-it"):
        client.launch_model(model_name="nothing-like-it")
    with pytest.raises(RuntimeError, match="missing"):
        client.get_model("missing")
    with pytest.raises(RuntimeError, match="model_uid"):
        client.launch_model(model_name="echo", model_uid="a/b")
    uid = client.launch_model(model_name="echo", model_uid="twice")
    with pytest.raises(RuntimeError, match="twice"):
        client.launch_model(model_name="echo", model_uid="twice")
    server.terminate(uid)


def test_cancelled_launches_end(client: Any, server: Server) -> None:
    uid = client.launch_model(
        model_name="echo", model_uid="cancelled", load_seconds=60, wait_ready=False
    )
    client.cancel_launch_model(uid)
    eventually(lambda: not server.instances(uid), 20)


def test_a_model_of_ones_own_is_registered_launched_and_let_go(client: Any) -> None:
    weights = find_builtin("tiny-chat").variants[0].local_path  # type: ignore[union-attr]
    description = {
        "version": 2,
        "model_name": "my-tiny",
        "model_lang": ["en"],
        "model_ability": ["chat"],
        "model_family": "tiny-chat",
        "context_length": 512,
        "model_specs": [
            {
                "model_format": "ggufv2",
                "model_size_in_billions": "0_002",
                "quantization": "F16",
                "model_uri": f"file://{weights}",
            }
        ],
    }
    assert client.register_model("LLM", json.dumps(description), persist=False) is None
    try:
        listed = client.list_model_registrations("LLM")
        assert {"model_name": "my-tiny", "is_builtin": False} in listed
        one = client.get_model_registration("LLM", "my-tiny")
        assert one["model_specs"][0]["model_uri"] == f"file://{weights}"
        with pytest.raises(RuntimeError, match="is registered already"):
            client.register_model("LLM", json.dumps(description), persist=False)
        uid = client.launch_model(model_name="my-tiny", model_uid="my-tiny", n_ctx=256)
        described = client.describe_model(uid)
        assert (described["model_name"], described["model_format"]) == ("my-tiny", "ggufv2")
        answer = client.get_model(uid).chat(messages=[{"role": "user", "content": "Hi"}])
        assert answer["choices"][0]["message"]["content"]
        client.terminate_model(uid)
    finally:
        client.unregister_model("LLM", "my-tiny")
    assert "my-tiny" not in [one["model_name"] for one in client.list_model_registrations("LLM")]
    with pytest.raises(RuntimeError, match="model_specs"):
        client.register_model("LLM", '{"model_name": "x", "model_specs": 7}', persist=False)


def test_replicas_are_added_and_removed_one_by_one(client: Any, server: Server) -> None:
    uid = client.launch_model(model_name="echo", model_type="LLM", model_uid="grows")
    added = client.add_model_replica(uid)
    assert sorted(added) == ["replica_id", "replica_model_uid", "worker_address"]
    assert added["replica_id"] == 1
    named = client.add_model_replica(
        uid, {"replica_uid": "mine", "devices": [{"worker_ip": "127.0.0.1"}]}
    )
    pids = {each["replica_id"]: each["pid"] for each in server.replicas(uid)}
    assert client.terminate_model_replica(uid, 1) == 2
    (instance,) = client.get_instance_info(model_name="echo", model_uid=uid)
    assert (instance["status"], instance["replica"]) == ("READY", 2)
    left = {each["replica_id"]: each for each in server.replicas(uid)}
    assert left.keys() == {0, named["replica_id"]}
    assert {number: left[number]["pid"] for number in left} == {n: pids[n] for n in left}
    assert left[named["replica_id"]]["replica_uid"] == "mine"
    with pytest.raises(RuntimeError, match="has no replica 1; it has 0, 2"):
        client.terminate_model_replica(uid, 1)
    assert client.terminate_model_replica(uid, 0) == 1
    assert client.terminate_model_replica(uid, 2) == 0
    assert uid not in client.list_models()


@pytest.mark.parametrize("module", ["xinference_client", "xinference.client"])
def test_what_is_cached_is_listed_and_removed(module: str, tmp_path: Path) -> None:
    with fake_hub() as hub, running_server(home=tmp_path) as server:
        hub.add("owner/name", {"config.json": b"{}", "model.safetensors": b"weights"})
        pull(Settings(home=str(tmp_path), hf_endpoint=hub.endpoint), "owner/name")
        client = importlib.import_module(module).RESTfulClient(server.url)
        (model,) = client.list_cached_models()
        assert client.list_cached_models(model_name=model["model_name"]) == [model]
        assert client.list_cached_models(model_name="another") == []
        version = model["model_version"]
        files = client.list_deletable_models(version)["paths"]
        assert sorted(Path(each).name for each in files) == ["config.json", "model.safetensors"]
        assert all(Path(each).is_file() for each in files)
        assert client.confirm_and_remove_model(version) is True
        assert client.list_cached_models() == []
        with pytest.raises(RuntimeError, match="in its cache"):
            client.confirm_and_remove_model(version)
        client.close()
        gc.collect()


def pull(settings: Settings, repo: str) -> None:
    source = Source(hub="huggingface", repo=repo)
    model = ModelSpec(name="m", format="pytorch", sources=(source,))
    fetch(model, settings, lambda _: None, lambda: False)


def test_engines_of_a_model_are_told_by_whatever_names_it(client: Any) -> None:
    for name in ("tiny-chat", "Tiny-Chat:F16"):
        answers = client.query_engine_by_model_name(name)
        (form,) = answers["xllamacpp"]
        assert (form["model_name"], form["quantizations"]) == ("tiny-chat", ["F16"])
        assert "loads no model files" in answers["echo"]
    with pytest.raises(RuntimeError, match="There is no model"):
        client.query_engine_by_model_name("no-such-model")
