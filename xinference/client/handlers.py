"""The model handles under their older module name."""

from xinfer.client import (
    AsyncChatModelHandle,
    AsyncEmbeddingModelHandle,
    AsyncGenerateModelHandle,
    AsyncImageModelHandle,
    AsyncRerankModelHandle,
    ChatModelHandle,
    EmbeddingModelHandle,
    GenerateModelHandle,
    ImageModelHandle,
    RerankModelHandle,
)

__all__ = [
    "AsyncChatModelHandle",
    "AsyncEmbeddingModelHandle",
    "AsyncGenerateModelHandle",
    "AsyncImageModelHandle",
    "AsyncRerankModelHandle",
    "ChatModelHandle",
    "EmbeddingModelHandle",
    "GenerateModelHandle",
    "ImageModelHandle",
    "RerankModelHandle",
]
