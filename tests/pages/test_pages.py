"""The documentation, followed by the letter, page by page: what it starts no servers for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.markdown import Page
from tests.support.pages import FOLLOWED, starts_servers

PAGES = [page for page in FOLLOWED if not starts_servers(page)]


@pytest.mark.parametrize("page", PAGES, ids=[str(page.path) for page in PAGES])
def test_every_block_does_what_the_page_says(follow: Callable[[Page], None], page: Page) -> None:
    follow(page)
