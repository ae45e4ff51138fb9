"""Commands of Xinference's that have nothing to do here: each says what there is instead."""

from __future__ import annotations

import click

_INSTEAD = {
    "login": "This server has no users to log in, but one key. Pass it with --api-key (-ak) or "
    "XINFERENCE_API_KEY; a server that was started without a key needs none.",
    "vllm-models": "There is no list of vLLM's models: whatever the installed vLLM loads can be "
    "launched. `xinference engine -n NAME` tells which engines run a model, and why others do not.",
}
ABSENT = tuple(_INSTEAD)


def absent(name: str) -> click.Command:
    """A command that takes whatever Xinference's takes, and fails with what to do instead."""

    @click.command(
        name,
        hidden=True,
        context_settings={"ignore_unknown_options": True, "help_option_names": []},
    )
    @click.argument("words", nargs=-1, type=click.UNPROCESSED)
    def tell(words: tuple[str, ...]) -> None:
        raise click.ClickException(_INSTEAD[name])

    return tell
