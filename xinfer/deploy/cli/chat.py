"""`chat` and `generate`: try a model from the terminal, or from a pipe, a line at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from functools import partial
from typing import Any

import click

from xinfer.client import (
    APIError,
    ChatModelHandle,
    Client,
    EmbeddingModelHandle,
    GenerateModelHandle,
    ImageModelHandle,
    RerankModelHandle,
)
from xinfer.client.sync_client import ModelHandle
from xinfer.client.wire import JSON
from xinfer.deploy.cli.connection import explain, model_uid_option, with_client

Answer = JSON | Generator[JSON, None, None]

_NO_TEXT: dict[type[ModelHandle], tuple[str, str]] = {
    EmbeddingModelHandle: ("embedding", "/v1/embeddings"),
    RerankModelHandle: ("rerank", "/v1/rerank"),
    ImageModelHandle: ("image", "/v1/images/generations"),
}
"""Types of model that make no text, and the route for each."""


def _sampling_options(command: Callable[..., Any]) -> Callable[..., Any]:
    max_tokens = click.option(
        "--max_tokens",
        "--max-tokens",
        type=int,
        default=512,
        show_default=True,
        help="Longest answer, in tokens.",
    )
    stream = click.option(
        "--stream",
        type=bool,
        default=True,
        show_default=True,
        help="Print the answer while it is made.",
    )
    return max_tokens(stream(command))


@click.command()
@model_uid_option
@_sampling_options
@with_client
def chat(client: Client, model_uid: str, max_tokens: int, stream: bool) -> None:
    """Chat with a model. An empty line ends it, Ctrl-C ends an answer."""
    handle = client.get_model(model_uid)
    if not isinstance(handle, GenerateModelHandle):
        raise _no_text(model_uid, handle)
    if not isinstance(handle, ChatModelHandle):
        raise click.ClickException(
            f"{model_uid} cannot chat. Use `xinference generate --model-uid {model_uid}`."
        )
    config = {"max_tokens": max_tokens, "stream": stream}
    messages: list[JSON] = []
    for line in _lines("User: "):
        question = {"role": "user", "content": line}
        ask = partial(handle.chat, [*messages, question], generate_config=config)
        text = _print_answer(ask, "Assistant: ", max_tokens)
        if text is not None:
            messages += [question, {"role": "assistant", "content": text}]


@click.command()
@model_uid_option
@_sampling_options
@with_client
def generate(client: Client, model_uid: str, max_tokens: int, stream: bool) -> None:
    """Let a model continue a text. An empty line ends it, Ctrl-C ends a completion."""
    handle = client.get_model(model_uid)
    if not isinstance(handle, GenerateModelHandle):
        raise _no_text(model_uid, handle)
    config = {"max_tokens": max_tokens, "stream": stream}
    for prompt in _lines("Prompt: "):
        _print_answer(partial(handle.generate, prompt, config), "Completion: ", max_tokens)


def _no_text(model_uid: str, handle: ModelHandle) -> Exception:
    kind, route = next(told for one, told in _NO_TEXT.items() if isinstance(handle, one))
    return click.ClickException(
        f"{model_uid} is of type {kind!r} and makes no text. Call it over HTTP: {route}."
    )


def _interactive() -> bool:
    return sys.stdin.isatty()


def _lines(prompt: str) -> Iterator[str]:
    """What the user enters, until an empty line, the end of the input, or Ctrl-C."""
    if not _interactive():
        for line in sys.stdin:
            if not line.strip():
                return
            yield line.rstrip("\n")
        return
    while True:
        try:
            line = input(prompt)
        except (EOFError, KeyboardInterrupt):
            click.echo()
            return
        if not line.strip():
            return
        yield line


def _print_answer(ask: Callable[[], Answer], title: str, max_tokens: int) -> str | None:
    """Print an answer and return its text: as far as it came, if Ctrl-C ended it.

    A failure ends the command when the input is a pipe; at a terminal it is told, None is
    returned, and the conversation goes on.
    """
    text = ""
    if _interactive():
        click.echo(title, nl=False)
    try:
        with closing(_events(ask())) as events:
            for choice in _choices(events):
                piece = choice.get("message") or choice.get("delta") or choice
                if _interactive() and piece.get("reasoning_content"):
                    click.secho(piece["reasoning_content"], dim=True, nl=False)
                content = piece.get("content") or piece.get("text") or ""
                text += content
                click.echo(content, nl=False)
                if choice.get("finish_reason") == "length":
                    click.echo(f"\n(cut short by --max-tokens {max_tokens})", nl=False, err=True)
    except KeyboardInterrupt:
        click.echo("\n(stopped)", nl=False, err=True)
    except APIError as error:
        if not _interactive():
            raise
        click.echo(f"\nError: {explain(error)}", err=True)
        return None
    click.echo()
    return text


def _events(answer: Answer) -> Generator[JSON, None, None]:
    if isinstance(answer, dict):
        yield answer
    else:
        yield from answer


def _choices(events: Iterable[JSON]) -> Iterator[JSON]:
    for event in events:
        yield from event["choices"]
