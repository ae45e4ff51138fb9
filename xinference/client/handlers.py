"""The model handles under their older module name."""

from xinfer.client import (
    AsyncChatModelHandle,
    AsyncGenerateModelHandle,
    ChatModelHandle,
    GenerateModelHandle,
)

__all__ = [
    "AsyncChatModelHandle",
    "AsyncGenerateModelHandle",
    "ChatModelHandle",
    "GenerateModelHandle",
]
