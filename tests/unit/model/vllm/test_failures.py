"""Why vLLM did not start, found in what its processes logged."""

from __future__ import annotations

import logging

import pytest

from xinfer.errors import EngineFailed, InvalidRequest, Unavailable, XinferError
from xinfer.model.vllm.failures import start_failure
from xinfer.model.vllm.records import Record

WRAPPER = RuntimeError("Engine core initialization failed. Failed core proc(s): {}")
NO_ROOM = (
    "To serve at least one request with the models's max seq len (8192), 1.0 GiB KV cache is "
    "needed, which is larger than the available KV cache memory (0.5 GiB)"
)


def failed(error: BaseException, *records: Record) -> XinferError:
    return start_failure(error, records, name="m", version="1.2")


def raised(kind: str, reason: str, message: str = "EngineCore failed to start.") -> Record:
    return Record(logging.ERROR, message, kind, reason)


def test_the_reason_is_the_first_exception_of_any_process() -> None:
    error = failed(
        WRAPPER,
        Record(logging.WARNING, "libtcmalloc is not found"),
        raised("ValueError", "No common block size for 16", "WorkerProc failed to start."),
        raised("RuntimeError", "Engine core initialization failed. See root cause above."),
    )
    assert isinstance(error, InvalidRequest)
    assert error.message == "vLLM 1.2 cannot run m so: No common block size for 16."


@pytest.mark.parametrize(
    "reason",
    ["CUDA out of memory. Tried to allocate 2 GiB", NO_ROOM, "No available memory for the cache"],
)
@pytest.mark.parametrize("kind", ["OutOfMemoryError", "ValueError"])
def test_no_memory_is_said_with_what_to_do(kind: str, reason: str) -> None:
    error = failed(WRAPPER, raised(kind, reason))
    assert isinstance(error, Unavailable)
    assert error.code == "no_capacity"
    assert reason in error.message
    assert "max_model_len" in error.message


def test_a_killed_process_is_out_of_memory_most_likely() -> None:
    error = failed(RuntimeError("Failed core proc(s): {'EngineCore_DP0': -9}"))
    assert isinstance(error, Unavailable)
    assert "killed" in error.message


def test_another_signal_is_named() -> None:
    error = failed(RuntimeError("Failed core proc(s): {'EngineCore_DP0': -11}"))
    assert isinstance(error, EngineFailed)
    assert "signal 11" in error.message


def test_a_validation_is_said_without_the_validators_words() -> None:
    class Invalid(ValueError):
        def errors(self) -> list[dict[str, str]]:
            return [{"msg": "Value error, Model architectures ['X'] are not supported for now."}]

    error = failed(Invalid("1 validation error for ModelConfig"))
    assert isinstance(error, InvalidRequest)
    assert error.message.endswith("so: Model architectures ['X'] are not supported for now.")


def test_what_nobody_foresaw_is_the_engines_failure() -> None:
    error = failed(OSError("the disk\nis gone"))
    assert isinstance(error, EngineFailed)
    assert error.message.startswith("vLLM 1.2 could not load m: the disk")
    assert isinstance(failed(RuntimeError()), EngineFailed)
