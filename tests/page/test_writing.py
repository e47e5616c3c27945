"""Writing: drafts that are kept, and input methods, whose keys are their own."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from autonomousai.testing import Pause, ScriptedProvider, answer

from .conftest import Serve, Sit

pytestmark = pytest.mark.asyncio(loop_scope="package")

#: A key as browsers send it while an input method composes: Safari tells of that by the code alone.
KEY = """
(element, [key, isComposing, keyCode]) => {
  const event = new KeyboardEvent("keydown", { key, isComposing, keyCode, bubbles: true, cancelable: true });
  return element.dispatchEvent(event);
}
"""
COMPOSING = {"as the standard has it": (True, 229), "as some do": (True, 13), "as Safari does at the end": (False, 229)}


@pytest.mark.parametrize("case", COMPOSING)
async def test_enter_and_escape_of_an_input_method_are_its_own(
    case: str, serve: Serve, sit: Sit, provider: ScriptedProvider
) -> None:
    """Nothing is sent, nothing is stopped, and an edit is not left: in the field, in an edited question, and in the search."""
    pause = Pause()
    provider.play(answer("first"), ["Hello", pause, *answer(" world")])
    reader = await sit(await serve())
    await reader.ask("One")
    await reader.whole()
    await reader.input.press("ArrowUp")
    edited = reader.page.get_by_label("Edit your message")
    await edited.fill("にほんご")
    for key in ("Enter", "Escape"):
        assert await edited.evaluate(KEY, [key, *COMPOSING[case]])
    await expect(edited).to_have_value("にほんご")
    await reader.page.keyboard.press("Escape")
    await reader.ask("Two")
    await expect(reader.text).to_have_text("Hello")

    await reader.input.fill("にほんご")
    for key in ("Enter", "Escape"):
        assert await reader.input.evaluate(KEY, [key, *COMPOSING[case]])
    pause.release()
    await reader.whole()
    assert await reader.input.evaluate(KEY, ["Enter", *COMPOSING[case]])

    await expect(reader.text).to_have_text("Hello world")
    await expect(reader.input).to_have_value("にほんご")
    assert 2 == len(provider.calls)


async def test_a_draft_outlives_a_reload(serve: Serve, sit: Sit) -> None:
    """One in each conversation, and one that has not begun; what was sent is a draft no more."""
    reader = await sit(await serve())
    await reader.ask("First")
    await reader.whole()
    await expect(reader.input).to_have_value("")
    await reader.input.fill("a draft of the first")
    await reader.button("New conversation").click()
    await expect(reader.input).to_have_value("")
    await reader.input.fill("a draft of a new one\nin two lines")

    await reader.page.reload()
    await expect(reader.input).to_have_value("a draft of a new one\nin two lines")
    await reader.conversation("First").click()
    await expect(reader.input).to_have_value("a draft of the first")
    await reader.input.press("Enter")
    await expect(reader.page.locator(".answer")).to_have_count(2)
    await reader.whole()
    await reader.page.reload()
    await expect(reader.page.locator(".answer")).to_have_count(2)
    await expect(reader.input).to_have_value("")
    await reader.button("New conversation").click()
    await expect(reader.input).to_have_value("a draft of a new one\nin two lines")


async def test_a_draft_of_a_new_conversation_is_the_tabs_own(serve: Serve, sit: Sit) -> None:
    """Two tabs do not write into each other's; that of a conversation is in both."""
    reader = await sit(await serve())
    await reader.input.fill("mine")
    other = await reader.context.new_page()
    await other.goto(reader.url)

    await expect(other.locator("#send")).to_be_disabled()
    await expect(other.locator("#input")).to_have_value("")
    await other.locator("#input").fill("yours")
    await reader.page.reload()

    await expect(reader.input).to_have_value("mine")


async def test_a_draft_is_written_without_a_store(serve: Serve, sit: Sit) -> None:
    """A browser that has no room left keeps it as long as the page."""
    reader = await sit(await serve(), open=False)
    full = """() => { throw new DOMException("full", "QuotaExceededError"); }"""
    await reader.context.add_init_script(f"Storage.prototype.setItem = {full}")
    await reader.open()
    await reader.ask("First")
    await reader.whole()

    await reader.input.fill("a draft")
    await reader.button("New conversation").click()
    await expect(reader.input).to_have_value("")
    await reader.conversation("First").click()

    await expect(reader.input).to_have_value("a draft")


async def test_drafts_of_conversations_that_are_gone_are_forgotten(serve: Serve, sit: Sit) -> None:
    """At the next load: nothing that was written stays behind."""
    reader = await sit(await serve())
    await reader.page.evaluate("localStorage['autonomousai.draft.abc'] = 'left behind'")

    await reader.page.reload()
    await expect(reader.page.locator("#model")).to_be_enabled()

    assert await reader.page.evaluate("localStorage['autonomousai.draft.abc'] ?? null") is None
