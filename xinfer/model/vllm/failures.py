"""Why vLLM did not start, in words for the user."""

from __future__ import annotations

import re
from collections.abc import Sequence

from xinfer.errors import EngineFailed, InvalidRequest, Unavailable, XinferError
from xinfer.model.vllm.records import Record

_NO_MEMORY = re.compile(
    r"out of memory|OutOfMemory|No available memory|Free memory on device|"
    r"larger than the available KV cache memory|KV cache is needed|Available memory on node|"
    r"Cannot allocate memory|can't allocate memory|not enough memory",
    re.IGNORECASE,
)
_SIGNALLED = re.compile(r"': -(\d+)")
_KILLED = "9"
_WRAPPED = ("initialization failed", "failed to start", "See stack trace for root cause")
"""Exceptions that only say that another one was raised."""


def start_failure(
    error: BaseException, records: Sequence[Record], *, name: str, version: str
) -> XinferError:
    """The error of a launch.

    Args:
        error: what vLLM raised in this process.
        records: what its processes had logged by then.
        name: of the model.
    """
    reason = _reason(error, records)
    if _NO_MEMORY.search(reason) or is_memory(error):
        return Unavailable(
            f"There is no memory for {name}: {reason} Lower max_model_len, max_num_seqs or "
            "kv_cache_memory_bytes, raise gpu_memory_utilization, or give it more devices.",
            code="no_capacity",
        )
    signal = _SIGNALLED.search(str(error))
    if signal is not None and not any(record.error for record in records):
        if signal[1] == _KILLED:
            return Unavailable(
                f"A process of vLLM was killed while it loaded {name}, most likely because the "
                "machine ran out of memory. Lower max_model_len or kv_cache_memory_bytes.",
                code="no_capacity",
            )
        return EngineFailed(f"A process of vLLM died of signal {signal[1]} while it loaded {name}.")
    if isinstance(error, ValueError) or any(
        record.error in ("ValueError", "ValidationError", "NotImplementedError", "KeyError")
        for record in records
    ):
        return InvalidRequest(
            f"vLLM {version} cannot run {name} so: {reason}", param="model_engine"
        )
    return EngineFailed(f"vLLM {version} could not load {name}: {reason}")


def is_memory(error: BaseException) -> bool:
    """Whether it says that there is no memory."""
    return isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)) is not None


def _reason(error: BaseException, records: Sequence[Record]) -> str:
    """The first exception, of whatever process, that is not about another one."""
    for record in records:
        if record.error and not any(words in record.reason for words in _WRAPPED):
            return _sentence(record.reason or record.error)
    return _sentence(said(error))


def said(error: BaseException) -> str:
    """What an exception says of the reason."""
    details = getattr(error, "errors", None)
    if callable(details):  # pydantic's, whose text says more of itself than of the reason
        return "; ".join(str(one["msg"]).removeprefix("Value error, ") for one in details())
    return str(error) or type(error).__name__


def _sentence(text: str) -> str:
    line = " ".join(text.split())
    return line if line.endswith((".", "!", "?")) else f"{line}."
