"""The page's languages: each says the same things, none of them is forgotten, and a reader gets their own."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Route, expect

from autonomousai.errors import StreamError
from autonomousai.server.page import page_files
from autonomousai.testing import ScriptedProvider, answer
from tests.support.browser import Reader

from .conftest import Serve, Sit
from .test_looks import complaints

pytestmark = pytest.mark.asyncio(loop_scope="package")

Table = dict[str, str | dict[str, str]]

TABLES = """
async () => {
  const [english, german] = await Promise.all([import("/page/words.en.js"), import("/page/words.de.js")]);
  return [english.default, german.default];
}
"""

#: All that is shown and all that is read out, but for what a message or a model consists of.
OUTSIDE = r"""
() => {
  const foreign = "#model span, .text, .bubble, .who, .facts dd, pre, code, kbd, .brand, #title, #list a, .switcher span, " +
    ".code-bar span:not([data-say]), .said, noscript, script, style, #language option, [data-foreign]";
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode()); ) {
    const text = node.data.trim();
    if (text === "scripted" || !/\p{L}/u.test(text) || /[⟦⟧]/.test(text)) continue;
    if (!node.parentElement.closest(foreign)) found.push(text);
  }
  for (const element of document.querySelectorAll("[title], [aria-label], [placeholder], [alt]")) {
    for (const name of ["title", "aria-label", "placeholder", "alt"]) {
      const value = element.getAttribute(name) ?? "";
      const isName = element.id === "model" && name === "title";
      if (/\p{L}/u.test(value) && !/[⟦⟧]/.test(value) && !isName) found.push(`${name}=${value}`);
    }
  }
  return found;
}
"""


async def tables(reader: Reader) -> list[Table]:
    """The English words and the German."""
    found: list[Table] = await reader.page.evaluate(TABLES)
    return found


def forms(words: str | dict[str, str]) -> dict[str, str]:
    """A text for each plural; one that has none has but "other"."""
    return words if isinstance(words, dict) else {"other": words}


async def test_all_languages_say_the_same_things(serve: Serve, sit: Sit) -> None:
    """The same keys, with the same values to fill in, the same keys of the keyboard, and no text left empty or untranslated."""
    reader = await sit(await serve())

    english, german = await tables(reader)

    assert list(english) == list(german)
    for key, words in english.items():
        assert set(forms(words)) == set(forms(german[key])), key
        for form, text in forms(words).items():
            other = forms(german[key])[form]
            assert text.strip(), key
            assert other.strip(), key
            assert sorted(set(re.findall(r"\{\w+\}", text))) == sorted(set(re.findall(r"\{\w+\}", other))), key
            assert text.count("`") == other.count("`"), key
            assert text != other or " " not in text or not re.search(r"[a-z]{4,} [a-z]{2,} ", text), key


async def marked(route: Route) -> None:
    """The German table, each text of it between brackets that occur nowhere else."""
    body = page_files()["words.de.js"].body.decode()
    wrap = """
for (const [key, words] of Object.entries(table)) {
  const mark = (text) => `⟦${text.replaceAll("`", "⟧`⟦")}⟧`;
  const all = (forms) => Object.fromEntries(Object.entries(forms).map(([form, text]) => [form, mark(text)]));
  table[key] = typeof words === "string" ? mark(words) : all(words);
}
export default table;
"""
    headers = {"content-type": "text/javascript; charset=utf-8"}
    await route.fulfill(body=body.replace("export default {", "const table = {") + wrap, headers=headers)


async def test_nothing_that_is_shown_stands_outside_the_table(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """With every word of the table marked, no other word is found: in answers, errors, dialogs, and the list."""
    provider.play(answer("Text\n\n```python\nx\n```"), answer("another"), ["Half", StreamError("it broke")])
    reader = await sit(await serve(), open=False, locale="de-DE")
    await reader.context.route("**/page/words.de.js", marked)
    await reader.open()
    assert [] == await reader.page.evaluate(OUTSIDE)

    composer = reader.page.locator("#input")
    for text in ("One", "Two", "Three"):
        await composer.fill(text)
        await composer.press("Enter")
        await expect(reader.answer).to_have_attribute("aria-busy", "false")
    assert [] == await reader.page.evaluate(OUTSIDE)
    await expect(reader.page.locator("#announcer")).to_have_text(re.compile("⟦"))
    for summary in await reader.page.locator(".facts summary").all():
        await summary.click()
    await composer.press("ArrowUp")
    assert [] == await reader.page.evaluate(OUTSIDE)
    await reader.page.keyboard.press("Escape")
    for button in ("#open-settings", "#about", "#shortcuts", "#list .actions button:last-child"):
        if "list" in button:
            await reader.page.locator("#list li").hover()
        await reader.page.locator(button).first.click()
        assert [] == await reader.page.evaluate(OUTSIDE)
        await reader.page.keyboard.press("Escape")


async def test_the_page_speaks_the_language_of_the_browser(serve: Serve, sit: Sit) -> None:
    """The first that it knows; English for one that it does not know; numbers as they are written there."""
    server = await serve()
    german = await sit(server, locale="de-CH")
    await expect(german.page.locator("html")).to_have_attribute("lang", "de")
    await expect(german.page.locator("#welcome-title")).to_have_text("Was möchtest du wissen?")
    await german.page.locator("#input").fill("Hallo")
    await german.page.locator("#input").press("Enter")
    await expect(german.answer).to_have_attribute("aria-busy", "false")
    await expect(german.page.locator("#announcer")).to_have_text("Die Antwort: Hello world")
    assert [] == await complaints(german)

    french = await sit(server, locale="fr-FR")

    await expect(french.page.locator("html")).to_have_attribute("lang", "en")
    await expect(french.page.locator("#welcome-title")).to_have_text("What would you like to know?")


async def test_another_language_can_be_chosen(serve: Serve, sit: Sit) -> None:
    """In the settings, at once and over a reload, with what is written and said left as it is; and back."""
    reader = await sit(await serve())
    await reader.ask("Hello")
    await reader.whole()
    await reader.input.fill("A draft")

    await reader.button("Settings of this conversation").click()
    await reader.page.get_by_label("Language of this page").select_option("Deutsch")
    await reader.button("Save").click()
    field = reader.page.get_by_role("textbox", name="Nachricht", exact=True)

    await expect(reader.button("Eine andere Antwort")).to_be_visible()
    await expect(reader.page.locator("h1")).to_have_text("Hello")
    await expect(field).to_have_value("A draft")
    await reader.page.reload()
    await expect(reader.button("Eine andere Antwort")).to_be_visible()
    await reader.button("Einstellungen dieses Gesprächs").click()
    await reader.page.get_by_label("Sprache dieser Seite").select_option("wie beim Browser")
    await reader.button("Speichern").click()
    await expect(reader.button("Another answer")).to_be_visible()
