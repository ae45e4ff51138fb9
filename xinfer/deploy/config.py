"""The file of declared models, as a server command needs it. Stdlib only."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import Any

logger = logging.getLogger("xinfer.deploy")


class BadConfig(Exception):
    """The file cannot be used; the message has a line for each thing that is wrong."""


def read(path: str) -> list[dict[str, Any]]:
    """The launches that the file declares, as `LaunchSpec` in JSON.

    Raises:
        BadConfig: by file, entry and field.
    """
    # A process of its own, which takes with it the memory that checking needs.
    checked = subprocess.run(
        [sys.executable, "-m", "xinfer.deploy.config_check", path],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if checked.returncode:
        raise BadConfig(checked.stderr.strip())
    for line in checked.stderr.splitlines():
        logger.warning("%s", line)
    launches: list[dict[str, Any]] = json.loads(checked.stdout)
    return launches
