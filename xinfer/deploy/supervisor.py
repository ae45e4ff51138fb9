"""`xinference-supervisor`: the head of a cluster, which workers join. Stdlib only."""

from __future__ import annotations

import argparse
import logging
import socket
import sys
from typing import NoReturn

from xinfer.deploy import cluster_token, command, head
from xinfer.deploy.listen import address_of, check_port, is_any
from xinfer.deploy.processes import Internal
from xinfer.settings import Settings

logger = logging.getLogger("xinfer.deploy")


def main() -> NoReturn:
    """Console script `xinference-supervisor`."""
    command.run(make_parser(), sys.argv[1:], _serve)


def make_parser() -> argparse.ArgumentParser:
    parser = command.make_parser(
        "xinference-supervisor",
        "Start the head of a cluster: its API and its supervisor. Models run on workers; see "
        "xinference-worker.",
    )
    parser.add_argument(
        "-H", "--host", default="0.0.0.0", help="address to listen on (default: all)"
    )
    head.add_options(parser)
    parser.add_argument(
        "--supervisor-port",
        type=command.port,
        default=0,
        help="port that workers report to (default: a free one, which they ask the API for)",
    )
    command.add_certificate_options(parser)
    return parser


def _serve(options: argparse.Namespace, settings: Settings) -> int:
    token = cluster_token.find_or_make(settings)
    host = address_of(options.host)
    check_port(host, options.supervisor_port, "--supervisor-port")
    command.warn_if_not_encrypted(host, settings)
    internal = Internal(host=host, token=token.key, port=options.supervisor_port, exposed=True)

    def ready(url: str) -> None:
        logger.info("The page is at %s/ and the API documentation at %s/docs", url, url)
        name = socket.gethostname() if is_any(host) else host
        port = url.rpartition(":")[2]
        logger.info("The cluster's token is in %s; every worker's machine needs it", token.source)
        logger.info("Workers join with: xinference-worker -e http://%s:%s", name, port)

    return head.serve(options, settings, internal, ready, search_port=False)


if __name__ == "__main__":
    main()
