"""Programs of Xinference's for its database of users, which there is not here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn


def main() -> NoReturn:
    """Console scripts `xinference-migrate-auth` and `xinference-reset-auth-password`."""
    sys.exit(
        f"{Path(sys.argv[0]).name}: There are no users here, but one key: start the server with "
        "XINFERENCE_API_KEY, and give clients the same."
    )
