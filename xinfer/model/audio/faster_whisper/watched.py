"""faster-whisper's model, told before each window whether it is still wanted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from faster_whisper import WhisperModel


class WatchedModel(WhisperModel):  # type: ignore[misc]
    """It yields nothing for windows without speech; so its consumer could not stop it there."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._watched = threading.local()

    def watch(self, still_wanted: Callable[[], None]) -> None:
        """What is called before each window that this thread computes; what it raises ends it."""
        self._watched.still_wanted = still_wanted

    def encode(self, features: Any) -> Any:
        self._watched.still_wanted()
        return super().encode(features)
