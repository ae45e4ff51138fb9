"""Registered models whose files are on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.gguf_models import random_llama
from tests.unit.model.catalog.fakes import FakeHubs
from xinfer.errors import NotFound
from xinfer.model.catalog.catalogue import Catalogue
from xinfer.model.catalog.custom import CustomEntry
from xinfer.model.catalog.resolve import resolve
from xinfer.model.catalog.schema import Variant
from xinfer.model.catalog.surroundings import Surroundings
from xinfer.model.inspect.model import inspect_path
from xinfer.types.deployment import LaunchSpec


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_llama(tmp_path_factory.mktemp("models") / "small.gguf")


def entry(*paths: Path, **fields: object) -> CustomEntry:
    variants = tuple(Variant(format="ggufv2", path=str(path)) for path in paths)
    return CustomEntry(name="mine", type="LLM", variants=variants, **fields)  # type: ignore[arg-type]


def test_files_say_what_was_not_registered(model: Path) -> None:
    facts = inspect_path(str(model))
    (mine,) = entry(model, abilities=("vision",), stop=("END",)).models()
    assert (mine.name, mine.family, mine.path) == ("mine", facts.family, facts.path)
    assert mine.context_length == facts.context_length > 0
    assert mine.size_in_billions == facts.size_in_billions
    assert mine.quantization == facts.quantization
    assert set(mine.abilities) == {"vision", *facts.abilities}
    assert mine.stop == ("END",)


def test_what_was_registered_goes_before_what_files_say(model: Path) -> None:
    (mine,) = entry(model, context_length=7, family="fam", languages=("de",)).models()
    assert (mine.context_length, mine.family, mine.languages) == (7, "fam", ("de",))


def test_a_variant_whose_files_are_gone_is_left_out_unless_it_is_the_only_one(
    model: Path, tmp_path: Path
) -> None:
    gone = tmp_path / "gone.gguf"
    assert [one.path for one in entry(gone, model).models()] == [str(model.resolve())]
    with pytest.raises(NotFound, match=r"gone\.gguf") as caught:
        entry(gone).models()
    assert caught.value.param == "model_uri"


def test_of_several_models_in_a_directory_the_variant_says_which(
    model: Path, tmp_path: Path
) -> None:
    for name in ("mine-a.gguf", "mine-b.gguf"):
        (tmp_path / name).symlink_to(model)
    assert len(entry(tmp_path).models()) == 2
    tiny = Catalogue().find("tiny-chat").variants[1].local_path
    assert tiny is not None
    for format in ("ggufv2", "pytorch"):
        variant = Variant(format=format, path=str(tiny))
        (one,) = CustomEntry(name="mine", type="LLM", variants=(variant,)).models()
        assert one.format == format


def test_a_registered_model_is_launched_by_its_name(model: Path) -> None:
    resolved = resolve(
        LaunchSpec(model_name="MINE"), Surroundings(Catalogue([entry(model)]), FakeHubs())
    )
    assert (resolved.model.name, resolved.model.path) == ("mine", str(model.resolve()))
