"""Conversations are kept in the browser: found again, renamed, deleted, taken elsewhere and brought back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from tests.support.browser import Reader

from .conftest import Serve, Sit

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
    await told(reader, "This browser keeps no conversations for this page (not here)")

    await reader.ask("Hello")

    await expect(reader.text).to_have_text("Hello world")
    await expect(reader.conversation("Hello")).to_be_visible()
