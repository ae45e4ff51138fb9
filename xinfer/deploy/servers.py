"""The server commands. Stdlib only: this process becomes the launcher and stays small."""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import NoReturn

from xinfer import __version__, system
from xinfer.core import logs
from xinfer.core.security import new_token
from xinfer.deploy.launcher import Child, Launcher
from xinfer.deploy.listen import CannotListen, endpoint, is_loopback, listen, loopback
from xinfer.settings import LOG_LEVELS, Settings

logger = logging.getLogger("xinfer.deploy")

DEFAULT_PORT = 9997
_MIN_OPEN_FILES = 128


def main_local() -> NoReturn:
    """Console script `xinference-local`."""
    local(sys.argv[1:])


def local(argv: list[str]) -> NoReturn:
    """Run a whole server on this machine until it is stopped; then exit with its status."""
    options = _parser().parse_args(argv)
    if options.log_level:
        os.environ["XINFERENCE_LOG_LEVEL"] = options.log_level
    try:
        settings = Settings.from_env()
    except ValueError as error:
        sys.exit(f"xinference-local: {error}")
    logs.configure(settings, "launcher")
    files = system.raise_open_files_limit()
    if 0 < files < _MIN_OPEN_FILES:
        sys.exit(
            f"xinference-local: only {files} open files are allowed here, and "
            f"{_MIN_OPEN_FILES} are needed. Raise the limit: ulimit -n 4096"
        )
    try:
        sys.exit(_run(options, settings))
    except CannotListen as error:
        sys.exit(f"xinference-local: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="xinference-local", description="Start a server on this machine."
    )
    port = _number(0, 65535)
    parser.add_argument("-H", "--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument(
        "-p", "--port", type=port, help=f"port (default {DEFAULT_PORT}, or the next free one)"
    )
    parser.add_argument("--log-level", type=str.upper, choices=LOG_LEVELS)
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME",
        help="launch this model at start (name or path); may be repeated",
    )
    parser.add_argument(
        "--api-workers",
        type=_number(1, 64),
        default=1,
        metavar="N",
        help="API processes (default 1)",
    )
    parser.add_argument("-MH", "--metrics-exporter-host", help=argparse.SUPPRESS)
    parser.add_argument("-mp", "--metrics-exporter-port", type=port, help=argparse.SUPPRESS)
    parser.add_argument("-v", "--version", action="version", version=f"xinfer {__version__}")
    return parser


def _number(least: int, most: int) -> Callable[[str], int]:
    """A type for `argparse`: a whole number within these bounds."""

    def parse(text: str) -> int:
        if text.isdecimal() and least <= int(text) <= most:
            return int(text)
        raise argparse.ArgumentTypeError(f"{text!r} is no number from {least} to {most}")

    return parse


def _run(options: argparse.Namespace, settings: Settings) -> int:
    if options.metrics_exporter_host or options.metrics_exporter_port:
        logger.warning("Metrics have no port of their own: they are at /metrics of the server")
    port = DEFAULT_PORT if options.port is None else options.port
    listener = listen(options.host, port, search=options.port is None)
    internal = loopback()
    url = endpoint(options.host, listener.getsockname()[1])
    _warn_if_open(options.host, settings)
    run_dir = tempfile.mkdtemp(prefix="xinfer-")
    launches: list[subprocess.Popen[bytes]] = []
    try:
        launcher = Launcher(
            _children(options, listener.fileno(), internal, run_dir, url),
            settings,
            on_all_ready=lambda: launches.extend(_begin(url, options.model)),
        )
        return launcher.run()
    finally:
        for launch in launches:
            launch.terminate()
        listener.close()
        shutil.rmtree(run_dir, ignore_errors=True)


def _children(
    options: argparse.Namespace, listener: int, internal: str, run_dir: str, url: str
) -> list[Child]:
    """The processes of a server on one machine, in the order of their start."""
    control = f"unix:{run_dir}/supervisor.sock"
    control_token, cluster_token = new_token().hex(), new_token().hex()
    environment = {"XINFERENCE_ENDPOINT": url}
    metrics_dir = ""
    if options.api_workers > 1:
        metrics_dir = os.path.join(run_dir, "metrics")
        os.mkdir(metrics_dir)

    supervisor = Child(
        "supervisor",
        "xinfer.core.supervisor",
        configure=lambda: {
            "control": control,
            "control_token": control_token,
            "cluster_token": cluster_token,
            "host": internal,
            "port": _port_of(supervisor),
            "restarted": bool(supervisor.facts),
        },
        stop_rank=1,
        environment=environment,
    )

    def api(index: int) -> Child:
        return Child(
            f"api-{index}" if options.api_workers > 1 else "api",
            "xinfer.api",
            configure=lambda: {
                "control": control,
                "control_token": control_token,
                "sockets": [listener],
                "index": index,
                "workers": options.api_workers,
                "metrics_dir": metrics_dir,
                "endpoint": url,
            },
            after=("supervisor",),
            pass_fds=(listener,),
            environment=environment
            | ({"PROMETHEUS_MULTIPROC_DIR": metrics_dir} if metrics_dir else {}),
        )

    apis = [api(index) for index in range(options.api_workers)]
    worker = Child(
        "worker",
        "xinfer.core.worker",
        configure=lambda: {
            "supervisor": supervisor.facts["address"],
            "cluster_token": cluster_token,
            "host": internal,
            "port": _port_of(worker),
            "run_dir": run_dir,
        },
        after=("supervisor", *(child.name for child in apis)),
        stop_rank=1,
        environment=environment,
    )
    return [supervisor, *apis, worker]


def _port_of(child: Child) -> int:
    """The port it had, so that others find it again after a restart; any at its first start."""
    return int(str(child.facts["address"]).rpartition(":")[2]) if child.facts else 0


def _warn_if_open(host: str, settings: Settings) -> None:
    if not is_loopback(host) and not settings.api_key:
        logger.warning(
            "Listening on %s without a key: whoever reaches this port can use and stop models. "
            "Set XINFERENCE_API_KEY, or listen on 127.0.0.1.",
            host,
        )


def _begin(url: str, models: list[str]) -> list[subprocess.Popen[bytes]]:
    """Say where everything is, and launch what was asked for."""
    logger.info("The page is at %s/ and the API documentation at %s/docs", url, url)
    if not models:
        logger.info("Next, in another terminal: xinference launch -n tiny-chat")
    # The command line's own launch shows the progress and says why it failed.
    # What was launched before the server stopped is there already.
    command = [sys.executable, "-m", "xinfer.deploy.cli", "launch", "-e", url, "--exist-ok", "-n"]
    return [subprocess.Popen([*command, name], stdin=subprocess.DEVNULL) for name in models]


if __name__ == "__main__":
    main_local()
