"""Registered models: taken, kept, found again and let go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.core.supervisor.store.support import with_store
from tests.unit.core.supervisor.support import MemoryStore
from xinfer.core.supervisor.registrations import Registrations, read_catalogue
from xinfer.core.supervisor.store import Store, StoredRegistration
from xinfer.errors import Conflict, InvalidRequest, NotFound, Unavailable
from xinfer.model.catalog.catalogue import Catalogue


def text(name: str = "my-model", **fields: Any) -> str:
    specs = [{"model_format": "pytorch", "model_id": "me/my-model"}]
    return json.dumps({"model_name": name, "model_specs": specs, **fields})


class House:
    """A server's registrations; `again` is its next start."""

    def __init__(self, home: Path, store: MemoryStore | None = None) -> None:
        self.home = home
        self.store = store or MemoryStore()
        self.catalogue = Catalogue()
        self.registrations = Registrations(self.catalogue, self.store, home)
        self.register = self.registrations.register
        self.unregister = self.registrations.unregister

    async def again(self) -> House:
        house = House(self.home, self.store)
        await house.registrations.restore()
        return house

    def names(self) -> list[str]:
        return [json.loads(one.text)["model_name"] for one in self.registrations.list()]


Case = Callable[[House], Awaitable[None]]


def run(case: Case, home: Path) -> None:
    asyncio.run(case(House(home)))  # type: ignore[arg-type]


def test_a_model_is_found_once_it_is_registered_and_not_after(tmp_path: Path) -> None:
    async def case(house: House) -> None:
        told = await house.register("LLM", text(), persist=False)
        assert (told.kind, told.ignored) == ("LLM", [])
        assert house.catalogue.find("My-Model").models()[0].sources[0].repo == "me/my-model"
        assert house.names() == ["my-model"]
        await house.unregister("LLM", "MY-MODEL")
        assert house.names() == []
        with pytest.raises(NotFound):
            house.catalogue.find("my-model")

    run(case, tmp_path)


def test_only_what_is_to_be_kept_is_there_after_a_restart(tmp_path: Path) -> None:
    async def case(house: House) -> None:
        await house.register("LLM", text("kept"), persist=True)
        await house.register("LLM", text("passing"), persist=False)
        again = await house.again()
        assert again.names() == ["kept"]
        assert not again.catalogue.find("kept").builtin
        await again.unregister("LLM", "kept")
        assert (await again.again()).names() == []

    run(case, tmp_path)


@pytest.mark.parametrize("taken", ["Tiny-Chat", "MINE", "qwen2.5-instruct"])
def test_a_name_that_is_taken_is_refused(tmp_path: Path, taken: str) -> None:
    async def case(house: House) -> None:
        await house.register("LLM", text("mine"), persist=False)
        with pytest.raises(Conflict, match="Choose another model_name") as refusal:
            await house.register("rerank", text(taken), persist=True)
        assert refusal.value.param == "model_name"
        assert await house.store.load_registrations() == []

    run(case, tmp_path)


def test_what_cannot_be_kept_is_not_registered(tmp_path: Path) -> None:
    async def case(house: House) -> None:
        house.store.refusal = Unavailable("The disk is full.")
        with pytest.raises(Unavailable):
            await house.register("LLM", text(), persist=True)
        assert house.names() == []
        await house.register("LLM", text(), persist=False)
        assert house.names() == ["my-model"]

    run(case, tmp_path)


def test_what_cannot_be_forgotten_stays(tmp_path: Path) -> None:
    async def case(house: House) -> None:
        await house.register("LLM", text(), persist=True)
        house.store.refusal = Unavailable("The disk is full.")
        with pytest.raises(Unavailable):
            await house.unregister("LLM", "my-model")
        assert house.catalogue.find("my-model").name == "my-model"

    run(case, tmp_path)


def test_a_path_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    async def case(house: House) -> None:
        there = {"model_uri": tmp_path.as_uri()}
        gone = {"model_uri": "file:///no/such/model"}
        with pytest.raises(InvalidRequest, match="/no/such/model") as refusal:
            await house.register("LLM", text(model_specs=[there, gone]), persist=False)
        assert refusal.value.param == "model_specs[1].model_uri"

    run(case, tmp_path)


def test_a_template_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    async def case(house: House) -> None:
        with pytest.raises(InvalidRequest, match="not valid") as refusal:
            await house.register("LLM", text(chat_template="{% for %}"), persist=False)
        assert refusal.value.param == "chat_template"

    run(case, tmp_path)


@pytest.mark.parametrize(
    ("kind", "name", "error"),
    [
        ("LLM", "nobody", NotFound),
        ("rerank", "mine", NotFound),
        ("LLM", "tiny-chat", Conflict),
        ("flexible", "mine", InvalidRequest),
    ],
)
def test_only_registered_models_of_the_type_are_let_go(
    tmp_path: Path, kind: str, name: str, error: type[Exception]
) -> None:
    async def case(house: House) -> None:
        await house.register("LLM", text("mine"), persist=False)
        with pytest.raises(error):
            await house.unregister(kind, name)
        assert house.names() == ["mine"]

    run(case, tmp_path)


def test_models_that_xinference_kept_are_found_in_both_of_its_places(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = tmp_path / "model/llm", tmp_path / "model/v2/llm"
    embedding = tmp_path / "model/embedding"
    for directory in (first, second, embedding):
        directory.mkdir(parents=True)
    (first / "old.json").write_text(text("old", version=1))
    (first / "both.json").write_text(text("both", context_length=1))
    (second / "both.json").write_text(text("both", context_length=2))
    (second / "broken.json").write_text("{")
    (embedding / "flat.json").write_text(
        '{"model_name": "flat", "dimensions": 8, "max_tokens": 4, "language": ["en"], '
        '"model_id": "me/flat"}'
    )

    async def case(house: House) -> None:
        await house.registrations.restore()
        assert sorted(house.names()) == ["both", "flat", "old"]
        assert house.catalogue.find("both").context_length == 2
        assert house.catalogue.find("flat").dimensions == 8
        await house.unregister("LLM", "old")
        assert sorted((await house.again()).names()) == ["both", "flat"]

    run(case, tmp_path)
    assert "broken.json" in caplog.text
    assert not (first / "old.json").exists()


def test_the_next_starts_catalogue_is_known_without_starting(tmp_path: Path) -> None:
    async def keep(store: Store) -> None:
        await store.put_registration(StoredRegistration("kept", "LLM", text("kept")))
        # While the database is in use, and what was written is in its log alone.
        assert read_catalogue(tmp_path).find("kept").name == "kept"

    assert read_catalogue(tmp_path).find("echo").builtin
    with_store(tmp_path, keep)
    directory = tmp_path / "model/v2/llm"
    directory.mkdir(parents=True)
    (directory / "a.json").write_text(text("found"))
    catalogue = read_catalogue(tmp_path)
    assert {"kept", "found"} <= {one.name for one in catalogue.list("LLM")}
    (tmp_path / "state/xinfer.db").write_bytes(b"damaged")
    assert read_catalogue(tmp_path).find("found").name == "found"


def test_a_users_model_stays_when_a_built_in_one_gets_its_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "model/v2/llm"
    directory.mkdir(parents=True)
    (directory / "a.json").write_text(text("qwen3"))

    async def case(house: House) -> None:
        await house.registrations.restore()
        assert house.catalogue.find("qwen3").models()[0].model_id == "me/my-model"
        assert len([one for one in house.catalogue.list("LLM") if one.name == "qwen3"]) == 1

    run(case, tmp_path)
    assert "takes the place" in caplog.text
