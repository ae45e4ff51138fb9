"""What a build of PyTorch computes on, by its files."""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from xinfer.model import torch_build


@pytest.mark.parametrize(
    ("libraries", "kinds"),
    [
        ((), set()),
        (("libtorch_cpu.so",), set()),
        (("libtorch_cpu.so", "libtorch_cuda.so", "libtorch_cuda_linalg.so"), {"cuda"}),
        (("libtorch_cpu.so", "libtorch_hip.so"), {"rocm"}),
        (("libtorch_cpu.dylib",), {"metal"}),
    ],
)
def test_accelerators_are_those_that_it_has_libraries_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, libraries: tuple[str, ...], kinds: set[str]
) -> None:
    if libraries:
        (tmp_path / "lib").mkdir()
    for name in libraries:
        (tmp_path / "lib" / name).touch()
    found = ModuleSpec("torch", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(torch_build, "find_spec", lambda name: found)
    assert torch_build.torch_accelerators() == kinds


def test_without_pytorch_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_build, "find_spec", lambda name: None)
    assert torch_build.torch_accelerators() == frozenset()
