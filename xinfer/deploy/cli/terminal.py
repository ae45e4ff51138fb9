"""A conversation at a terminal: lines in, answers out, commands between."""

from __future__ import annotations

from contextlib import closing, suppress

import click

from xinfer.client import APIError
from xinfer.deploy.cli.connection import explain
from xinfer.deploy.cli.conversation import SETTINGS, Conversation, Piece, picture

_QUOTES = '"""'
_PROMPT, _MORE = ">>> ", "... "

HELP = f"""\
  {_QUOTES}              begin and end a question of several lines
  /system [TEXT]   instructions for the model; without TEXT, none
  /image FILE|URL  a picture for the next question
  /set NAME VALUE  {", ".join(SETTINGS)}
                   (without VALUE: the model's own)
  /show            what is set
  /clear           begin a new conversation
  /bye             leave; so does Ctrl-D. Ctrl-C ends an answer"""
"""What can be entered beside questions."""


def converse(talk: Conversation, uid: str) -> None:
    """Ask and answer until the user leaves."""
    with suppress(ImportError):  # not on every system: lines are then edited as the terminal can
        import readline  # noqa: F401
    click.secho(f"{uid} answers. /help tells what else can be entered, /bye leaves.", dim=True)
    while True:
        try:
            entered = _read()
        except EOFError:
            click.echo()
            return
        except KeyboardInterrupt:
            click.secho("\n(Ctrl-D or /bye leaves)", dim=True)
            continue
        if entered.startswith("/") and "\n" not in entered:
            if entered.split() == ["/bye"]:
                return
            _obey(talk, entered)
        elif entered.strip():
            _show_answer(talk, entered)


def answer_once(talk: Conversation, question: str) -> None:
    """Print the answer to one question, and nothing else.

    Raises:
        APIError: there is none.
    """
    reason: str | None = None
    answer = talk.ask(question)
    try:
        with closing(answer):
            while True:
                kind, piece = next(answer)
                if kind == "text":
                    click.echo(piece, nl=False)
    except StopIteration as end:
        reason = end.value
    click.echo()
    _tell_cut(reason)


def _read() -> str:
    """A line, or the lines between quotation marks; a backslash at the end goes on, too."""
    line = input(_PROMPT)
    if line.lstrip().startswith(_QUOTES):
        lines = [line.lstrip()[len(_QUOTES) :]]
        while not lines[-1].rstrip().endswith(_QUOTES):
            lines.append(input(_MORE))
        lines[-1] = lines[-1].rstrip()[: -len(_QUOTES)]
        return "\n".join(lines).strip("\n")
    while line.endswith("\\"):
        line = f"{line[:-1]}\n{input(_MORE)}"
    return line


def _obey(talk: Conversation, entered: str) -> None:
    """Do what a line that begins with a slash asks for."""
    command, _, rest = entered.partition(" ")
    rest = rest.strip()
    try:
        if command == "/help":
            click.echo(HELP)
        elif command == "/clear":
            talk.clear()
            _note("a new conversation")
        elif command == "/system":
            talk.system = rest or None
            _note("instructions are set" if rest else "no instructions")
        elif command == "/image":
            talk.pictures.append(picture(rest))
            _note("goes with the next question")
        elif command == "/set":
            name, _, value = rest.partition(" ")
            talk.set(name, value.strip())
            _note(f"{name} is {value.strip() or 'the model’s own'}")
        elif command == "/show":
            for field, value in {"system": talk.system, **talk.settings}.items():
                click.echo(f"  {field}: {value}")
        else:
            _note(f"there is no {command}; /help tells what there is")
    except OSError as error:
        _note(f"{rest or 'no file'}: {error.strerror or error}")
    except ValueError as error:
        _note(str(error))


def _show_answer(talk: Conversation, question: str) -> None:
    """Print an answer as it comes, thoughts dimmed. Ctrl-C ends it; a failure is told."""
    before = ""
    reason: str | None = None
    answer = talk.ask(question)
    try:
        with closing(answer):
            while True:
                before = _show(next(answer), before)
    except StopIteration as end:
        reason = end.value
    except KeyboardInterrupt:
        click.secho("\n(stopped)", dim=True, nl=False)
    except APIError as error:
        click.echo(f"Error: {explain(error)}", err=True, nl=False)
    click.echo("\n")
    _tell_cut(reason)


def _show(piece: Piece, before: str) -> str:
    """Print one piece of an answer; returns its kind."""
    kind, text = piece
    if before == "thought" and kind == "text":
        click.echo("\n")
        text = text.lstrip("\n")
    click.secho(text, dim=kind == "thought", nl=False)
    return kind


def _tell_cut(reason: str | None) -> None:
    if reason == "length":
        click.secho("(cut short: the context or max_tokens is used up)", dim=True, err=True)


def _note(text: str) -> None:
    click.secho(f"  {text}", dim=True)
