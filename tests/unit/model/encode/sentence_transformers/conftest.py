"""What PyTorch's libraries warn of among themselves is not this project's."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for module in ("torch", "transformers", "sentence_transformers"):
                item.add_marker(pytest.mark.filterwarnings(f"default:::{module}"))
