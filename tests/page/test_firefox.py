"""The page in Firefox: what browsers do each in their own way, and one look with axe-core."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from autonomousai.testing import Pause, ScriptedProvider, answer
from tests.cli.test_files_and_schema import pdf
from tests.support.firefox import ENTER, Firefox, firefox

from .conftest import Serve
from .test_looks import AXE
from .test_safety import MARKDOWN

pytestmark = pytest.mark.asyncio(loop_scope="package")

READY = "document.querySelector('#model') && !document.querySelector('#model').disabled"
ENDED = "document.querySelector('.answer:last-of-type')?.getAttribute('aria-busy') === 'false'"
TEXT = "() => document.querySelector('.answer:last-of-type .text').innerText"

#: As Firefox tells of a key that an input method has taken, and as Safari does, which says so by the key's code alone.
COMPOSED = """
() => {
  const input = document.querySelector("#input");
  const press = (more) => {
    const event = new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true, ...more });
    input.dispatchEvent(event);
    return event.defaultPrevented;
  };
  return [press({ isComposing: true }), press({ keyCode: 229 })];
}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def browser() -> AsyncIterator[Firefox]:
    """One for all: it takes a while to start."""
    async with firefox() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="package")
async def page(browser: Firefox) -> AsyncIterator[Firefox]:
    """Without errors on its console at the end."""
    browser.problems.clear()
    yield browser
    assert [] == browser.problems


async def open_page(page: Firefox, url: str) -> None:
    """Open the page, and write in its field."""
    await page.goto(url)
    await page.until(READY)
    await page.evaluate("() => document.querySelector('#input').focus()")


async def test_an_answer_comes_and_outlives_a_reload(page: Firefox, serve: Serve, provider: ScriptedProvider) -> None:
    """Keys, the stream, what the browser keeps, and the rest of the stream after it."""
    pause = Pause()
    provider.play(["One", pause, *answer(" two")])
    await open_page(page, (await serve()).url)
    await page.press("Count" + ENTER)
    await page.until("document.querySelector('.answer .text')?.innerText === 'One'")
    await page.until("location.hash.startsWith('#/c/')")

    await page.reload()
    pause.release()
    await page.until(ENDED)

    assert "One two" == await page.evaluate(TEXT)
    assert 1 == len(provider.calls)


async def test_formulas_code_and_tables_are_drawn(page: Firefox, serve: Serve, provider: ScriptedProvider) -> None:
    """Formulas as MathML, which this browser lays out by itself; axe-core finds nothing wrong."""
    provider.play(answer("\\[\nx = \\frac{-b}{2a}\n\\]\n\n" + MARKDOWN))
    await open_page(page, (await serve()).url)
    await page.press("Show me" + ENTER)
    await page.until(ENDED)
    await page.until("document.querySelector('.answer math mfrac')")

    height = await page.evaluate("() => document.querySelector('.answer math mfrac').getBoundingClientRect().height")
    drawn = await page.evaluate(
        "() => ['pre .hljs-keyword', 'td', 'h3'].map((each) => !!document.querySelector(`.text ${each}`))"
    )
    await page.evaluate(f"() => {{ {AXE} }}")
    found = await page.evaluate(
        "async () => (await axe.run(document, { resultTypes: ['violations'] })).violations.map(({ id }) => id)"
    )

    assert height > 20
    assert ([True, True, True], []) == (drawn, found)


async def test_a_pdf_is_read_in_the_browser(page: Firefox, serve: Serve, provider: ScriptedProvider, tmp_path: Path) -> None:
    """Its text goes before the question."""
    (tmp_path / "report.pdf").write_bytes(pdf("Sales fell."))
    provider.play(answer("So it is"))
    await open_page(page, (await serve()).url)
    await page.attach("#attach-file", [str(tmp_path / "report.pdf")])
    await page.until("/\\d B/.test(document.querySelector('.chip')?.innerText)")  # its size is there once it is read

    await page.evaluate("() => document.querySelector('#input').focus()")
    await page.press("Why?" + ENTER)
    await page.until(ENDED)

    asked = provider.calls[0].messages[-1]["content"]
    assert '<file name="report.pdf">\nSales fell.\n</file>\n\nWhy?' == asked


async def test_enter_belongs_to_an_input_method_that_composes(page: Firefox, serve: Serve, provider: ScriptedProvider) -> None:
    """It sends nothing, however the browser says so."""
    await open_page(page, (await serve()).url)
    await page.press("Nihon")

    taken = await page.evaluate(COMPOSED)

    assert ([False, False], []) == (taken, provider.calls)


async def test_the_page_opens_without_its_server(page: Firefox, serve: Serve) -> None:
    """The service worker keeps it."""
    running = await serve()
    await open_page(page, running.url)
    await page.evaluate("async () => { await navigator.serviceWorker.ready }")
    kept = "(await caches.keys()).length > 0 && navigator.serviceWorker.controller !== null"
    await page.reload()

    assert await page.evaluate(f"async () => {{ while (!({kept})) await new Promise((r) => setTimeout(r, 20)); return true; }}")
