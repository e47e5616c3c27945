"""Take docs/images/page-*.png from real conversations with the embedded engine: ``python docs/make_screenshots.py``.

A test takes them too, into a folder of its own. Nothing is retouched.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from playwright.async_api import Browser

sys.path.insert(0, str(Path(__file__).parents[1]))  # for what the tests use to sit before the page

from autonomousai.server import create_app
from tests.support.browser import Reader, chromium
from tests.support.sockets import listening

IMAGES = Path(__file__).parent / "images"

QUESTIONS = (
    "Name the capital of France.",
    "Give me three tips for sleeping well.",
    "Show me one short example of reading a file line by line in Python.",
)

WIDE, NARROW = {"width": 1180, "height": 680}, {"width": 390, "height": 680}


async def take(browser: Browser, url: str, folder: Path, *, tokens: int = 400) -> None:
    """Three conversations of one greedy reader, each of one question; the last two are shown."""
    async with Reader(browser, url, tokens=tokens) as reader:
        await reader.open()
        for question in QUESTIONS:
            await reader.button("New conversation").click()
            await reader.ask(question)
            await reader.whole()
        page = reader.page
        await page.set_viewport_size(WIDE)
        await page.screenshot(path=folder / "page-light.png")
        await page.set_viewport_size(NARROW)
        await page.screenshot(path=folder / "page-phone.png")
        await page.set_viewport_size(WIDE)
        await page.emulate_media(color_scheme="dark")
        await reader.conversation(QUESTIONS[1]).click()
        await page.mouse.move(0, 0)
        await page.screenshot(path=folder / "page-dark.png")


async def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    async with listening(create_app()) as server, chromium() as browser:
        await take(browser, server.url, IMAGES)


if __name__ == "__main__":
    asyncio.run(main())
