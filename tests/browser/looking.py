"""What is wrong with a page, for whoever looks at it: headings, what does not fit, what axe finds. With AMENDS_SCREENSHOTS naming a folder,
a picture of each page that is looked at is left there.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from playwright.sync_api import Locator, Page
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from tests.browser.accessibility import violations

MOST_MILLISECONDS = 3_000
"""So long a page may take to be laid out for another screen."""
Screen = tuple[int, Literal["light", "dark"]]
"""How wide, in CSS pixels, and in which colours."""
SCREENS: tuple[Screen, ...] = ((1440, "light"), (360, "dark"))
ALL_SCREENS: tuple[Screen, ...] = ((1440, "light"), (1440, "dark"), (360, "dark"), (360, "light"))


def wrong_on_screens(page: Page, name: str, screens: Iterable[Screen] = SCREENS) -> list[str]:
    """`wrong_with` the page that is open on each screen. It is turned from one to the next as a tablet is, without being loaded again."""
    # What a page loads by itself belongs to it.
    page.wait_for_function("() => !document.querySelector('.htmx-request')")
    wrong = []
    for width, color_scheme in screens:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=color_scheme, reduced_motion="reduce")
        page.wait_for_function("(width) => window.innerWidth === width", arg=width)
        wrong += wrong_with(page, name, f"{width} {color_scheme}")
    return wrong


def wrong_with(page: Page, name: str, screen: str = "") -> list[str]:
    """A line for everything that is wrong with the page that is open; `screen` says how it is looked at, as in "360 dark"."""
    headings = page.locator("h1").count()
    wrong = [] if headings == 1 else [f"it has {headings} headings of its own"]
    wrong += [f"does not fit: {each}" for each in too_wide(page)]
    wrong += violations(page)
    picture(page, f"{name} {screen}".strip())
    return [f"{name}, {screen or 'as it is'}: {each}" for each in wrong]


def too_wide(page: Page) -> list[str]:
    """What makes the page wider than the screen, outside of the parts that scroll by themselves."""
    try:
        # A page that was turned just now is laid out for it a little later.
        page.wait_for_function(
            "() => document.documentElement.scrollWidth <= document.documentElement.clientWidth",
            timeout=MOST_MILLISECONDS,
        )
    except PlaywrightTimeoutError:
        found: list[str] = page.evaluate(
            """() => [...document.querySelectorAll("body *")]
                .filter((each) => each.getBoundingClientRect().right > document.documentElement.clientWidth + 1
                    && !each.closest(".table-scroll, .site-nav, pre"))
                .map((each) => `${each.tagName} ${each.id} ${each.className}`)"""
        )
        return found
    return []


def colours_along(part: Locator) -> list[str]:
    """The colours of the middle row of pixels of `part`, from left to right, each as "red,green,blue"."""
    found: list[str] = part.page.evaluate(
        """async (octets) => {
            const image = await createImageBitmap(new Blob([new Uint8Array(octets)]));
            const canvas = new OffscreenCanvas(image.width, image.height).getContext("2d");
            canvas.drawImage(image, 0, 0);
            const row = canvas.getImageData(0, Math.floor(image.height / 2), image.width, 1).data;
            return Array.from({length: image.width}, (_, x) => row.slice(4 * x, 4 * x + 3).join(","));
        }""",
        list(part.screenshot(caret="initial")),
    )
    return found


def picture(page: Page, name: str) -> None:
    """The whole page, where pictures are wanted."""
    if folder := os.environ.get("AMENDS_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        # Hiding the caret is an inline style, which the page's policy refuses.
        page.screenshot(
            path=str(Path(folder) / f"{name.replace('/', '_')}.png"), full_page=True, caret="initial"
        )
