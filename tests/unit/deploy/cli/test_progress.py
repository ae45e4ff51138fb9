"""How progress looks on a terminal and elsewhere."""

from __future__ import annotations

import io

import pytest

from xinfer.deploy.cli.progress import open_display


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_with_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", "100")
    with open_display("Launching model") as display:
        display.show(0.42, "downloading")
        display.show(1.0, "ready")
    shown = terminal.getvalue()
    assert "Launching model" in shown
    assert "100%" in shown
    assert "ready" in shown


def test_elsewhere_a_line_is_printed_when_something_changed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with open_display("Launching model") as display:
        for fraction, stage in [(0.0, "pending"), (0.41, "downloading"), (0.44, "downloading")]:
            display.show(fraction, stage)
        display.show(0.5, "downloading")
        display.show(0.5, "loading")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [
        "Launching model:   0% pending",
        "Launching model:  41% downloading",
        "Launching model:  50% downloading",
        "Launching model:  50% loading",
    ]
