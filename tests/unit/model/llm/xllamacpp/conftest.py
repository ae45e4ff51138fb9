"""Models that the engine's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.gguf_models import random_llama, script_model

PARTY = "🎉".encode()
SCRIPT = [b"Hello", " 你好".encode(), *(bytes([byte]) for byte in PARTY), b" end"]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("xllamacpp")


@pytest.fixture(scope="session")
def noise(models: Path) -> Path:
    """Speaks nonsense, most of it broken characters."""
    return random_llama(models / "noise.gguf")


@pytest.fixture(scope="session")
def slow(models: Path) -> Path:
    """About a millisecond a token, and room for thousands of them."""
    return random_llama(models / "slow.gguf", width=256, layers=4, context=8192)


@pytest.fixture(scope="session")
def script(models: Path) -> Path:
    """Says "Hello 你好🎉 end" to anything, the 🎉 in four tokens."""
    return script_model(models / "script.gguf", SCRIPT)
