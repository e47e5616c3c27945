"""Debian's Chromium, driven by Playwright, and somebody who sits before it: a `Reader` of the chat page."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, async_playwright, expect

#: Where distributions put it.
NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")

#: Milliseconds. Generous: a machine that is busy elsewhere must not fail a test.
PATIENCE = 60_000

expect.set_options(timeout=PATIENCE)

#: What the page holds back reaches the test as an error on the console.
WATCH = "addEventListener('securitypolicyviolation', (event) => console.error('held back: ' + event.violatedDirective))"

#: Greedy and short: the settings of new conversations, where the reader has not chosen any.
DEFAULTS = """
if (location.protocol === "http:")
  localStorage["autonomousai.settings"] ??= JSON.stringify({ system: "", temperature: 0, maxTokens: %d });
"""


def find_browser() -> str:
    """The path of Chromium. Fails where there is none: what was not tried was not shown to work."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    assert found, "Chromium is missing; on Debian: apt-get install chromium"
    return found


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """The browser, without a window. Root gets no sandbox of Chromium's own."""
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_browser(), args=arguments)
        try:
            yield browser
        finally:
            await browser.close()


class Reader:
    """``async with Reader(browser, url) as reader``: somebody with a browser of their own, who keeps nothing afterwards.

    On leaving, the page must have had no error, and tried nothing that its policy forbids.
    """

    def __init__(self, browser: Browser, url: str, *, tokens: int = 24, **options: Any) -> None:
        self.url = url
        self.problems: list[str] = []
        self._browser = browser
        self._tokens = tokens
        # Without the service worker, unless it is what is tried: Playwright cannot stand between it and the network.
        self._options = {"viewport": {"width": 1180, "height": 760}, "service_workers": "block", **options}
        self.context: BrowserContext
        self.page: Page

    async def __aenter__(self) -> Self:
        self.context = await self._browser.new_context(**self._options)
        self.context.set_default_timeout(PATIENCE)
        await self.context.add_init_script(WATCH)
        await self.context.add_init_script(DEFAULTS % self._tokens)
        self.context.on("weberror", lambda error: self.problems.append(str(error.error)))
        self.context.on("console", self._hear)
        self.page = await self.context.new_page()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.context.close()
        if exc is None:
            assert not self.problems, self.problems

    def _hear(self, message: ConsoleMessage) -> None:
        # A status of 400 or above, and a lost connection, are told on the console by the browser itself.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.problems.append(message.text)

    # ---- what a reader does

    async def open(self, path: str = "/") -> None:
        """Open the page, and wait until it knows the models."""
        await self.page.goto(self.url + path)
        await expect(self.page.locator("#model")).to_be_enabled()

    async def ask(self, text: str) -> None:
        """Write, and press Enter."""
        await self.input.fill(text)
        await self.input.press("Enter")

    async def whole(self) -> str:
        """Wait until the answer is over; its text."""
        await expect(self.answer).to_have_attribute("aria-busy", "false")
        return await self.text.inner_text()

    async def has_read(self, characters: int) -> str:
        """Wait until so much of the answer is there; its text."""
        await expect(self.text).to_have_text(re.compile(rf"[\s\S]{{{characters}}}"))
        return await self.text.inner_text()

    async def kept(self) -> list[dict[str, Any]]:
        """The conversations as the browser keeps them."""
        kept: list[dict[str, Any]] = await self.page.evaluate(KEPT)
        return kept

    async def has_kept(self, text: str) -> dict[str, Any]:
        """Wait until the browser keeps a last answer of that text; the answer as it is kept."""
        while not ((kept := await self.kept()) and kept[0]["messages"][-1]["text"] == text):
            pass
        answer: dict[str, Any] = kept[0]["messages"][-1]
        return answer

    async def choose(self, conversation: str, item: str) -> None:
        """Choose an item of a conversation's menu."""
        await self.conversation(conversation).hover()
        await self.button(f"More for “{conversation}”").click()
        await self.button(item).click()

    # ---- what a reader sees

    @property
    def input(self) -> Locator:
        return self.page.get_by_role("textbox", name="Message", exact=True)

    @property
    def answer(self) -> Locator:
        """The last answer."""
        return self.page.locator(".answer").last

    @property
    def text(self) -> Locator:
        return self.answer.locator(".text")

    def button(self, name: str | re.Pattern[str]) -> Locator:
        return self.page.get_by_role("button", name=name, exact=isinstance(name, str))

    def conversation(self, name: str) -> Locator:
        """An entry of the list."""
        return self.page.get_by_role("navigation").get_by_role("link", name=name)


KEPT = """
() => new Promise((resolve, reject) => {
  const opening = indexedDB.open("autonomousai", 1);
  opening.onerror = () => reject(opening.error);
  opening.onsuccess = () => {
    const all = opening.result.transaction("conversations").objectStore("conversations").getAll();
    all.onsuccess = () => { opening.result.close(); resolve(all.result); };
  };
})
"""
