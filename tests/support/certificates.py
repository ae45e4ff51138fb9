"""Certificates for tests, made by the openssl command as the documentation has it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple


class Certificate(NamedTuple):
    """Paths of PEM files."""

    cert: str
    key: str


def make_certificate(directory: Path, name: str = "cluster", host: str = "") -> Certificate:
    """A new key, and a certificate that it signed itself; with `host`, for that name."""
    made = Certificate(str(directory / f"{name}.crt"), str(directory / f"{name}.key"))
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 "
        "-subj /CN=xinfer-cluster"
    )
    names = ["-addext", f"subjectAltName=DNS:{host}"] if host else []
    subprocess.run(
        [*command.split(), *names, "-keyout", made.key, "-out", made.cert],
        check=True,
        capture_output=True,
    )
    return made
