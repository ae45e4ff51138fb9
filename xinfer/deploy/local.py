"""`xinference-local`: a whole server on this machine. Stdlib only: it stays small."""

from __future__ import annotations

import argparse
import logging
import sys
from typing import NoReturn

from xinfer.core.security import new_token
from xinfer.deploy import command, head
from xinfer.deploy.listen import loopback
from xinfer.deploy.processes import Internal, own_worker
from xinfer.settings import Settings

logger = logging.getLogger("xinfer.deploy")


def main() -> NoReturn:
    """Console script `xinference-local`."""
    run(sys.argv[1:])


def run(argv: list[str]) -> NoReturn:
    """Run a whole server until it is stopped; then exit with its status."""
    command.run(make_parser(), argv, _serve)


def make_parser() -> argparse.ArgumentParser:
    parser = command.make_parser("xinference-local", "Start a server on this machine.")
    parser.add_argument("-H", "--host", default="127.0.0.1", help="address to listen on")
    head.add_options(parser, otherwise=", or the next free one")
    command.add_metrics_options(parser)
    return parser


def _serve(options: argparse.Namespace, settings: Settings) -> int:
    command.warn_of_metrics_options(options)
    # Whatever -H says: what is beyond this machine has no business with internal channels.
    internal = Internal(host=loopback(), token=new_token())

    def ready(url: str) -> None:
        logger.info("The page is at %s/ and the API documentation at %s/docs", url, url)
        if not (options.model or options.config or settings.config):
            logger.info("Next, in another terminal: xinference launch -n tiny-chat")

    return head.serve(
        options,
        settings,
        internal,
        ready,
        search_port=True,
        add=lambda made, run_dir: [
            own_worker(
                internal,
                supervisor=made[0],
                run_dir=run_dir,
                after=tuple(child.name for child in made),
            )
        ],
    )


if __name__ == "__main__":
    main()
