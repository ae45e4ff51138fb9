"""Log lines of every process: when, who, which process, how severe, what. Stdlib only.

They go to stderr, and to a file of this process alone under XINFERENCE_HOME.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import re
import sys
import time
from contextvars import ContextVar
from pathlib import Path

from xinfer import system
from xinfer.settings import Settings

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The request that the running task works on: its lines carry the id. Sanitised."""

REPLICA = "replica"
"""The role of replicas. What they print is kept by their worker, in files of its own."""

_FORMAT = "%(asctime)s %(name)s %(process)d %(levelname)-8s %(message)s"
_NOT_PRINTED = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_MAX_FILES_OF_A_ROLE = 64


def configure(settings: Settings, role: str) -> None:
    """Log from the level of the settings upwards, for the whole process.

    Args:
        role: what this process is: launcher, supervisor, api, worker or replica.
    """
    formatter = JsonFormatter(role) if settings.log_format == "JSON" else TextFormatter()
    console = logging.StreamHandler(sys.stderr)
    handlers: list[logging.Handler] = [console]
    trouble: OSError | None = None
    if settings.log_files and role != REPLICA:
        try:
            handlers.append(_open_file(settings, role))
        except OSError as error:
            trouble = error
    for handler in handlers:
        handler.setFormatter(formatter)
    logging.basicConfig(level=settings.log_level.upper(), handlers=handlers, force=True)
    for noisy in ("asyncio", "httpx", "httpcore", "xoscar"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLogger().level))
    if trouble is not None:
        logging.getLogger(__name__).warning("There is no log file of this process: %s", trouble)


class TextFormatter(logging.Formatter):
    """For people. A record begins a line of its own, whatever is in it; the rest is indented."""

    def __init__(self) -> None:
        super().__init__(_FORMAT)

    def formatMessage(self, record: logging.LogRecord) -> str:
        found = _request_id(record)
        if found and found not in record.message:
            record.message = f"{found} {record.message}"
        record.message = _on_one_line(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: object) -> str:
        return _indented(super().formatException(ei))  # type: ignore[arg-type]

    def formatStack(self, stack_info: str) -> str:
        return _indented(stack_info)


class JsonFormatter(logging.Formatter):
    """One object a line; what is not there is left out."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        entry = {
            "timestamp": f"{at}.{int(record.msecs):03}Z",
            "level": record.levelname,
            "logger": record.name,
            "pid": record.process,
            "role": self._role,
            "message": record.getMessage(),
        }
        if found := _request_id(record):
            entry["request_id"] = found
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            entry["stack"] = record.stack_info
        return json.dumps(entry, ensure_ascii=False)


def _request_id(record: logging.LogRecord) -> str:
    """The one that the line itself is about, else the running task's."""
    return str(getattr(record, "request_id", "") or request_id.get())


def _on_one_line(text: str) -> str:
    return _NOT_PRINTED.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _indented(text: str) -> str:
    return "\n".join("  " + _on_one_line(line) for line in text.splitlines())


class _RotatingFile(logging.handlers.RotatingFileHandler):
    """Belongs to this process for as long as `lock` is open; a full disk is said once."""

    def __init__(self, path: Path, settings: Settings, lock: int) -> None:
        super().__init__(
            path,
            maxBytes=settings.log_file_bytes,
            backupCount=settings.log_files,
            encoding="utf-8",
            errors="backslashreplace",
        )
        self._lock_descriptor = lock
        self._failed = False

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self._failed:
            self._failed = True
            print(f"The log file {self.baseFilename} misses lines: {error}", file=sys.stderr)

    def close(self) -> None:
        super().close()
        if self._lock_descriptor >= 0:
            os.close(self._lock_descriptor)
            self._lock_descriptor = -1


def _open_file(settings: Settings, role: str) -> logging.Handler:
    """The first of the role's files that no living process has: rotating is for one alone.

    Raises:
        OSError: there is none, or it cannot be written.
    """
    directory = settings.home_path / "logs"
    directory.mkdir(parents=True, exist_ok=True)
    for number in range(1, _MAX_FILES_OF_A_ROLE + 1):
        name = role if number == 1 else f"{role}-{number}"
        lock = os.open(directory / f".{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if system.try_lock(lock):
                return _RotatingFile(directory / f"{name}.log", settings, lock)
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)
    raise OSError(f"{_MAX_FILES_OF_A_ROLE} processes write logs of {role} to {directory} already")
