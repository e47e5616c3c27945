"""The menu of models: who answers, what is offered first, and how much of what a model reads a conversation takes."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from playwright.async_api import Route, expect

from autonomousai.events import FinishReason, Usage
from autonomousai.testing import ScriptedProvider, answer
from tests.page.conftest import Serve, Sit
from tests.page.test_looks import PHONE, complaints
from tests.support.browser import Reader
from tests.support.sockets import Listening

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def names(reader: Reader) -> list[str]:
    return await reader.page.locator("#model option span").all_text_contents()


async def test_the_menu_says_who_answers(engine: Listening, sit: Sit) -> None:
    """Weights that stand in for a model are named; `vision` is not offered where it cannot see."""
    reader = await sit(engine)
    found = await names(reader)

    assert "llama · smollm2-135m, a demo model" == found[0]
    assert ["llama", "qwen_coder", "hermes", "summary"] == [name.partition(" · ")[0] for name in found][:4]
    assert not [name for name in found if name.startswith("vision")]
    more = reader.page.locator("#model option small").first
    await expect(more).to_have_text(re.compile(r"135 M parameters · \d+ MB · Q\w+ · reads 4,096 tokens · uses tools"))
    assert "llama · smollm2-135m, a demo model · 135 M" in (await reader.page.locator("#model").get_attribute("title") or "")


async def test_what_can_see_is_offered_as_vision(serve: Serve, sit: Sit) -> None:
    """And a model that answers itself has its name alone, with what it can do as far as that is known."""
    provider = ScriptedProvider(vision=True, models=["own", "vision"])
    provider.capabilities = msgspec.structs.replace(provider.capabilities, reasoning=True, context=1)
    reader = await sit(await serve(provider))

    assert ["own", "vision"] == await names(reader)
    await expect(reader.page.locator("#model option small").first).to_have_text("reads 1 token · sees images · thinks")


@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark"}, PHONE])
async def test_the_open_menu(options: Any, engine: Listening, sit: Sit) -> None:
    """It can be read and used with the keyboard, stays within the window, and axe-core finds nothing wrong."""
    reader = await sit(engine, reduced_motion="reduce", **options)
    await reader.page.locator("#model").click()
    second = reader.page.locator("#model option").nth(1)
    box = await second.bounding_box()
    assert box is not None
    width = await reader.page.evaluate("innerWidth")
    for text in await reader.page.locator("#model option small").all():
        assert await text.evaluate("(small) => small.scrollWidth <= small.parentElement.clientWidth")
    assert (box["x"] >= 0, box["x"] + box["width"] <= width, box["height"] > 40) == (True, True, True)
    assert [] == await complaints(reader)

    await reader.page.keyboard.press("ArrowDown")
    await reader.page.keyboard.press("Enter")

    await expect(reader.page.locator("#model")).to_have_value("qwen_coder")
    await expect(reader.page.locator("#model selectedcontent span")).to_contain_text("qwen_coder")


async def without(reader: Reader, model: str) -> None:
    """From now on the list of models lacks that one."""

    async def fulfil(route: Route) -> None:
        document = await (await route.fetch()).json()
        document["data"] = [each for each in document["data"] if each["id"] != model]
        await route.fulfill(body=json.dumps(document), content_type="application/json")

    await reader.context.route("**/v1/models", fulfil)


async def test_a_model_that_is_gone_is_told_and_replaced(serve: Serve, sit: Sit) -> None:
    """The next question goes to one that is there, and not in silence."""
    provider = ScriptedProvider()
    reader = await sit(await serve(provider))
    await reader.page.get_by_label("Model").select_option("hermes")
    await reader.ask("Hello")
    await reader.whole()
    await without(reader, "hermes")

    await reader.page.reload()

    await expect(reader.page.locator("#notice")).to_contain_text("hermes is not served here any more. llama answers now")
    await reader.ask("And now?")
    await expect(reader.page.locator(".answer")).to_have_count(2)
    await reader.whole()
    assert ["hermes", "llama"] == [call.model for call in provider.calls]


async def test_no_model_is_said_to_be_gone_where_there_was_none(serve: Serve, sit: Sit) -> None:
    """What was asked before the page knew any model named none."""
    reader = await sit(await serve(api_keys=["sesame"]), open=False)
    await reader.page.goto(reader.url)
    await reader.page.get_by_label("Key", exact=True).press("Escape")
    await reader.ask("Hello")

    await reader.answer.get_by_role("button", name="Give a key").click()
    await reader.page.get_by_label("Key", exact=True).fill("sesame")
    await reader.button("Use it").click()

    await expect(reader.text).to_have_text("Hello world")
    await expect(reader.page.locator("#notice")).to_have_text("")


async def test_a_list_that_is_out_of_date_is_read_again(serve: Serve, sit: Sit) -> None:
    """A page may be open for days: where a model turns out to be gone, the menu shows what there is."""
    reader = await sit(await serve())
    await reader.page.get_by_label("Model").select_option("hermes")
    gone = {"message": "there is no hermes", "code": "model_not_found"}
    await reader.context.route(
        "**/v1/chat/completions",
        lambda route: route.fulfill(status=404, body=json.dumps({"error": gone}), content_type="application/json"),
    )
    await without(reader, "hermes")

    await reader.ask("Hello")

    await expect(reader.answer.locator(".trouble")).to_contain_text("This model is not served here.")
    await expect(reader.page.locator("#model option")).to_have_count(3)
    await expect(reader.page.locator("#model")).to_have_value("llama")


# ---- how much is taken


def counted(prompt: int, completion: int) -> list[Any]:
    return ["Hello", FinishReason("stop", "finish_reason", Usage(prompt, completion))]


async def test_how_much_of_the_context_is_taken_is_shown(serve: Serve, sit: Sit) -> None:
    """What the last answer counted, of what the model reads at once; a warning where it is nearly full."""
    provider = ScriptedProvider(counted(300, 12), counted(850, 20), answer("uncounted"))
    provider.capabilities = msgspec.structs.replace(provider.capabilities, context=1024)
    reader = await sit(await serve(provider))
    meter = reader.page.locator("#meter")
    await expect(meter).to_be_hidden()

    await reader.ask("One")
    await expect(meter).to_have_text("312 of 1,024 tokens")
    await expect(meter).not_to_have_class("meter full")
    await reader.ask("Two")
    await expect(meter).to_have_text("870 of 1,024 tokens")
    await expect(meter).to_have_class("meter full")
    await expect(meter).to_have_attribute(
        "title", "Nearly all that the model can read at once. Begin a new conversation soon, or edit an earlier message."
    )
    assert [] == await complaints(reader)
    await reader.ask("Three")
    await reader.whole()
    await expect(meter).to_have_text("870 of 1,024 tokens")
    await reader.button("New conversation").click()

    await expect(meter).to_be_hidden()


async def test_where_the_context_is_not_known_the_tokens_are_shown(serve: Serve, sit: Sit) -> None:
    """Without a ring, which would need the whole."""
    reader = await sit(await serve(ScriptedProvider(counted(1, 0))))

    await reader.ask("One")

    await expect(reader.page.locator("#meter")).to_have_text("1 token")
    await expect(reader.page.locator(".ring")).to_be_hidden()
