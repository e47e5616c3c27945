"""Take docs/images/page-*.png from real conversations with the embedded engine: ``python docs/make_screenshots.py``.

A test takes them too, into a folder of its own. Nothing is retouched.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from playwright.async_api import Browser

sys.path.insert(0, str(Path(__file__).parents[1]))  # for what the tests use to sit before the page

from autonomousai.server import create_app
from tests.support.browser import Reader, chromium
from tests.support.sockets import listening

IMAGES = Path(__file__).parent / "images"

QUESTIONS = (
    "Name the capital of France.",
    "Write a Python function that tells whether a word is a palindrome, with an example.",
)

PICTURES: dict[str, dict[str, object]] = {
    "page-light.png": {"viewport": {"width": 1180, "height": 760}, "color_scheme": "light"},
    "page-dark.png": {"viewport": {"width": 1180, "height": 760}, "color_scheme": "dark"},
    "page-phone.png": {
        "viewport": {"width": 390, "height": 780},
        "color_scheme": "light",
        "is_mobile": True,
        "has_touch": True,
    },
}


async def take(browser: Browser, url: str, folder: Path, questions: Sequence[str] = QUESTIONS, *, tokens: int = 400) -> None:
    """The same questions, asked greedily by three readers. The pictures show the end of the conversation."""
    for name, options in PICTURES.items():
        async with Reader(browser, url, tokens=tokens, **options) as reader:
            await reader.open()
            for number, question in enumerate(questions, 1):
                await reader.ask(question)
                await reader.page.locator(".answer[aria-busy=false]").nth(number - 1).wait_for()
            await reader.page.mouse.move(0, 0)
            await reader.page.screenshot(path=folder / name)


async def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    async with listening(create_app()) as server, chromium() as browser:
        await take(browser, server.url, IMAGES)


if __name__ == "__main__":
    asyncio.run(main())
