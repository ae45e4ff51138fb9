"""The part of a server that users reach: supervisor and API processes, on this machine."""

from __future__ import annotations

import argparse
import logging
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable

from xinfer.deploy import config
from xinfer.deploy.command import number, port
from xinfer.deploy.launcher import Child, Launcher
from xinfer.deploy.listen import endpoint, is_loopback, listen
from xinfer.deploy.processes import Internal, supervisor_and_apis
from xinfer.settings import Settings

logger = logging.getLogger("xinfer.deploy")

DEFAULT_PORT = 9997


def add_options(parser: argparse.ArgumentParser, *, otherwise: str = "") -> None:
    """The options of the REST API; `otherwise` says what is taken where the usual port is not
    free."""
    parser.add_argument(
        "-p", "--port", type=port, help=f"port of the API (default {DEFAULT_PORT}{otherwise})"
    )
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME",
        help="launch this model at start (name or path); may be repeated",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="launch the models that this file (YAML) declares, at each start",
    )
    parser.add_argument(
        "--api-workers",
        type=number(1, 64),
        default=1,
        metavar="N",
        help="API processes (default 1)",
    )
    parser.add_argument("--ssl-certfile", metavar="FILE", help="serve HTTPS with this certificate")
    parser.add_argument("--ssl-keyfile", metavar="FILE", help="its private key (PEM)")
    parser.add_argument(
        "--root-path", metavar="PATH", help="path under which a proxy serves this server"
    )


def serve(
    options: argparse.Namespace,
    settings: Settings,
    internal: Internal,
    on_ready: Callable[[str], None],
    *,
    search_port: bool,
    add: Callable[[list[Child], str], list[Child]] = lambda made, run_dir: [],
) -> int:
    """Run supervisor and API processes until asked to stop; the exit status.

    Args:
        on_ready: called with the server's URL once everything answers.
        search_port: whether, without --port, another one may be taken than the usual.
        add: further processes, from those that come before them and the directory of sockets.

    Raises:
        config.BadConfig: the file of declared models is not right; nothing was started.
        CannotListen: with the fix in its message.
    """
    config_file = options.config or settings.config
    declared = config.read(config_file) if config_file else None
    wanted = DEFAULT_PORT if options.port is None else options.port
    listener = listen(options.host, wanted, search=search_port and options.port is None)
    scheme = "https" if settings.ssl_certfile else "http"
    url = endpoint(options.host, listener.getsockname()[1], scheme)
    warn_if_open(options.host, settings)
    run_dir = tempfile.mkdtemp(prefix="xinfer-")
    launches: list[subprocess.Popen[bytes]] = []

    def begin() -> None:
        on_ready(url)
        # The command line's own launch shows the progress and says why it failed.
        # What was launched before the server stopped is there already.
        launch = [sys.executable, "-m", "xinfer.deploy.cli", "launch", "-e", url]
        launch += ["--exist-ok", "-n"]
        for name in options.model:
            launches.append(subprocess.Popen([*launch, name], stdin=subprocess.DEVNULL))

    try:
        children = supervisor_and_apis(
            internal,
            listener=listener.fileno(),
            apis=options.api_workers,
            run_dir=run_dir,
            url=url,
            declared=declared,
        )
        children += add(children, run_dir)
        return Launcher(children, settings, on_all_ready=begin).run()
    finally:
        for process in launches:
            process.terminate()
        listener.close()
        shutil.rmtree(run_dir, ignore_errors=True)


def warn_if_open(host: str, settings: Settings) -> None:
    """Warn of an API that everybody may use."""
    if not is_loopback(host) and not settings.api_key:
        logger.warning(
            "Listening on %s without a key: whoever reaches this port can use and stop models. "
            "Set XINFERENCE_API_KEY, or listen on 127.0.0.1.",
            host,
        )
