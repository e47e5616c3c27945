"""What a question can come with: a template, images, weights of one's own."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from autonomousai.testing import Request, ScriptedServer
from tests.support.program import CTRL_D, OnTerminal, run

PNG = b"\x89PNG\r\n\x1a\nthe rest"
TEMPLATE = 'system = "Be strict."\nprompt = "Review:\\n$input"\nmodel = "hermes"\n[fields]\ntemperature = 0\nstop = ["x"]\n'


def sent(request: Request) -> Any:
    """The messages that a request carries."""
    return json.loads(base64.b64decode(request.json()["messages"]))


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A template called review, where a person keeps it."""
    path = tmp_path / ".config" / "autonomousai" / "templates" / "review.toml"
    path.parent.mkdir(parents=True)
    path.write_text(TEMPLATE)
    return path


async def test_a_template_asks(template: Path, env: dict[str, str]) -> None:
    """System message, model, fields and the prompt around what is asked; options go over them."""
    async with ScriptedServer() as server:
        options = ["--base-url", server.url, "-t", "review"]
        await run("chat", *options, "this", env=env, given=b"+ new\n")
        await run("chat", *options, "--model", "llama", "--system", "", "--temperature", "1", "x", env=env)
    first, second = server.requests

    assert ("/api/v1/ai/chat-hermes", 0, ["x"]) == (first.path, first.json()["temperature"], first.json()["stop"])
    assert ["Be strict.", "Review:\nthis\n\n+ new"] == [message["content"] for message in sent(first)]
    assert ("/api/v1/ai/chat", 1) == (second.path, second.json()["temperature"])
    assert ["Review:\nx"] == [message["content"] for message in sent(second)]


async def test_a_template_that_needs_nothing_asks_by_itself(template: Path, env: dict[str, str]) -> None:
    """A prompt without $input is a question, and what is asked beside it stands behind it."""
    template.write_text('prompt = "Name a colour."')
    async with ScriptedServer() as server:
        async with OnTerminal("chat", "--base-url", server.url, "-t", "review", env=env) as terminal:
            await terminal.sees("Hello world")
            await terminal.ends()
        await run("chat", "--base-url", server.url, "-t", "review", "Not red.", env=env)

    assert ["Name a colour.", "Name a colour.\n\nNot red."] == [sent(request)[0]["content"] for request in server.requests]


async def test_who_has_no_template_is_told_how_to_make_one(env: dict[str, str]) -> None:
    """Not silence; and nothing on standard output."""
    ended = await run("templates", env=env)

    assert (0, "") == (ended.code, ended.out)
    assert "there is no template yet; `autonomousai templates edit NAME` makes one" in ended.err


async def test_in_a_conversation_a_template_is_around_each_question(template: Path, env: dict[str, str]) -> None:
    """A translator translates every line."""
    async with ScriptedServer() as server, OnTerminal("chat", "--base-url", server.url, "-t", "review", env=env) as terminal:
        for line in ("one", "two"):
            await terminal.sees("hermes>")
            terminal.types(line)
            await terminal.sees("Hello world")
        terminal.types("", key=CTRL_D)
        await terminal.ends()

    assert ["Review:\none", "Hello world", "Review:\ntwo"] == [each["content"] for each in sent(server.requests[1])[1:]]


async def test_a_template_that_cannot_be_used_is_named(template: Path, env: dict[str, str]) -> None:
    """In the list, with what is wrong; the others are there as ever."""
    template.with_name("broken.toml").write_text("promt = 'x'")
    listed = await run("templates", env=env)

    assert (0, "broken\nreview\n") == (listed.code, listed.out)
    assert "broken cannot be used" in listed.err
    assert "promt" in listed.err


async def test_templates_are_listed_shown_found_and_edited(template: Path, env: dict[str, str]) -> None:
    """The whole life of a template; the editor gets a file that explains itself."""
    listed = await run("templates", env=env)
    shown = await run("templates", "show", "review", env=env)
    path = await run("templates", "path", "new", env=env)
    edited = await run("templates", "edit", "new", env={**env, "VISUAL": "", "EDITOR": "sed -i s/strict/kind/"})
    unedited = await run("templates", "edit", "new", env={**env, "VISUAL": "", "EDITOR": ""})

    assert ["review\n", TEMPLATE, f"{template.with_name('new.toml')}\n"] == [listed.out, shown.out, path.out]
    assert (0, "", "") == edited
    assert "You are a kind reviewer" in template.with_name("new.toml").read_text()
    assert (0, path.out) == (unedited.code, unedited.out)
    assert "set VISUAL or EDITOR" in unedited.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("promt = 'x'", "promt: there is no such key; known here: system, prompt, model, fields"),
        ("prompt = 3", "review.toml: prompt: expected text in quotes, not a whole number"),
        ("= 3", "is not TOML"),
        ("[fields]\napi_key = 'x'", "fields.api_key: is no request field that a template can set"),
    ],
)
async def test_a_mistake_in_a_template_is_named(text: str, words: str, template: Path, env: dict[str, str]) -> None:
    """With its file and its key, and the exit code of what must be set up."""
    template.write_text(text)
    ended = await run("chat", "-t", "review", "x", env=env)

    assert (3, "") == (ended.code, ended.out)
    assert words in ended.err


async def test_a_template_that_is_not_there_is_named(template: Path, env: dict[str, str]) -> None:
    """And so are those that are; what is no name cannot leave the directory."""
    missing = await run("chat", "-t", "rewiev", "x", env=env)
    outside = await run("chat", "-t", "../../x", "x", env=env)

    assert (3, 3) == (missing.code, outside.code)
    assert "there is no template 'rewiev'; there are: review." in missing.err
    assert missing.err.endswith("; did you mean review?\n")
    assert "a template cannot be called '../../x'" in outside.err


# Images


@pytest.mark.parametrize(
    ("data", "kind"),
    [(PNG, "png"), (b"\xff\xd8\xff\xe0x", "jpeg"), (b"GIF89ax", "gif"), (b"RIFF\0\0\0\0WEBPx", "webp")],
)
async def test_an_image_goes_with_the_question(data: bytes, kind: str, env: dict[str, str], tmp_path: Path) -> None:
    """By what its first bytes say, not by its name; the model that sees is asked where none was named."""
    path = tmp_path / "picture.txt"
    path.write_bytes(data)
    async with ScriptedServer() as server:
        ended = await run("chat", "--base-url", server.url, "--image", str(path), "--image", str(path), "What?", env=env)
    (request,) = server.requests
    (message,) = sent(request)
    image = {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{base64.b64encode(data).decode()}"}}

    assert (0, "Hello world\n", "") == ended
    assert "vision" == request.json()["aiAgent"]
    assert [{"type": "text", "text": "What?"}, image, image] == message["content"]


async def test_in_a_conversation_an_image_goes_with_the_next_question(env: dict[str, str], tmp_path: Path) -> None:
    """`/image` attaches one, once."""
    (tmp_path / "cat.png").write_bytes(PNG)
    async with ScriptedServer() as server, OnTerminal("chat", "--base-url", server.url, env=env) as terminal:
        await terminal.sees("llama>")
        terminal.types("/image ~/dog.png")
        await terminal.sees("cannot be read")
        terminal.types("/image ~/cat.png")
        await terminal.sees("it goes with the next question")
        for line in ("one", "two"):
            await terminal.sees("llama>")
            terminal.types(line)
            await terminal.sees("Hello world")
    messages = sent(server.requests[1])

    assert ["text", "image_url"] == [part["type"] for part in messages[0]["content"]]
    assert "two" == messages[2]["content"]


@pytest.mark.parametrize(
    ("data", "words"),
    [(None, "cannot be read (No such file or directory)"), (b"text", "is no PNG, JPEG, GIF or WebP file"), (b"", "is no PNG")],
)
async def test_what_is_no_image_is_said(data: bytes | None, words: str, env: dict[str, str], tmp_path: Path) -> None:
    """Nothing is sent then."""
    path = tmp_path / "x.png"
    if data is not None:
        path.write_bytes(data)
    async with ScriptedServer() as server:
        ended = await run("chat", "--base-url", server.url, "--image", str(path), "What?", env=env)

    assert (2, "", []) == (ended.code, ended.out, server.requests)
    assert f"--image {path}: {words}" in ended.err


async def test_an_image_too_large_is_said(env: dict[str, str], tmp_path: Path) -> None:
    """Before it is sent to a server that would refuse it."""
    path = tmp_path / "x.png"
    path.write_bytes(PNG + bytes(15_000_000))
    ended = await run("chat", "--base-url", "http://127.0.0.1:9", "--image", str(path), "What?", env=env)

    assert 2 == ended.code
    assert "is larger than 14 MB" in ended.err


async def test_the_engine_cannot_see(env: dict[str, str], tmp_path: Path) -> None:
    """Said before anything is fetched or loaded, with what would help."""
    path = tmp_path / "x.png"
    path.write_bytes(PNG)
    ended = await run("chat", "--image", str(path), "What?", env=env)

    assert (2, "") == (ended.code, ended.out)
    assert "no model on this machine can see images; name a server that has one with --base-url" in ended.err
    assert "fetching" not in ended.err


async def test_a_server_that_cannot_see_says_so(real_server: str, env: dict[str, str], tmp_path: Path) -> None:
    """Our own server's words reach the person."""
    path = tmp_path / "x.png"
    path.write_bytes(PNG)
    ended = await run("chat", "--base-url", real_server, "--image", str(path), "What?", env=env)

    assert (1, "") == (ended.code, ended.out)
    assert "can see" in ended.err


@pytest.mark.parametrize("option", [["--weights", "x.gguf"], ["--context", "100"]])
async def test_the_engines_options_are_not_for_servers(option: list[str], env: dict[str, str]) -> None:
    """A server chooses its own weights."""
    ended = await run("chat", "--base-url", "http://127.0.0.1:9", *option, "x", env=env)

    assert 2 == ended.code
    assert f"{option[0]} is for the engine on this machine" in ended.err
