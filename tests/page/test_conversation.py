"""A conversation on the real engine, from the first word to the last: and what may happen in the middle of an answer."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest
from playwright.async_api import expect

from autonomousai.gateway import Gateway
from tests.support.browser import Reader
from tests.support.engine import eventually
from tests.support.sockets import Listening

from .conftest import Sit

pytestmark = pytest.mark.asyncio(loop_scope="package")

#: Long enough to be met in the middle.
LONG = 150


def is_whole(answer: dict[str, Any]) -> bool:
    """Whether a kept answer is the text that the server says it sent."""
    digest = hashlib.sha256(answer["text"].encode()).hexdigest()
    return answer["state"] == "done" and answer["evidence"]["sha256"] == digest


async def last_of(reader: Reader) -> dict[str, Any]:
    """The last message that the browser keeps."""
    (conversation,) = await reader.kept()
    last: dict[str, Any] = conversation["messages"][-1]
    return last


async def test_a_whole_conversation(engine: Listening, sit: Sit) -> None:
    """Ask, read, see what answered, ask on; it is listed under its first words, and is there again after a reload."""
    reader = await sit(engine)
    await expect(reader.page.get_by_role("heading", name="What would you like to know?")).to_be_visible()

    await reader.ask("Name the capital of France.")
    first = await reader.whole()
    facts = await reader.answer.locator(".facts summary").inner_text()
    await reader.ask("And of Italy?")
    await expect(reader.page.locator(".answer")).to_have_count(2)
    second = await reader.whole()
    await reader.page.reload()

    assert "Paris" in first
    assert re.fullmatch(r"embedded · \d+ tokens · [\d.]+ tokens/s", facts)
    await expect(reader.page.locator(".answer .text").first).to_have_text(first)
    await expect(reader.text).to_have_text(second)
    await expect(reader.conversation("Name the capital of France.")).to_have_attribute("aria-current", "page")
    assert "Name the capital of France. · autonomousai" == await reader.page.title()
    (kept,) = await reader.kept()
    assert ["user", "assistant"] * 2 == [message["role"] for message in kept["messages"]]
    assert all(is_whole(message) for message in kept["messages"][1::2])


async def test_escape_stops_the_answer_and_the_engine(engine: Listening, sit: Sit) -> None:
    """What had come stays; the engine generates for nobody."""
    reader = await sit(engine, tokens=1000)
    await reader.ask("Tell me a very long story about a fox.")
    read = await reader.has_read(40)

    await reader.page.keyboard.press("Escape")

    await expect(reader.answer).to_contain_text("You stopped this answer.")
    assert (await reader.whole()).startswith(read)
    await expect(reader.button("Send")).to_be_visible()
    assert isinstance(engine.app.provider, Gateway)
    upstream: Any = engine.app.provider.upstreams["embedded"].provider
    await eventually(upstream, lambda counters: counters["requests_processing"] == 0)


async def test_the_stop_button_stops_too(engine: Listening, sit: Sit) -> None:
    """It stands where the send button was; afterwards one can go on."""
    reader = await sit(engine, tokens=1000)
    await reader.ask("Tell me a long story about a fox.")
    await reader.has_read(10)

    await reader.button("Stop the answer").click()
    await expect(reader.answer).to_contain_text("You stopped this answer.")
    await reader.ask("Tell me another.")

    await expect(reader.page.locator(".answer")).to_have_count(2)
    await reader.has_read(1)
    await reader.page.keyboard.press("Escape")
    await reader.whole()


async def test_a_reload_in_mid_answer_goes_on_where_it_was(engine: Listening, sit: Sit) -> None:
    """Not a character is missing or comes twice, and it was asked for once."""
    reader = await sit(engine, tokens=LONG)
    asked: list[str] = []
    reader.context.on("request", lambda request: request.method == "POST" and asked.append(request.url))
    await reader.ask("Tell me a long story about a fox.")
    read = await reader.has_read(40)

    await reader.page.reload()

    assert (await reader.whole()).startswith(read)
    answer = await last_of(reader)
    assert is_whole(answer)
    assert (1, 1, 1) == (answer["resumed"], len(answer["evidence"]["attempts"]), len(asked))


async def test_a_lost_network_in_mid_answer_loses_nothing(engine: Listening, sit: Sit) -> None:
    """It says that it tries to go on, and does as soon as there is a network again."""
    reader = await sit(engine, tokens=LONG)
    await reader.ask("Tell me a long story about a crow.")
    read = await reader.has_read(60)

    await reader.context.set_offline(True)
    for connection in list(engine.connections.connections):
        connection.transport.abort()
    await expect(reader.answer).to_contain_text("The connection is lost.")
    await reader.context.set_offline(False)

    assert (await reader.whole()).startswith(read)
    assert is_whole(await last_of(reader))
    await expect(reader.answer.locator(".facts summary")).to_contain_text("reconnect")


async def test_an_answer_goes_on_while_another_conversation_is_read(engine: Listening, sit: Sit) -> None:
    """The list shows that it does, and it is whole when one comes back."""
    reader = await sit(engine, tokens=LONG)
    await reader.ask("Tell me a long story about a hare.")
    await reader.has_read(20)

    await reader.button("New conversation").click()
    await expect(reader.page.get_by_role("navigation").get_by_role("img", name="Answering")).to_be_visible()
    await expect(reader.page.locator(".answer")).to_have_count(0)
    await reader.conversation("Tell me a long story about a hare.").click()

    await reader.whole()
    assert is_whole(await last_of(reader))


async def test_asking_again_keeps_both_answers(engine: Listening, sit: Sit) -> None:
    """One can turn back and forth between them, with the keyboard too."""
    reader = await sit(engine)
    await reader.ask("Name a colour.")
    await reader.whole()

    await reader.button("Another answer").click()
    await expect(reader.answer.get_by_role("img", name="Version 2 of 2")).to_be_visible()
    await reader.whole()
    await reader.button("The version before").focus()
    await reader.page.keyboard.press("Enter")

    await expect(reader.answer.get_by_role("img", name="Version 1 of 2")).to_be_visible()
    await expect(reader.button("The version after")).to_be_focused()


async def test_a_question_can_be_edited_and_asked_again(engine: Listening, sit: Sit) -> None:
    """↑ in an empty field edits the last one, Enter sends it, Esc leaves it; the earlier branch is kept."""
    reader = await sit(engine)
    await reader.ask("What is the capital of Spain?")
    await reader.whole()
    edited = reader.page.get_by_role("textbox", name="Edit your message")

    await reader.input.press("ArrowUp")
    await edited.press("Escape")
    await expect(edited).to_have_count(0)
    await expect(reader.input).to_be_focused()
    await reader.input.press("ArrowUp")
    await edited.fill("What is the capital of Italy?")
    await edited.press("Enter")
    text = await reader.whole()

    assert "Rome" in text
    await expect(reader.page.locator(".question")).to_contain_text("What is the capital of Italy?")
    await reader.button("The version before").click()
    await expect(reader.page.locator(".question")).to_contain_text("What is the capital of Spain?")
