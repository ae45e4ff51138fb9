"""What people get wrong: each mistake is told in one line, with what to do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from click.testing import CliRunner, Result

from xinfer.deploy.cli import main


def told(result: Result, status: int) -> str:
    """The one line that a command says, which leaves with this status."""
    assert result.exit_code == status, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("lunch", "There is no command 'lunch'. Did you mean 'launch'? See `xinference --help`."),
        ("zzz", "There is no command 'zzz'. See `xinference --help`."),
        ("-x", "No such option '-x'. See `xinference --help`."),
        ("launch", "Missing option '--model-name' / '-n'. See `xinference launch --help`."),
        ("list --fmt json", "'--fmt'. Did you mean '--format'? See `xinference list --help`."),
        ("list m", "unexpected extra argument (m). See `xinference list --help`."),
        ("terminate", "name one model, by its uid: UID, or --model-uid UID."),
        ("terminate m --model-uid m", "name one model"),
        ("scale m", "give --replica, --max-queue or --request-limits, with a number."),
        ("scale m --replica two", "'two' is not a valid integer. See `xinference scale --help`."),
        ("launch -n m --n-gpu many", "'many' is not a number, 'auto' or 'none'."),
        ("launch -n m --gpu-idx one", "'one' is not a list of numbers such as 0,1."),
        ("launch -n m --label rack", "'rack' is not of the form KEY=VALUE"),
        ("launch -n m stray", "'stray' is neither an option nor the value of one."),
        ("launch -n m --n_ctx", "Option --n_ctx needs a value: --n_ctx VALUE."),
        ("register -f no-such-file.json", "File 'no-such-file.json' does not exist."),
        ("registrations -t lmm", "'lmm' is not one of 'LLM', 'embedding'"),
        ("cal-model-mem -s seven", "'seven' is no size; expected a number such as 7, 1.8 or 0_5."),
        ("cal-model-mem", "Give --model-name or --size-in-billions."),
        ("completion ksh", "'ksh' is not one of 'bash', 'zsh', 'fish'."),
        ("--port 9998 list", "takes the server's address as --endpoint (-e)."),
        ("list -e localhost:9997", "expected one like http://127.0.0.1:9997."),
    ],
)
def test_a_command_line_that_is_not_understood(server: Any, words: str, said: str) -> None:
    environment = {"XINFERENCE_ENDPOINT": server.url}
    runner = CliRunner(env=environment)
    assert said in told(runner.invoke(main, words.split(), prog_name="xinference"), 2)


@pytest.mark.parametrize(
    ("status", "detail", "words"),
    [
        (404, "There is no model 'm'. Did you mean 'mm'?", "terminate m"),
        (400, "Engine xllamacpp has no option 'n_gp'. Did you mean 'n_gpu'?", "launch -n m"),
        (503, "No available slot found for the model m: a replica needs 9 GiB.", "launch -n m"),
        (409, "There is a model 'm' already.", "launch -n m"),
    ],
)
def test_what_the_server_refuses_is_told_in_its_words(
    server: Any, xinference: Callable[..., Result], status: int, detail: str, words: str
) -> None:
    for route in ("DELETE /v1/models/m", "POST /v1/models"):
        server.on(route, server.failure(status, detail))
    assert told(xinference(*words.split()), 1) == f"Error: {detail}\n"


def test_a_wrong_key(server: Any, xinference: Callable[..., Result]) -> None:
    server.on("GET /v1/models", server.failure(401, "This key is not the server's."))
    said = xinference("list", "-ak", "wrong").stderr
    assert said == (
        "Error: This key is not the server's. Pass the right one with --api-key (-ak) or "
        "XINFERENCE_API_KEY.\n"
    )


def test_the_address_as_openais_clients_take_it_will_do(
    server: Any, xinference: Callable[..., Result]
) -> None:
    server.on("GET /v1/models", {"data": []})
    assert xinference("list", "-e", f"{server.url}/v1/").exit_code == 0


def test_https_where_http_is_spoken(server: Any) -> None:
    endpoint = server.url.replace("http:", "https:")
    said = told(CliRunner().invoke(main, ["list", "-e", endpoint]), 1)
    assert said.endswith("It speaks HTTP and not HTTPS: give its address as http://…\n")


@pytest.fixture
def page() -> Iterator[str]:
    """The address of a server that is none of ours: whatever it is asked, it shows a page."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)  # with a page of several lines

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    thread.join()
    http.server_close()


def test_a_server_of_another_kind(page: str) -> None:
    said = told(CliRunner().invoke(main, ["list", "-e", page]), 1)
    assert f"{page}/v1/models answers with a page (HTTP 404 Not Found)" in said
    assert "a server of another kind" in said
