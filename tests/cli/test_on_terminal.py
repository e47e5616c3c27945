"""`autonomousai chat PROMPT` on a pseudo-terminal: what is drawn there and what is not."""

from __future__ import annotations

import pytest

from autonomousai.testing import Head, Pause, Script, ScriptedServer, Send, chunks
from tests.support.program import CTRL_C, OnTerminal, plain

QUESTION = "Why is the sky blue?"


async def test_control_characters_of_the_model_do_not_reach_the_terminal(env: dict[str, str]) -> None:
    """Escape sequences in an answer, whole or split between events, come out as harmless text; newline and tab stay."""
    answer = ("\x1b]0;title\x07 \x1b", "[2J \x9b31m \x08\r", "a\tb\nc\x7f")
    async with (
        ScriptedServer(Script.stream(*answer, model="m")) as server,
        OnTerminal("chat", "--base-url", server.url, QUESTION, env={**env, "TERM": "dumb"}) as terminal,
    ):
        code, shown = await terminal.ends()

    assert 0 == code
    assert "]0;title [2J 31m a\tb\nc\nautonomousai: m answered as llama\n" == shown.replace("\r\n", "\n")


async def test_control_characters_of_a_server_do_not_reach_the_terminal(env: dict[str, str]) -> None:
    """Neither an error's message nor a model's name can carry an escape sequence through."""
    error = {"error": {"message": "bad\x1b]0;title\x07\x9b2J", "type": "x", "param": None, "code": None}}
    async with ScriptedServer(Script.status(400, error), Script.stream("Hi", model="m\x1b[2J", finish="\x1b[3J")) as server:
        async with OnTerminal("chat", "--base-url", server.url, QUESTION, env={**env, "TERM": "dumb"}) as terminal:
            _, first = await terminal.ends()
        async with OnTerminal("chat", "--base-url", server.url, QUESTION, env={**env, "TERM": "dumb"}) as terminal:
            _, second = await terminal.ends()

    assert "]0;title" in first
    assert "m[2J answered as llama" in second
    assert not {"\x1b", "\x07", "\x9b"} & set(first + second)


async def test_json_on_a_terminal_is_escaped(env: dict[str, str]) -> None:
    """`--json` on a terminal stays JSON, and harmless."""
    async with (
        ScriptedServer(Script.stream("\x1b[2J\x9b")) as server,
        OnTerminal("chat", "--base-url", server.url, "--json", QUESTION, env={**env, "TERM": "dumb"}) as terminal,
    ):
        _, shown = await terminal.ends()

    assert '{"type":"text","text":"\\u001b[2J\\u009b"}' == shown.splitlines()[0]


async def test_a_spinner_turns_until_the_first_word(env: dict[str, str]) -> None:
    """Something moves while the server thinks, and is gone when the answer begins."""
    pause = Pause()
    async with (
        ScriptedServer(Script.slow_first_token(pause, "Because.")) as server,
        OnTerminal("chat", "--base-url", server.url, QUESTION, env=env) as terminal,
    ):
        await terminal.sees("waiting for the first word")
        pause.release()
        erased = await terminal.sees("Because.")
        code, _ = await terminal.ends()

    assert 0 == code
    assert erased.endswith("\r\x1b[K")


async def test_no_color_is_honoured(env: dict[str, str]) -> None:
    """With NO_COLOR set nothing is coloured; without it an error is."""
    shown = {}
    async with ScriptedServer(Script.status(400)) as server:
        for no_color in ("", "1"):
            named = {**env, "NO_COLOR": no_color}
            async with OnTerminal("chat", "--base-url", server.url, QUESTION, env=named) as terminal:
                _, shown[no_color] = await terminal.ends()

    assert "\x1b[31;1merror:\x1b[0m" in shown[""]
    assert "m" not in [match[-1] for match in shown["1"].split("\x1b")[1:] if match[:1] == "["]
    assert "autonomousai: error: " in shown["1"]


async def test_a_dumb_terminal_gets_no_escape_sequence(env: dict[str, str]) -> None:
    """With TERM=dumb nothing is drawn or coloured: text alone."""
    async with (
        ScriptedServer(Script.stream("Hi", finish="length", model="m")) as server,
        OnTerminal("chat", "--base-url", server.url, QUESTION, env={**env, "TERM": "dumb"}) as terminal,
    ):
        _, shown = await terminal.ends()

    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("length", "the answer was cut at its length limit; --max-tokens raises it"),
        ("content_filter", "the answer ended for the reason 'content_filter'"),
    ],
)
async def test_an_unusual_end_is_noted(reason: str, words: str, env: dict[str, str]) -> None:
    """On a terminal a person learns that an answer was cut, and who answered."""
    async with (
        ScriptedServer(Script.stream("Because", finish=reason, model="some-model")) as server,
        OnTerminal("chat", "--base-url", server.url, QUESTION, env=env) as terminal,
    ):
        code, shown = await terminal.ends()

    assert 0 == code
    assert f"Because\nautonomousai: {words}\nautonomousai: some-model answered as llama\n" == plain(shown)


async def test_reasoning_stands_apart_from_the_answer(env: dict[str, str]) -> None:
    """Reasoning is shown before the answer, dim, and separated from it."""
    script = Script.stream({"reasoning_content": "Let me "}, {"reasoning_content": "think."}, "Because.", model="m")
    async with (
        ScriptedServer(script) as server,
        OnTerminal("chat", "--base-url", server.url, QUESTION, env=env) as terminal,
    ):
        _, shown = await terminal.ends()

    assert "Let me think.\n\nBecause.\nautonomousai: m answered as llama\n" == plain(shown)


async def test_ctrl_c_stops_the_answer_and_leaves_a_clean_line(env: dict[str, str]) -> None:
    """Ctrl-C closes the request, and the shell's prompt can come on a line of its own."""
    async with (
        ScriptedServer(Script.stall("Because")) as server,
        OnTerminal("chat", "--base-url", server.url, QUESTION, env=env) as terminal,
    ):
        await terminal.sees("Because")
        terminal.types("", key=CTRL_C)
        code, shown = await terminal.ends()
        end = await server.requests[0].over()

    assert (130, "left") == (code, end)
    assert plain(shown).endswith("\n")
    assert "Traceback" not in shown


async def test_a_cut_answer_is_an_error_on_a_line_of_its_own(env: dict[str, str]) -> None:
    """The beginning of an answer and the reason why there is no more do not run into one another."""
    script = Script(Head(), Send(chunks("Because", finish=None, done=False)))
    async with (
        ScriptedServer(script) as server,
        OnTerminal("chat", "--base-url", server.url, QUESTION, env=env) as terminal,
    ):
        code, shown = await terminal.ends()

    assert 4 == code
    assert plain(shown).startswith("Because\nautonomousai: error: the stream ended without")
