"""The pages whose commands tests follow, and what they may leave out."""

from __future__ import annotations

import re

from tests.support.markdown import ROOT, Block, Page

NOT_RUN = "# not run by the tests: "
"""What the first line of a block begins with that tests do not run; a reason follows."""

REASONS = (
    "downloads from a hub",
    "installs packages",
    "it runs them",
    "needs Claude Code",
    "needs Docker",
    "needs a GPU",
    "needs models of your own",
    "needs npm",
    "takes minutes",
    "uninstalls packages",
)
RUNNABLE = ("bash", "python")
STARTS_A_SERVER = re.compile(
    r"^(?:\w+=\S+ )*(?:xinference-(?:local|supervisor|worker)|make run)\b.*$", re.MULTILINE
)
"""A command that goes on until it is stopped."""


def reason_not_run(block: Block) -> str | None:
    """Why the tests do not run a block, as its reader sees it; None where it does not say."""
    first = block.code.partition("\n")[0]
    return first.removeprefix(NOT_RUN) if first.startswith(NOT_RUN) else None


def starts_servers(page: Page) -> bool:
    return any(STARTS_A_SERVER.search(block.code) for block in page.blocks if block.tested)


_PATHS = ["README.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md"))]
FOLLOWED = [page for page in map(Page.read, _PATHS) if any(one.tested for one in page.blocks)]
"""Pages with something to run. README_zh.md has the blocks of README.md."""
