"""`embed` and `rerank`: vectors and scores of texts, by a model of the server."""

from __future__ import annotations

import json
import math
import operator
import sys
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import click

from xinfer.client import Client, EmbeddingModelHandle, RerankModelHandle
from xinfer.deploy.cli.connection import with_client
from xinfer.deploy.cli.table import table

_WIDTH = 50
"""Columns of a text in a table."""

_uid_option = click.option("--model-uid", "-u", required=True, help="Uid of the model.")
_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the server's whole answer as JSON."
)


@click.command()
@_uid_option
@click.option("--dimensions", type=int, help="Length of the vectors, where it can be chosen.")
@_json_option
@click.argument("texts", nargs=-1)
@with_client
def embed(
    client: Client, model_uid: str, dimensions: int | None, as_json: bool, texts: tuple[str, ...]
) -> None:
    """Make a vector of each of TEXTS, or of each line of the standard input.

    Prints a JSON list a line, in order; with two texts or more on a terminal, how alike they are.
    """
    model = _handle(client, model_uid, EmbeddingModelHandle, "embed")
    inputs = _texts_or_lines(texts)
    options: dict[str, Any] = {} if dimensions is None else {"dimensions": dimensions}
    answer = model.create_embedding(inputs, **options)
    if as_json:
        click.echo(json.dumps(answer, ensure_ascii=False))
        return
    vectors = [each["embedding"] for each in answer["data"]]
    if len(vectors) == 1 or not _at_terminal():
        for vector in vectors:
            click.echo(json.dumps(vector))
        return
    pairs = sorted(combinations(range(len(inputs)), 2), key=lambda p: -_cosine(vectors, p))
    rows = [[round(_cosine(vectors, p), 3), *(_shortened(inputs[i]) for i in p)] for p in pairs]
    click.echo(table(["Similarity", "Text", "Text"], rows))


@click.command()
@_uid_option
@click.option("--top-n", type=int, help="Print only so many, the best.")
@_json_option
@click.argument("query")
@click.argument("documents", nargs=-1)
@with_client
def rerank(
    client: Client,
    model_uid: str,
    top_n: int | None,
    as_json: bool,
    query: str,
    documents: tuple[str, ...],
) -> None:
    """Put DOCUMENTS, or the lines of the standard input, in order of what they say to QUERY."""
    model = _handle(client, model_uid, RerankModelHandle, "rerank")
    texts = _texts_or_lines(documents)
    answer = model.rerank(texts, query, top_n=top_n)
    if as_json:
        click.echo(json.dumps(answer, ensure_ascii=False))
        return
    results = answer["results"]
    rows = [[f"{one['relevance_score']:.4f}", _shortened(texts[one["index"]])] for one in results]
    click.echo(table(["Score", "Document"], rows))


def _handle(client: Client, uid: str, kind: type[Any], what: str) -> Any:
    model = client.get_model(uid)
    if not isinstance(model, kind):
        raise click.ClickException(
            f"Model {uid} does not {what}; `xinference list` tells what each model is."
        )
    return model


def _texts_or_lines(texts: Sequence[str]) -> list[str]:
    if texts:
        return list(texts)
    if sys.stdin.isatty():
        raise click.UsageError("give texts as arguments, or lines on the standard input.")
    lines = [line.rstrip("\r\n") for line in sys.stdin]
    found = [line for line in lines if line]
    if not found:
        raise click.UsageError("there is no text on the standard input.")
    return found


def _at_terminal() -> bool:
    return sys.stdout.isatty()


def _cosine(vectors: Sequence[Sequence[float]], pair: tuple[int, int]) -> float:
    one, other = vectors[pair[0]], vectors[pair[1]]
    length = math.hypot(*one) * math.hypot(*other)
    return sum(map(operator.mul, one, other)) / length if length else 0.0


def _shortened(text: str) -> str:
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"
