"""What mkdocs is told about this repository: pages that lie outside docs/, and links to files.

Markdown here is written for GitHub: a page links to whatever file it means, by its path. In the
site the README is the first page, and a link to a file that has no page is only its text. A page
that would fetch anything from elsewhere fails the build.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
OUTSIDE = {
    "README.md": "index.md",
    "README_zh.md": "zh.md",
    "CONTRIBUTING.md": "contributing.md",
}
"""Pages of the repository that are not in docs/, and what they are called in the site."""

_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?P<text>\[(?:[^\[\]]|\[[^\]]*\])*\])\((?P<target>[^)\s]+)\)")
_ABROAD = re.compile(r"(?:[a-z]+:)?//", re.IGNORECASE)
_IN_STYLES = re.compile(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^)\"'\s]+)", re.IGNORECASE)
_FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data"}
_FETCHED_LINKS = {"stylesheet", "icon", "preload", "prefetch", "modulepreload", "preconnect"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for path, name in OUTSIDE.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    return with_links_of_the_site(markdown, page.file.src_uri, set(files.src_uris))


def on_post_build(config: MkDocsConfig) -> None:
    found = sorted(fetched_from_elsewhere(Path(config.site_dir)))
    if found:
        raise PluginError("the site would fetch from elsewhere:\n" + "\n".join(found))


def with_links_of_the_site(markdown: str, name: str, pages: Iterable[str]) -> str:
    """The text of the site's page `name`, with links to `pages` as the site has them."""
    inside = {site: path for path, site in OUTSIDE.items()}
    written = inside.get(name, f"docs/{name}")
    pages = set(pages)

    def link(found: re.Match[str]) -> str:
        target, hash_, anchor = found["target"].partition("#")
        if not target or _ABROAD.match(target) or target.startswith("mailto:"):
            return found[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(written), target))
        site = OUTSIDE.get(path, path.removeprefix("docs/") if path.startswith("docs/") else "")
        if site in pages:
            there = posixpath.relpath(site, posixpath.dirname(name) or ".")
            return f"{found['text']}({there}{hash_}{anchor})"
        if not (ROOT / path).exists():
            return found[0]  # which mkdocs tells of
        return found["text"][1:-1]

    parts, end = [], 0
    for block in _FENCED.finditer(markdown):
        parts += [_LINK.sub(link, markdown[end : block.start()]), block[0]]
        end = block.end()
    return "".join([*parts, _LINK.sub(link, markdown[end:])])


def fetched_from_elsewhere(site: Path) -> Iterator[str]:
    """Each address outside the site that a browser would ask for to show one of its pages."""
    for path in site.rglob("*.html"):
        reader = _Fetches()
        reader.feed(path.read_text(encoding="utf-8"))
        for address in reader.found:
            yield f"{path.relative_to(site)}: {address}"
    for path in site.rglob("*.css"):
        for address in _IN_STYLES.findall(path.read_text(encoding="utf-8")):
            yield f"{path.relative_to(site)}: {address}"


class _Fetches(HTMLParser):
    """Addresses abroad in what a browser fetches by itself, unlike in links to be followed."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self._in_style = tag == "style"
        address = values.get(_FETCHED.get(tag, ""), "")
        if tag == "link" and _FETCHED_LINKS & set(values.get("rel", "").split()):
            address = values.get("href", "")
        if _ABROAD.match(address):
            self.found.append(address)
        self.found += _IN_STYLES.findall(values.get("style", ""))

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.found += _IN_STYLES.findall(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False
