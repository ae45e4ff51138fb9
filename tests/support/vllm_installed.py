"""An environment in which some vLLM is installed, or none, whatever this one has."""

from __future__ import annotations

import pytest

from xinfer.model.vllm import installed


def vllm_installed(monkeypatch: pytest.MonkeyPatch, versions: dict[str, str]) -> None:
    """Distributions and their versions; PyTorch is for CUDA."""

    def version(name: str) -> str:
        if name not in versions:
            raise installed.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(installed, "version", version)
    monkeypatch.setattr(installed, "find_spec", lambda name: object() if versions else None)
    monkeypatch.setattr(installed, "torch_accelerators", lambda: frozenset({"cuda"}))
