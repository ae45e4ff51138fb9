"""`python -m xinfer.api`: one API process, a child of the launcher."""

from __future__ import annotations

import uvloop

from xinfer.api.server import ApiConfig, serve
from xinfer.core import logs
from xinfer.core.child import read_config
from xinfer.core.watchdog import watched
from xinfer.settings import Settings


def main() -> None:
    settings = Settings.from_env()
    logs.configure(settings, "api")
    config = read_config(ApiConfig)

    async def run() -> None:
        with watched(settings.blocked_loop_threshold) as watchdog:
            await serve(config, settings, watchdog)

    uvloop.run(run())


if __name__ == "__main__":
    main()
