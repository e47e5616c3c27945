"""An answer that was cut goes on in its own message; thoughts with their time; calls of tools with their results."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from playwright.async_api import expect

from autonomousai.errors import StatusError, StreamError
from autonomousai.events import FinishReason, Reasoning, ToolCallDelta, Usage
from autonomousai.testing import Pause, ScriptedProvider, answer
from tests.support.browser import Reader
from tests.support.sockets import Listening

from .conftest import Serve, Sit
from .test_list import NOW
from .test_looks import complaints

pytestmark = pytest.mark.asyncio(loop_scope="package")


def prefilling(*scripts: Any) -> ScriptedProvider:
    """A provider that continues its own words."""
    provider = ScriptedProvider(*scripts)
    provider.capabilities = msgspec.structs.replace(provider.capabilities, prefill=True)
    return provider


CUT = {
    "a limit": [["The beg", FinishReason("length", "finish_reason", Usage(3, 2))], "The answer reached its greatest length"],
    "an error": [["The beg", StreamError("it broke")], "it broke"],
}


@pytest.mark.parametrize("case", CUT)
async def test_an_answer_that_was_cut_goes_on_in_its_own_message(case: str, serve: Serve, sit: Sit) -> None:
    """From its very words, where the model can; the whole is one answer, and outlives a reload."""
    script, words = CUT[case]
    provider = prefilling(script, ["inning", FinishReason("stop", "finish_reason", Usage(5, 4))])
    reader = await sit(await serve(provider))
    await reader.ask("Tell me")
    await expect(reader.answer.locator(".state")).to_contain_text(words)
    assert [] == await complaints(reader)

    await reader.answer.get_by_role("button", name="Continue", exact=True).click()

    await expect(reader.text).to_have_text("The beginning")
    await expect(reader.button("Continue")).to_have_count(0)
    await expect(reader.page.locator(".answer")).to_have_count(1)
    first, second = ([(each["role"], each["content"]) for each in call.messages] for call in provider.calls)
    assert [*first, ("assistant", "The beg")] == second
    kept = await reader.has_kept("The beginning")
    assert ("done", "prefill") == (kept["state"], kept["joined"])
    await expect(reader.answer.locator(".facts summary")).to_contain_text("6 tokens" if case == "a limit" else "4 tokens")
    await reader.page.reload()
    await expect(reader.text).to_have_text("The beginning")


async def test_the_engine_goes_on_after_a_stop(engine: Listening, sit: Sit) -> None:
    """Not a character of what was there is lost, and the checksum of the rest is checked."""
    reader = await sit(engine, tokens=100)
    await reader.ask("Tell me a long story about a fox.")
    await reader.has_read(30)
    await reader.page.keyboard.press("Escape")
    await expect(reader.answer).to_contain_text("You stopped this answer.")
    read = (await reader.text.inner_text()).rstrip()

    await reader.button("Continue").click()

    text = await reader.whole()
    assert text.startswith(read)
    assert len(text) > len(read) + 20
    await expect(reader.answer.locator(".trouble")).to_have_count(0)


async def test_a_model_that_cannot_continue_its_words_is_asked_to(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """In the same message, and it says so; words do not grow together at the joint."""
    provider.play(["One two", StreamError("it broke")], answer("three."), answer("And so on."))
    reader = await sit(await serve())
    await reader.ask("Count")
    await reader.button("Continue").click()

    await expect(reader.text).to_have_text("One two three.")
    await expect(reader.answer).to_contain_text("This model cannot continue its own words. It was asked to")
    sent = [(each["role"], each["content"]) for each in provider.calls[1].messages]
    assert [("user", "Count"), ("assistant", "One two")] == sent[:2]
    assert sent[2][1].startswith("Continue exactly where your last answer stopped.")
    assert "done" == (await reader.has_kept("One two three."))["state"]
    await reader.ask("More")
    await expect(reader.text).to_have_text("And so on.")
    assert ["Count", "One two three.", "More"] == [each["content"] for each in provider.calls[2].messages]


async def test_where_going_on_from_its_words_is_refused_it_is_asked_to(serve: Serve, sit: Sit) -> None:
    """A model may say that it can, and not in this form."""
    refused = StatusError("must end with a user message", status=400)
    provider = prefilling(["One", StreamError("it broke")], [refused], answer(" two"))
    reader = await sit(await serve(provider))
    await reader.ask("Count")

    await reader.button("Continue").click()

    await expect(reader.text).to_have_text("One two")
    assert [1, 2, 3] == [len(call.messages) for call in provider.calls]


async def test_a_reload_while_an_answer_goes_on_loses_nothing(serve: Serve, sit: Sit) -> None:
    """The rest comes once, after what was there."""
    pause = Pause()
    provider = prefilling(["One", StreamError("it broke")], [" two", pause, *answer(" three")])
    reader = await sit(await serve(provider))
    await reader.ask("Count")
    await reader.button("Continue").click()
    await reader.has_kept("One two")

    await reader.page.reload()
    pause.release()

    await expect(reader.text).to_have_text("One two three")
    kept = await reader.has_kept("One two three")
    assert ("done", 2) == (kept["state"], len(provider.calls))


async def test_only_what_was_cut_and_is_the_last_goes_on(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """Not what is complete, has no text yet, or was answered already."""
    length = FinishReason("length", "finish_reason")
    provider.play(answer("Done"), [StreamError("nothing came")], ["One", length], answer("After"))
    reader = await sit(await serve())
    for text in ("First", "Second"):
        await reader.ask(text)
        await reader.whole()
        await expect(reader.button("Continue")).to_have_count(0)
    await reader.ask("Third")
    await reader.whole()
    await expect(reader.button("Continue")).to_have_count(1)
    await reader.ask("Fourth")
    await reader.whole()

    await expect(reader.button("Continue")).to_have_count(0)


# ---- thoughts


async def test_thoughts_are_shown_with_their_time(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """While they come, that it thinks; then for how long it did. Closed until one opens them; not sent again."""
    thinks, says = Pause(), Pause()
    provider.play([Reasoning("Let me see"), thinks, "Yes", says, *answer(".")], answer("Again"))
    reader = await sit(await serve(), open=False)
    await reader.page.clock.set_fixed_time(NOW)
    await reader.open()
    thoughts = reader.answer.locator(".thoughts")
    await reader.ask("Is it so?")
    await expect(thoughts.locator("summary")).to_have_text("Thinking …")
    await expect(thoughts).not_to_have_attribute("open")
    await reader.page.clock.set_fixed_time(NOW + timedelta(seconds=12))
    thinks.release()
    await expect(thoughts.locator("summary")).to_have_text("Thought for 12 s")
    await reader.page.clock.set_fixed_time(NOW + timedelta(seconds=80))
    says.release()
    await reader.whole()

    await thoughts.locator("summary").click()
    await expect(thoughts).to_contain_text("Let me see")
    assert [] == await complaints(reader)
    await reader.page.reload()
    await expect(thoughts.locator("summary")).to_have_text("Thought for 12 s")
    await reader.ask("Really?")
    await reader.whole()
    assert ["Is it so?", "Yes.", "Really?"] == [each["content"] for each in provider.calls[1].messages]


TAGGED = {
    "<think>\nLet me see.\n</think>\n\nYes.": ("Let me see.", "Yes."),
    "<think>Not over": ("Not over", ""),
    "<think></think>Yes.": ("", "Yes."),
    "Write <think> and </think>.": ("", "Write <think> and </think>."),
}


@pytest.mark.parametrize("text", TAGGED)
async def test_thoughts_inside_an_answer_are_taken_out_of_it(
    text: str, serve: Serve, sit: Sit, provider: ScriptedProvider
) -> None:
    """As servers pass them on that do not know of thoughts."""
    provider.play(answer(text))
    reader = await sit(await serve())
    await reader.ask("Hello")
    await reader.whole()

    thoughts, said = TAGGED[text]
    await expect(reader.text).to_have_text(said)
    await expect(reader.answer.locator(".thoughts-text")).to_have_text(thoughts)
    await expect(reader.answer.locator(".thoughts")).to_be_visible(visible=bool(thoughts))


# ---- tools


async def test_calls_of_tools_are_shown_and_take_their_results(
    serve: Serve, sit: Sit, provider: ScriptedProvider, tmp_path: Path
) -> None:
    """What is called with what; the reader says what came of it, which is sent behind the call, and shown."""
    calls = [
        ToolCallDelta(0, id="call_1", name="weather", arguments='{"city":'),
        ToolCallDelta(0, arguments='"Rome"}'),
        ToolCallDelta(1, id="call_2", name="time"),
    ]
    provider.play(["Let me look.", *calls, FinishReason("tool_calls", "finish_reason")], answer("It is sunny."), answer("Bye"))
    reader = await sit(await serve())
    await reader.ask("How is the weather?")
    await expect(reader.answer).to_contain_text("The model wants to use a tool.")
    first = reader.answer.locator(".tool").first
    await first.locator("summary").click()
    await expect(first.locator("pre")).to_have_text('{ "city": "Rome" }')
    assert [] == await complaints(reader)

    await reader.page.get_by_label("What weather returned").fill('{"sky":"clear"}')
    await reader.page.get_by_label("What time returned").fill("noon")
    await reader.button("Send the result").click()

    await expect(reader.text).to_have_text("It is sunny.")
    _, asked, *results = provider.calls[1].messages
    assert ("Let me look.", ["weather", "time"]) == (
        asked["content"],
        [call["function"]["name"] for call in asked["tool_calls"]],
    )
    assert {"city": "Rome"} == json.loads(asked["tool_calls"][0]["function"]["arguments"])
    assert [("call_1", '{"sky":"clear"}'), ("call_2", "noon")] == [(each["tool_call_id"], each["content"]) for each in results]
    await reader.page.reload()
    tool = reader.page.locator(".answer").first.locator(".tool").first
    await expect(tool.locator("summary")).to_have_text("weather called, and its result")
    await expect(reader.button("Send the result")).to_have_count(0)
    await expect(reader.page.locator(".remark")).to_have_count(0)
    await reader.ask("Bye")
    await reader.whole()
    assert ["user", "assistant", "tool", "tool", "assistant", "user"] == [each["role"] for each in provider.calls[2].messages]

    async with reader.page.expect_download() as download:
        await reader.choose("How is the weather?", "Save as Markdown")
    await (await download.value).save_as(tmp_path / "x.md")
    assert '**weather**\n\n```\n{"city":"Rome"}\n```\n\n**Result**\n\n```\n{"sky":"clear"}\n```' in (
        tmp_path / "x.md"
    ).read_text(encoding="utf-8")


async def test_calls_without_results_are_not_sent_again(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """Servers refuse a call that has no result; one may ask something else instead."""
    provider.play([ToolCallDelta(0, id="a", name="f"), FinishReason("tool_calls", "finish_reason")], answer("Well"))
    reader = await sit(await serve())
    await reader.ask("One")
    await expect(reader.answer.locator(".tool")).to_be_visible()

    await reader.ask("Two")

    await expect(reader.text).to_have_text("Well")
    assert [("user", "One"), ("user", "Two")] == [(each["role"], each["content"]) for each in provider.calls[1].messages]


# ---- what is asked for twice


async def test_asking_again_in_mid_answer_stops_what_was_on_its_way(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """An edited question, too: one answer is on its way in a conversation, and that is the one that can be stopped."""
    provider.play(["One", Pause()], ["Two", Pause()])
    reader = await sit(await serve())
    await reader.ask("First")
    await reader.has_read(3)

    await reader.page.locator(".question").hover()
    await reader.button("Edit and send again").click()
    await reader.page.get_by_role("textbox", name="Edit your message").press("Enter")
    await expect(reader.text).to_have_text("Two")
    assert "cancelled" == await provider.calls[0].over()
    await reader.button("Stop the answer").click()

    await expect(reader.answer).to_contain_text("You stopped this answer.")
    assert "cancelled" == await provider.calls[1].over()
    await reader.page.reload()
    await expect(reader.answer).to_contain_text("You stopped this answer.")


async def sent_twice(reader: Reader) -> None:
    await reader.input.fill("Hello")
    await reader.page.evaluate(
        """() => {
          const press = () => document.querySelector("#composer").requestSubmit();
          press(); press(); document.querySelector("#send").click();
        }"""
    )


async def test_what_is_sent_twice_is_asked_once(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """A double click, a key that is held down, an impatient reader."""
    pause = Pause()
    provider.play([pause, *answer("Hello world")])
    reader = await sit(await serve())
    await sent_twice(reader)
    await pause.reached.wait()
    pause.release()

    await expect(reader.text).to_have_text("Hello world")
    assert 1 == len(provider.calls)
    await reader.button("New conversation").click()
    starter = reader.page.locator(".starter").first
    await starter.evaluate("(button) => { button.click(); button.click(); }")
    await reader.whole()
    assert 2 == len(provider.calls)


async def test_what_is_stopped_before_it_began_is_stopped_at_the_server(
    serve: Serve, sit: Sit, provider: ScriptedProvider
) -> None:
    """At once, before a first word: nothing is generated for nobody, and the question is still there."""
    pause = Pause()
    provider.play([pause, *answer("never")], answer("Hello world"))
    reader = await sit(await serve())
    await reader.ask("Hello")
    await pause.reached.wait()

    await reader.button("Stop the answer").click()

    await expect(reader.answer).to_contain_text("You stopped this answer.")
    assert "cancelled" == await provider.calls[0].over()
    await reader.button("Another answer").click()
    await expect(reader.text).to_have_text("Hello world")
