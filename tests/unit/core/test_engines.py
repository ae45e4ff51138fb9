"""Which engines a machine says it has."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from xinfer.core import engines
from xinfer.core.engines import installed_engines
from xinfer.model.llm.echo import EchoEngine


def test_engines_are_told_where_their_packages_are() -> None:
    found = installed_engines()
    assert found["echo"] == ()
    assert ("llama-cpp-python" in found) == (find_spec("llama_cpp") is not None)


def test_an_engine_that_is_not_installed_or_broken_is_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Absent(EchoEngine):
        @classmethod
        def accelerators(cls) -> frozenset[str] | None:  # type: ignore[override]
            return None

    class Able(EchoEngine):
        @classmethod
        def accelerators(cls) -> frozenset[str]:
            return frozenset({"rocm", "cuda"})

    def find(name: str) -> tuple[str, type[EchoEngine]]:
        if name == "broken":
            raise ImportError("no libfoo")
        return name, {"absent": Absent, "able": Able}[name]

    monkeypatch.setattr(engines, "engine_names", lambda: ["absent", "able", "broken"])
    monkeypatch.setattr(engines, "find_engine", find)
    assert installed_engines() == {"able": ("cuda", "rocm")}
    assert "Engine broken is not usable here: no libfoo" in caplog.text
