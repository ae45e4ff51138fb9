"""A hub on loopback, and settings that use it for both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_hub import FakeHub, fake_hub
from xinfer.settings import Settings


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with fake_hub() as hub:
        yield hub


@pytest.fixture
def settings(hub: FakeHub, tmp_path: Path) -> Settings:
    return Settings(
        home=str(tmp_path / "home"),
        hf_endpoint=hub.endpoint,
        hf_home=str(tmp_path / "huggingface"),
        modelscope_endpoint=hub.endpoint,
        modelscope_cache=str(tmp_path / "modelscope"),
        hub_detect_timeout=1.0,
        download_stall_timeout=5.0,
    )
