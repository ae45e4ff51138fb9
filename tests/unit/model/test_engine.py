from __future__ import annotations

from pathlib import Path

import pytest

from xinfer.errors import InvalidRequest
from xinfer.model.engine import (
    ENTRY_POINT_GROUP,
    Engine,
    EngineOptions,
    TokenEngine,
    engine_names,
    find_engine,
    parse_options,
)
from xinfer.model.llm.echo import EchoEngine, EchoOptions
from xinfer.types.model import ModelSpec


class SizedOptions(EngineOptions, frozen=True, kw_only=True):
    size: int = 1
    name: str = ""


class Sized(EchoEngine):
    @classmethod
    def options(cls) -> type[EngineOptions]:
        return SizedOptions


class Bare(EchoEngine):
    @classmethod
    def options(cls) -> type[EngineOptions]:
        return EngineOptions


@pytest.fixture
def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed distribution that brings the engine Acme."""
    (tmp_path / "acme_engine.py").write_text(
        "from xinfer.model.llm.echo import EchoEngine\nclass AcmeEngine(EchoEngine): ...\n"
    )
    info = tmp_path / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[{ENTRY_POINT_GROUP}]\nAcme = acme_engine:AcmeEngine\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize("name", ["echo", "Echo", "ECHO"])
def test_an_engine_is_found_by_its_name_in_any_case(name: str) -> None:
    assert find_engine(name) == ("echo", EchoEngine)


def test_an_unknown_engine_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidRequest) as caught:
        find_engine("os.path:join")
    assert caught.value.param == "model_engine"
    assert ", ".join(engine_names()) in caught.value.message
    assert "echo" in engine_names()


@pytest.mark.usefixtures("third_party")
def test_an_installed_package_brings_an_engine_by_entry_point() -> None:
    assert "Acme" in engine_names()
    name, engine = find_engine("acme")
    assert (name, engine.__name__) == ("Acme", "AcmeEngine")


def test_the_echo_engine_obeys_the_contract() -> None:
    engine = EchoEngine(ModelSpec(name="echo"), EchoOptions())
    assert isinstance(engine, Engine)
    assert isinstance(engine, TokenEngine)


def test_options_given_as_text_are_read_as_what_they_are() -> None:
    assert parse_options(Sized, "sized", {"size": "3", "name": "x"}) == SizedOptions(
        size=3, name="x"
    )


def test_an_unknown_option_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidRequest, match=r"'colour'.*size, name") as caught:
        parse_options(Sized, "sized", {"size": 1, "colour": "red"})
    assert caught.value.param == "colour"


def test_an_engine_without_options_says_so() -> None:
    with pytest.raises(InvalidRequest, match="none"):
        parse_options(Bare, "bare", {"size": 1})


def test_a_bad_value_is_refused_by_the_options_name() -> None:
    with pytest.raises(InvalidRequest, match="'size' of engine sized") as caught:
        parse_options(Sized, "sized", {"name": "x", "size": "big"})
    assert caught.value.param == "size"


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("sise", " Did you mean 'size'?"), ("n_gp", " Did you mean 'n_gpu'?"), ("q", "")],
)
def test_an_unknown_option_is_told_with_what_comes_near_of_the_engine_or_the_launch(
    wrong: str, near: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_options(Sized, "sized", {wrong: 1})
    assert refused.value.message == (
        f"Engine sized has no option {wrong!r}.{near} Its options: size, name."
    )
