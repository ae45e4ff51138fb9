"""Repositories of both hubs: listed, read in parts, and what is said when they cannot be."""

from __future__ import annotations

import dataclasses
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.support.fake_hub import FakeHub, sha256
from xinfer.errors import Forbidden, InvalidRequest, NotFound, RateLimited, Unavailable, XinferError
from xinfer.model.hub.repository import open_repository
from xinfer.model.hub.sources import first_that_answers, order_sources
from xinfer.settings import Settings
from xinfer.types.model import Source

FILES = {"config.json": b"{}", "model.safetensors": bytes(range(256)) * 40, "a/b c.txt": b"text"}
HF = Source(hub="huggingface", repo="owner/name")
MS = Source(hub="modelscope", repo="owner/name")
BOTH = pytest.mark.parametrize("source", [HF, MS], ids=["huggingface", "modelscope"])


def failure(source: Source, settings: Settings) -> XinferError:
    with pytest.raises(XinferError) as caught:
        open_repository(source, settings)
    return caught.value


@BOTH
def test_a_repository_is_listed_with_sizes_digests_and_commit(
    hub: FakeHub, settings: Settings, source: Source
) -> None:
    repo = hub.add("owner/name", FILES)
    opened = open_repository(source, settings)
    assert opened.revision == repo.commit
    assert {file.name: file.size for file in opened.list()} == {
        name: len(data) for name, data in FILES.items()
    }
    (weights,) = [file for file in opened.list() if file.name == "model.safetensors"]
    assert weights.sha256 == sha256(FILES["model.safetensors"])


@BOTH
@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no-ranges"])
def test_parts_of_a_file_are_read(
    hub: FakeHub, settings: Settings, source: Source, ranges: bool
) -> None:
    hub.add("owner/name", FILES)
    hub.ranges = ranges
    opened = open_repository(source, settings)
    data = FILES["model.safetensors"]
    assert opened.read("model.safetensors", 0, 8) == data[:8]
    assert opened.read("model.safetensors", 300, 500) == data[300:800]
    assert opened.read("model.safetensors", len(data) - 5, 100) == data[-5:]
    assert opened.read("model.safetensors", len(data)) == b""
    assert opened.read("model.safetensors") == data
    assert opened.read("a/b c.txt") == b"text"
    with pytest.raises(NotFound, match="no file absent"):
        opened.read("absent")


@BOTH
def test_a_repository_that_is_not_there(hub: FakeHub, settings: Settings, source: Source) -> None:
    error = failure(source, settings)
    assert isinstance(error, NotFound)
    assert error.code == "model_not_found"
    assert "owner/name is not on" in error.message
    assert "TOKEN" in error.message


@BOTH
def test_a_revision_that_is_not_there(hub: FakeHub, settings: Settings, source: Source) -> None:
    hub.add("owner/name", FILES)
    error = failure(Source(hub=source.hub, repo=source.repo, revision="v9"), settings)
    assert isinstance(error, NotFound)
    if source is HF:
        assert error.code == "revision_not_found"


@BOTH
@pytest.mark.parametrize("token", ["", "wrong"], ids=["no-token", "wrong-token"])
def test_a_gated_repository_names_its_page_and_the_variable(
    hub: FakeHub, settings: Settings, source: Source, token: str
) -> None:
    hub.add("owner/name", FILES, token="secret")
    settings = dataclasses.replace(settings, hf_token=token, modelscope_token=token)
    error = failure(source, settings)
    assert isinstance(error, Forbidden)
    page = f"{hub.endpoint}/owner/name" if source is HF else f"{hub.endpoint}/models/owner/name"
    assert page in error.message
    assert ("HF_TOKEN" if source is HF else "MODELSCOPE_API_TOKEN") in error.message


@BOTH
def test_a_token_opens_it_and_no_other_host_sees_it(
    hub: FakeHub, settings: Settings, source: Source
) -> None:
    hub.add("owner/name", FILES, token="secret")
    settings = dataclasses.replace(settings, hf_token="secret", modelscope_token="secret")
    data = open_repository(source, settings).read("model.safetensors")
    assert data == FILES["model.safetensors"]
    elsewhere = [each for each in hub.requests if each.host.startswith("localhost")]
    assert bool(elsewhere) is (source is HF)
    assert all(each.token == "" for each in elsewhere)


def test_the_token_that_was_kept_by_a_login_is_used(hub: FakeHub, settings: Settings) -> None:
    hub.add("owner/name", FILES, token="kept")
    Path(settings.hf_home).mkdir()
    (Path(settings.hf_home) / "token").write_text("kept\n")
    assert open_repository(HF, settings).list()


@BOTH
def test_a_hub_that_takes_no_more_says_how_long(
    hub: FakeHub, settings: Settings, source: Source
) -> None:
    hub.statuses, hub.retry_after = [429], "17"
    error = failure(source, settings)
    assert isinstance(error, RateLimited)
    assert error.retry_after == 17
    assert "17 s" in error.message


@BOTH
def test_a_hub_that_is_broken_or_is_none(hub: FakeHub, settings: Settings, source: Source) -> None:
    hub.statuses = [500]
    assert failure(source, settings).code == "hub_unreachable"
    hub.statuses = [200]  # with a body that is something else
    error = failure(source, settings)
    assert isinstance(error, Unavailable)
    assert "another form" in error.message


@BOTH
def test_no_way_to_the_hub(settings: Settings, source: Source) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        settings = dataclasses.replace(settings, hf_endpoint=address, modelscope_endpoint=address)
        error = failure(source, settings)
    assert isinstance(error, Unavailable)
    assert error.code == "hub_unreachable"
    assert address in error.message


def test_a_resolver_that_says_nothing_is_not_waited_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = threading.Event()

    def hang(*arguments: object, **more: object) -> object:
        asked.wait(30)
        raise OSError("late")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    began = time.monotonic()
    error = failure(HF, dataclasses.replace(settings, hub_detect_timeout=0.2))
    took = time.monotonic() - began
    asked.set()
    assert error.code == "hub_unreachable"
    assert "is not known after 0.2 s" in error.message
    assert took < 5


def test_nothing_is_asked_offline(hub: FakeHub, settings: Settings) -> None:
    error = failure(HF, dataclasses.replace(settings, offline=True))
    assert error.code == "hub_unreachable"
    assert "XINFERENCE_OFFLINE" in error.message
    assert hub.requests == []


@BOTH
def test_a_name_that_leads_out_refuses_the_repository(
    hub: FakeHub, settings: Settings, source: Source
) -> None:
    hub.add("owner/name", {**FILES, "../../etc/cron.d/x": b"evil"})
    error = failure(source, settings)
    assert error.code == "unsafe_file_name"


def test_a_name_that_is_no_repository_is_asked_for_nowhere(
    hub: FakeHub, settings: Settings
) -> None:
    for source in (
        Source(hub="huggingface", repo="../../x"),
        Source(hub="huggingface", repo="a/b", revision="../x"),
        Source(hub="elsewhere", repo="a/b"),
    ):
        assert isinstance(failure(source, settings), InvalidRequest)
    assert hub.requests == []


def test_the_next_hub_is_asked_when_one_has_it_not(hub: FakeHub, settings: Settings) -> None:
    hub.add("there/it-is", FILES)
    there = Source(hub="modelscope", repo="there/it-is")
    assert first_that_answers([HF, there], settings).source == there


def test_when_none_has_it_each_is_named_with_its_error(hub: FakeHub, settings: Settings) -> None:
    with pytest.raises(NotFound) as caught:
        first_that_answers([HF, MS], settings)
    assert "huggingface (owner/name): " in caught.value.message
    assert "modelscope (owner/name): " in caught.value.message
    assert caught.value.code == "model_not_found"
    hub.statuses = [503]
    with pytest.raises(Unavailable) as later:
        first_that_answers([HF, MS], settings)
    assert later.value.code == "hub_unreachable"


def test_a_preferred_hub_is_the_only_one() -> None:
    assert order_sources([HF, MS], None) == (HF, MS)
    assert order_sources([HF, MS], "auto") == (HF, MS)
    assert order_sources([HF, MS], "MODELSCOPE") == (MS,)
    with pytest.raises(InvalidRequest, match="not on modelscope; it is on: huggingface"):
        order_sources([HF], "modelscope")
    with pytest.raises(InvalidRequest, match="no hub 'csghub'"):
        order_sources([HF], "csghub")
