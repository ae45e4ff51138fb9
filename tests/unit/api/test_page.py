"""Where the page's addresses lead; the page itself is tested in a browser."""

from __future__ import annotations

import pytest

from tests.unit.api.fakes import Api

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/ui", "/"),
        ("/ui/", "/"),
        ("/ui/my-model", "/#/playground/my-model"),
        ("/ui/a%20b", "/#/playground/a%20b"),
        ("/ui/%E6%A8%A1", "/#/playground/%E6%A8%A1"),
    ],
)
async def test_addresses_of_models_lead_to_the_page_without_a_key(path: str, target: str) -> None:
    api = Api(api_key="secret")
    answer = await api.http.get(path)
    assert answer.status_code == 307
    # Relative, so that it holds behind a proxy that serves this under a path.
    assert not answer.headers["location"].startswith(("/", "http"))
    assert str(answer.url.join(answer.headers["location"])).endswith(f"//api{target}")
