"""What goes wrong, told in words and with a way on; keys; images; and what a conversation's settings ask for."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from playwright.async_api import expect

from autonomousai import errors
from autonomousai.batches import BatchStream
from autonomousai.config import RetryConfig
from autonomousai.errors import IncompleteStreamError, StatusError, StreamError
from autonomousai.events import FinishReason, Reasoning, Usage
from autonomousai.gateway import Gateway, Upstream
from autonomousai.request import DEFAULT_OPTIONS, CallOptions, ChatRequest
from autonomousai.testing import Pause, ScriptedProvider, answer
from tests.support.sockets import Listening

from .conftest import Serve, Sit

pytestmark = pytest.mark.asyncio(loop_scope="package")

BUSY = StatusError("all slots are taken", status=503, type="server_error", retry_after=7)

#: Before anything was said: what it is, and what the page says of it.
REFUSALS = {
    "busy": (BUSY, "The server is busy. Try again in 7 seconds."),
    "nobody there": (
        StatusError("all are resting", status=503, code="upstreams_unavailable", type="server_error", retry_after=7),
        "Nothing answers as this model at present. Try again in 7 seconds.",
    ),
    "too long": (
        StatusError("9000 tokens, at most 4096", status=400, code="context_length_exceeded"),
        "This is too long for this model. Send a shorter text",
    ),
    "a day's budget": (
        StatusError("the next day begins later", status=429, code="insufficient_quota", retry_after=99_965),
        "The budget for these answers is spent. Try again in 28 hours.",
    ),
    "an account without money": (StatusError("pay first", status=402), "The budget for these answers is spent."),
    "minutes": (StatusError("slow down", status=429, retry_after=121), "Too many requests at once. Try again in 3 minutes."),
    "cut before a word": (StatusError("no end", status=502, code="upstream_incomplete"), "The model did not answer."),
    "anything else": (StatusError("the moon is full", status=418), "Something went wrong."),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_a_refusal_is_told_in_words(case: str, serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """Ours first, then the server's own."""
    error, words = REFUSALS[case]
    provider.play([error])
    reader = await sit(await serve())

    await reader.ask("Hello")

    await expect(reader.answer.locator(".trouble")).to_contain_text(words)
    await expect(reader.answer.locator(".said")).to_have_text(str(error))


async def test_an_error_in_mid_answer_keeps_the_text_and_can_be_tried_again(
    serve: Serve, sit: Sit, provider: ScriptedProvider
) -> None:
    """What had arrived stays, as a version of its own."""
    provider.play(["The beg", StreamError("the upstream broke")], answer("The beginning and the end"))
    reader = await sit(await serve())
    await reader.ask("Hello")
    await expect(reader.answer.locator(".trouble")).to_contain_text("the upstream broke")
    await expect(reader.text).to_have_text("The beg")

    await reader.answer.get_by_role("button", name="Try again", exact=True).click()

    await expect(reader.text).to_have_text("The beginning and the end")
    await expect(reader.answer.get_by_role("img", name="Version 2 of 2")).to_be_visible()
    assert provider.calls[0].messages == provider.calls[1].messages


CUTS = {"no proof of its end": IncompleteStreamError(), "a stall": errors.TimeoutError("idle", 15)}


@pytest.mark.parametrize("case", CUTS)
async def test_an_answer_that_was_cut_is_said_to_be(case: str, serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """It broke off, and what had come is there; not just "something"."""
    provider.play(["The beg", CUTS[case]])
    reader = await sit(await serve())

    await reader.ask("Hello")

    await expect(reader.answer.locator(".trouble")).to_contain_text("The answer broke off. What had arrived is kept above.")
    await expect(reader.text).to_have_text("The beg")


async def test_a_server_out_of_reach_is_told_and_can_be_tried_again(serve: Serve, sit: Sit) -> None:
    """Without a network the question is kept, and asked when there is one again."""
    reader = await sit(await serve())
    await reader.context.set_offline(True)
    await reader.ask("Hello")
    await expect(reader.answer.locator(".trouble")).to_contain_text("The server cannot be reached.")

    await reader.context.set_offline(False)
    await reader.answer.get_by_role("button", name="Try again", exact=True).click()

    await expect(reader.text).to_have_text("Hello world")
    await expect(reader.page.locator(".switcher")).to_have_count(0)  # what brought nothing is no version of the answer


async def test_a_page_that_finds_no_models_offers_to_look_again(serve: Serve, sit: Sit) -> None:
    """It opens without them, says why, and can look again."""
    reader = await sit(await serve(), open=False)
    await reader.context.route("**/v1/models", lambda route: route.abort())
    await reader.page.goto(reader.url)
    await expect(reader.page.get_by_role("alert")).to_contain_text("The server cannot be reached.")

    await reader.context.unroute("**/v1/models")
    await reader.button("Try again").click()

    await expect(reader.page.locator("#model")).to_have_value("llama")
    await expect(reader.page.get_by_role("alert")).to_be_hidden()


async def test_a_page_without_models_finds_them_by_itself(serve: Serve, sit: Sit) -> None:
    """Once the server is back, without a click."""
    reader = await sit(await serve(), open=False)
    await reader.page.clock.install()
    await reader.context.route("**/v1/models", lambda route: route.abort())
    await reader.page.goto(reader.url)
    await expect(reader.page.get_by_role("alert")).to_contain_text("The server cannot be reached.")

    await reader.context.unroute("**/v1/models")
    await reader.page.clock.run_for(5_000)

    await expect(reader.page.locator("#model")).to_have_value("llama")
    await expect(reader.page.get_by_role("alert")).to_be_hidden()


async def test_a_first_question_that_is_too_long_is_no_long_conversation(
    serve: Serve, sit: Sit, provider: ScriptedProvider
) -> None:
    """What helps is a shorter text or another model; a later question is another matter."""
    error, words = REFUSALS["too long"]
    provider.play([error], answer("Hello"), [error])
    reader = await sit(await serve())
    await reader.ask("Hello")
    await expect(reader.answer.locator(".trouble")).to_contain_text(words)

    await reader.answer.get_by_role("button", name="Try again", exact=True).click()
    await expect(reader.text).to_have_text("Hello")
    await reader.ask("More")

    await expect(reader.answer.locator(".trouble")).to_contain_text("The conversation has grown too long for this model.")


async def test_a_long_wait_is_put_in_words(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """After a while, not at once; they go with the first word."""
    pause = Pause()
    provider.play([pause, *answer("Hello")])
    reader = await sit(await serve())
    await reader.ask("Hello")
    words = reader.answer.get_by_text("Still waiting for the first word …")
    await expect(words).to_be_hidden()

    await words.evaluate("(words) => words.getAnimations().forEach((animation) => animation.finish())")

    await expect(words).to_be_visible()
    pause.release()
    assert "Hello" == await reader.whole()
    await expect(words).to_have_count(0)


class SlowReader(ScriptedProvider):
    """Has read a third of the prompt, and says nothing yet."""

    def stream(self, request: ChatRequest, options: CallOptions = DEFAULT_OPTIONS) -> BatchStream:
        """As its script says."""
        assert options.answer is not None
        options.answer.reading = (700, 2100)
        return super().stream(request, options)


async def test_a_long_question_is_seen_to_be_read(serve: Serve, sit: Sit) -> None:
    """While the engine reads; with the first word that is gone, and no part of the answer."""
    pause = Pause()
    reader = await sit(await serve(SlowReader([pause, *answer("Hello")])))
    await reader.ask("Count")
    await expect(reader.answer.locator(".state")).to_have_text("Reading what you wrote: 33 % …")

    pause.release()

    assert "Hello" == await reader.whole()
    await expect(reader.answer.locator(".state")).to_have_text("")


async def test_a_server_s_own_words_are_details_in_another_language(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """It speaks English; the page says what it means in the reader's."""
    provider.play([BUSY])
    reader = await sit(await serve(), locale="de-DE")
    await reader.page.locator("#input").fill("Hallo")
    await reader.page.locator("#input").press("Enter")
    await expect(reader.answer.locator(".trouble")).to_contain_text("Der Server ist ausgelastet.")

    await expect(reader.page.get_by_text("all slots are taken")).to_be_hidden()
    await reader.page.get_by_text("Einzelheiten").click()

    await expect(reader.page.get_by_text("all slots are taken")).to_be_visible()


async def test_an_answer_outlives_any_number_of_reloads(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """Each time the page goes on after what it has kept; the model is asked once."""
    pauses = [Pause(), Pause()]
    provider.play(["One", pauses[0], " two", pauses[1], *answer(" three")])
    reader = await sit(await serve())
    await reader.ask("Count")

    for pause, text in zip(pauses, ("One", "One two"), strict=True):
        await reader.has_kept(text)
        await reader.page.reload()
        pause.release()

    assert "One two three" == await reader.whole()
    kept = await reader.has_kept("One two three")
    assert (2, "done", 1) == (kept["resumed"], kept["state"], len(provider.calls))


async def test_a_stream_that_was_let_go_is_told(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """Who comes back too late keeps the beginning, and may ask again."""
    provider.play(["The beg", Pause()])
    server = await serve()
    reader = await sit(server)
    await reader.ask("Hello")
    await expect(reader.text).to_have_text("The beg")
    await expect(reader.page.locator("#announcer")).to_have_text("The answer is on its way.")
    kept = await reader.has_kept("The beg")
    await reader.page.goto("about:blank")
    await server.app._streams.drop(kept["stream"]["id"])

    await reader.open()
    await reader.conversation("Hello").click()

    await expect(reader.answer.locator(".trouble")).to_contain_text("The answer broke off.")
    await expect(reader.text).to_have_text("The beg")


async def test_a_question_that_was_left_before_its_answer_began_is_asked_again(
    serve: Serve, sit: Sit, provider: ScriptedProvider
) -> None:
    """A reload while the server still thinks costs nothing but time."""
    pause = Pause()
    provider.play([pause, *answer("never read")], answer("Hello world"))
    reader = await sit(await serve())
    await reader.ask("Hello")
    await pause.reached.wait()

    await reader.page.reload()

    await expect(reader.text).to_have_text("Hello world")
    assert "cancelled" == await provider.calls[0].over()


async def test_the_key_is_asked_for_and_kept_for_this_tab(serve: Serve, sit: Sit) -> None:
    """A wrong one is told; the right one outlives a reload, and no other tab has it."""
    reader = await sit(await serve(api_keys=["sesame"]), open=False)
    await reader.page.goto(reader.url)
    field = reader.page.get_by_label("Key", exact=True)

    await field.press("Enter")
    await field.fill("   ")
    await field.press("Enter")
    await expect(reader.page.get_by_role("heading", name="This server wants a key")).to_be_visible()
    await expect(reader.page.locator("#model selectedcontent")).to_have_text("no model yet")
    await field.fill("mustard")
    await reader.button("Use it").click()
    await expect(reader.page.get_by_role("heading", name="That key was not accepted")).to_be_visible()
    await field.fill("sesame")
    await field.press("Enter")
    await expect(reader.page.locator("#model")).to_be_enabled()
    await reader.ask("Hello")
    await expect(reader.text).to_have_text("Hello world")
    await reader.page.reload()
    await expect(reader.page.locator("#model")).to_be_enabled()
    await reader.button("Use it from code").click()
    await expect(reader.page.locator("#curl")).to_contain_text("-H 'authorization: Bearer KEY'")
    about = reader.page.locator("#about-dialog")
    await expect(about).to_contain_text("its models (GET /v1/models with the key), its counters (GET /metrics with one of")
    assert ["docs"] == [await link.get_attribute("href") for link in await about.get_by_role("link").all()]

    other = await reader.context.new_page()
    await other.goto(reader.url)
    await expect(other.get_by_role("heading", name="This server wants a key")).to_be_visible()
    assert "sesame" not in str(await reader.page.evaluate("JSON.stringify(localStorage)"))
    assert "sesame" not in str(await reader.kept())


async def test_a_key_can_be_given_later_and_forgotten(serve: Serve, sit: Sit) -> None:
    """Who closes the question is told what is missing; the settings forget a key."""
    reader = await sit(await serve(api_keys=["sesame"]), open=False)
    await reader.page.goto(reader.url)

    await reader.page.get_by_label("Key", exact=True).press("Escape")
    await expect(reader.page.get_by_role("alert")).to_contain_text("This server wants a key.")
    await reader.button("Give a key").click()
    await reader.page.get_by_label("Key", exact=True).fill("sesame")
    await reader.button("Use it").click()
    await expect(reader.page.locator("#model")).to_be_enabled()
    await reader.button("Settings of this conversation").click()
    await reader.button("Forget it").click()
    await expect(reader.page.locator("#notice:popover-open")).to_have_text("The key is forgotten.")  # above the dialog
    await reader.button("Cancel").click()
    await reader.ask("Hello")

    await expect(reader.answer.locator(".trouble")).to_contain_text("This server wants a key.")
    await expect(reader.button("Give a key")).to_be_visible()


async def test_the_settings_are_what_is_asked_for(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """System prompt, temperature, length and model; for new conversations too, where one says so."""
    reader = await sit(await serve())
    await reader.page.get_by_label("Model").select_option("hermes")
    await reader.button("Settings of this conversation").click()
    await reader.page.get_by_label("System prompt").fill("Answer in verse.")
    await reader.page.get_by_label("Temperature").fill("0.7")
    await reader.page.get_by_label("Greatest length").fill("99")
    await reader.page.get_by_label("For new conversations as well").check()
    await reader.button("Save").click()

    await reader.ask("Hello")
    await reader.whole()
    await reader.button("New conversation").click()
    await reader.ask("Good evening")
    await reader.whole()

    for call, text in zip(provider.calls, ("Hello", "Good evening"), strict=True):
        assert "hermes" == call.model
        assert [("system", "Answer in verse."), ("user", text)] == [(each["role"], each["content"]) for each in call.messages]
        assert (0.7, 99) == (call.kwargs["temperature"], call.kwargs["max_tokens"])


async def test_what_answered_can_be_looked_up(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """Tokens in the line below the answer, more when it is opened; thoughts are folded away; a cut at the length is told."""
    end = FinishReason("length", "finish_reason", Usage(7, 1234), "scripted")
    provider.play([Reasoning("Let me see."), "Well,", end])
    reader = await sit(await serve())
    await reader.ask("Hello")
    await reader.whole()

    await expect(reader.answer.locator(".facts summary")).to_contain_text("1,234 tokens")
    await expect(reader.answer).to_contain_text("The answer reached its greatest length.")
    await expect(reader.page.get_by_text("Let me see.")).to_be_hidden()
    await reader.page.get_by_text("Thought for").click()
    await expect(reader.page.get_by_text("Let me see.")).to_be_visible()
    await reader.answer.locator(".facts summary").click()
    await expect(reader.answer.get_by_text("1,234 after 7 of the conversation")).to_be_visible()


async def test_a_rescue_is_shown_with_its_attempts(serve: Serve, sit: Sit) -> None:
    """Who broke and who went on, and after how many characters."""
    broken = ScriptedProvider(["The sky", IncompleteStreamError()])
    upstreams = [Upstream("first", broken), Upstream("second", ScriptedProvider(answer("The sky", " is blue.")))]
    gateway = Gateway(upstreams, {"llama": ["first", "second"]}, retry=RetryConfig(attempts=1, backoff=0))
    reader = await sit(await serve(gateway))
    await reader.ask("Hello")
    assert "The sky is blue." == await reader.whole()

    facts = reader.answer.locator(".facts")
    await expect(facts.locator("summary")).to_have_text("second · 1 rescue")
    await facts.locator("summary").click()

    await expect(facts).to_contain_text("after 7 characters, from first to second")


# ---- images

PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")


async def seeing(serve: Serve) -> tuple[Listening, ScriptedProvider]:
    provider = ScriptedProvider(answer("A red dot."), vision=True)
    return await serve(provider), provider


def picture(name: str, data: bytes = PIXEL, kind: str = "image/png") -> Any:
    return {"name": name, "mimeType": kind, "buffer": data}


async def test_an_image_goes_to_a_model_that_can_see(serve: Serve, sit: Sit) -> None:
    """It is shown, sent as a data URL beside the text, and there again after a reload."""
    server, provider = await seeing(serve)
    reader = await sit(server)
    async with reader.page.expect_file_chooser() as chooser:
        await reader.button("Attach files").click()
    await (await chooser.value).set_files([picture("dot.png"), picture("wrong.png")])
    await reader.button("Remove image 2").click()

    await reader.ask("What is this?")
    await expect(reader.text).to_have_text("A red dot.")
    await reader.page.reload()

    url = "data:image/png;base64," + base64.b64encode(PIXEL).decode()
    expected = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    assert expected == provider.calls[0].messages[0]["content"]
    image = reader.page.locator(".question img")
    await expect(image).to_have_attribute("src", url)
    assert 1 == await image.evaluate("(image) => image.decode().then(() => image.naturalWidth)")


#: An image is drawn, as WebP, and pasted: with *noise* its PNG has more than 5 MB.
PASTE_WEBP = """
async (noise) => {
  const canvas = new OffscreenCanvas(noise ? 2000 : 2, noise ? 2000 : 3);
  const context = canvas.getContext("2d");
  const data = context.createImageData(canvas.width, canvas.height);
  for (let at = 0, value = 1; noise && at < data.data.length; at += 1) {
    value = (value * 16807) % 2147483647;
    data.data[at] = at % 4 === 3 ? 255 : value & 255;
  }
  context.putImageData(data, 0, 0);
  const blob = await canvas.convertToBlob({ type: "image/webp", quality: 0.5 });
  const files = new DataTransfer();
  files.items.add(new File([blob], "drawn.webp", { type: blob.type }));
  document.querySelector("#input").dispatchEvent(new ClipboardEvent("paste", { clipboardData: files, cancelable: true }));
  return blob.type;
}
"""


@pytest.mark.parametrize(("noise", "kind", "width"), [(False, "image/png", 2), (True, "image/jpeg", 2000)])
async def test_an_image_of_another_kind_is_sent_as_one_that_every_model_reads(
    noise: bool, kind: str, width: int, serve: Serve, sit: Sit
) -> None:
    """WebP as PNG, or as JPEG where that would be too large."""
    server, provider = await seeing(serve)
    reader = await sit(server)
    drawn = await reader.page.evaluate(PASTE_WEBP, noise)
    image = reader.page.locator("#attached img")
    await expect(image).to_have_count(1)
    shown = await image.evaluate("(image) => image.decode().then(() => image.naturalWidth)")

    await reader.ask("What is this?")
    await expect(reader.text).to_have_text("A red dot.")

    sent = provider.calls[0].messages[0]["content"][1]["image_url"]["url"]
    assert ("image/webp", width) == (drawn, shown)
    assert sent.startswith(f"data:{kind};base64,")


#: A file of so many bytes is pasted: Playwright would take its time to bring one from outside.
PASTE = """
([name, type, size]) => {
  const files = new DataTransfer();
  files.items.add(new File([new Uint8Array(size)], name, { type }));
  document.querySelector("#input").dispatchEvent(new ClipboardEvent("paste", { clipboardData: files, cancelable: true }));
}
"""

REFUSED_FILES = {
    "too large": (["huge.png", "image/png", 5_200_000], "“huge.png” has 5.2 MB; at most 5 MB can be sent."),
    "no image": (
        ["page.tiff", "image/tiff", 9],
        "“page.tiff” is no image that this browser can read; PNG, JPEG, GIF and WebP are fine.",
    ),
}


@pytest.mark.parametrize("case", REFUSED_FILES)
async def test_what_cannot_be_attached_is_told_kindly(case: str, serve: Serve, sit: Sit) -> None:
    """And nothing is attached."""
    file, words = REFUSED_FILES[case]
    reader = await sit((await seeing(serve))[0])

    await reader.page.evaluate(PASTE, file)

    await expect(reader.page.locator("#notice")).to_contain_text(words)
    await expect(reader.page.locator("#attached img")).to_have_count(0)


async def test_a_model_that_cannot_see_is_offered_no_image(serve: Serve, sit: Sit) -> None:
    """One that is pasted is refused."""
    reader = await sit(await serve())

    await reader.page.evaluate(PASTE, ["dot.png", "image/png", 9])
    await expect(reader.page.locator("#notice")).to_contain_text("This model cannot see images.")


async def test_two_tabs_show_the_same(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """What is asked in one is read in the other, while it comes too."""
    pause = Pause()
    provider.play(["Hello", pause, " world", FinishReason("stop", "finish_reason")])
    reader = await sit(await serve())
    other = await reader.context.new_page()
    await other.goto(reader.url)
    await reader.ask("Good morning")
    await asyncio.wait_for(pause.reached.wait(), 60)

    await other.get_by_role("link", name="Good morning").click()
    await expect(other.locator(".answer .text")).to_have_text("Hello")
    pause.release()

    await expect(other.locator(".answer .text")).to_have_text("Hello world")
    await expect(other.locator(".answer")).to_have_attribute("aria-busy", "false")
