"""The settings of a conversation: what is set is sent, what is not set is not, what is wrong is told at its field."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.async_api import expect

from autonomousai.testing import ScriptedProvider
from tests.support.browser import Reader

from .conftest import Serve, Sit
from .test_looks import PHONE, complaints

pytestmark = pytest.mark.asyncio(loop_scope="package")

SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}}


async def open_settings(reader: Reader, *, more: bool = False) -> None:
    """Open the dialog; and its second part, which is closed where nothing in it is set."""
    await reader.button("Settings of this conversation").click()
    if more:
        await reader.page.locator("#more-settings summary").click()


async def choose(reader: Reader, values: dict[str, str]) -> None:
    """Write into the fields by their labels."""
    for label, value in values.items():
        await reader.page.get_by_label(label, exact=True).fill(value)


async def test_what_is_set_is_sent_and_nothing_else(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """Each field with its value; and none of them where they are left empty again."""
    reader = await sit(await serve())
    await open_settings(reader, more=True)
    await choose(
        reader, {"Temperature": "0.5", "Top p": "0.9", "Greatest length": "7", "Seed": "-3", "Stop at": "END\n\n\\n\\n#\n"}
    )
    await reader.page.get_by_label("Answers as").select_option("JSON")
    await reader.button("Save").click()
    await reader.ask("Hello")
    await reader.whole()
    await open_settings(reader)
    await expect(reader.page.get_by_label("Stop at")).to_have_value("END\n\\n\\n#")
    await choose(reader, {"Temperature": "", "Top p": "", "Greatest length": "", "Seed": "", "Stop at": ""})
    await reader.page.get_by_label("Answers as").select_option("Text")
    await reader.button("Save").click()

    await reader.ask("Again")
    await reader.whole()

    first, second = (call.kwargs for call in provider.calls)
    set_fields = {"temperature", "top_p", "max_tokens", "seed", "stop", "response_format"}
    expected: dict[str, Any] = {"temperature": 0.5, "top_p": 0.9, "max_tokens": 7, "seed": -3, "stop": ["END", "\n\n#"]}
    expected["response_format"] = {"type": "json_object"}
    assert expected == {name: value for name, value in first.items() if name in set_fields}
    assert set() == set_fields & set(second)


async def test_json_of_a_schema(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """It is sent as the server knows it, and outlives a reload and an export."""
    reader = await sit(await serve())
    await open_settings(reader, more=True)
    await reader.page.get_by_label("Answers as").select_option("JSON of a schema")
    await choose(reader, {"JSON schema": json.dumps(SCHEMA)})
    await reader.button("Save").click()
    await reader.ask("Hello")
    await reader.whole()

    await reader.page.reload()
    await reader.ask("Again")
    await reader.whole()
    async with reader.page.expect_download() as downloading:
        await reader.button("Export all").click()
    document = json.loads((await (await downloading.value).path()).read_text(encoding="utf-8"))

    expected = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}
    assert [expected, expected] == [call.kwargs["response_format"] for call in provider.calls]
    settings = document["conversations"][0]["settings"]
    assert ("json_schema", SCHEMA) == (settings["format"], json.loads(settings["schema"]))


WRONG = {
    "Temperature": ("3", "Write a number from 0 to 2, or leave it empty."),
    "Top p": ("-0.1", "Write a number from 0 to 1, or leave it empty."),
    "Greatest length": ("0", "Write a whole number from 1, or leave it empty."),
    "Seed": ("1.5", "Write a whole number, or leave it empty."),
    "JSON schema": ("[1]", 'This is no JSON schema: write an object, such as { "type": "object" }.'),
}


async def test_wrong_values_are_told_at_their_fields(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """All of them at once; the first has the focus; nothing is saved before they are right."""
    reader = await sit(await serve(), reduced_motion="reduce")
    await open_settings(reader, more=True)
    await reader.page.get_by_label("Answers as").select_option("JSON of a schema")
    await choose(reader, {label: value for label, (value, _) in WRONG.items()})
    await reader.page.locator("#more-settings summary").click()

    await reader.button("Save").click()

    for label, (_, words) in WRONG.items():
        field = reader.page.get_by_label(label, exact=True)
        await expect(field).to_be_visible()
        await expect(field).to_have_attribute("aria-invalid", "true")
        await expect(field).to_have_accessible_description(words + await help_of(reader, label))
    await expect(reader.page.get_by_label("Temperature")).to_be_focused()
    assert [] == await complaints(reader)
    await reader.page.keyboard.press("Escape")
    await reader.ask("Hello")
    await reader.whole()
    assert not {"top_p", "seed", "response_format"} & set(provider.calls[0].kwargs)
    await open_settings(reader)
    await expect(reader.page.locator(".wrong:visible")).to_have_count(0)


async def test_a_type_that_no_schema_has_is_told(serve: Serve, sit: Sit) -> None:
    """However deep it stands; a property that is called "type" is none."""
    reader = await sit(await serve())
    await open_settings(reader, more=True)
    await reader.page.get_by_label("Answers as").select_option("JSON of a schema")
    deep = {"type": "object", "properties": {"type": {"type": ["string", "null"]}, "b": {"items": {"type": "nonsense"}}}}
    for schema, wrong in (({"type": "text"}, '"text"'), (deep, '"nonsense"')):
        await choose(reader, {"JSON schema": json.dumps(schema)})
        await reader.button("Save").click()
        await expect(reader.page.locator("#schema-wrong")).to_contain_text(f"{wrong} is no type of a JSON schema")

    deep["properties"]["b"] = {"enum": ["nonsense"]}  # type: ignore[index]
    await choose(reader, {"JSON schema": json.dumps(deep)})
    await reader.button("Save").click()

    await expect(reader.page.locator("#settings")).to_be_hidden()


async def help_of(reader: Reader, label: str) -> str:
    """What is said below a field in any case."""
    name = {"Temperature": "temperature", "Top p": "top-p", "Greatest length": "max-tokens", "Seed": "seed"}.get(label)
    return "" if name is None else " " + await reader.page.locator(f"#{name}-help").inner_text()


async def test_system_prompts_are_saved_under_names(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """Saved, chosen in another conversation, over a reload, and deleted."""
    reader = await sit(await serve())
    saved = reader.page.get_by_label("Saved prompts")
    await open_settings(reader)
    await expect(saved).to_be_disabled()
    await choose(reader, {"System prompt": "Answer as a pirate."})
    await reader.button("Save as …").click()
    await reader.page.get_by_label("Name").fill("Pirate")
    await reader.page.keyboard.press("Enter")
    await expect(saved).to_have_value("Pirate")
    assert [] == await complaints(reader)
    await reader.page.keyboard.press("Escape")

    await reader.page.reload()
    await open_settings(reader)
    await expect(reader.page.get_by_label("System prompt", exact=True)).to_have_value("")
    await saved.select_option("Pirate")
    await reader.button("Save").click()
    await reader.ask("Hello")
    await reader.whole()
    assert {"role": "system", "content": "Answer as a pirate."} == provider.calls[0].messages[0]

    await open_settings(reader)
    await reader.button("Delete it").click()
    await expect(saved).to_be_disabled()
    await expect(reader.page.get_by_label("System prompt", exact=True)).to_have_value("Answer as a pirate.")


async def test_the_settings_fit_a_phone(serve: Serve, sit: Sit) -> None:
    """With all that can be set open: nothing sticks out, and the last button can be reached."""
    reader = await sit(await serve(), reduced_motion="reduce", **PHONE)
    await open_settings(reader, more=True)
    await reader.page.get_by_label("Answers as").select_option("JSON of a schema")

    assert await reader.page.locator("#settings").evaluate("(box) => box.scrollWidth <= box.clientWidth")
    assert [] == await complaints(reader)
    await reader.button("Save").tap()
    await expect(reader.page.locator("#schema-wrong")).to_be_visible()
