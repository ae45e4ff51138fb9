"""What vLLM's processes log, kept for the process that started them.

vLLM tells its owner only that a child has failed; why is in the child's log. Its loggers are
configured, by `VLLM_LOGGING_CONFIG_PATH`, to write each record to a file too.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import msgspec


class Record(msgspec.Struct, frozen=True):
    """One record of a log."""

    level: int
    """As the module logging numbers them."""
    message: str
    error: str = ""
    """Class of the exception that it tells of, where it does."""
    reason: str = ""
    """What that exception says."""


class RecordHandler(logging.Handler):
    """Appends records to a file that other processes append to as well."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            error = record.exc_info[1] if record.exc_info else None
            line = Record(
                record.levelno,
                record.getMessage(),
                type(error).__name__ if error is not None else "",
                str(error) if error is not None else "",
            )
            os.write(self._fd, msgspec.json.encode(line) + b"\n")
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        super().close()


class StderrHandler(logging.Handler):
    """Writes to whatever is standard error at the time, which the worker collects."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            os.write(2, f"{self.format(record)}\n".encode(errors="replace"))
        except Exception:
            self.handleError(record)


class Records:
    """A directory with the records, and the configuration that makes vLLM write them."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "records.jsonl"
        self._file.touch()
        self.config = directory / "logging.json"
        self.config.write_text(json.dumps(_configuration(self._file)))
        self._read_to = 0

    def new(self) -> list[Record]:
        """Those that came since this was asked before."""
        with self._file.open("rb") as file:
            file.seek(self._read_to)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read_to += len(whole)
        return [msgspec.json.decode(line, type=Record) for line in whole.splitlines()]


def _configuration(file: Path) -> dict[str, Any]:
    """For `logging.config.dictConfig`."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"plain": {"format": "vllm %(levelname)s [%(process)d]: %(message)s"}},
        "handlers": {
            "stderr": {"()": f"{__name__}.StderrHandler", "formatter": "plain"},
            "records": {"()": f"{__name__}.RecordHandler", "path": str(file)},
        },
        "loggers": {
            "vllm": {"handlers": ["stderr", "records"], "level": "INFO", "propagate": False}
        },
    }
