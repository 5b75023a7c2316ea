"""What axe finds wrong with a page, for people who use it by other means than sight and mouse."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Page

AXE = Path(__file__).parent / "axe" / "axe-4.14.1.min.js"


def violations(page: Page) -> list[str]:
    """What axe-core finds on the page as it stands, by all of its rules, a line each: the rule, what it asks for, and where."""
    # By the debugger's own way, which the page's policy for scripts does not concern.
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found: dict[str, Any] = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{violation['id']}: {violation['help']}: {node['target']} {node['html'][:160]}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]
