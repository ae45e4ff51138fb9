"""Pure ASGI middleware: what holds for every request, before any route sees it."""
