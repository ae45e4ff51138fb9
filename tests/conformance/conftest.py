"""Fixtures of the conformance suite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.models import Models
from tests.conformance.subject import Subject


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    made = Models(tmp_path_factory.mktemp("conformance"))
    yield made
    made.close()


@pytest.fixture
def subject(request: pytest.FixtureRequest, models: Models) -> Subject:
    """The engine that a test is parametrised with by `engines`."""
    return Subject(request.param, models)
