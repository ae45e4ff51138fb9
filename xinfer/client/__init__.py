"""Python client of an xinfer server: `Client`, and `AsyncClient` for asyncio.

    with Client("http://127.0.0.1:9997") as client:
        uid = client.launch_model("tiny-chat")
        client.get_model(uid).chat([{"role": "user", "content": "Hello!"}])

The `RESTful*` names are the same classes, as existing programs spell them.
"""

from xinfer.client.async_client import (
    AsyncChatModelHandle,
    AsyncClient,
    AsyncEmbeddingModelHandle,
    AsyncGenerateModelHandle,
    AsyncRerankModelHandle,
)
from xinfer.client.audio import AsyncAudioModelHandle, AudioModelHandle
from xinfer.client.errors import APIConnectionError, APIError, UnsupportedModelError
from xinfer.client.images import AsyncImageModelHandle, ImageModelHandle
from xinfer.client.sync_client import (
    ChatModelHandle,
    Client,
    EmbeddingModelHandle,
    GenerateModelHandle,
    RerankModelHandle,
)

RESTfulClient = Client
RESTfulGenerateModelHandle = GenerateModelHandle
RESTfulChatModelHandle = ChatModelHandle
RESTfulEmbeddingModelHandle = EmbeddingModelHandle
RESTfulRerankModelHandle = RerankModelHandle
RESTfulImageModelHandle = ImageModelHandle
RESTfulAudioModelHandle = AudioModelHandle
AsyncRESTfulClient = AsyncClient
AsyncRESTfulImageModelHandle = AsyncImageModelHandle
AsyncRESTfulAudioModelHandle = AsyncAudioModelHandle
AsyncRESTfulGenerateModelHandle = AsyncGenerateModelHandle
AsyncRESTfulChatModelHandle = AsyncChatModelHandle
AsyncRESTfulEmbeddingModelHandle = AsyncEmbeddingModelHandle
AsyncRESTfulRerankModelHandle = AsyncRerankModelHandle

__all__ = [
    "APIConnectionError",
    "APIError",
    "AsyncAudioModelHandle",
    "AsyncChatModelHandle",
    "AsyncClient",
    "AsyncEmbeddingModelHandle",
    "AsyncGenerateModelHandle",
    "AsyncImageModelHandle",
    "AsyncRESTfulAudioModelHandle",
    "AsyncRESTfulChatModelHandle",
    "AsyncRESTfulClient",
    "AsyncRESTfulEmbeddingModelHandle",
    "AsyncRESTfulGenerateModelHandle",
    "AsyncRESTfulImageModelHandle",
    "AsyncRESTfulRerankModelHandle",
    "AsyncRerankModelHandle",
    "AudioModelHandle",
    "ChatModelHandle",
    "Client",
    "EmbeddingModelHandle",
    "GenerateModelHandle",
    "ImageModelHandle",
    "RESTfulAudioModelHandle",
    "RESTfulChatModelHandle",
    "RESTfulClient",
    "RESTfulEmbeddingModelHandle",
    "RESTfulGenerateModelHandle",
    "RESTfulImageModelHandle",
    "RESTfulRerankModelHandle",
    "RerankModelHandle",
    "UnsupportedModelError",
]
