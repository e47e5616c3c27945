"""Conversations are kept in the browser: found again, renamed, deleted, taken elsewhere and brought back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from tests.support.browser import Reader

from .conftest import Serve, Sit
from .test_looks import complaints

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def export(reader: Reader, to: Path, conversation: str | None = None) -> Any:
    """Export all, or one."""
    async with reader.page.expect_download() as download:
        if conversation is None:
            await reader.button("Export all").click()
        else:
            await reader.choose(conversation, "Save as JSON")
    await (await download.value).save_as(to)
    return json.loads(to.read_text(encoding="utf-8"))


async def told(reader: Reader, words: str) -> None:
    await expect(reader.page.locator("#notice")).to_contain_text(words)


async def test_conversations_are_listed_renamed_and_deleted(serve: Serve, sit: Sit) -> None:
    """The latest first; each under its first words, or the name that it was given; gone is gone."""
    reader = await sit(await serve())
    for text in ("First question", "Second question"):
        await reader.button("New conversation").click()
        await reader.ask(text)
        await reader.whole()
    entries = reader.page.locator("#list a")
    await expect(entries).to_have_text(["Second question", "First question"])

    await reader.conversation("First question").click()
    await expect(reader.page.locator(".bubble")).to_have_text("First question")
    await reader.choose("First question", "Rename")
    await reader.page.get_by_label("Name", exact=True).fill("Renamed")
    await reader.button("Save").click()
    await reader.choose("Second question", "Delete")
    await expect(entries).to_have_text(["Renamed"])
    await reader.page.reload()

    await expect(entries).to_have_text(["Renamed"])
    await expect(reader.page.locator(".bubble")).to_have_text("First question")


async def test_back_leads_to_the_conversation_before(serve: Serve, sit: Sit) -> None:
    """Each has an address of its own."""
    reader = await sit(await serve())
    await reader.ask("First question")
    await reader.whole()
    await reader.button("New conversation").click()
    await expect(reader.page.get_by_role("heading", name="What would you like to know?")).to_be_visible()

    await reader.page.go_back()

    await expect(reader.page.locator(".bubble")).to_have_text("First question")


async def test_what_is_exported_can_be_imported_elsewhere(serve: Serve, sit: Sit, tmp_path: Path) -> None:
    """In another browser it is the same, branches and all; a second time there is nothing new. No stream's id goes along."""
    server = await serve()
    reader, other = await sit(server), await sit(server)
    await reader.ask("Tell me something")
    await reader.whole()
    await reader.button("Another answer").click()
    await expect(reader.answer.get_by_role("img", name="Version 2 of 2")).to_be_visible()
    await reader.whole()
    document = await export(reader, tmp_path / "all.json")

    await other.page.locator("#import-file").set_input_files(tmp_path / "all.json")
    await told(other, "One conversation was imported.")
    await other.conversation("Tell me something").click()
    await expect(other.text).to_have_text("Hello world")
    await expect(other.answer.get_by_role("img", name="Version 2 of 2")).to_be_visible()
    await other.page.locator("#import-file").set_input_files(tmp_path / "all.json")
    await told(other, "All of it was here already.")

    again = await export(other, tmp_path / "again.json")
    (given,), (taken,) = document["conversations"], again["conversations"]
    assert [(each["id"], each["text"]) for each in given["messages"]] == [
        (each["id"], each["text"]) for each in taken["messages"]
    ]
    assert {None} == {message["stream"] for message in given["messages"][1:]}
    assert given == (await export(reader, tmp_path / "one.json", "Tell me something"))["conversations"][0]


MESSAGE = {"id": "a", "parent": None, "role": "user", "text": "x", "images": [], "at": 1}
KEPT = {"id": "c", "title": "t", "created": 1, "updated": 1, "model": "m", "head": "a", "messages": [MESSAGE]}

DAMAGED = {
    "no JSON": ("hello", "This file is not JSON."),
    "something else": ("[1]", "This file holds no conversations of this page."),
    "newer": ({"version": 2}, "newer version"),
    "no list": ({"conversations": [{**KEPT, "messages": 7}]}, "“messages” is no list"),
    "null": ({"conversations": [None]}, "Conversation 1 in this file is damaged"),
    "a loop": (
        {"conversations": [{**KEPT, "messages": [{**MESSAGE, "parent": "a"}]}]},
        "stands before the one that it answers",
    ),
    "twice": ({"conversations": [{**KEPT, "messages": [MESSAGE, MESSAGE]}]}, "the same id"),
    "no end": ({"conversations": [{**KEPT, "head": "z"}]}, "its last message is missing"),
    "a role": ({"conversations": [{**KEPT, "messages": [{**MESSAGE, "role": "system"}]}]}, "no message has the role “system”"),
    "a picture from elsewhere": (
        {"conversations": [{**KEPT, "messages": [{**MESSAGE, "images": ["https://evil.invalid/x.png"]}]}]},
        "an image is none",
    ),
}


async def test_a_damaged_file_is_refused_as_a_whole(serve: Serve, sit: Sit) -> None:
    """And it says what is wrong with it."""
    reader = await sit(await serve())
    for given, words in DAMAGED.values():
        if isinstance(given, dict):
            given = json.dumps({"format": "autonomousai-conversations", "version": 1, "conversations": [], **given})
        file: Any = {"name": "x.json", "mimeType": "application/json", "buffer": given.encode()}

        await reader.page.locator("#import-file").set_input_files(file)

        await told(reader, words)
    await expect(reader.page.locator("#list a")).to_have_count(0)


async def test_without_a_place_to_keep_them_one_can_still_talk(serve: Serve, sit: Sit) -> None:
    """A browser that keeps nothing is told of once, and works."""
    reader = await sit(await serve(), open=False)
    await reader.context.add_init_script("indexedDB.open = () => { throw new Error('not here'); }")
    await reader.page.goto(reader.url)
    await expect(reader.page.locator("#unkept")).to_contain_text("This browser keeps no conversations for this page (not here)")

    await reader.ask("Hello")

    await expect(reader.text).to_have_text("Hello world")
    await expect(reader.conversation("Hello")).to_be_visible()
    async with reader.page.expect_download() as download:
        await reader.page.locator("#unkept").get_by_role("button", name="Export all").click()
    assert "Hello world" in (await (await download.value).path()).read_text(encoding="utf-8")
    assert [] == await complaints(reader)


#: Storage as it is where the reader lets no page keep anything: asking for it throws.
BLOCKED = """
for (const name of ["localStorage", "sessionStorage", "indexedDB", "caches"]) {
  const get = () => { throw new DOMException("blocked", "SecurityError"); };
  Object.defineProperty(globalThis, name, { get, configurable: true });
}
globalThis.BroadcastChannel = class { constructor() { throw new DOMException("blocked", "SecurityError"); } };
"""


async def test_where_all_storage_is_blocked_one_can_still_talk(serve: Serve, sit: Sit) -> None:
    """The page works from memory: the key, the model, the settings and the theme last as long as it does."""
    reader = await sit(await serve(api_keys=["sesame"]), open=False)
    await reader.context.add_init_script(BLOCKED)
    await reader.page.goto(reader.url)
    await reader.page.get_by_label("Key", exact=True).fill("sesame")
    await reader.button("Use it").click()
    await expect(reader.page.locator("#unkept")).to_contain_text("keeps no conversations for this page (blocked)")

    await reader.page.get_by_label("Model").select_option("hermes")
    await reader.button("Dark colours").click()
    for text in ("One", "Two"):
        await reader.button("New conversation").click()
        await reader.ask(text)
        await expect(reader.text).to_have_text("Hello world")
    await reader.conversation("One").click()

    await expect(reader.page.locator(".bubble")).to_have_text("One")
    await expect(reader.page.locator("#model")).to_have_value("hermes")


#: No room, until one says that there is.
FULL = """
const put = IDBObjectStore.prototype.put;
globalThis.full = true;
IDBObjectStore.prototype.put = function (...all) {
  if (globalThis.full) throw new DOMException("no room", "QuotaExceededError");
  return put.apply(this, all);
};
Storage.prototype.setItem = () => { throw new DOMException("no room", "QuotaExceededError"); };
"""


async def test_when_storage_is_full_nothing_is_lost_before_the_page_is_left(serve: Serve, sit: Sit) -> None:
    """It is said for as long as it is so; what could not be kept is, once there is room."""
    reader = await sit(await serve(), open=False)
    await reader.context.add_init_script(FULL)
    await reader.open()
    warning = reader.page.locator("#unkept")
    for text in ("One", "Two", "Three"):
        await reader.button("New conversation").click()
        await reader.ask(text)
        await reader.whole()
    await expect(warning).to_contain_text("The room that this browser gives to this page is full.")
    await reader.page.get_by_label("Model").select_option("hermes")
    assert [] == await reader.kept()

    await reader.page.evaluate("globalThis.full = false")
    await reader.choose("One", "Delete")

    await expect(warning).to_be_hidden()
    assert ["Three", "Two"] == sorted(each["title"] for each in await reader.kept())


async def test_a_database_that_the_browser_closed_is_opened_again(serve: Serve, sit: Sit) -> None:
    """Browsers close one under pressure, or for a newer page in another tab."""
    reader = await sit(await serve())
    await reader.ask("One")
    await reader.whole()
    await reader.page.evaluate(CLOSE)
    await reader.ask("Two")
    await reader.whole()

    kept = await reader.has_kept("Hello world")

    assert "done" == kept["state"]
    assert ["One", "Two"] == [each["text"] for each in (await reader.kept())[0]["messages"] if each["role"] == "user"]
    await expect(reader.page.locator("#unkept")).to_be_hidden()


#: A newer version of the database is asked for, which closes the old one, and then forgotten.
CLOSE = """
() => new Promise((resolve, reject) => {
  const opening = indexedDB.open("autonomousai", 2);
  opening.onupgradeneeded = () => opening.transaction.abort();
  opening.onerror = () => resolve();
  opening.onsuccess = () => reject(new Error("it was not given up"));
})
"""


async def test_settings_that_something_else_wrote_do_no_harm(serve: Serve, sit: Sit) -> None:
    """At an address like localhost:8000 many applications live."""
    for settings in ("no JSON {", "[]", '"x"', "null", '{"system": "Be brief."}'):
        reader = await sit(await serve(), open=False)
        await reader.context.add_init_script(f"localStorage.setItem('autonomousai.settings', {json.dumps(settings)})")
        await reader.open()

        await reader.ask("Hello")

        assert "Hello world" == await reader.whole()
