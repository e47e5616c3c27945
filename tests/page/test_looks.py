"""How it looks and feels: light and dark, wide and narrow, with the keyboard alone, and to those who listen."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from playwright.async_api import expect

from autonomousai.errors import StreamError
from autonomousai.testing import Pause, ScriptedProvider, answer
from docs.make_screenshots import take
from tests.support.browser import Reader
from tests.support.sockets import Listening

from .conftest import Serve, Sit
from .test_safety import MARKDOWN

pytestmark = pytest.mark.asyncio(loop_scope="package")

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


#: The buttons and fields of which a part lies outside of the window.
OUTSIDE = """
() => [...document.querySelectorAll("main :is(button, select, textarea, summary), dialog[open] *, #sidebar.open button")]
  .map((each) => [each.outerHTML.slice(0, 80), each.getBoundingClientRect()])
  .filter(([, box]) => box.width && (box.left < 0 || box.right > document.documentElement.clientWidth))
  .map(([html]) => html)
"""


async def complaints(reader: Reader) -> list[str]:
    """What axe-core finds wrong with the page as it stands, by all of its rules."""
    await reader.page.evaluate(AXE)
    found: dict[str, Any] = await reader.page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{each['id']}: {node['html'][:150]} {node['failureSummary']}" for each in found["violations"] for node in each["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_wrong(scheme: str, serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """At the beginning, with answers and errors, while one edits, and in each dialog."""
    provider.play(answer(MARKDOWN), answer("another"), ["Half", StreamError("it broke")])
    reader = await sit(await serve(), color_scheme=scheme, reduced_motion="reduce")
    assert [] == await complaints(reader)

    await reader.ask("Show me")
    await reader.whole()
    await reader.answer.locator(".facts summary").click()
    await reader.button("Another answer").click()
    await reader.whole()
    await reader.button("The version before").click()
    await reader.ask("And then?")
    await expect(reader.answer.locator(".trouble")).to_be_visible()
    assert [] == await complaints(reader)

    await reader.input.press("ArrowUp")
    assert [] == await complaints(reader)
    await reader.page.keyboard.press("Escape")
    for button in ("Settings of this conversation", "Use it from code", "More for “Show me”"):
        if "More" in button:
            await reader.conversation("Show me").hover()
        await reader.button(button).click()
        assert [] == await complaints(reader)
        await reader.page.keyboard.press("Escape")


async def test_axe_finds_nothing_wrong_on_a_phone(serve: Serve, sit: Sit) -> None:
    """With the list open, too."""
    reader = await sit(await serve(), reduced_motion="reduce", **PHONE)
    await reader.ask("Hello")
    await reader.whole()
    assert [] == await complaints(reader)

    await reader.button("List of conversations").click()

    assert [] == await complaints(reader)


async def test_on_a_phone_everything_is_within_reach(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """Nothing sticks out to the side; the list comes and goes, by buttons, by Esc, and by choosing."""
    provider.play(answer(MARKDOWN + "\n`" + "x" * 300 + "`\n\n```\n" + "y" * 300 + "\n```"))
    reader = await sit(await serve(), **PHONE)
    sidebar = reader.page.get_by_role("navigation")
    await reader.ask("Show me")
    await reader.whole()
    for selector in ("html", "main", "#scroller"):
        assert await reader.page.locator(selector).evaluate("(box) => box.scrollWidth <= box.clientWidth"), selector

    await expect(sidebar).to_be_hidden()
    await reader.button("List of conversations").tap()
    await expect(sidebar).to_be_visible()
    await expect(reader.button("Close the list of conversations")).to_be_focused()
    await reader.page.keyboard.press("Escape")
    await expect(sidebar).to_be_hidden()
    await reader.button("List of conversations").tap()
    await reader.button("New conversation").tap()

    await expect(sidebar).to_be_hidden()
    await expect(reader.page.locator(".answer")).to_have_count(0)
    await expect(reader.page.get_by_role("heading", name="What would you like to know?")).to_be_visible()


async def test_the_narrowest_screen_hides_nothing(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """A watch, or a page that is enlarged five times: each button is within it, in dialogs too."""
    provider.play(answer(MARKDOWN))
    reader = await sit(await serve(), viewport={"width": 200, "height": 700}, reduced_motion="reduce")
    await reader.ask("Show me " + "x" * 100)
    await reader.whole()
    await reader.answer.locator(".facts summary").click()
    assert [] == await reader.page.evaluate(OUTSIDE)

    for button in ("Settings of this conversation", "List of conversations"):
        await reader.button(button).click()
        assert [] == await reader.page.evaluate(OUTSIDE)
        await reader.page.keyboard.press("Escape")
    await expect(reader.page.get_by_role("heading", level=1)).to_have_text(re.compile("Show me"))


async def test_on_paper_is_the_conversation_alone(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """Without a control, in dark ink, and all of it, however long it is."""
    provider.play(answer("\n\n".join(f"Paragraph {number}" for number in range(60))))
    reader = await sit(await serve(), color_scheme="dark")
    await reader.ask("Tell me")
    await reader.whole()

    await reader.page.emulate_media(media="print")

    assert 0 == await reader.page.locator("button:visible, select:visible, textarea:visible, nav:visible").count()
    for words in ("Paragraph 0", "Paragraph 59"):
        await expect(reader.answer.get_by_text(words, exact=True)).to_be_visible()
    assert await reader.page.locator("#scroller").evaluate("(box) => box.scrollHeight == box.clientHeight")
    assert "light" == await reader.page.locator("html").evaluate("(page) => getComputedStyle(page).colorScheme")


async def test_a_small_first_screen_begins_at_its_beginning(serve: Serve, sit: Sit) -> None:
    """However little of it fits; and there is no way to its end, which nobody has read away from."""
    reader = await sit(await serve(), **{**PHONE, "viewport": {"width": 375, "height": 480}})

    scroller = reader.page.locator("#scroller")
    assert await scroller.evaluate("(box) => box.scrollHeight > box.clientHeight + 60")
    assert 0 == await scroller.evaluate("(box) => box.scrollTop")
    await expect(reader.button("Latest")).to_be_hidden()


async def test_what_answered_opens_in_its_row(serve: Serve, sit: Sit) -> None:
    """What was pressed stays under the finger; also on the smallest phone, where the title can be read."""
    reader = await sit(await serve())
    await reader.ask("A title of some length")
    await reader.whole()
    summary = reader.answer.locator(".facts summary")
    for width in (1180, 320):
        await reader.page.set_viewport_size({"width": width, "height": 760})
        closed = await summary.evaluate(IN_FOOT)
        await summary.click()
        assert closed == await summary.evaluate(IN_FOOT)
        await summary.click()
    assert await reader.page.locator("#title").evaluate("(title) => title.clientWidth") > 70


#: Where an element is, from its row's corner.
IN_FOOT = """
(element) => {
  const [box, foot] = [element.getBoundingClientRect(), element.closest(".foot").getBoundingClientRect()];
  return [box.left - foot.left, box.top - foot.top];
}
"""


async def test_light_and_dark_as_the_system_or_as_one_likes(serve: Serve, sit: Sit) -> None:
    """It follows the system until the switch says otherwise, which outlives a reload; switching back follows it again."""
    reader = await sit(await serve(), color_scheme="dark")
    body = reader.page.locator("body")
    dark, light = "rgb(26, 26, 25)", "rgb(254, 253, 251)"
    await expect(body).to_have_css("background-color", dark)

    await reader.button("Light colours").click()
    await expect(body).to_have_css("background-color", light)
    await reader.page.reload()
    await expect(body).to_have_css("background-color", light)
    await reader.button("Dark colours").click()
    await expect(body).to_have_css("background-color", dark)
    await reader.page.emulate_media(color_scheme="light")

    await expect(body).to_have_css("background-color", light)


async def test_a_conversation_with_the_keyboard_alone(serve: Serve, sit: Sit) -> None:
    """The field has the focus; Shift-Enter begins a line, Enter sends; Tab leads on, and where one is can be seen."""
    reader = await sit(await serve())
    await expect(reader.input).to_be_focused()

    await reader.page.keyboard.type("one")
    await reader.page.keyboard.press("Shift+Enter")
    await reader.page.keyboard.type("two")
    await reader.page.keyboard.press("Enter")
    await reader.whole()
    await expect(reader.page.locator(".bubble")).to_have_text("one\ntwo")
    await expect(reader.input).to_be_focused()
    await reader.page.keyboard.press("Shift+Tab")

    focused = reader.page.locator(":focus")
    await expect(focused).to_have_js_property("tagName", "SUMMARY")
    await expect(focused).to_have_css("outline-style", "solid")


async def test_enter_takes_a_word_of_an_input_method_and_sends_nothing(serve: Serve, sit: Sit) -> None:
    """Who writes Japanese presses Enter in the middle of a sentence."""
    reader = await sit(await serve())
    await reader.input.fill("にほんご")

    await reader.input.evaluate("(e) => e.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', isComposing: true }))")

    await expect(reader.input).to_have_value("にほんご")
    await expect(reader.page.locator(".answer")).to_have_count(0)


LISTEN = """
() => {
  const announcer = document.querySelector("#announcer");
  globalThis.heard = [];
  new MutationObserver(() => heard.push(announcer.textContent)).observe(announcer, { childList: true });
}
"""


async def test_who_listens_hears_an_answer_once(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """That it is on its way, and then the whole of it; not each word."""
    pause = Pause()
    provider.play(["Hello", pause, *answer(" **world**")])
    reader = await sit(await serve())
    await reader.page.evaluate(LISTEN)

    await reader.ask("Hello")
    await expect(reader.text).to_have_text("Hello")
    pause.release()
    await reader.whole()
    await expect(reader.page.locator("#announcer")).to_have_text("The answer: Hello world")

    assert ["The answer is on its way.", "The answer: Hello world"] == await reader.page.evaluate("heard")
    assert 1 == await reader.page.locator("[aria-live]").count()


async def test_the_reader_may_scroll_away_from_an_answer_that_comes(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """Then it does not pull them back, and a button leads to the end."""
    pause = Pause()
    text = "\n\n".join(f"Paragraph {number}" for number in range(60))
    provider.play([text, pause, *answer("\n\nThe end.")])
    reader = await sit(await serve())
    scroller = reader.page.locator("#scroller")
    await reader.ask("Hello")
    await expect(reader.text).to_contain_text("Paragraph 59")
    await expect(reader.page.get_by_text("Paragraph 59")).to_be_in_viewport()

    await scroller.evaluate("(scroller) => scroller.scrollTo(0, 100)")
    await expect(reader.button("Latest")).to_be_visible()
    pause.release()
    await reader.whole()

    assert 100 == await scroller.evaluate("(scroller) => scroller.scrollTop")
    await reader.button("Latest").click()
    await expect(reader.page.get_by_text("The end.")).to_be_in_viewport()
    await expect(reader.button("Latest")).to_be_hidden()


async def test_the_base_url_can_be_copied(serve: Serve, sit: Sit) -> None:
    """What one needs to use the server from code."""
    server = await serve()
    reader = await sit(server)

    await reader.button("Use it from code").click()

    await expect(reader.page.locator("#base-url")).to_have_text(f"{server.url}/v1")
    await expect(reader.page.locator("#curl")).to_have_text(re.compile(f"^curl {re.escape(server.url)}/v1/chat/completions"))
    await expect(reader.page.locator("#curl")).not_to_contain_text("authorization")


async def test_the_pictures_for_the_documentation_can_be_taken(engine: Listening, browser: Any, tmp_path: Path) -> None:
    """On the real engine, each small enough to be read on the way."""
    await take(browser, engine.url, tmp_path, tokens=12)

    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert {"page-light.png", "page-dark.png", "page-phone.png"} == set(sizes)
    assert all(10_000 < size < 200_000 for size in sizes.values()), sizes
