"""Repositories at a glance, in every layout of a cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from xinfer.model.hub.presence import may_be_here
from xinfer.settings import Settings
from xinfer.types.model import Source


@pytest.mark.parametrize(
    "directory",
    [
        "home/cache/huggingface/owner/na.me/0123",
        "home/cache/modelscope/owner/na.me",
        "hf/hub/models--owner--na.me/refs",
        "ms/models/owner--na.me/snapshots",
        "ms/models/owner/na___me",
        "ms/hub/models/owner/na___me",
    ],
)
def test_a_directory_of_any_layout_is_seen(tmp_path: Path, directory: str) -> None:
    settings = Settings(
        home=str(tmp_path / "home"),
        hf_home=str(tmp_path / "hf"),
        modelscope_cache=str(tmp_path / "ms"),
    )
    source = Source(hub="huggingface", repo="owner/na.me")
    assert not may_be_here(settings)(source)
    (tmp_path / directory).mkdir(parents=True)
    assert may_be_here(settings)(source)
    assert not may_be_here(settings)(Source(hub="huggingface", repo="owner/other"))
