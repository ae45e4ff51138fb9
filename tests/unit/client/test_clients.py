"""Both clients against a server made of answers: what they send, return, raise and close."""

from __future__ import annotations

import asyncio
import email
import gc
import inspect
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest

from xinfer.client import (
    APIConnectionError,
    APIError,
    AsyncChatModelHandle,
    AsyncClient,
    AsyncEmbeddingModelHandle,
    AsyncGenerateModelHandle,
    AsyncImageModelHandle,
    AsyncRerankModelHandle,
    ChatModelHandle,
    Client,
    EmbeddingModelHandle,
    GenerateModelHandle,
    ImageModelHandle,
    RerankModelHandle,
    UnsupportedModelError,
)

URL = "http://server:9997"
HELLO = [{"role": "user", "content": "Hello!"}]
CHUNKS = [{"choices": [{"delta": {"content": text}}]} for text in ("Hel", "lo")]
DONE = b"data: [DONE]\n\n"


class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A streamed body that knows whether it was closed; it may break off with an error."""

    def __init__(self, *pieces: bytes, error: Exception | None = None) -> None:
        self.pieces = pieces
        self.error = error
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        yield from self.pieces
        if self.error:
            raise self.error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


class Server:
    """Answers by "METHOD path"; keeps the requests."""

    def __init__(self, auth: bool = False) -> None:
        self.answers: dict[str, Any] = {"GET /v1/cluster/auth": {"auth": auth}}
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.get(f"{request.method} {request.url.path}")
        if answer is None:
            return httpx.Response(404, json={"detail": f"no route {request.url.path}"})
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Body):
            return httpx.Response(200, stream=answer)
        if isinstance(answer, httpx.Response):  # a response is read once: hand out a copy
            return httpx.Response(
                answer.status_code, headers=answer.headers, content=answer.content
            )
        return httpx.Response(200, json=answer)

    def model(self, *abilities: str, model_type: str = "LLM") -> None:
        self.answers["GET /v1/models/m"] = {
            "model_type": model_type,
            "model_ability": list(abilities),
        }

    def body(self) -> Any:
        return json.loads(self.requests[-1].content)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(URL, transport=httpx.MockTransport(server)) as client:
        yield client


@pytest.fixture
def chat(server: Server, client: Client) -> ChatModelHandle:
    server.model("chat", "generate")
    handle = client.get_model("m")
    assert isinstance(handle, ChatModelHandle)
    return handle


def in_async(server: Server, test: Callable[[AsyncClient], Any], api_key: str | None = None) -> Any:
    """Run a coroutine function with a client, in a loop that leaves nothing open."""

    async def run() -> Any:
        async with AsyncClient(URL, api_key, transport=httpx.MockTransport(server)) as client:
            return await test(client)

    return asyncio.run(run())


def streamed() -> Body:
    return Body(*(f"data: {json.dumps(chunk)}\n\n".encode() for chunk in CHUNKS), DONE)


def test_both_clients_have_the_same_methods() -> None:
    def signatures(kind: type, *also: str) -> dict[str, inspect.Signature]:
        return {
            name: inspect.signature(member).replace(return_annotation=None)
            for name, member in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_") and name not in also
        }

    assert signatures(Client) == signatures(AsyncClient)
    assert signatures(ChatModelHandle) == signatures(AsyncChatModelHandle)
    assert signatures(EmbeddingModelHandle) == signatures(AsyncEmbeddingModelHandle)
    assert signatures(RerankModelHandle) == signatures(AsyncRerankModelHandle)
    assert signatures(ImageModelHandle) == signatures(AsyncImageModelHandle)


def test_methods_show_the_arguments_and_the_text_of_what_they_call(client: Client) -> None:
    assert next(iter(inspect.signature(client.launch_model).parameters)) == "model_name"
    assert "Launch a model" in inspect.getdoc(client.launch_model)


def test_the_key_goes_with_every_request_if_the_server_wants_one() -> None:
    server = Server(auth=True)
    server.answers["GET /v1/models"] = {"data": []}
    with Client(URL, "secret", transport=httpx.MockTransport(server)) as client:
        client.list_models()
    in_async(server, lambda client: client.list_models(), api_key="secret")
    keys = [request.headers.get("Authorization") for request in server.requests]
    assert keys == [None, "Bearer secret", None, "Bearer secret"]


def test_the_async_client_asks_about_keys_once(server: Server) -> None:
    server.answers["GET /v1/models"] = {"data": []}

    async def many(client: AsyncClient) -> None:
        await asyncio.gather(*(client.list_models() for _ in range(5)))

    in_async(server, many)
    assert [request.url.path for request in server.requests].count("/v1/cluster/auth") == 1


def test_no_server_is_a_connection_error_with_the_address() -> None:
    server = Server()
    server.answers["GET /v1/cluster/auth"] = httpx.ConnectError("refused")
    with pytest.raises(APIConnectionError, match="no server answers at http://server:9997"):
        Client(URL, transport=httpx.MockTransport(server))
    with pytest.raises(APIConnectionError, match="no server answers at http://server:9997"):
        in_async(server, lambda client: client.list_models())


def test_a_refusal_raises_with_what_the_server_said(server: Server, client: Client) -> None:
    server.answers["DELETE /v1/models/m"] = httpx.Response(
        404,
        json={"error": {"message": "no m", "code": "model_not_found"}, "detail": "no m"},
        headers={"X-Request-Id": "r1"},
    )
    for terminate in (
        lambda: client.terminate_model("m"),
        lambda: in_async(server, lambda client: client.terminate_model("m")),
    ):
        with pytest.raises(RuntimeError, match="Failed to terminate model, detail: no m") as caught:
            terminate()
        assert isinstance(caught.value, APIError)
        assert (caught.value.status, caught.value.code) == (404, "model_not_found")
        assert caught.value.request_id == "r1"


def test_an_answer_without_content_is_none(server: Server, client: Client) -> None:
    server.answers["DELETE /v1/models/m"] = httpx.Response(200)
    client.terminate_model("m")
    assert server.requests[-1].method == "DELETE"


def test_a_server_below_a_path_is_reached_there() -> None:
    server = Server()
    server.answers = {
        "GET /models/v1/cluster/auth": {"auth": False},
        "GET /models/v1/models": {"data": []},
    }
    transport = httpx.MockTransport(server)
    with Client("http://server/models/", transport=transport) as client:
        assert client.list_models() == {}


@pytest.mark.parametrize(
    ("abilities", "kind", "async_kind"),
    [
        (["generate"], GenerateModelHandle, AsyncGenerateModelHandle),
        (["generate", "chat"], ChatModelHandle, AsyncChatModelHandle),
    ],
)
def test_the_handle_follows_the_abilities(
    server: Server, client: Client, abilities: list[str], kind: type, async_kind: type
) -> None:
    server.model(*abilities)
    assert type(client.get_model("m")) is kind
    assert type(in_async(server, lambda client: client.get_model("m"))) is async_kind


def test_a_type_without_a_handle_is_named(server: Server, client: Client) -> None:
    server.model(model_type="video")
    with pytest.raises(UnsupportedModelError, match="'m' is of type 'video'"):
        client.get_model("m")
    with pytest.raises(UnsupportedModelError, match="'m' is of type 'video'"):
        in_async(server, lambda client: client.get_model("m"))


def test_an_embedding_model_makes_vectors_and_tells_tokens(server: Server, client: Client) -> None:
    server.model(model_type="embedding")
    server.answers["POST /v1/embeddings"] = {"data": []}
    server.answers["POST /v1/convert_ids_to_tokens"] = ["a"]
    handle = client.get_model("m")
    assert isinstance(handle, EmbeddingModelHandle)
    assert handle.create_embedding(["a", "b"], dimensions=2) == {"data": []}
    embedding = server.body()
    assert handle.convert_ids_to_tokens([1]) == ["a"]
    tokens = server.body()

    async def ask(client: AsyncClient) -> Any:
        handle = await client.get_model("m")
        assert isinstance(handle, AsyncEmbeddingModelHandle)
        assert await handle.create_embedding(["a", "b"], dimensions=2) == {"data": []}
        assert server.body() == embedding
        return await handle.convert_ids_to_tokens([1])

    assert in_async(server, ask) == ["a"]
    assert server.body() == tokens == {"model": "m", "input": [1]}
    assert embedding == {"model": "m", "input": ["a", "b"], "dimensions": 2}


def form(request: httpx.Request) -> dict[str, list[tuple[str | None, bytes]]]:
    """The fields of a form: for each name, file names and contents."""
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    fields: dict[str, list[tuple[str | None, bytes]]] = {}
    for part in email.message_from_bytes(head + request.content).get_payload():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        fields.setdefault(str(name), []).append((part.get_filename(), content))
    return fields


def test_an_image_model_draws(server: Server, client: Client) -> None:
    server.model(model_type="image")
    for route in ("generations", "variations", "edits", "inpainting"):
        server.answers[f"POST /v1/images/{route}"] = {"data": [route]}
    server.answers["GET /v1/requests/r/progress"] = {"progress": 0.5}
    handle = client.get_model("m")
    assert isinstance(handle, ImageModelHandle)
    assert handle.text_to_image("a cat", n=2, size="64*64", seed=5) == {"data": ["generations"]}
    assert server.body() == {
        "model": "m",
        "prompt": "a cat",
        "n": 2,
        "response_format": "url",
        "size": "64*64",
        "seed": 5,
    }
    assert handle.image_to_image([b"\x89a", "https://x/b.png"], "a cat", "dogs", strength=0.5)
    sent = form(server.requests[-1])
    assert sent["image"] == [("image", b"\x89a"), (None, b"https://x/b.png")]
    assert sent["negative_prompt"] == [(None, b"dogs")]
    assert json.loads(sent["kwargs"][0][1]) == {"strength": 0.5}
    assert handle.inpainting(b"a", b"b", "a cat") == {"data": ["inpainting"]}
    inpainting = form(server.requests[-1])
    assert inpainting["image"] == [("image", b"a")]
    assert inpainting["mask_image"] == [("mask_image", b"b")]
    assert handle.image_edit(b"a", "a cat", mask=b"b") == {"data": ["edits"]}
    assert form(server.requests[-1])["mask"] == [("mask", b"b")]
    assert client.get_progress("r") == {"progress": 0.5}

    async def ask(client: AsyncClient) -> Any:
        handle = await client.get_model("m")
        assert isinstance(handle, AsyncImageModelHandle)
        await handle.text_to_image("a cat", size="64*64")
        assert server.body()["size"] == "64*64"
        await handle.image_edit(b"a", "a cat", b"b")
        assert form(server.requests[-1])["mask"] == [("mask", b"b")]
        return await handle.inpainting(b"a", b"b", "a cat")

    assert in_async(server, ask) == {"data": ["inpainting"]}
    assert form(server.requests[-1]) == inpainting


def test_a_rerank_model_ranks_documents(server: Server, client: Client) -> None:
    server.model(model_type="rerank")
    server.answers["POST /v1/rerank"] = {"results": []}
    handle = client.get_model("m")
    assert isinstance(handle, RerankModelHandle)
    ranked = handle.rerank(["a", "b"], "q", top_n=1, return_documents=True, truncate=False)
    assert ranked == {"results": []}
    body = server.body()

    async def ask(client: AsyncClient) -> Any:
        handle = await client.get_model("m")
        assert isinstance(handle, AsyncRerankModelHandle)
        return await handle.rerank(["a", "b"], "q", top_n=1, return_documents=True, truncate=False)

    assert in_async(server, ask) == ranked
    assert server.body() == body
    assert body == {
        "model": "m",
        "documents": ["a", "b"],
        "query": "q",
        "top_n": 1,
        "return_documents": True,
        "truncate": False,
    }


def test_chat_sends_its_arguments_and_returns_the_answer(
    server: Server, chat: ChatModelHandle
) -> None:
    server.answers["POST /v1/chat/completions"] = {"choices": []}
    tools = [{"type": "function"}]
    assert chat.chat(HELLO, tools, True, {"max_tokens": 3}) == {"choices": []}
    sync_body = server.body()

    async def ask(client: AsyncClient) -> Any:
        handle = await client.get_model("m")
        assert isinstance(handle, AsyncChatModelHandle)
        return await handle.chat(HELLO, tools, True, {"max_tokens": 3})

    assert in_async(server, ask) == {"choices": []}
    assert sync_body == server.body()
    assert sync_body == {
        "model": "m",
        "messages": HELLO,
        "tools": tools,
        "enable_thinking": True,
        "max_tokens": 3,
    }


def test_a_chat_model_also_completes_text(server: Server, chat: ChatModelHandle) -> None:
    server.answers["POST /v1/completions"] = {"choices": [{"text": "!"}]}
    assert chat.generate("Hello", {"seed": 1}) == {"choices": [{"text": "!"}]}
    assert server.body() == {"model": "m", "prompt": "Hello", "seed": 1}


def test_a_stream_yields_the_chunks_and_is_closed(server: Server, chat: ChatModelHandle) -> None:
    body = server.answers["POST /v1/chat/completions"] = streamed()
    assert list(chat.chat(HELLO, generate_config={"stream": True})) == CHUNKS
    assert body.closed


def test_a_stream_that_is_refused_raises_before_it_is_read(
    server: Server, chat: ChatModelHandle
) -> None:
    server.answers["POST /v1/chat/completions"] = httpx.Response(503, json={"detail": "full"})
    with pytest.raises(APIError, match="detail: full"):
        chat.chat(HELLO, generate_config={"stream": True})


@pytest.mark.parametrize("read", [0, 1])
def test_closing_or_dropping_a_stream_closes_its_response(
    server: Server, chat: ChatModelHandle, read: int
) -> None:
    for drop in (False, True):
        body = server.answers["POST /v1/chat/completions"] = streamed()
        chunks = chat.chat(HELLO, generate_config={"stream": True})
        for _ in range(read):
            next(chunks)
        assert not body.closed
        if drop:
            del chunks
            gc.collect()
        else:
            chunks.close()
        assert body.closed


def test_a_connection_that_breaks_inside_a_stream_raises(
    server: Server, chat: ChatModelHandle
) -> None:
    body = Body(b'data: {"a": 1}\n\n', error=httpx.RemoteProtocolError("cut"))
    server.answers["POST /v1/chat/completions"] = body
    chunks = chat.chat(HELLO, generate_config={"stream": True})
    assert next(chunks) == {"a": 1}
    with pytest.raises(APIConnectionError, match="closed the connection"):
        next(chunks)
    assert body.closed


def test_an_async_stream_yields_the_chunks_and_is_closed(server: Server) -> None:
    server.model("chat")
    body = server.answers["POST /v1/chat/completions"] = streamed()

    async def read(client: AsyncClient) -> list[Any]:
        handle = await client.get_model("m")
        assert isinstance(handle, AsyncChatModelHandle)
        chunks = await handle.chat(HELLO, generate_config={"stream": True})
        return [chunk async for chunk in chunks]

    assert in_async(server, read) == CHUNKS
    assert body.closed


@pytest.mark.parametrize("read", [0, 1])
def test_closing_an_async_stream_closes_its_response(server: Server, read: int) -> None:
    server.model("generate")
    body = server.answers["POST /v1/completions"] = streamed()

    async def leave(client: AsyncClient) -> None:
        handle = await client.get_model("m")
        chunks = await handle.generate("x", {"stream": True})
        for _ in range(read):
            await anext(chunks)
        assert not body.closed
        await chunks.aclose()

    in_async(server, leave)
    assert body.closed


def test_errors_of_async_streams_raise(server: Server) -> None:
    server.model("generate")

    async def read(client: AsyncClient) -> None:
        handle = await client.get_model("m")
        async for _ in await handle.generate("x", {"stream": True}):
            pass

    server.answers["POST /v1/completions"] = httpx.Response(503, json={"detail": "full"})
    with pytest.raises(APIError, match="detail: full"):
        in_async(server, read)
    server.answers["POST /v1/completions"] = Body(b'data: {"error": {"message": "died"}}\n\n')
    with pytest.raises(APIError, match="detail: died"):
        in_async(server, read)
    server.answers["POST /v1/completions"] = Body(error=httpx.ReadError("cut"))
    with pytest.raises(APIConnectionError, match="closed the connection"):
        in_async(server, read)
