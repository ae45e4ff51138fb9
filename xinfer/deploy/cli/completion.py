"""`completion`: the script with which a shell completes commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_WHERE = {
    "bash": 'add to ~/.bashrc:  eval "$(xinference completion bash)"',
    "zsh": 'add to ~/.zshrc:  eval "$(xinference completion zsh)"',
    "fish": "xinference completion fish > ~/.config/fish/completions/xinference.fish",
}


@click.command(epilog="\b\n" + "\n".join(f"{shell}: {how}" for shell, how in _WHERE.items()))
@click.argument("shell", type=click.Choice(list(_WHERE)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes SHELL complete commands and options."""
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, "xinference", "_XINFERENCE_COMPLETE").source())
