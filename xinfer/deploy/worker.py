"""`xinference-worker`: a machine on which a cluster's models run. Stdlib only."""

from __future__ import annotations

import argparse
import logging
import sys
from typing import NoReturn
from urllib.parse import urlsplit

from xinfer.deploy import cluster_token, command
from xinfer.deploy.launcher import Launcher
from xinfer.deploy.listen import address_of, check_port
from xinfer.deploy.processes import Internal, joining_worker
from xinfer.settings import Settings

logger = logging.getLogger("xinfer.deploy")


def main() -> NoReturn:
    """Console script `xinference-worker`."""
    command.run(make_parser(), sys.argv[1:], _serve)


def make_parser() -> argparse.ArgumentParser:
    parser = command.make_parser(
        "xinference-worker",
        "Run models on this machine for the cluster of an xinference-supervisor.",
    )
    parser.add_argument(
        "-e",
        "--endpoint",
        help="address of the supervisor's API (default: XINFERENCE_ENDPOINT, else "
        "http://127.0.0.1:9997)",
    )
    parser.add_argument(
        "-H",
        "--host",
        default="0.0.0.0",
        help="this machine's address, by which the supervisor's machine reaches it (default: the "
        "one from which it reaches the supervisor)",
    )
    parser.add_argument(
        "--worker-port", type=command.port, default=0, help="port (default: a free one)"
    )
    parser.add_argument(
        "--label",
        action="append",
        type=_label,
        default=[],
        metavar="KEY=VALUE",
        help="something to tell it by, such as rack=3; may be repeated",
    )
    command.add_certificate_options(parser)
    command.add_metrics_options(parser)
    return parser


def _checked(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        sys.exit(
            f"xinference-worker: {endpoint!r} is no address of a server. Expected is one such as "
            "http://10.0.0.1:9997"
        )
    return endpoint


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is no label; expected is KEY=VALUE")
    return key, value


def _serve(options: argparse.Namespace, settings: Settings) -> int:
    command.warn_of_metrics_options(options)
    endpoint = _checked(options.endpoint or settings.endpoint)
    token = cluster_token.find(settings)
    host = address_of(options.host)
    check_port(host, options.worker_port, "--worker-port")
    command.warn_if_not_encrypted(host, settings)
    worker = joining_worker(
        Internal(host=host, token=token.key, port=options.worker_port, exposed=True),
        endpoint=endpoint,
        labels=dict(options.label),
    )

    def ready() -> None:
        logger.info("Worker %s has joined the cluster at %s", worker.facts["address"], endpoint)

    return Launcher([worker], settings, on_all_ready=ready).run()


if __name__ == "__main__":
    main()
