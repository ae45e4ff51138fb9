"""What processes log is found in the process that started them."""

from __future__ import annotations

import json
import logging
import logging.config
import subprocess
import sys
from pathlib import Path

import pytest

from xinfer.model.vllm.records import Record, Records

PROGRAM = """
import json, logging, logging.config, sys
logging.config.dictConfig(json.load(open(sys.argv[1])))
logger = logging.getLogger("vllm.worker")
logger.info("hello %d", 5)
logger.debug("too much")
logging.getLogger("other").error("not vLLM's")
try:
    raise ValueError("no such\\nblock")
except ValueError:
    logger.exception("failed")
"""

LOGGED = [
    Record(logging.INFO, "hello 5"),
    Record(logging.ERROR, "failed", "ValueError", "no such\nblock"),
]


def log_in_another_process(records: Records) -> str:
    command = [sys.executable, "-c", PROGRAM, str(records.config)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout == ""  # which is not a log
    return done.stderr


def test_records_come_once_from_whatever_process(tmp_path: Path) -> None:
    records = Records(tmp_path)
    assert records.new() == []
    assert "hello 5" in log_in_another_process(records)
    assert records.new() == LOGGED
    assert records.new() == []
    log_in_another_process(records)
    assert records.new() == LOGGED


def test_half_a_line_is_left_until_it_is_whole(tmp_path: Path) -> None:
    records = Records(tmp_path)
    log_in_another_process(records)
    (file,) = tmp_path.glob("*.jsonl")
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])
    assert records.new() == LOGGED[:1]
    file.write_bytes(whole)
    assert records.new() == LOGGED[1:]


@pytest.mark.parametrize("key", ["propagate", "handlers"])
def test_only_vllms_loggers_are_configured(tmp_path: Path, key: str) -> None:
    configuration = json.loads(Records(tmp_path).config.read_text())
    assert list(configuration["loggers"]) == ["vllm"]
    assert key in configuration["loggers"]["vllm"]
    assert configuration["disable_existing_loggers"] is False
