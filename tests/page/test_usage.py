"""The page ``/usage``: an admin sees what answers used and cost, in plots and tables; no other caller sees a number."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from autonomousai.config import Config, LedgerConfig, Secret, ServerConfig
from autonomousai.ledger.database import Database
from autonomousai.ledger.place import place_of
from autonomousai.server import create_app
from autonomousai.testing import ScriptedProvider
from tests.ledger.entries import entry
from tests.page.test_looks import AXE
from tests.support.sockets import ask, listening, request

pytestmark = pytest.mark.asyncio(loop_scope="package")

ADMIN = "sk-admin-of-the-tests"


@asynccontextmanager
async def usage_page(browser: Browser, directory: Path, **options: Any) -> AsyncIterator[Page]:
    """The page of a server whose ledger has answers of ten days."""
    path = str(directory / "ledger.db")
    place = place_of(path)
    assert place is not None
    database = Database(place)
    database.open()
    now = time.time()
    database.write(
        [
            entry(
                f"{day}-{number}",
                time=now - day * 86400,
                key=("alice", "bob", "")[number % 3],
                model=("llama", "gpt-4o", "<b>bold</b>")[number % 3],
                upstream=("vllm", "openai")[number % 2],
                prompt_tokens=900 * (number + 1) * (day + 2),
                completion_tokens=300 * (number + 1),
                cost=None if number == 5 else 0.02 * (number + 1) * (day + 1),
                outcome="cut" if (day + number) % 7 == 0 else "ok",
                first_ms=80 + 40 * number,
            )
            for day in (0, 1, 2, 3, 4, 5, 6, 7, 9)  # one day had none
            for number in range(6)
        ]
    )
    database.close()
    config = Config(server=ServerConfig(admin_keys=(Secret(ADMIN),)), ledger=LedgerConfig(url=path))
    async with listening(create_app(config, provider=ScriptedProvider())) as server:
        context = await browser.new_context(**options)
        try:
            page = await context.new_page()
            page.on("pageerror", lambda error: pytest.fail(str(error)))
            await page.goto(f"{server.url}/usage")
            yield page
        finally:
            await context.close()


async def enter(page: Page, key: str) -> None:
    """Type a key, and ask."""
    await page.get_by_label("Admin key").fill(key)
    await page.get_by_role("button", name="Show").click()


async def wrong(page: Page) -> list[str]:
    """What axe-core finds wrong, by all of its rules."""
    await page.evaluate(AXE)
    found: dict[str, Any] = await page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [f"{each['id']}: {node['target']}" for each in found["violations"] for node in each["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_an_admin_sees_the_plots(browser: Browser, tmp_path: Path, scheme: Any) -> None:
    """By day, key, model and upstream, each with its numbers; axe-core finds nothing wrong, and names are text."""
    async with usage_page(browser, tmp_path, color_scheme=scheme) as page:
        await enter(page, ADMIN)
        await expect(page.get_by_role("img")).to_have_count(8)
        titles = await page.locator("figure h2").all_inner_texts()
        spend = await page.locator("#totals dd").first.inner_text()
        bold = await page.locator("main b").count()
        first = page.locator("figure", has_text="First token by upstream")
        bars = await first.locator("text.value").all_text_contents()
        heads = await first.locator("th[scope=col]").all_text_contents()
        await page.locator("summary").first.click()
        days = await page.locator("figure").first.locator("tbody tr").count()
        faults = await wrong(page)
        image = await page.screenshot(full_page=True)

    assert ["Spend by day", "Tokens by day", "Spend by key", "Tokens by key"] == titles[:4]
    assert ["Spend by model", "Tokens by model", "First token by upstream", "Failures by upstream"] == titles[4:]
    assert ["200 ms", "160 ms"] == bars
    assert ["name", "median ms to the first token", "95th percentile", "average", "answers"] == heads
    assert "$13.80 + ?" == spend
    assert (0, 10, []) == (bold, days, faults)
    assert image.startswith(b"\x89PNG")


async def test_without_the_key_there_is_no_number(browser: Browser, tmp_path: Path) -> None:
    """A wrong key is said to be one, and is not kept; a right one is, in this tab."""
    async with usage_page(browser, tmp_path) as page:
        faults = await wrong(page)
        await enter(page, "sk-wrong")
        await expect(page.locator("#state.error")).to_have_text("This admin key was not accepted.")
        kept = await page.evaluate("sessionStorage.length")
        await enter(page, ADMIN)
        await expect(page.locator("#report")).to_be_visible()
        await page.reload()
        await expect(page.locator("#report")).to_be_visible()

    assert ([], 0) == (faults, kept)


#: Of each text of a plot, how large its letters are shown, in pixels.
SIZES = """
(all) => all.map((text) => parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a)
"""

#: Those that the edges of their plot cut.
OUTSIDE = """
(all) => all.filter((text) => {
  const [box, plot] = [text.getBoundingClientRect(), text.ownerSVGElement.getBoundingClientRect()];
  return box.right > plot.right + 0.5 || box.left < plot.left - 0.5;
}).map((text) => text.textContent)
"""


async def test_it_fits_on_a_phone(browser: Browser, tmp_path: Path) -> None:
    """Nothing has to be pushed sideways."""
    async with usage_page(browser, tmp_path, viewport={"width": 360, "height": 700}) as page:
        await enter(page, ADMIN)
        await expect(page.locator("#report")).to_be_visible()
        sizes = await page.locator("svg text").evaluate_all(SIZES)
        outside = await page.locator("figure").first.locator("svg text").evaluate_all(OUTSIDE)
        await page.set_viewport_size({"width": 640, "height": 360})
        await expect(page.locator("svg").first).to_have_attribute("viewBox", re.compile(r"0 0 5\d\d "))
        await page.set_viewport_size({"width": 360, "height": 700})
        overflow = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        faults = await wrong(page)

    assert (0, []) == (overflow, faults)
    assert min(sizes) > 10
    assert [] == outside


async def test_the_page_has_the_policy_of_the_other() -> None:
    """No script but the package's files, and nothing inline; without a ledger, the page says so."""
    async with listening(create_app(provider=ScriptedProvider())) as server:
        page = await ask(server.port, request("GET", "/usage"))
        chat = await ask(server.port, request("GET", "/"))

    assert chat["content-security-policy"] == page["content-security-policy"]
    assert 200 == page.status
    assert b"<script>" not in page.body
    assert b"style=" not in page.body
