"""The model handles under their older module name."""

from xinfer.client import (
    AsyncChatModelHandle,
    AsyncEmbeddingModelHandle,
    AsyncGenerateModelHandle,
    AsyncRerankModelHandle,
    ChatModelHandle,
    EmbeddingModelHandle,
    GenerateModelHandle,
    RerankModelHandle,
)

__all__ = [
    "AsyncChatModelHandle",
    "AsyncEmbeddingModelHandle",
    "AsyncGenerateModelHandle",
    "AsyncRerankModelHandle",
    "ChatModelHandle",
    "EmbeddingModelHandle",
    "GenerateModelHandle",
    "RerankModelHandle",
]
