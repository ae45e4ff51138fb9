"""`python -m xinfer.deploy.cli`: the `xinference` command without its console script."""

from xinfer.deploy.cli import main

main(prog_name="xinference")
