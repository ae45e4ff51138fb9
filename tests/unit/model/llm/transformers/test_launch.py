"""A tiny model of each family, named by its path, launches."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.launching import answers, launched
from tests.unit.model.llm.transformers.conftest import PACKED, ROWS, MakeModel

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("family", [*PACKED, *ROWS])
async def test_a_family_launches_by_its_path(
    family: str, make_model: MakeModel, tmp_path: Path
) -> None:
    found = launched(make_model(family), "transformers", tmp_path, max_num_seqs=2)
    assert (found.model.type, found.model.format) == ("LLM", "pytorch")
    await answers(found)
