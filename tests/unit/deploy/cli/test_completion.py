"""`completion`: scripts for shells, and what they ask for."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from xinfer.deploy.cli import main


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_names_the_command(shell: str) -> None:
    result = CliRunner().invoke(main, ["completion", shell])
    assert result.exit_code == 0
    assert f"_XINFERENCE_COMPLETE={shell}_complete" in result.stdout


def test_bash_takes_the_script() -> None:
    bash = shutil.which("bash")
    assert bash
    script = CliRunner().invoke(main, ["completion", "bash"]).stdout
    done = subprocess.run(
        [bash, "-c", 'eval "$1"; complete -p xinference', "bash", script],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "_xinference_completion" in done.stdout


def test_commands_and_their_options_are_completed() -> None:
    shell = ShellComplete(main, {}, "xinference", "_XINFERENCE_COMPLETE")
    assert {"launch", "list", "logs"} <= {one.value for one in shell.get_completions([], "l")}
    assert "--replica" in {one.value for one in shell.get_completions(["launch"], "--re")}
