"""What the server commands have in common, from their arguments to their exit status."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from xinfer import __version__, system
from xinfer.core import logs
from xinfer.deploy.cluster_token import NoToken
from xinfer.deploy.config import BadConfig
from xinfer.deploy.listen import CannotListen, is_loopback
from xinfer.deploy.variables import without_effect
from xinfer.errors import XinferError
from xinfer.settings import LOG_LEVELS, Settings

logger = logging.getLogger("xinfer.deploy")

_MIN_OPEN_FILES = 128
_FOR_CHILDREN = {
    "log_level": "XINFERENCE_LOG_LEVEL",
    "ssl_cluster_cert": "XINFERENCE_CLUSTER_CERT",
    "ssl_cluster_key": "XINFERENCE_CLUSTER_KEY",
    "ssl_certfile": "XINFERENCE_SSL_CERTFILE",
    "ssl_keyfile": "XINFERENCE_SSL_KEYFILE",
    "root_path": "XINFERENCE_ROOT_PATH",
}
"""Options that are settings, by the variables through which all processes read them."""

OWN_PATHS = {"assets", "detokenize", "docs", "health", "livez", "metrics", "openapi.json", "readyz"}
OWN_PATHS |= {"redoc", "rerank", "status", "tokenize", "ui", "v1", "v2"}
"""What the paths of the API and of the page begin with."""

Serve = Callable[[argparse.Namespace, Settings], int]


class Parser(argparse.ArgumentParser):
    """Tells what is wrong with a command line in one line, with the option that comes near."""

    def error(self, message: str) -> NoReturn:
        _, unknown, word = message.partition("unrecognized arguments: ")
        if unknown:
            from difflib import get_close_matches  # costs memory, which a server is to spare

            word = next(iter(word.split()), "''")
            near = get_close_matches(word, self._option_string_actions, 1)
            message = f"there is no option or argument {word}"
            message += f"; did you mean {near[0]}?" if near else "."
        elif not message.endswith("."):
            message += "."
        self.exit(2, f"{self.prog}: {message} See `{self.prog} --help`.\n")


def make_parser(name: str, description: str) -> Parser:
    """A parser with the options that every server command has."""
    parser = Parser(prog=name, description=description)
    parser.add_argument("--log-level", type=str.upper, choices=LOG_LEVELS)
    parser.add_argument("-v", "--version", action="version", version=f"xinfer {__version__}")
    return parser


def add_metrics_options(parser: argparse.ArgumentParser) -> None:
    """Accept what Xinference has for a port of metrics alone."""
    parser.add_argument("-MH", "--metrics-exporter-host", help=argparse.SUPPRESS)
    parser.add_argument("-mp", "--metrics-exporter-port", type=port, help=argparse.SUPPRESS)


def warn_of_metrics_options(options: argparse.Namespace) -> None:
    """Say so when one of them is given."""
    if options.metrics_exporter_host or options.metrics_exporter_port:
        logger.warning("Metrics have no port of their own: they are at /metrics of the server")


def add_certificate_options(parser: argparse.ArgumentParser) -> None:
    """What encrypts the traffic between nodes."""
    parser.add_argument(
        "--ssl-cluster-cert",
        metavar="FILE",
        help="certificate (PEM) of the whole cluster, with which nodes encrypt what passes "
        "between them",
    )
    parser.add_argument("--ssl-cluster-key", metavar="FILE", help="its private key (PEM)")


def warn_if_not_encrypted(host: str, settings: Settings) -> None:
    """Warn of traffic that others on the network can read."""
    if not is_loopback(host) and not settings.cluster_cert:
        logger.warning(
            "TRAFFIC BETWEEN NODES IS NOT ENCRYPTED: who can listen in on this network reads "
            "prompts and answers and can take over connections. Give all nodes a cluster "
            "certificate (--ssl-cluster-cert, --ssl-cluster-key), or use a private network."
        )


def number(least: int, most: int) -> Callable[[str], int]:
    """A type for `argparse`: a whole number within these bounds."""

    def parse(text: str) -> int:
        if text.isdecimal() and least <= int(text) <= most:
            return int(text)
        raise argparse.ArgumentTypeError(f"{text!r} is no number from {least} to {most}")

    return parse


port = number(0, 65535)


def run(parser: argparse.ArgumentParser, argv: list[str], serve: Serve) -> NoReturn:
    """Call `serve` with the options and settings, and exit with the status that it returns.

    What keeps it from starting is told in one line, with status 1.
    """
    options = parser.parse_args(argv)
    for option, variable in _FOR_CHILDREN.items():
        if getattr(options, option, None):
            os.environ[variable] = getattr(options, option)
    try:
        settings = Settings.from_env()
        _check_root_path(settings)
        _check_certificates(settings)
    except (ValueError, XinferError) as error:
        sys.exit(f"{parser.prog}: {error}")
    # Children get what they need of it by pipe.
    os.environ.pop("XINFERENCE_CLUSTER_TOKEN", None)
    logs.configure(settings, "launcher")
    for line in without_effect(os.environ):
        logger.warning("%s", line)
    files = system.raise_open_files_limit()
    if 0 < files < _MIN_OPEN_FILES:
        sys.exit(
            f"{parser.prog}: only {files} open files are allowed here, and "
            f"{_MIN_OPEN_FILES} are needed. Raise the limit: ulimit -n 4096"
        )
    try:
        sys.exit(serve(options, settings))
    except (BadConfig, CannotListen, NoToken) as error:
        sys.exit("\n".join(f"{parser.prog}: {line}" for line in str(error).splitlines()))


def _check_root_path(settings: Settings) -> None:
    """Raise ValueError for a path below which the server has something of its own: a request with
    it could not be told from one without."""
    first = settings.prefix.split("/")[1] if settings.prefix else ""
    if first in OWN_PATHS:
        raise ValueError(
            f"the root path {settings.prefix} is one of the server's own, as are those below "
            f"/{first}. Have the proxy serve it under another one, such as /models."
        )


def _check_certificates(settings: Settings) -> None:
    if settings.cluster_cert or settings.cluster_key:
        from xinfer.core.tls import cluster_tls  # costs memory, which this process is to spare

        cluster_tls(settings)
    if settings.ssl_certfile or settings.ssl_keyfile:
        from xinfer.core.tls import check_api_certificate

        check_api_certificate(settings)
