"""The `xinference` command. Each subcommand is imported when it is used, to start quickly."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from xinfer import __version__
from xinfer.deploy.cli.absent import ABSENT, absent
from xinfer.deploy.cli.usage import WrongUsage, did_you_mean, told_in_one_line

_COMMANDS = {
    "launch": "xinfer.deploy.cli.launch:launch",
    "scale": "xinfer.deploy.cli.scale:scale",
    "ps": "xinfer.deploy.cli.scale:ps",
    "list": "xinfer.deploy.cli.models:list_models",
    "terminate": "xinfer.deploy.cli.models:terminate",
    "cancel": "xinfer.deploy.cli.models:cancel",
    "logs": "xinfer.deploy.cli.models:logs",
    "run": "xinfer.deploy.cli.run:run",
    "chat": "xinfer.deploy.cli.chat:chat",
    "generate": "xinfer.deploy.cli.chat:generate",
    "engine": "xinfer.deploy.cli.engine:engine",
    "register": "xinfer.deploy.cli.registrations:register",
    "unregister": "xinfer.deploy.cli.registrations:unregister",
    "pull": "xinfer.deploy.cli.pull:pull",
    "cached": "xinfer.deploy.cli.cache:cached",
    "remove-cache": "xinfer.deploy.cli.cache:remove_cache",
    "cal-model-mem": "xinfer.deploy.cli.memory:cal_model_mem",
    "registrations": "xinfer.deploy.cli.registrations:registrations",
    "workers": "xinfer.deploy.cli.cluster:workers",
    "drain": "xinfer.deploy.cli.cluster:drain",
    "stop-cluster": "xinfer.deploy.cli.cluster:stop_cluster",
    "embed": "xinfer.deploy.cli.retrieval:embed",
    "rerank": "xinfer.deploy.cli.retrieval:rerank",
    "doctor": "xinfer.deploy.cli.doctor:doctor",
    "completion": "xinfer.deploy.cli.completion:completion",
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in ABSENT:
            return absent(cmd_name)
        if cmd_name not in _COMMANDS:
            return None
        module, attribute = _COMMANDS[cmd_name].split(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            raise WrongUsage(
                f"There is no command {name!r}.{did_you_mean(name, _COMMANDS)} "
                "See `xinference --help`."
            )
        return super().resolve_command(ctx, args)

    def make_context(self, *args: Any, **more: Any) -> click.Context:
        with told_in_one_line():
            return super().make_context(*args, **more)

    def invoke(self, ctx: click.Context) -> Any:
        with told_in_one_line():
            return super().invoke(ctx)


@click.group(
    cls=_LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, "--version", "-v", message="%(version)s")
@click.option("--log-level", help="Least severe level that the server logs.")
@click.option("--host", "-H", help="Address that the server listens on.")
@click.option("--port", "-p", type=int, help="Port that the server listens on.")
@click.pass_context
def main(ctx: click.Context, log_level: str | None, host: str | None, port: int | None) -> None:
    """Serve models, and manage and try those of a running server.

    Without a command, start a server on this machine, as xinference-local does.
    """
    flags = {"--log-level": log_level, "--host": host, "--port": port}
    argv = [str(word) for flag in flags.items() if flag[1] is not None for word in flag]
    if ctx.invoked_subcommand is None:
        from xinfer.deploy import local

        local.run(argv)
    elif argv:
        raise click.UsageError(
            f"{argv[0]} is for starting a server; "
            f"`{ctx.invoked_subcommand}` takes the server's address as --endpoint (-e)."
        )
