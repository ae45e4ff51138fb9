"""Fixtures of the conformance suite."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.conformance.engines import EngineCase
from tests.conformance.models import Models
from tests.conformance.shared import SharedEngines
from tests.conformance.subject import Subject


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    made = Models(tmp_path_factory.mktemp("conformance"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
async def shared_engines() -> AsyncIterator[SharedEngines]:
    """From the first test that needs it on, all tests run on one event loop."""
    engines = SharedEngines()
    yield engines
    await engines.close()


@pytest.fixture
def subject(request: pytest.FixtureRequest, models: Models) -> Subject:
    """The engine that a test is parametrised with by `engines`."""
    case: EngineCase = request.param
    shared = request.getfixturevalue("shared_engines") if case.shared else None
    return Subject(case, models, shared=shared)
