"""Starting vLLM: its processes, and how far they have come."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

import psutil
import vllm
from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError
from vllm.engine.arg_utils import AsyncEngineArgs

from xinfer.errors import InvalidRequest
from xinfer.model.vllm.failures import said, start_failure
from xinfer.model.vllm.records import Record, Records
from xinfer.types.model import Progress

_BEGUN = 0.1
_LOADED = 0.95
_INTERVAL = 1.0
_TYPICAL = 120.0
"""Seconds of processor time, of a load's processes, after which most of it is over."""

T = TypeVar("T")


def start(
    make: Callable[[AsyncEngineArgs], T],
    arguments: dict[str, Any],
    records: Records,
    progress: Callable[[Progress], None],
    name: str,
) -> T:
    """What `make` makes, with the model loaded; blocks.

    Args:
        arguments: of `AsyncEngineArgs`; numbers may be texts, and configurations objects.
        name: of the model.

    Raises:
        XinferError: why it cannot be.
    """
    watch = _Watch(records, progress)
    watch.start()
    try:
        types = {field.name: field.type for field in fields(AsyncEngineArgs)}
        given = {key: _typed(key, types[key], value) for key, value in arguments.items()}
        return make(AsyncEngineArgs(**given))
    except InvalidRequest:
        raise
    except Exception as error:  # whatever files, options and devices make it raise
        watch.stop()
        raise start_failure(error, watch.seen, name=name, version=vllm.__version__) from error
    finally:
        watch.stop()


def _typed(name: str, kind: Any, value: Any) -> Any:
    """The value as vLLM's annotation has it.

    Raises:
        InvalidRequest: it cannot be.
    """
    if value is None:
        return None
    try:
        return TypeAdapter(kind).validate_python(value)
    except PydanticSchemaGenerationError:  # a class of its own; what it says of it stands
        return value
    except ValidationError as error:
        raise InvalidRequest(f"Option {name!r} of vLLM: {said(error)}.", param=name) from None


class _Watch:
    """Shows progress for as long as vLLM's processes work.

    vLLM does not say how far a load has come. So what is shown is the last line of its log, and a
    fraction that grows with the processor time that its processes have used: it stands still when
    they hang.
    """

    def __init__(self, records: Records, progress: Callable[[Progress], None]) -> None:
        self.seen: list[Record] = []
        self._records = records
        self._progress = progress
        self._fraction = _BEGUN
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vllm-loading", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()
        self.seen += self._records.new()

    def _run(self) -> None:
        message = ""
        while not self._stopped.wait(_INTERVAL):
            new = self._records.new()
            self.seen += new
            if new:
                message = new[-1].message.partition("\n")[0]
            share = 1 - math.exp(-_processor_seconds() / _TYPICAL)
            self._fraction = max(self._fraction, _BEGUN + (_LOADED - _BEGUN) * share)
            self._progress(Progress(self._fraction, "loading", message))


def _processor_seconds() -> float:
    """Of this process, of those that it has started, and of theirs."""
    total = 0.0
    own = psutil.Process()
    for process in [own, *own.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.Error:  # it has ended meanwhile
            continue
        total += times.user + times.system
    return total
