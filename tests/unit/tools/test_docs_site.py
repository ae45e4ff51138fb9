"""The documentation as a site: where links lead, and that pages fetch nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.support.markdown import ROOT
from tools.docs_site import OUTSIDE, fetched_from_elsewhere, with_links_of_the_site

PAGES = {"index.md", "zh.md", "chat.md", "models/tiny-chat.md", "images/ui/launch.png"}


@pytest.mark.parametrize(
    ("page", "written", "shown"),
    [
        ("index.md", "[a](docs/chat.md#functions)", "[a](chat.md#functions)"),
        ("index.md", "[b](README_zh.md)", "[b](zh.md)"),
        ("index.md", "[c](#keys)", "[c](#keys)"),
        ("chat.md", "[d](../README.md#keys)", "[d](index.md#keys)"),
        ("chat.md", "![e](images/ui/launch.png)", "![e](images/ui/launch.png)"),
        ("models/tiny-chat.md", "[f](../chat.md)", "[f](../chat.md)"),
        ("models/tiny-chat.md", "[g](../../README.md)", "[g](../index.md)"),
        ("chat.md", "[`h`](../tools/docs_site.py) i", "`h` i"),
        ("chat.md", "[j](https://example.com/x)", "[j](https://example.com/x)"),
        ("chat.md", "[k](no-such.md)", "[k](no-such.md)"),
        ("chat.md", "```\n[l](../README.md)\n```", "```\n[l](../README.md)\n```"),
    ],
)
def test_links_lead_to_where_the_site_has_the_page(page: str, written: str, shown: str) -> None:
    assert with_links_of_the_site(written, page, PAGES) == shown


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://example.com/a.js"></script>',
        '<img src="//example.com/a.png">',
        '<link rel="preconnect stylesheet" href="https://example.com/a.css">',
        "<style>body { background: url('https://example.com/a.png') }</style>",
        '<p style="background: url(//example.com/a.png)">',
    ],
)
def test_what_a_page_fetches_from_elsewhere_is_found(html: str, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(html)
    (found,) = fetched_from_elsewhere(tmp_path)
    assert found.startswith("a.html: ")
    assert "//example.com/a." in found


def test_what_styles_fetch_from_elsewhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text('@import "https://example.com/b.css"; a { src: url(c.woff) }')
    assert list(fetched_from_elsewhere(tmp_path)) == ["a.css: https://example.com/b.css"]


def test_links_to_be_followed_and_the_sites_own_files_are_none(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<a href="https://example.com">x</a><script src="a.js"></script>'
        '<link rel="canonical" href="https://example.com/a">'
    )
    assert not list(fetched_from_elsewhere(tmp_path))


def test_every_page_has_its_place_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    placed = [page for part in yaml.safe_load(text) for one in part.values() for page in one]
    names = [name for page in placed for name in page.values()]
    docs = ROOT / "docs"
    written = {str(path.relative_to(docs)) for path in docs.rglob("*.md")}
    assert sorted(names) == sorted(written | set(OUTSIDE.values()))
