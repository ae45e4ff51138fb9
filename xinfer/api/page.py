"""The web page and the API documentation, from files that ship with the package.

All links are relative, so that they hold behind a proxy that serves this under a path.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.responses import (
    FileResponse,
    HTMLResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
)
from starlette.staticfiles import StaticFiles

STATIC = Path(__file__).parent / "static"
_FRESH = {"Cache-Control": "no-cache"}

_NO_PAGE = (
    "xinfer is running, but its web page was not built into this installation.\n"
    "The API is described at /docs and /openapi.json.\n"
)
_NO_DOCS = (
    "The viewer of the API documentation was not built into this installation.\n"
    "The description itself is at /openapi.json.\n"
)

_SWAGGER = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>xinfer API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="{files}favicon-32x32.png">
<link rel="stylesheet" href="{files}swagger-ui.css"></head>
<body><div id="ui"></div><script src="{files}swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({{url: "{root}openapi.json", dom_id: "#ui", deepLinking: true}})</script>
</body></html>
"""
_REDOC = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>xinfer API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="docs/favicon-32x32.png"></head>
<body><redoc spec-url="openapi.json"></redoc><script src="docs/redoc.standalone.js"></script>
</body></html>
"""


class _Assets(StaticFiles):
    """Files whose names change with their content."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def install(app: FastAPI, static: Path = STATIC) -> None:
    """Serve `/`, `/assets/`, `/docs`, `/docs/` and `/redoc`; `/ui/{uid}` leads to a model's place
    on the page."""
    index = static / "index.html"
    has_page = index.is_file()
    has_docs = (static / "docs" / "swagger-ui-bundle.js").is_file()

    async def page() -> Response:
        if has_page:
            return FileResponse(index, headers=_FRESH)
        return PlainTextResponse(_NO_PAGE)

    def document(html: str) -> Response:
        return HTMLResponse(html, headers=_FRESH) if has_docs else PlainTextResponse(_NO_DOCS)

    async def home() -> Response:
        return RedirectResponse("./")

    async def model(uid: str = "") -> Response:
        return RedirectResponse(f"../#/playground/{quote(uid, safe='')}" if uid else "../")

    async def docs() -> Response:
        return document(_SWAGGER.format(files="docs/", root=""))

    async def docs_folder() -> Response:
        return document(_SWAGGER.format(files="", root="../"))

    async def redoc() -> Response:
        return document(_REDOC)

    for path, endpoint in (
        ("/", page),
        ("/ui", home),
        ("/ui/", model),
        ("/ui/{uid}", model),
        ("/docs", docs),
        ("/docs/", docs_folder),
        ("/redoc", redoc),
    ):
        app.add_api_route(path, endpoint, include_in_schema=False, response_class=Response)
    if has_page:
        app.mount("/assets", _Assets(directory=static / "assets"))
    if has_docs:
        app.mount("/docs", StaticFiles(directory=static / "docs"))
