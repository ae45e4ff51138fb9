"""`doctor`: what is installed, what is wrong with it, and what mends that."""

from __future__ import annotations

import click
import msgspec

from xinfer.deploy.cli.connection import DEFAULT_ENDPOINT
from xinfer.deploy.doctor import Finding, State, examine
from xinfer.settings import Settings

_MARKS = {State.OK: ("ok", "green"), State.ABSENT: ("-", "yellow"), State.FAULT: ("FAULT", "red")}


@click.command()
@click.option(
    "--endpoint",
    "-e",
    envvar="XINFERENCE_ENDPOINT",
    default=DEFAULT_ENDPOINT,
    show_default=True,
    show_envvar=True,
    help="Address of the server.",
)
@click.option("--api-key", "-ak", envvar="XINFERENCE_API_KEY", show_envvar=True, help="Key for it.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_context
def doctor(ctx: click.Context, endpoint: str, api_key: str | None, as_json: bool) -> None:
    """Look for what is wrong with this installation and this machine.

    Ends with status 1 if something is; each fault has the line that mends it.
    """
    try:
        settings = Settings.from_env()
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    findings = []
    for finding in examine(settings, endpoint, api_key):
        findings.append(finding)
        if not as_json:
            _tell(finding)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(findings)).decode())
    if any(finding.state is State.FAULT for finding in findings):
        ctx.exit(1)


def _tell(finding: Finding) -> None:
    mark, colour = _MARKS[finding.state]
    click.echo(f"{click.style(f'{mark:<5}', fg=colour)} {finding.area}: {finding.text}")
    if finding.fix and finding.state is not State.OK:
        click.echo(
            f"      {'fix' if finding.state is State.FAULT else 'to have it'}: {finding.fix}"
        )
