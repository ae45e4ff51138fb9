"""`run`: a model that answers, launched if need be, at the terminal or for one question."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from xinfer.client import APIError, ChatModelHandle, Client
from xinfer.deploy.cli.connection import with_client
from xinfer.deploy.cli.conversation import Conversation, picture
from xinfer.deploy.cli.follow import LaunchFailed, follow
from xinfer.deploy.cli.launch import engine_options, launch_options, launch_request, launched
from xinfer.deploy.cli.terminal import answer_once, converse


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("name")
@launch_options
@click.option("--system", help="Instructions that the model has before the conversation.")
@click.option("--image", multiple=True, help="Picture for the first question: a file or a URL.")
@click.option("--think/--no-think", default=None, help="Whether a model that can is to think.")
@click.argument(
    "further", nargs=-1, type=click.UNPROCESSED, metavar="[PROMPT] [--ENGINE-OPTION VALUE]..."
)
@with_client
def run(
    client: Client,
    /,
    *,
    name: str,
    further: tuple[str, ...],
    system: str | None,
    image: tuple[str, ...],
    think: bool | None,
    **options: Any,
) -> None:
    """Chat with a model, which is launched if it is not running.

    NAME is the uid of a running model, or whatever `launch` takes as --model-name; options are
    those of `launch`. With a PROMPT, or text from a pipe, it answers once and ends.
    """
    prompt, words = _split(further)
    uid = _ready(client, name, words, options)
    handle = client.get_model(uid)
    if not isinstance(handle, ChatModelHandle):
        raise click.ClickException(f"{uid} cannot chat. `xinference list` shows what models can.")
    talk = Conversation(handle, system=system)
    if think is not None:
        talk.settings["enable_thinking"] = think
    for source in image:
        try:
            talk.pictures.append(picture(source))
        except OSError as error:
            raise click.BadParameter(f"{source}: {error.strerror}", param_hint="--image") from None
    if prompt is None and sys.stdin.isatty() and sys.stdout.isatty():
        converse(talk, uid)
        return
    if not sys.stdin.isatty():
        piped = _piped().strip()
        prompt = "\n\n".join(part for part in (prompt, piped) if part)
    if not prompt:
        raise click.UsageError("there is nothing to answer: give a PROMPT, or text by a pipe.")
    answer_once(talk, prompt)


def _piped() -> str:
    """The text from the pipe.

    Raises:
        click.ClickException: it is none.
    """
    try:
        text = sys.stdin.read()
        text.encode()  # some locales let what is no text through, as what cannot be sent
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise click.ClickException(
            f"what comes by the pipe is not text in {sys.stdin.encoding}: {error.reason}. "
            "Convert it, with iconv for example."
        ) from None
    return text


def _split(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """The prompt among the words, if there is one, and the options of the engine.

    Raises:
        click.UsageError: there are two.
    """
    prompt: str | None = None
    rest: list[str] = []
    given = iter(words)
    for word in given:
        if word.startswith("--"):
            rest.append(word)
            if "=" not in word:
                rest += [value for value in [next(given, None)] if value is not None]
        elif prompt is None:
            prompt = word
        else:
            raise click.UsageError(
                f"{word!r} is a second prompt. Put the whole of one in quotation marks."
            )
    return prompt, rest


def _ready(client: Client, name: str, words: Sequence[str], options: dict[str, Any]) -> str:
    """The uid of a model of this name that answers; launched if there is none.

    Raises:
        click.ClickException: it is not going to answer.
    """
    extra = engine_options(words)
    if "/" not in name and options["model_uid"] is None and _exists(client, name):
        if extra:
            click.echo(f"{name} is there already; options of a launch change nothing.", err=True)
        if any(
            one["model_uid"] == name and one["status"] != "READY"
            for one in client.get_instance_info(model_uid=name)
        ):
            try:
                follow(client, name)
            except LaunchFailed as error:
                raise click.ClickException(str(error)) from error
        return name
    options = {**options, "exist_ok": True}
    uid, _ = launched(client, launch_request(name, extra, **options))
    return uid


def _exists(client: Client, uid: str) -> bool:
    try:
        client.describe_model(uid)
    except APIError as error:
        if error.status == 404:
            return False
        raise
    return True
