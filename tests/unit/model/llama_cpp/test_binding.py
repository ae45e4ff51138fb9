"""llama-cpp-python at arm's length: versions, log, devices."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from xinfer import system
from xinfer.model.llama_cpp import binding as module
from xinfer.model.llama_cpp.binding import (
    AbortFlag,
    computes_with_amx,
    devices,
    error_lines,
    library,
    warn_of_unused_accelerator,
)


@pytest.fixture
def unloaded() -> Iterator[None]:
    """As in a process that has not used the library yet."""
    library.cache_clear()
    yield
    library.cache_clear()
    library()


@pytest.mark.usefixtures("unloaded")
def test_version_that_was_not_tested_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "version", lambda _: "9.9.9")
    library()
    assert "is version 9.9.9; tested is 0.3.36" in caplog.text


@pytest.mark.usefixtures("unloaded")
def test_tested_version_is_taken_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    library()
    assert not caplog.records


def test_processor_is_a_device_with_memory() -> None:
    processor = next(device for device in devices() if not device.accelerator)
    assert processor.total >= processor.free > 0


def test_accelerator_that_this_build_cannot_use_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(system, "accelerator", lambda: "an NVIDIA GPU")
    warn_of_unused_accelerator()
    assert "has an NVIDIA GPU, and this build of llama-cpp-python has no back end" in caplog.text


def test_no_accelerator_is_no_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(system, "accelerator", lambda: None)
    warn_of_unused_accelerator()
    assert not caplog.records


@pytest.mark.parametrize("there", [True, False])
def test_amx_is_read_from_the_builds_own_words(
    monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    words = b"CPU : AVX2 = 1 | AMX_INT8 = 1 | " if there else b"CPU : AVX2 = 1 | "
    monkeypatch.setattr(library(), "llama_print_system_info", lambda: words)
    assert computes_with_amx() is there


def test_log_of_llama_cpp_is_ours(caplog: pytest.LogCaptureFixture) -> None:
    callback = module._log_callback(library())
    caplog.set_level(logging.DEBUG)
    with error_lines() as lines:
        callback(4, b"bad thing", None)
        callback(5, b" happened\nand", None)
        callback(5, b" more\n", None)
        callback(3, b"careful\n", None)
        callback(2, b"news \xff\n\n", None)
    callback(4, b"later\n", None)
    assert lines == ["bad thing happened", "and more"]
    seen = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert seen == [
        ("ERROR", "bad thing happened"),
        ("ERROR", "and more"),
        ("WARNING", "careful"),
        ("DEBUG", "news \ufffd"),
        ("ERROR", "later"),
    ]


def test_abort_flag_answers_as_the_c_function_llama_cpp_asks() -> None:
    flag = AbortFlag(library())
    assert not flag.callback(flag.data)
    flag.set()
    assert flag.callback(flag.data)
    assert flag.is_set()
    flag.clear()
    assert not flag.callback(flag.data)
