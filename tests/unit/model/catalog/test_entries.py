"""The catalogue: lookup, and that its data are true."""

from __future__ import annotations

import msgspec
import pytest

from xinfer.errors import NotFound
from xinfer.model.catalog.catalogue import Catalogue
from xinfer.model.catalog.describe import brief, describe
from xinfer.model.catalog.entries import Variant, entries, on_this_machine
from xinfer.model.inspect.model import inspect_path

find = Catalogue().find


def test_ships_echo_and_tiny_chat() -> None:
    assert {"echo", "tiny-chat"} <= {entry.name for entry in entries()}


def test_names_are_unique_in_any_case_and_in_order() -> None:
    names = [entry.name.lower() for entry in entries()]
    assert names == sorted(set(names))


def test_files_of_the_catalogue_are_where_the_package_is_on_this_machine() -> None:
    for model in (model for entry in entries() for model in entry.models()):
        path = model.path and "/installed/elsewhere/" + model.path
        assert on_this_machine(msgspec.structs.replace(model, path=path)) == model


def test_files_of_a_users_own_stay_where_they_are_said_to_be() -> None:
    own = msgspec.structs.replace(find("tiny-chat").models()[0], hub="local", path="/data/m.gguf")
    assert on_this_machine(own) == own


def test_finds_in_any_case() -> None:
    assert find("Tiny-CHAT").name == "tiny-chat"


def test_unknown_name_offers_near_ones_and_says_what_is_expected() -> None:
    with pytest.raises(NotFound) as raised:
        find("tinychat")
    assert raised.value.code == "model_not_found"
    assert raised.value.param == "model_name"
    assert "Did you mean tiny-chat?" in raised.value.message
    assert "path of a .gguf file" in raised.value.message


def test_name_like_no_other_gets_the_list() -> None:
    with pytest.raises(NotFound, match=r"The catalogue has: .*echo.*tiny-chat"):
        find("zzzzzzzz")


def test_huge_name_does_not_come_back_whole() -> None:
    with pytest.raises(NotFound) as raised:
        find("x" * 1_000_000)
    assert len(raised.value.message) < 1000


def test_tiny_chat_is_what_its_file_says() -> None:
    for model in find("tiny-chat").models():
        if model.format != "ggufv2":
            continue
        file = inspect_path(model.path)
        assert model.quantization == file.quantization
        assert model.context_length == file.context_length
        assert set(model.abilities) <= set(file.abilities)
        assert model.size_bytes == file.size_bytes
        assert model.size_in_billions == pytest.approx(file.size_in_billions, rel=0.05)


def test_all_shipped_weights_are_there() -> None:
    assert all(variant.cached for entry in entries() for variant in entry.variants)


def test_absent_weights_are_not_cached() -> None:
    assert not Variant(weights="no/such.gguf").cached


def test_description_has_the_incumbents_fields() -> None:
    family = describe(find("tiny-chat"))
    assert family["version"] == 2
    assert family["model_name"] == "tiny-chat"
    assert family["model_lang"] == ["en", "zh"]
    assert family["model_ability"] == ["generate", "chat"]
    assert family["context_length"] == 2048
    assert family["is_builtin"] is True
    assert [spec["model_format"] for spec in family["model_specs"]] == ["ggufv2", "pytorch"]
    gguf = family["model_specs"][0]
    assert gguf["quantization"] == "F16"
    assert gguf["cache_status"] is True
    assert gguf["model_uri"].startswith("file:///")
    assert brief(find("echo")) == {"model_name": "echo", "is_builtin": True}
