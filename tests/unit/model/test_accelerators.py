"""What a compiled library can compute on, told without loading it."""

from __future__ import annotations

from pathlib import Path

import pytest

from xinfer.model.accelerators import linked_accelerators


@pytest.mark.parametrize(
    ("content", "kinds"),
    [
        (b"\x7fELF...libgomp.so.1\0libc.so.6\0", set()),
        (b"\x7fELF...libcudart.so.12\0libcuda.so.1\0", {"cuda"}),
        (b"\x7fELF...libamdhip64.so.6\0", {"rocm"}),
        (b"/System/Library/Frameworks/Metal.framework/Versions/A/Metal\0", {"metal"}),
        (b"", set()),
    ],
)
def test_kinds_are_those_of_the_libraries_it_was_linked_with(
    tmp_path: Path, content: bytes, kinds: set[str]
) -> None:
    file = tmp_path / "libggml.so"
    file.write_bytes(content)
    assert linked_accelerators([file]) == kinds


def test_of_several_files_all_count(tmp_path: Path) -> None:
    files = [tmp_path / "libggml-cuda.so", tmp_path / "libggml-hip.so"]
    files[0].write_bytes(b"libcuda.so.1")
    files[1].write_bytes(b"libamdhip64")
    assert linked_accelerators(files) == {"cuda", "rocm"}
