"""HTTPS: a server with a certificate of its own, and who trusts it."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.certificates import Certificate, make_certificate
from tests.support.program import Program, running
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("https"), "api", host="localhost")


@pytest.fixture(scope="module")
def server(
    certificate: Certificate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Program]]:
    """With echo, launched by the server's own command line."""
    flags = ["--ssl-certfile", certificate.cert, "--ssl-keyfile", certificate.key]
    home = tmp_path_factory.mktemp("home")
    with running("local", "-p", "0", "--model", "echo", *flags, home=home) as program:
        line = program.until_logged("Endpoint: https://")
        yield line.rpartition("Endpoint: ")[2].strip(), program


def command(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if k != "SSL_CERT_FILE"}
    return subprocess.run(
        [sys.executable, "-m", "xinfer.deploy.cli", *words],
        capture_output=True,
        text=True,
        env=inherited | environment,
    )


def test_clients_that_trust_the_certificate_are_served(
    server: tuple[str, Program], certificate: Certificate
) -> None:
    url = server[0].replace("127.0.0.1", "localhost")
    trusting = ssl.create_default_context(cafile=certificate.cert)
    with httpx.Client(base_url=url, verify=trusting, trust_env=False) as http:

        def is_ready() -> bool:
            return http.get("/readyz", params={"model": "echo"}).status_code == 200

        eventually(is_ready, 60, "echo, which --model names")
        body = {"model": "echo", "messages": [{"role": "user", "content": "hello"}]}
        answer = http.post("/v1/chat/completions", json=body).json()
        assert answer["choices"][0]["message"]["content"] == "hello"


def test_nobody_else_is_and_plain_http_is_not_answered(server: tuple[str, Program]) -> None:
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"{server[0]}/livez", trust_env=False)
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"{server[0].replace('https', 'http')}/livez", trust_env=False)


def test_the_command_line_trusts_the_certificate_of_its_own_machine(
    server: tuple[str, Program], certificate: Certificate
) -> None:
    trusted = command("list", "-e", server[0], XINFERENCE_SSL_CERTFILE=certificate.cert)
    assert (trusted.returncode, "echo" in trusted.stdout) == (0, True), trusted.stderr
    stranger = command("list", "-e", server[0])
    assert (stranger.returncode, stranger.stderr.count("\n")) == (1, 1)
    assert "certificate verify failed" in stranger.stderr
    assert "Name the certificate that is to be trusted: --ssl-certfile FILE." in stranger.stderr
    plain = command("list", "-e", server[0].replace("https:", "http:"))
    assert (plain.returncode, plain.stderr.count("\n")) == (1, 1)
    assert "If it speaks HTTPS, give its address as https://…" in plain.stderr
    missing = command("list", "-e", server[0], XINFERENCE_SSL_CERTFILE="/no/such.crt")
    assert (missing.returncode, missing.stderr.count("\n")) == (1, 1)


def test_another_servers_certificate_is_not_trusted(
    server: tuple[str, Program], tmp_path: Path
) -> None:
    other = make_certificate(tmp_path, "other", host="localhost")
    refused = command("list", "-e", server[0], XINFERENCE_SSL_CERTFILE=other.cert)
    assert refused.returncode == 1
    assert "certificate verify failed" in refused.stderr


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--ssl-certfile", "{cert}"], "Give --ssl-keyfile"),
        (["--ssl-keyfile", "{key}"], "Give --ssl-certfile"),
        (["--ssl-certfile", "{key}", "--ssl-keyfile", "{cert}"], "cannot be used"),
    ],
)
def test_what_cannot_be_served_with_is_refused_in_one_line(
    certificate: Certificate, flags: list[str], says: str, tmp_path: Path
) -> None:
    words = [word.format(**certificate._asdict()) for word in flags]
    done = subprocess.run(
        [sys.executable, "-m", "xinfer.deploy.local", "-p", "0", *words],
        capture_output=True,
        text=True,
        env={**os.environ, "XINFERENCE_HOME": str(tmp_path)},
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert says in done.stderr
