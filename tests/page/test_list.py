"""The list of conversations: by days, searched, pinned, deleted and brought back, saved as Markdown; quick with hundreds."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from autonomousai.testing import Pause, ScriptedProvider, answer
from tests.support.browser import Reader

from .conftest import Serve, Sit
from .test_looks import PHONE, complaints

pytestmark = pytest.mark.asyncio(loop_scope="package")

#: A day without a change of the clocks near it, in the middle of a month.
NOW = datetime(2026, 5, 20, 12, tzinfo=UTC)


def conversation(number: int, title: str, updated: datetime, *said: str, **more: Any) -> dict[str, Any]:
    """A conversation as the browser keeps it: a question and its answer, one after the other."""
    at = updated.timestamp() * 1000
    messages: list[dict[str, Any]] = []
    for index, text in enumerate(said or ("Hello", "Hello world")):
        parent = messages[-1]["id"] if messages else None
        message = {"id": f"{number:x}a{index:x}", "parent": parent, "text": text, "at": at}
        if index % 2:
            message |= {"role": "assistant", "state": "done", "reasoning": "", "asked": "llama"}
        else:
            message |= {"role": "user", "images": []}
        messages.append(message)
    settings = {"system": "", "temperature": None, "maxTokens": None}
    kept = {"id": f"{number:x}", "title": title, "created": at, "updated": at, "model": "llama", "settings": settings}
    return {**kept, "head": messages[-1]["id"], "messages": messages, **more}


async def bring(reader: Reader, *conversations: dict[str, Any]) -> None:
    """Import them."""
    document = {"format": "autonomousai-conversations", "version": 1, "conversations": conversations}
    file: Any = {"name": "x.json", "mimeType": "application/json", "buffer": json.dumps(document).encode()}
    await reader.page.locator("#import-file").set_input_files(file)
    await expect(reader.page.locator("#notice")).to_contain_text("imported")


async def groups(reader: Reader) -> dict[str, list[str]]:
    """The list as it is shown."""
    sections = await reader.page.locator("#list section").all()
    return {await section.locator("h2").inner_text(): await section.locator("li a").all_inner_texts() for section in sections}


async def test_the_list_is_by_days(serve: Serve, sit: Sit) -> None:
    """By the calendar of the reader: today, yesterday, seven days, and months, the latest first; what is pinned is on top."""
    reader = await sit(await serve(), open=False, timezone_id="UTC")
    await reader.page.clock.set_fixed_time(NOW)
    await reader.open()
    ago = {
        "this minute": timedelta(),
        "last midnight": timedelta(hours=12),
        "a minute before it": timedelta(hours=12, minutes=1),
        "two days": timedelta(days=2),
        "seven days": timedelta(days=7, hours=12),
        "earlier this month": timedelta(days=9),
        "last month": timedelta(days=30),
        "last year": timedelta(days=365),
    }
    await bring(reader, *(conversation(n, title, NOW - since) for n, (title, since) in enumerate(ago.items(), 1)))

    by_days = await groups(reader)
    await reader.choose("last month", "Pin to the top")
    pinned = await groups(reader)
    await reader.page.reload()
    await expect(reader.page.locator("#list a")).to_have_count(len(ago))
    again = await groups(reader)
    await reader.choose("last month", "Unpin")

    assert {
        "Today": ["this minute", "last midnight"],
        "Yesterday": ["a minute before it"],
        "Last 7 days": ["two days", "seven days"],
        "May 2026": ["earlier this month"],
        "April 2026": ["last month"],
        "May 2025": ["last year"],
    } == by_days
    without = {title: found for title, found in by_days.items() if title != "April 2026"}
    assert ("Pinned", {"Pinned": ["last month"], **without}) == (next(iter(pinned)), pinned)
    assert pinned == again
    assert by_days == await groups(reader)


async def test_the_list_can_be_searched(serve: Serve, sit: Sit) -> None:
    """In titles and in all that was said, whatever the case and the accents; every word must be there; Esc shows all again."""
    reader = await sit(await serve())
    await bring(
        reader,
        conversation(1, "Café in Paris", NOW, "Where?", "Near the Louvre, of course."),
        conversation(2, "Physics", NOW, "Who was Schrödinger?", "x" * 200 + " He had a CAT in a box."),
        conversation(3, "Nothing", NOW),
    )
    field = reader.page.get_by_role("searchbox", name="Search")
    found = reader.page.locator("#list a")

    await field.fill("cafe")
    await expect(found).to_have_text(["Café in Paris"])
    await expect(reader.page.locator("#announcer")).to_have_text("1 conversation found")
    await field.fill("schrodinger  cat")
    await expect(found).to_have_text(["PhysicsWho was Schrödinger?"])
    await field.fill("cat")
    await expect(found.locator("small")).to_have_text(f"…{'x' * 14} He had a CAT in a box.")
    await field.fill("cat louvre")
    await expect(reader.page.locator("#list h2")).to_have_text("0 conversations found")
    assert [] == await complaints(reader)
    await field.press("Escape")

    await expect(found).to_have_count(3)
    await expect(field).to_have_value("")


async def test_what_was_deleted_can_be_brought_back(serve: Serve, sit: Sit) -> None:
    """All that was deleted while the notice stands, and what was shown is shown again; also after a reload it is there."""
    reader = await sit(await serve())
    await bring(reader, *(conversation(n, f"Number {n}", NOW, f"Question {n}", "Answer") for n in (1, 2, 3)))
    await reader.conversation("Number 2").click()
    await expect(reader.page.locator(".bubble")).to_have_text("Question 2")

    await reader.choose("Number 2", "Delete")
    await expect(reader.page.locator("#notice")).to_contain_text("“Number 2” was deleted.")
    await expect(reader.page.locator(".bubble")).to_have_count(0)
    await reader.choose("Number 1", "Delete")
    await expect(reader.page.locator("#notice")).to_contain_text("2 conversations were deleted.")
    assert ["Number 3"] == [each["title"] for each in await reader.kept()]
    assert [] == await complaints(reader)
    await reader.button("Undo").click()

    await expect(reader.page.locator("#list a")).to_have_count(3)
    await expect(reader.page.locator(".bubble")).to_have_text("Question 2")
    await expect(reader.page.locator("#notice")).to_be_hidden()
    await reader.page.reload()
    await expect(reader.page.locator("#list a")).to_have_count(3)


async def test_a_conversation_that_was_deleted_in_another_tab_does_not_come_back(
    serve: Serve, sit: Sit, provider: ScriptedProvider
) -> None:
    """Not even where its answer is on its way here: that is stopped."""
    provider.play(["Hello", Pause()])
    reader = await sit(await serve())
    await reader.ask("First question")
    await reader.has_kept("Hello")
    other = await reader.context.new_page()
    await other.goto(reader.url)
    await other.get_by_role("link", name="First question").hover()
    await other.get_by_role("button", name="More for “First question”").click()

    await other.get_by_role("button", name="Delete", exact=True).click()

    await expect(reader.page.locator("#list a")).to_have_count(0)
    await expect(reader.page.locator(".answer")).to_have_count(0)
    assert "cancelled" == await provider.calls[0].over()
    assert [] == await reader.kept()


async def test_the_menu_can_be_used_with_the_keyboard(serve: Serve, sit: Sit) -> None:
    """It takes the focus, the arrows lead through it, Esc closes it and gives the focus back."""
    reader = await sit(await serve())
    await bring(reader, conversation(1, "One", NOW))
    more = reader.button("More for “One”")

    await more.focus()
    await reader.page.keyboard.press("Enter")
    await expect(reader.button("Pin to the top")).to_be_focused()
    await reader.page.keyboard.press("ArrowUp")
    await expect(reader.button("Delete")).to_be_focused()
    await reader.page.keyboard.press("ArrowDown")
    await reader.page.keyboard.press("ArrowDown")
    await expect(reader.button("Rename")).to_be_focused()
    await reader.page.keyboard.press("Escape")

    await expect(reader.button("Rename")).to_have_count(0)
    await expect(more).to_be_focused()


async def test_a_conversation_is_saved_as_markdown(serve: Serve, sit: Sit, tmp_path: Path) -> None:
    """As it is shown: who said what; a block of code that was cut off ends with its answer."""
    reader = await sit(await serve(), timezone_id="UTC")
    said = ("Write `code`", "Here:\n\n```python\nprint(1)", "More", "~~~\nx\n~~~\nDone.")
    settings = {"system": "Be brief.\nBe kind.", "temperature": None, "maxTokens": None}
    await bring(reader, conversation(1, "Some *code*", NOW, *said, settings=settings))

    async with reader.page.expect_download() as download:
        await reader.choose("Some *code*", "Save as Markdown")
    file = await download.value
    await file.save_as(tmp_path / "x.md")

    assert "Some-code.md" == file.suggested_filename
    expected = [
        "# Some *code*",
        "*May 20, 2026*",
        "**System prompt**",
        "> Be brief.\n> Be kind.",
        "## You",
        "Write `code`",
        "## llama",
        "Here:\n\n```python\nprint(1)\n```",
        "## You",
        "More",
        "## llama",
        "~~~\nx\n~~~\nDone.",
    ]
    assert "\n\n".join(expected) + "\n" == (tmp_path / "x.md").read_text(encoding="utf-8")


WORK = """
async () => {
  const list = document.querySelector("#list");
  const before = [...list.querySelectorAll("li")];
  const fields = document.querySelector("#search");
  fields.value = "zebra";
  fields.oninput();
  const found = list.querySelectorAll("li").length;
  fields.value = "";
  fields.oninput();
  const after = [...list.querySelectorAll("li")];
  return [before.length, found, after.filter((entry, index) => entry === before[index]).length];
}
"""


async def test_with_500_conversations_nothing_is_made_again(serve: Serve, sit: Sit) -> None:
    """An entry is made once, however often the list is shown; all of them are searched."""
    reader = await sit(await serve())
    text = "All work and no play makes Jack a dull boy. " * 40
    many = [conversation(n, f"Number {n}", NOW - timedelta(hours=n), "Why?", text + f"{n}") for n in range(1, 500)]
    await bring(reader, *many, conversation(500, "Last", NOW, "Which animal?", "A zebra."))

    # The one that was found showed where.
    assert [500, 1, 499] == await reader.page.evaluate(WORK)
    await reader.ask("Hello")
    await reader.whole()
    await expect(reader.page.locator("#list a")).to_have_count(501)


async def test_the_list_on_a_phone(serve: Serve, sit: Sit) -> None:
    """The menu of an entry is there without hovering, and stays within the window."""
    reader = await sit(await serve(), reduced_motion="reduce", **PHONE)
    await bring(reader, *(conversation(n, f"Number {n}", NOW) for n in range(1, 30)))
    await reader.button("List of conversations").tap()
    assert [] == await complaints(reader)

    await reader.button("More for “Number 20”").tap()

    menu = reader.page.locator(".menu")
    box = await menu.bounding_box()
    assert box is not None
    assert (box["x"] >= 0, box["y"] >= 0, box["x"] + box["width"] <= 360, box["y"] + box["height"] <= 740) == (True,) * 4
    assert [] == await complaints(reader)


async def test_a_pinned_conversation_stays_pinned_elsewhere(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """It is part of an export."""
    provider.play(answer("one"))
    reader = await sit(await serve())
    await bring(reader, conversation(1, "One", NOW, pinned=True), conversation(2, "Two", NOW, pinned="yes"))

    assert {"Pinned": ["One"]}.items() <= (await groups(reader)).items()
    assert [True, None] == [each.get("pinned") for each in await reader.kept()]
