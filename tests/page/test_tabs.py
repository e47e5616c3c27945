"""Two tabs with the same conversation, and a reader who is busy elsewhere in it while an answer comes."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from autonomousai.testing import Pause, ScriptedProvider, answer
from tests.support.browser import Reader

from .conftest import Serve, Sit
from .test_list import NOW, bring, conversation

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def second_tab(reader: Reader) -> Page:
    other = await reader.context.new_page()
    await other.goto(reader.page.url)
    return other


async def ask_in(tab: Page, text: str) -> None:
    await tab.locator("#input").fill(text)
    await tab.locator("#input").press("Enter")


async def test_what_is_asked_in_two_tabs_at_once_is_all_kept(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """Neither tab writes over what the other has."""
    first, second = Pause(), Pause()
    provider.play(answer("Hello"), ["First", first, *answer(" answer")], ["Second", second, *answer(" answer")])
    reader = await sit(await serve())
    await reader.ask("Begin")
    await reader.has_kept("Hello")
    other = await second_tab(reader)
    await expect(other.locator(".answer .text")).to_have_text("Hello")

    await reader.ask("One")
    await first.reached.wait()
    await ask_in(other, "Two")
    await second.reached.wait()
    first.release()
    second.release()
    await expect(other.locator(".answer").last).to_have_attribute("aria-busy", "false")
    await reader.whole()

    async def texts() -> set[str]:
        (conversation,) = await reader.kept()
        return {message["text"] for message in conversation["messages"]}

    expected = {"Begin", "Hello", "One", "First answer", "Two", "Second answer"}
    while await texts() != expected:
        pass


async def test_another_tab_that_answers_does_not_disturb(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """Who reads up in this tab, has opened something, or edits a question, is left alone while the other one's answer comes."""
    pause = Pause()
    long = "\n\n".join(f"Paragraph {number}" for number in range(60))
    provider.play(answer(long), ["More", pause, *answer(" and the end")])
    reader = await sit(await serve())
    await reader.ask("Begin")
    await reader.has_kept(long)
    other = await second_tab(reader)
    scroller = other.locator("#scroller")
    await other.locator(".facts summary").click()
    await other.locator(".question").hover()
    await other.get_by_role("button", name="Edit and send again").click()
    edited = other.get_by_role("textbox", name="Edit your message")
    await edited.fill("Something else")
    await scroller.evaluate("(scroller) => scroller.scrollTo(0, 300)")

    await reader.ask("Go on")
    await expect(other.locator(".answer .text").last).to_have_text("More")
    pause.release()
    await expect(other.locator(".answer .text").last).to_have_text("More and the end")

    assert 300 == await scroller.evaluate("(scroller) => scroller.scrollTop")
    await expect(other.locator(".facts").first).to_have_attribute("open", "")
    await expect(edited).to_have_value("Something else")


async def test_a_stop_is_a_stop_in_both_tabs(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """To the one that only follows the answer it is no error, and neither tab makes it one."""
    pause = Pause()
    provider.play(["One", pause, *answer(" two")])
    reader = await sit(await serve())
    await reader.ask("Begin")
    await reader.has_kept("One")
    other = await second_tab(reader)
    await expect(other.locator(".answer .text")).to_have_text("One")

    await reader.page.keyboard.press("Escape")

    for tab in (other, reader.page):
        await expect(tab.locator(".answer")).to_have_attribute("aria-busy", "false")
        await expect(tab.locator(".answer .state")).to_contain_text("You stopped this answer.")


#: What is put off by as long as the page puts off saving waits for `go()`.
HOLD_SAVING = """
() => {
  const [later, clear] = [globalThis.setTimeout, globalThis.clearTimeout];
  const hold = (act) => {
    held.set(-1 - held.size, act);
    return -held.size;
  };
  globalThis.held = new Map();
  globalThis.setTimeout = (act, ms, ...more) => (ms === 300 ? hold(act) : later(act, ms, ...more));
  globalThis.clearTimeout = (id) => held.delete(id) || clear(id);
  globalThis.go = () => held.forEach((act) => act());
}
"""


async def test_what_is_deleted_while_another_tab_answers_it_stays_deleted(
    serve: Serve, sit: Sit, provider: ScriptedProvider
) -> None:
    """What that tab was about to save is not saved."""
    pause, end = Pause(), Pause()
    provider.play(["One", pause, " two", end, *answer(" three")])
    reader = await sit(await serve())
    await reader.ask("Begin")
    await reader.has_kept("One")
    await reader.page.evaluate(HOLD_SAVING)
    pause.release()
    await expect(reader.text).to_have_text("One two")
    assert 1 == await reader.page.evaluate("held.size")
    other = await second_tab(reader)

    await other.locator("#list li").hover()
    await other.get_by_role("button", name="More for “Begin”").click()
    await other.get_by_role("button", name="Delete").click()
    await expect(reader.page.locator(".answer")).to_have_count(0)

    await reader.page.evaluate("go()")
    assert [] == await reader.kept()


PUT = """
(conversation) => new Promise((resolve) => {
  const opening = indexedDB.open("autonomousai", 1);
  opening.onsuccess = () => {
    const transaction = opening.result.transaction("conversations", "readwrite");
    transaction.objectStore("conversations").put(conversation);
    transaction.oncomplete = () => {
      opening.result.close();
      new BroadcastChannel("autonomousai").postMessage(conversation.id);
      resolve();
    };
  };
})
"""


async def test_what_another_tab_saved_too_late_is_deleted_again(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """It had not heard yet that the conversation, whose answer was on its way there, was deleted here."""
    provider.play(["One", Pause()])
    reader = await sit(await serve())
    await reader.ask("Begin")
    await reader.has_kept("One")
    (late,) = await reader.kept()
    await reader.choose("Begin", "Delete")
    await expect(reader.page.locator("#list li")).to_have_count(0)

    await reader.page.evaluate(PUT, late)

    while await reader.kept():
        pass
    await expect(reader.page.locator("#list li")).to_have_count(0)


async def test_to_open_an_answer_in_another_tab_is_no_reconnect(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """The connection was not lost, neither here nor there."""
    pause = Pause()
    provider.play(["One", pause, *answer(" two")])
    reader = await sit(await serve())
    await reader.ask("Begin")
    await reader.has_kept("One")
    other = await second_tab(reader)
    await expect(other.locator(".answer .text")).to_have_text("One")

    pause.release()

    for tab in (other, reader.page):
        await expect(tab.locator(".answer .facts")).to_be_attached()
        await expect(tab.locator(".answer .facts summary")).not_to_contain_text("reconnect")


WATCH = """
() => {
  globalThis.touched = [];
  globalThis.elements = [...document.querySelectorAll(".message")];
  const note = (all) => touched.push(...all.map(({ target }) => target.outerHTML));
  new MutationObserver(note).observe(elements[1], { childList: true, subtree: true, characterData: true });
}
"""


async def test_a_long_conversation_is_drawn_once(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """A further question draws nothing of it again: neither its text nor its questions are touched."""
    provider.play(answer("One"), answer("Two"), answer("Three"))
    reader = await sit(await serve())
    for text in ("A", "B"):
        await reader.ask(text)
        await reader.whole()
    await reader.page.evaluate(WATCH)

    await reader.ask("C")
    await reader.whole()

    assert [] == await reader.page.evaluate("touched")
    assert await reader.page.evaluate(
        "elements.every((element, index) => element === document.querySelectorAll('.message')[index])"
    )


#: From now on time passes quickly, and nothing that is put off happens before `go()`.
HOLD = """
() => {
  const [now, later] = [performance.now.bind(performance), globalThis.setTimeout];
  const held = [];
  let passed = 0;
  performance.now = () => now() + (passed += 1000);
  globalThis.setTimeout = (act, ...more) => (more[0] ? later(act, ...more) : held.push(act));
  globalThis.go = () => {
    globalThis.setTimeout = later;
    performance.now = now;
    for (const act of held) act();
  };
}
"""


async def test_a_huge_conversation_opens_at_its_end_at_once(serve: Serve, sit: Sit) -> None:
    """What is far above is plain text at first; then all of it is as it should be, and the reader is where they were."""
    reader = await sit(await serve())
    said = [text for number in range(150) for text in (f"Question {number}", f"Answer **{number}**\n\n1. one\n2. two")]
    await bring(reader, conversation(1, "Huge", NOW, *said))
    await reader.page.evaluate(HOLD)

    await reader.conversation("Huge").click()
    await expect(reader.page.locator(".answer .text strong")).to_have_count(8)
    await expect(reader.page.locator(".answer .text").first).to_have_text("Answer **0** 1. one 2. two")
    await expect(reader.page.get_by_text("Answer 149")).to_be_in_viewport()
    await reader.page.evaluate("go()")

    await expect(reader.page.locator(".answer .text strong")).to_have_count(150)
    await expect(reader.page.locator(".answer .plain")).to_have_count(0)
    await expect(reader.page.get_by_text("Answer 149")).to_be_in_viewport()
