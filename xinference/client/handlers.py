"""The model handles under their older module name."""

from xinfer.client import (
    AsyncAudioModelHandle,
    AsyncChatModelHandle,
    AsyncEmbeddingModelHandle,
    AsyncGenerateModelHandle,
    AsyncImageModelHandle,
    AsyncRerankModelHandle,
    AudioModelHandle,
    ChatModelHandle,
    EmbeddingModelHandle,
    GenerateModelHandle,
    ImageModelHandle,
    RerankModelHandle,
)

__all__ = [
    "AsyncAudioModelHandle",
    "AsyncChatModelHandle",
    "AsyncEmbeddingModelHandle",
    "AsyncGenerateModelHandle",
    "AsyncImageModelHandle",
    "AsyncRerankModelHandle",
    "AudioModelHandle",
    "ChatModelHandle",
    "EmbeddingModelHandle",
    "GenerateModelHandle",
    "ImageModelHandle",
    "RerankModelHandle",
]
