"""The files in docker/: what they name is there, and what they start can be started."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import tomllib
import yaml

from tests.support.commands import check_command, commands_in
from tests.support.markdown import ROOT, Page

DOCKER = ROOT / "docker"
DOCKERFILES = sorted(DOCKER.glob("Dockerfile*"))
COMPOSE = sorted(DOCKER.glob("compose*.yml"))
DASHBOARD = DOCKER / "grafana/dashboards/xinfer.json"
FROM_PROMETHEUS = {"le", "instance", "job"}
each_dockerfile = pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
each_compose = pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.name)


@each_dockerfile
def test_the_linter_has_nothing_to_say(path: Path) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, path], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@each_dockerfile
def test_an_image_starts_a_server_by_itself_and_not_as_root(path: Path) -> None:
    text = path.read_text()
    command = re.search(r"^CMD (\[.*\])$", text, re.MULTILINE)
    assert command
    check_command(json.loads(command[1]))
    assert json.loads(command[1]) == ["xinference-local", "-H", "0.0.0.0"]
    assert "\nUSER ${UID}\n" in text


def test_all_that_a_wheel_is_made_of_reaches_the_builder() -> None:
    patterns = (ROOT / ".dockerignore").read_text().splitlines()
    taken = {line[1:] for line in patterns if line.startswith("!")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {"pyproject.toml", "hatch_build.py", "LICENSE", "ui", project["project"]["readme"]}
    needed |= set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert taken == needed
    left_out = [line for line in patterns if "/" in line]
    files = subprocess.run(["git", "ls-files", *needed], cwd=ROOT, capture_output=True, text=True)
    for file in files.stdout.splitlines():
        assert not any(fnmatch(file, f"{pattern}*") for pattern in left_out), file


@each_compose
def test_compose_starts_what_there_is(path: Path) -> None:
    services: dict[str, Any] = yaml.safe_load(path.read_text())["services"]
    commands = [command for service in services.values() for command in commands_in(service)]
    assert commands
    for command in commands:
        check_command(command)
    for service in services.values():
        if "build" in service:
            context = (path.parent / service["build"]["context"]).resolve()
            assert context == ROOT
            assert (context / service["build"]["dockerfile"]).is_file()
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            if source.startswith("."):
                assert (path.parent / source).is_dir()
        for name in service.get("depends_on", []):
            assert "test" in services[name]["healthcheck"]


def queries() -> Iterator[str]:
    """Of the dashboard and of the alerts."""
    dashboard = json.loads(DASHBOARD.read_text())
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    for variable in dashboard["templating"]["list"]:
        yield variable["query"]["query"]
    for group in yaml.safe_load((DOCKER / "prometheus/alerts.yml").read_text())["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


@pytest.mark.parametrize("query", sorted(set(queries())))
def test_dashboard_and_alerts_ask_for_metrics_and_labels_that_there_are(query: str) -> None:
    page = Page.read("docs/observability.md").prose  # which a test of its own holds to the server
    rows = re.findall(r"^\| `(xinfer_\w+)` \| (\w+) \| (.*?) \|", page, re.MULTILINE)
    labels = {name: set(re.findall(r"`(\w+)`", row)) for name, _, row in rows}
    for name, kind, _ in rows:
        if kind == "histogram":
            labels |= {f"{name}_{part}": labels[name] for part in ("bucket", "sum", "count")}
            del labels[name]
    asked = re.findall(r"(xinfer_\w+)(?:\{(.*?)\})?", query)
    assert asked or query.startswith("up{")
    for name, matchers in asked:
        assert name in labels
        assert set(re.findall(r"(\w+)\s*[=!]", matchers)) <= labels[name], name
    grouped = re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", query)
    known = FROM_PROMETHEUS.union(*(labels[name] for name, _ in asked))
    assert {label.strip() for group in grouped for label in group.split(",")} <= known
