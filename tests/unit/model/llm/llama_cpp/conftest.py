"""Models that the engine's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.gguf_models import random_llama


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("llama_cpp")


@pytest.fixture(scope="session")
def noise(models: Path) -> Path:
    """Speaks nonsense."""
    return random_llama(models / "noise.gguf")


@pytest.fixture(scope="session")
def slow(models: Path) -> Path:
    """About a millisecond a token, and room for thousands of them."""
    return random_llama(models / "slow.gguf", width=256, layers=4, context=8192)
