"""The asyncio client: every method of the blocking one, as a coroutine."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

import httpx

from xinfer.client import inference, management, wire
from xinfer.client.audio import AsyncAudioModelHandle
from xinfer.client.images import AsyncImageModelHandle
from xinfer.client.sync_client import with_self
from xinfer.client.wire import JSON, Call

P = ParamSpec("P")
T = TypeVar("T")


def _method(
    describe: Callable[P, Call[T]],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    """The method that makes the call which `describe` describes."""

    @functools.wraps(describe)
    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.send(describe(*args, **kwargs))

    method.__signature__ = with_self(describe)  # type: ignore[attr-defined]
    return method


class AsyncClient:
    """A connection to a server; close it, or use it in an `async with` statement.

    Args and errors are those of `Client`, but for one thing: the server is first spoken to
    by the first method, as a constructor cannot wait.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(transport=transport, **wire.connection_options(base_url))
        self._api_key = api_key
        self._authorized = False
        self._authorizing = asyncio.Lock()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    list_models = _method(management.list_models)
    launch_model = _method(management.launch_model)
    terminate_model = _method(management.terminate_model)
    describe_model = _method(management.describe_model)
    scale_model = _method(management.scale_model)
    add_model_replica = _method(management.add_model_replica)
    terminate_model_replica = _method(management.terminate_model_replica)
    get_instance_info = _method(management.get_instance_info)
    get_launch_model_progress = _method(management.get_launch_model_progress)
    cancel_launch_model = _method(management.cancel_launch_model)
    get_model_replicas = _method(management.get_model_replicas)
    get_model_logs = _method(management.get_model_logs)
    abort_request = _method(management.abort_request)
    register_model = _method(management.register_model)
    unregister_model = _method(management.unregister_model)
    list_model_registrations = _method(management.list_model_registrations)
    get_model_registration = _method(management.get_model_registration)
    query_engine_by_model_name = _method(management.query_engine_by_model_name)
    get_autostart_config = _method(management.get_autostart_config)
    get_autostart_model_summary = _method(management.get_autostart_model_summary)
    upsert_autostart_model = _method(management.upsert_autostart_model)
    remove_autostart_model = _method(management.remove_autostart_model)
    list_cached_models = _method(management.list_cached_models)
    list_deletable_models = _method(management.list_deletable_models)
    confirm_and_remove_model = _method(management.confirm_and_remove_model)
    get_supervisor_info = _method(management.get_supervisor_info)
    get_workers_info = _method(management.get_workers_info)
    drain_worker = _method(management.drain_worker)
    abort_cluster = _method(management.abort_cluster)
    get_progress = _method(inference.request_progress)

    async def get_model(self, model_uid: str) -> AsyncModelHandle:
        """The handle that talks to a model of this type, and can do what this one can.

        Raises:
            UnsupportedModelError: the model is of a type without a handle.
        """
        kind = inference.handle_kind(model_uid, await self.describe_model(model_uid))
        return _HANDLES[kind](model_uid, self)

    async def send(self, call: Call[T]) -> T:
        await self._authorize()
        return wire.read_response(call, await self._request(call))

    async def stream(self, call: Call[Any]) -> AsyncGenerator[JSON, None]:
        """The events of the answer. Errors before the first are raised here; closing or
        dropping the iterator ends the request."""
        await self._authorize()
        events = self._events(call)
        await anext(events)
        return events

    async def stream_bytes(self, call: Call[bytes]) -> AsyncGenerator[bytes, None]:
        """The answer as it comes. As `stream` otherwise."""
        await self._authorize()
        pieces = self._pieces(call)
        await anext(pieces)
        return pieces

    async def _authorize(self) -> None:
        async with self._authorizing:
            if not self._authorized:
                auth = await self._request(wire.cluster_auth())
                self._http.headers.update(wire.auth_headers(auth, self._api_key))
                self._authorized = True

    async def _request(self, call: Call[Any]) -> httpx.Response:
        try:
            return await self._http.request(
                call.method, call.path, params=call.params, **call.content
            )
        except httpx.RequestError as error:
            raise wire.connection_error(call.doing, self._http, error) from error

    async def _events(self, call: Call[Any]) -> AsyncGenerator[JSON, None]:
        reader = wire.EventReader(call.doing)
        async with aclosing(self._pieces(call)) as pieces:
            await anext(pieces)
            yield {}
            async for data in pieces:
                for event in reader.feed(data):
                    yield event
        reader.finish()

    async def _pieces(self, call: Call[Any]) -> AsyncGenerator[bytes, None]:
        try:
            async with self._http.stream(call.method, call.path, **call.content) as response:
                if response.is_error:
                    await response.aread()
                    raise wire.response_error(call.doing, response)
                # `stream` takes this one: from here on, the `async with` is left however it ends.
                yield b""
                async for data in response.aiter_bytes():
                    yield data
        except httpx.RequestError as error:
            raise wire.connection_error(call.doing, self._http, error) from error


class AsyncGenerateModelHandle:
    """Talks to one model that completes text."""

    def __init__(self, model_uid: str, client: AsyncClient) -> None:
        self.model_uid = model_uid
        self._client = client

    async def generate(
        self, prompt: str, generate_config: Mapping[str, Any] | None = None
    ) -> JSON | AsyncGenerator[JSON, None]:
        """Complete `prompt`: an OpenAI completion, or its chunks if `generate_config` holds
        `stream: True`. The rest of `generate_config` goes into the request as it is."""
        return await self._answer(inference.generate(self.model_uid, prompt, generate_config))

    async def _answer(self, call: Call[JSON]) -> JSON | AsyncGenerator[JSON, None]:
        if call.streams:
            return await self._client.stream(call)
        return await self._client.send(call)


class AsyncChatModelHandle(AsyncGenerateModelHandle):
    """Talks to one model that chats."""

    async def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        enable_thinking: bool | None = None,
        generate_config: Mapping[str, Any] | None = None,
    ) -> JSON | AsyncGenerator[JSON, None]:
        """Answer `messages`: an OpenAI chat completion, or its chunks if `generate_config`
        holds `stream: True`."""
        return await self._answer(
            inference.chat(self.model_uid, messages, tools, enable_thinking, generate_config)
        )


class AsyncEmbeddingModelHandle:
    """Talks to one model that makes vectors."""

    def __init__(self, model_uid: str, client: AsyncClient) -> None:
        self.model_uid = model_uid
        self._client = client

    async def create_embedding(self, input: str | Sequence[str], **kwargs: Any) -> JSON:
        """Make vectors: OpenAI's list of embeddings. `kwargs` go into the request as they are."""
        return await self._client.send(inference.create_embedding(self.model_uid, input, kwargs))

    async def convert_ids_to_tokens(self, input: Sequence[Any], **kwargs: Any) -> list[Any]:
        """What tokens are called in the model's vocabulary, of a list of ids or of such lists."""
        return await self._client.send(
            inference.convert_ids_to_tokens(self.model_uid, input, kwargs)
        )


class AsyncRerankModelHandle:
    """Talks to one model that ranks documents."""

    def __init__(self, model_uid: str, client: AsyncClient) -> None:
        self.model_uid = model_uid
        self._client = client

    async def rerank(
        self,
        documents: Sequence[Any],
        query: str,
        top_n: int | None = None,
        max_chunks_per_doc: int | None = None,
        return_documents: bool | None = None,
        return_len: bool | None = None,
        **kwargs: Any,
    ) -> JSON:
        """Put documents in order of their relevance to `query`. `kwargs` go into the request as
        they are; `max_chunks_per_doc` has no effect."""
        return await self._client.send(
            inference.rerank(
                self.model_uid, documents, query, top_n, return_documents, return_len, kwargs
            )
        )


AsyncModelHandle = (
    AsyncChatModelHandle
    | AsyncGenerateModelHandle
    | AsyncEmbeddingModelHandle
    | AsyncRerankModelHandle
    | AsyncImageModelHandle
    | AsyncAudioModelHandle
)

_HANDLES: dict[inference.HandleKind, Callable[[str, AsyncClient], AsyncModelHandle]] = {
    "chat": AsyncChatModelHandle,
    "generate": AsyncGenerateModelHandle,
    "embedding": AsyncEmbeddingModelHandle,
    "rerank": AsyncRerankModelHandle,
    "image": AsyncImageModelHandle,
    "audio": AsyncAudioModelHandle,
}
