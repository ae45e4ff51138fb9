"""The routes that need no key; every other one needs it, also those that do not exist."""

from __future__ import annotations

from xinfer.settings import Settings

PUBLIC = frozenset(
    {"/livez", "/readyz", "/health", "/status", "/v1/cluster/auth", "/v1/address", "/", "/ui"}
)
PUBLIC_FOLDERS = ("/assets/", "/ui/", "/v1/images/files/")
"""The page's files, which hold nothing of this server's; and pictures that were drawn, whose names
nobody can guess: an `<img>` has no key to send."""

DOCS = frozenset({"/docs", "/docs/", "/redoc", "/openapi.json"})
DOCS_FOLDER = "/docs/"
METRICS = "/metrics"


class Policy:
    """Settings can open the documentation and the metrics."""

    def __init__(self, settings: Settings) -> None:
        self._docs = settings.docs_public
        self._metrics = settings.metrics_public

    def is_public(self, path: str) -> bool:
        """Whether a request to this path needs no key."""
        if path in PUBLIC or path.startswith(PUBLIC_FOLDERS):
            return True
        if path in DOCS or path.startswith(DOCS_FOLDER):
            return self._docs
        return path == METRICS and self._metrics
