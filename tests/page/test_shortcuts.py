"""Keys that do something: each that the list names, none where a reader writes, none with a key of the browser's."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from autonomousai.testing import ScriptedProvider, answer

from .conftest import Serve, Sit
from .test_looks import PHONE, complaints

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_the_list_of_shortcuts_is_behind_a_button_and_a_key(serve: Serve, sit: Sit) -> None:
    """`?` outside of a field; it names each key, and what it does."""
    reader = await sit(await serve(), reduced_motion="reduce")
    dialog = reader.page.get_by_role("dialog", name="Keyboard shortcuts")
    await reader.button("Keyboard shortcuts").click()
    await expect(dialog).to_be_visible()
    assert [] == await complaints(reader)
    keys = await dialog.locator("dt").all_inner_texts()
    assert ["Enter", "Shift Enter", "↑", "Esc", "?", "N", "I", "F", "M", "E", "R", "C", "S", "T"] == keys
    assert all(text.strip() for text in await dialog.locator("dd").all_inner_texts())
    await reader.page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()

    await reader.input.focus()
    await reader.page.keyboard.press("Escape")
    await expect(reader.input).not_to_be_focused()
    await reader.page.keyboard.press("?")

    await expect(dialog).to_be_visible()


async def test_each_shortcut_does_what_the_list_says(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """One after the other, with the keyboard alone."""
    provider.play(answer("first"), answer("second"))
    reader = await sit(await serve(), permissions=["clipboard-read", "clipboard-write"])
    keyboard = reader.page.keyboard
    await reader.ask("Hello")
    await reader.whole()
    await keyboard.press("Escape")

    await keyboard.press("r")
    await expect(reader.text).to_have_text("second")
    await expect(reader.answer).to_have_attribute("aria-busy", "false")
    await keyboard.press("Escape")
    await keyboard.press("c")
    await expect(reader.page.locator("#announcer")).to_have_text("Copied.")
    assert "second" == await reader.page.evaluate("navigator.clipboard.readText()")
    await keyboard.press("t")
    await expect(reader.button("Light colours")).to_be_visible()
    await keyboard.press("f")
    await expect(reader.page.locator("#search")).to_be_focused()
    await expect(reader.page.locator("#search")).to_have_value("")
    await reader.page.locator("#scroller").focus()
    await keyboard.press("m")
    await expect(reader.page.locator("#model")).to_be_focused()
    await keyboard.press("Escape")
    await expect(reader.page.locator("#scroller")).to_be_focused()
    await keyboard.press("s")
    await expect(reader.page.locator("#settings")).to_be_visible()
    await keyboard.press("Escape")
    await reader.page.locator("#scroller").focus()
    await keyboard.press("e")
    await expect(reader.page.get_by_label("Edit your message")).to_be_focused()
    await expect(reader.page.get_by_label("Edit your message")).to_have_value("Hello")
    await keyboard.press("Escape")
    await keyboard.press("Escape")
    await keyboard.press("n")
    await expect(reader.input).to_be_focused()
    await expect(reader.page.locator(".answer")).to_have_count(0)
    await keyboard.press("Escape")
    await keyboard.press("i")

    await expect(reader.input).to_be_focused()
    await expect(reader.input).to_have_value("")


async def test_no_shortcut_takes_what_is_written_or_a_key_of_the_browser(serve: Serve, sit: Sit) -> None:
    """Letters in a field are letters; with Ctrl, Alt or Meta they are the browser's; switched off, they are nothing."""
    reader = await sit(await serve())
    await reader.input.press_sequentially("nifmercst?")
    await expect(reader.input).to_have_value("nifmercst?")
    await reader.page.keyboard.press("Escape")

    left = await reader.page.evaluate(
        """() => ["ctrlKey", "altKey", "metaKey"].flatMap((modifier) => [..."nifmercst?/k,"].map((key) => {
          const options = { key, [modifier]: true, bubbles: true, cancelable: true };
          return document.querySelector("#scroller").dispatchEvent(new KeyboardEvent("keydown", options));
        }))"""
    )
    assert all(left)
    await expect(reader.page.locator("dialog[open]")).to_have_count(0)
    await reader.page.keyboard.press("?")
    await reader.page.get_by_label("Single letters are shortcuts").uncheck()
    await reader.page.keyboard.press("Escape")
    await reader.page.reload()
    await expect(reader.page.locator("#model")).to_be_enabled()
    await reader.page.keyboard.press("Escape")
    await reader.page.keyboard.press("s")
    await expect(reader.page.locator("#settings")).to_be_hidden()
    await reader.page.keyboard.press("?")
    await expect(reader.page.get_by_label("Single letters are shortcuts")).not_to_be_checked()


async def test_the_list_of_shortcuts_fits_a_phone(serve: Serve, sit: Sit) -> None:
    """A tablet has a keyboard, too."""
    reader = await sit(await serve(), reduced_motion="reduce", **PHONE)
    await reader.page.locator("#scroller").focus()

    await reader.page.keyboard.press("?")

    assert await reader.page.locator("#shortcuts-dialog").evaluate("(box) => box.scrollWidth <= box.clientWidth")
    assert [] == await complaints(reader)
    await reader.button("Close").tap()
    await reader.page.keyboard.press("n")
    await expect(reader.page.locator("#shortcuts-dialog")).to_be_hidden()
