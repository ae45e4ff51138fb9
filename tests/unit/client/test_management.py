"""What the management calls send and what they return."""

from __future__ import annotations

from typing import Any

import pytest

from xinfer.client import management
from xinfer.client.wire import Call


def test_a_plain_launch_sends_the_name_and_the_defaults() -> None:
    call = management.launch_model("tiny-chat")
    assert (call.method, call.path, call.params) == ("POST", "/v1/models", None)
    assert call.body == {
        "model_name": "tiny-chat",
        "model_type": "LLM",
        "replica": 1,
        "n_worker": 1,
        "n_gpu": "auto",
    }
    assert call.result({"model_uid": "tiny-chat"}) == "tiny-chat"


def test_launching_on_the_processor_sends_an_explicit_null() -> None:
    body = management.launch_model("m", n_gpu=None).body
    assert body is not None
    assert body["n_gpu"] is None


def test_further_arguments_are_engine_options_and_wait_ready_is_not() -> None:
    call = management.launch_model("m", model_uid="u", wait_ready=False, n_ctx=512, seed=None)
    assert call.params == {"wait_ready": "false"}
    assert call.body is not None
    assert call.body["model_uid"] == "u"
    assert call.body["n_ctx"] == 512
    assert call.body["seed"] is None
    assert "wait_ready" not in call.body


@pytest.mark.parametrize(
    ("size", "sent"), [(7, 7), (7.0, 7), (1.8, "1.8"), ("0_5", "0_5"), ("1.8", "1.8")]
)
def test_sizes_are_whole_numbers_or_text(size: int | str | float, sent: int | str) -> None:
    body = management.launch_model("m", model_size_in_billions=size).body
    assert body is not None
    assert body["model_size_in_billions"] == sent


@pytest.mark.parametrize(
    ("call", "method", "path"),
    [
        (management.describe_model("a/b?c"), "GET", "/v1/models/a%2Fb%3Fc"),
        (management.terminate_model("u"), "DELETE", "/v1/models/u"),
        (management.get_launch_model_progress("u"), "GET", "/v1/models/u/progress"),
        (management.cancel_launch_model("u"), "POST", "/v1/models/u/cancel"),
        (management.get_model_replicas("u"), "GET", "/v1/models/u/replicas"),
        (management.scale_model("u", 2), "PATCH", "/v1/models/u"),
        (management.add_model_replica("u"), "POST", "/v1/models/u/replicas"),
        (management.terminate_model_replica("u", 3), "DELETE", "/v1/models/u/replicas/3"),
        (management.get_model_logs("u"), "GET", "/v1/models/u/logs"),
        (management.abort_request("u", "r/1"), "POST", "/v1/models/u/requests/r%2F1/abort"),
        (management.get_workers_info(), "GET", "/v1/workers"),
        (management.get_autostart_config(), "GET", "/v1/autostart/models"),
        (management.get_autostart_model_summary(), "GET", "/v1/autostart/models/summary"),
        (management.upsert_autostart_model({}), "POST", "/v1/autostart/models"),
        (management.remove_autostart_model("a/b"), "DELETE", "/v1/autostart/models/a%2Fb"),
        (management.get_supervisor_info(), "GET", "/v1/supervisor"),
        (management.drain_worker("10.0.0.1:1"), "POST", "/v1/workers/10.0.0.1%3A1/drain"),
        (management.abort_cluster(), "DELETE", "/v1/clusters"),
        (
            management.get_model_registration("LLM", "q w"),
            "GET",
            "/v1/model_registrations/LLM/q%20w",
        ),
    ],
)
def test_names_are_quoted_in_paths(call: Call[Any], method: str, path: str) -> None:
    assert (call.method, call.path) == (method, path)


def test_abort_sends_the_block_duration() -> None:
    assert management.abort_request("u", "r").body == {"block_duration": 30}


def test_instances_are_filtered_by_what_is_named() -> None:
    assert management.get_instance_info("n", "u").params == {"model_name": "n", "model_uid": "u"}
    assert management.get_instance_info(model_uid="u").params == {"model_uid": "u"}
    assert management.get_instance_info().params == {}


def test_details_of_registrations_are_asked_for_only_when_wanted() -> None:
    assert management.list_model_registrations("LLM").params is None
    assert management.list_model_registrations("LLM", True).params == {"detailed": "true"}


def test_a_model_is_registered_and_unregistered() -> None:
    call = management.register_model("LLM", "{}", persist=True)
    assert (call.method, call.path) == ("POST", "/v1/model_registrations/LLM")
    assert call.body == {"model": "{}", "persist": True, "worker_ip": None}
    call = management.unregister_model("LLM", "a b")
    assert (call.method, call.path) == ("DELETE", "/v1/model_registrations/LLM/a%20b")
    assert call.result(None) is None


def test_models_are_listed_by_uid() -> None:
    answer = {"object": "list", "data": [{"id": "a", "model_type": "LLM"}]}
    assert management.list_models().result(answer) == {"a": {"id": "a", "model_type": "LLM"}}


def test_logs_are_one_entry_a_replica() -> None:
    answer = {"replicas": [{"replica_id": 0, "lines": ["x"]}]}
    assert management.get_model_logs("u").result(answer) == [{"replica_id": 0, "lines": ["x"]}]


def test_scaling_sends_what_is_to_change_alone() -> None:
    assert management.scale_model("u", 2).body == {"replica": 2}
    assert management.scale_model("u", max_queue=0).body == {"max_queue": 0}


def test_adding_a_replica_sends_what_xinferences_client_sends() -> None:
    assert management.add_model_replica("u").body == {}
    config = {"replica_uid": "mine", "devices": [{"worker_ip": "10.0.0.2"}]}
    body = management.add_model_replica("u", config, replica=2, n_gpu=0).body
    assert body == {"replica_config": config, "replica": 2, "n_gpu": 0}
    assert management.terminate_model_replica("u", 0).result({"remaining_replicas": 1}) == 1
