"""Shared by all tests: the async backend, no time limits on single hypothesis examples, and one
server for all tests that do not harm it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import hypothesis
import pytest

# Before any test imports llama_cpp, which makes its symbols global: loaded after it, this library
# would call llama_cpp's functions for its own. A replica has only one of them.
import xllamacpp  # noqa: F401

from tests.support.server import Server, running_server

# A busy machine is not a failure.
hypothesis.settings.register_profile(
    "xinfer", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("xinfer")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What a test starts without a home of its own must not find the user's."""
    os.environ["XINFERENCE_HOME"] = str(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A whole server; tests launch models of their own uid on it and end them."""
    with running_server() as running:
        yield running
