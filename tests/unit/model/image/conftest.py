"""What PyTorch's libraries warn of among themselves is not this project's; and small pipelines."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for module in ("torch", "transformers", "diffusers", "peft"):
                item.add_marker(pytest.mark.filterwarnings(f"default:::{module}"))


@pytest.fixture(scope="session")
def stable_diffusion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.support import diffusion

    return diffusion.stable_diffusion(tmp_path_factory.mktemp("sd"))
