"""Write docs/api.md from the server's own OpenAPI; with --check, fail when it is not current."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.generated import write_or_check
from xinfer.api.app import create_app
from xinfer.core.gateway import Control, Gateway, RoutingTable
from xinfer.settings import Settings

TARGET = Path(__file__).parent.parent / "docs" / "api.md"

HEAD = """\
<!-- Written by tools/routes_doc.py from the server's OpenAPI: change that, and run it. -->

# All routes

A running server describes itself: `/docs` has every route with its fields, and sends requests from
there; `/redoc` has the same to read. They work without a network, and want the
[key](../README.md#keys) where the server has one, unless `XINFERENCE_DOCS_PUBLIC` is 1. For
programs, such as those that make clients:

<!-- test -->
```bash
curl -o openapi.json http://127.0.0.1:9997/openapi.json
```

This page names the routes of this version. What errors look like is told under
[When things fail](../README.md#when-things-fail); a parameter that the server knows and cannot
honour is refused with status 400, and one that it does not know is named in the header
`X-Ignored-Fields`.
"""

PARTS = {
    "inference": (
        "Asking models",
        "[chat](chat.md), [structured output](structured-output.md), "
        "[embeddings and rerank](retrieval.md), [pictures](images.md), "
        "[speech](audio.md), [the other APIs](apis.md)",
    ),
    "models": ("What is launched", "[the README](../README.md#list-chat-terminate)"),
    "management": (
        "Launching and changing",
        "[models](models.md), [the cluster](cluster.md#growing-and-shrinking), "
        "[models that are always there](deploy.md)",
    ),
    "catalogue": (
        "What can be launched",
        "[models by name](custom-models.md), [engines](engines.md)",
    ),
    "cache": ("What is on the disks", "[hubs and the cache](hubs.md#the-cache)"),
    "cluster": ("Machines", "[the cluster](cluster.md)"),
    "health": ("Health and metrics", "[observability](observability.md)"),
}
"""For every tag of the OpenAPI its title, and the pages that tell more; in the page's order."""


def render() -> str:
    """The whole page."""
    table, settings = RoutingTable(), Settings()
    control = Control("unix:/nowhere", b"", table, settings)
    rows: dict[str, list[str]] = {tag: [] for tag in PARTS}
    app = create_app(Gateway(table, settings), control, settings)
    for path, operations in app.openapi()["paths"].items():
        for method, operation in operations.items():
            (tag,) = operation["tags"]
            said = re.split(r"(?<=\.)\s", operation["description"])[0].replace("\n", " ")
            rows[tag].append(f"| {method.upper()} | `{path}` | {said} |\n")
    parts = [
        f"\n## {title}\n\nMore in {pages}.\n\n| | Route | Does |\n|---|---|---|\n"
        + "".join(rows[tag])
        for tag, (title, pages) in PARTS.items()
    ]
    return HEAD + "".join(parts)


def main(argv: Sequence[str] | None = None) -> int:
    return write_or_check(
        render(), TARGET, module="tools.routes_doc", description=__doc__, argv=argv
    )


if __name__ == "__main__":
    sys.exit(main())
