"""Commands of xinfer's as pages and files show them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from tests.support.markdown import ROOT
from xinfer.deploy import local, supervisor, worker
from xinfer.deploy.cli import main as xinference
from xinfer.model.engine import BUILTIN, find_engine

SERVERS = {
    "xinference-local": local,
    "xinference-supervisor": supervisor,
    "xinference-worker": worker,
}


def commands_in(value: object) -> Iterator[list[str]]:
    """What a file for Compose or Kubernetes starts of ours, as words."""
    if isinstance(value, list):
        for each in value:
            yield from commands_in(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            words = each.split() if isinstance(each, str) else each
            if key == "command" and isinstance(words, list) and words[0] in SERVERS:
                arguments = value.get("args", [])
                yield [re.sub(r"\$\(\w+\)", "127.0.0.1", str(one)) for one in [*words, *arguments]]
            else:
                yield from commands_in(each)


def check_command(words: list[str]) -> None:
    """Fail unless these words name a command, and flags that it has."""
    program, *rest = words
    if program == "make":
        makefile = (ROOT / "Makefile").read_text()
        known = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
        known |= {f"{name}=" for name in re.findall(r"\$\((\w+)\)", makefile)}
        assert {re.sub("=.*", "=", word) for word in rest} <= known, words
        return
    if program in SERVERS:
        SERVERS[program].make_parser().parse_args(rest)
        return
    if not rest:
        return
    name, *arguments = rest
    with click.Context(xinference) as context:
        command = xinference.get_command(context, name)
    assert command is not None, words
    known = {flag for parameter in command.params for flag in parameter.opts}
    flags = {word for word in arguments if re.match(r"-{1,2}[a-z]", word)}
    unknown = {flag.removeprefix("--").replace("-", "_") for flag in flags - known}
    if name == "launch":
        for engine in BUILTIN:
            unknown -= set(find_engine(engine)[1].options().__struct_fields__)
    assert not unknown, words
