"""What axe-core finds of a page that has come to rest."""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import Page, expect

from tests.support.markdown import ROOT

AXE = ROOT / "ui/node_modules/axe-core/axe.min.js"


def settled(page: Page) -> None:
    """Wait until what was asked for is shown, and nothing moves any more."""
    page.wait_for_load_state("networkidle")
    expect(page.get_by_label("Loading…")).to_have_count(0)
    expect(page.get_by_text("Asking the engines…")).to_have_count(0)
    # One whose element goes away is cancelled, and does not finish.
    moving = "document.getAnimations().map((one) => one.finished)"
    page.evaluate(f"Promise.allSettled({moving}).then(() => null)")


def violations(page: Page) -> list[str]:
    """What axe-core finds serious or worse."""
    assert AXE.is_file(), "the page's tests need axe-core: make ui-test, or npm --prefix ui ci"
    page.evaluate(AXE.read_text())
    found: list[dict[str, Any]] = page.evaluate("axe.run().then((result) => result.violations)")
    return [
        f"{each['id']}: {each['help']}: " + json.dumps([node["html"] for node in each["nodes"]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
