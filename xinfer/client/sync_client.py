"""The blocking client. It may be shared by threads."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator, Mapping, Sequence
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

import httpx

from xinfer.client import inference, management, wire
from xinfer.client.audio import AudioModelHandle
from xinfer.client.images import ImageModelHandle
from xinfer.client.wire import JSON, Call

P = ParamSpec("P")
T = TypeVar("T")


def _method(describe: Callable[P, Call[T]]) -> Callable[Concatenate[Client, P], T]:
    """The method that makes the call which `describe` describes."""

    @functools.wraps(describe)
    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.send(describe(*args, **kwargs))

    method.__signature__ = with_self(describe)  # type: ignore[attr-defined]
    return method


def with_self(function: Callable[..., Any]) -> inspect.Signature:
    """The signature that `function` has as a method."""
    signature = inspect.signature(function)
    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    return signature.replace(parameters=[this, *signature.parameters.values()])


class Client:
    """A connection to a server; close it, or use it in a `with` statement.

    Args:
        base_url: the server's address, such as http://127.0.0.1:9997.
        api_key: sent if the server asks for one.
        transport: what carries the requests, instead of the network.

    Raises:
        ValueError: `base_url` is not an http or https address.
        APIConnectionError: no server answers there. Every method may raise it.
        APIError: the server refused. Every method may raise it.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        *,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        options = wire.connection_options(base_url)
        self._http = httpx.Client(transport=transport, **options)
        try:
            auth = self._request(wire.cluster_auth())
            self._http.headers.update(wire.auth_headers(auth, api_key))
        except BaseException:
            self._http.close()
            raise

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

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

    def get_model(self, model_uid: str) -> ModelHandle:
        """The handle that talks to a model of this type, and can do what this one can.

        Raises:
            UnsupportedModelError: the model is of a type without a handle.
        """
        kind = inference.handle_kind(model_uid, self.describe_model(model_uid))
        return _HANDLES[kind](model_uid, self)

    def send(self, call: Call[T]) -> T:
        return wire.read_response(call, self._request(call))

    def stream(self, call: Call[Any]) -> Generator[JSON, None, None]:
        """The events of the answer. Errors before the first are raised here; closing or
        dropping the iterator ends the request."""
        events = self._events(call)
        next(events)
        return events

    def stream_bytes(self, call: Call[bytes]) -> Generator[bytes, None, None]:
        """The answer as it comes. As `stream` otherwise."""
        pieces = self._pieces(call)
        next(pieces)
        return pieces

    def _request(self, call: Call[Any]) -> httpx.Response:
        try:
            return self._http.request(call.method, call.path, params=call.params, **call.content)
        except httpx.RequestError as error:
            raise wire.connection_error(call.doing, self._http, error) from error

    def _events(self, call: Call[Any]) -> Generator[JSON, None, None]:
        reader = wire.EventReader(call.doing)
        pieces = self._pieces(call)
        try:
            next(pieces)
            yield {}
            for data in pieces:
                yield from reader.feed(data)
        finally:
            pieces.close()
        reader.finish()

    def _pieces(self, call: Call[Any]) -> Generator[bytes, None, None]:
        try:
            with self._http.stream(call.method, call.path, **call.content) as response:
                if response.is_error:
                    response.read()
                    raise wire.response_error(call.doing, response)
                # `stream` takes this one: from here on, the `with` is left however it ends.
                yield b""
                yield from response.iter_bytes()
        except httpx.RequestError as error:
            raise wire.connection_error(call.doing, self._http, error) from error


class GenerateModelHandle:
    """Talks to one model that completes text."""

    def __init__(self, model_uid: str, client: Client) -> None:
        self.model_uid = model_uid
        self._client = client

    def generate(
        self, prompt: str, generate_config: Mapping[str, Any] | None = None
    ) -> JSON | Generator[JSON, None, None]:
        """Complete `prompt`: an OpenAI completion, or its chunks if `generate_config` holds
        `stream: True`. The rest of `generate_config` goes into the request as it is."""
        return self._answer(inference.generate(self.model_uid, prompt, generate_config))

    def _answer(self, call: Call[JSON]) -> JSON | Generator[JSON, None, None]:
        return self._client.stream(call) if call.streams else self._client.send(call)


class ChatModelHandle(GenerateModelHandle):
    """Talks to one model that chats."""

    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        enable_thinking: bool | None = None,
        generate_config: Mapping[str, Any] | None = None,
    ) -> JSON | Generator[JSON, None, None]:
        """Answer `messages`: an OpenAI chat completion, or its chunks if `generate_config`
        holds `stream: True`."""
        return self._answer(
            inference.chat(self.model_uid, messages, tools, enable_thinking, generate_config)
        )


class EmbeddingModelHandle:
    """Talks to one model that makes vectors."""

    def __init__(self, model_uid: str, client: Client) -> None:
        self.model_uid = model_uid
        self._client = client

    def create_embedding(self, input: str | Sequence[str], **kwargs: Any) -> JSON:
        """Make vectors: OpenAI's list of embeddings. `kwargs` go into the request as they are."""
        return self._client.send(inference.create_embedding(self.model_uid, input, kwargs))

    def convert_ids_to_tokens(self, input: Sequence[Any], **kwargs: Any) -> list[Any]:
        """What tokens are called in the model's vocabulary, of a list of ids or of such lists."""
        return self._client.send(inference.convert_ids_to_tokens(self.model_uid, input, kwargs))


class RerankModelHandle:
    """Talks to one model that ranks documents."""

    def __init__(self, model_uid: str, client: Client) -> None:
        self.model_uid = model_uid
        self._client = client

    def rerank(
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
        return self._client.send(
            inference.rerank(
                self.model_uid, documents, query, top_n, return_documents, return_len, kwargs
            )
        )


ModelHandle = (
    ChatModelHandle
    | GenerateModelHandle
    | EmbeddingModelHandle
    | RerankModelHandle
    | ImageModelHandle
    | AudioModelHandle
)

_HANDLES: dict[inference.HandleKind, Callable[[str, Client], ModelHandle]] = {
    "chat": ChatModelHandle,
    "generate": GenerateModelHandle,
    "embedding": EmbeddingModelHandle,
    "rerank": RerankModelHandle,
    "image": ImageModelHandle,
    "audio": AudioModelHandle,
}
