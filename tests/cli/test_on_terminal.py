"""`autonomousai chat PROMPT` on a pseudo-terminal: what is drawn there and what is not."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from autonomousai.events import Usage
from autonomousai.testing import Head, Pause, Script, ScriptedServer, Send, chunks
from tests.support.program import CTRL_C, PROGRAM, OnTerminal, plain

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
        ("MAX_TOKENS", "the answer was cut at its length limit; --max-tokens raises it"),
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


@pytest.mark.parametrize("reason", ["STOP", "eos_token", "end_turn"])
async def test_a_usual_end_is_not_noted(reason: str, env: dict[str, str]) -> None:
    """Whatever the server's word for it is."""
    async with (
        ScriptedServer(Script.stream("Because", finish=reason, model="llama")) as server,
        OnTerminal("chat", "--base-url", server.url, QUESTION, env=env) as terminal,
    ):
        code, shown = await terminal.ends()

    assert (0, "Because\n") == (code, plain(shown))


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


@pytest.mark.parametrize("program", [" ".join(PROGRAM), f"{sys.executable} {Path(sys.executable).parent / 'autonomousai'}"])
async def test_ctrl_c_ends_the_loop_of_a_shell_too(program: str, env: dict[str, str]) -> None:
    """A shell goes on with its loop unless the signal has ended the program, whatever the exit code says."""
    async with ScriptedServer(Script.stall("Because")) as server:
        loop = f"for i in 1 2; do {program} chat --base-url {server.url} {QUESTION!r}; echo round $i; done"
        async with OnTerminal("-c", loop, env=env, program=("bash",)) as terminal:
            await terminal.sees("Because")
            terminal.types("", key=CTRL_C)
            code, shown = await terminal.ends()

    assert 130 == code
    assert "round" not in shown
    assert "Traceback" not in shown
    assert 1 == len(server.requests)


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


ANSWER = (
    *("# Ti", "tle\n\nSome **bo", "ld** words", "\n\n```python\ndef f(): pass\n```\n"),
    *("| a | b |\n|---|---|\n", "| 1 | 2 |"),
)


async def test_markdown_is_drawn_as_it_streams(env: dict[str, str]) -> None:
    """Titles, bold words, code and tables are drawn, whatever pieces they come in."""
    async with (
        ScriptedServer(Script.stream(*ANSWER)) as server,
        OnTerminal("chat", "--base-url", server.url, QUESTION, env=env) as terminal,
    ):
        _, shown = await terminal.ends()

    assert "\x1b[1mbold\x1b[0m" in shown
    assert "\x1b[35mdef\x1b[0m" in shown
    assert "Title\n\nSome bold words\n\n```python\ndef f(): pass\n```\na │ b\n──┼──\n1 │ 2\n" in plain(shown)


@pytest.mark.parametrize(("option", "more"), [("--plain", {}), ("--no-history", {"TERM": "dumb"})])
async def test_markdown_stays_as_it_is_where_that_is_wanted(option: str, more: dict[str, str], env: dict[str, str]) -> None:
    """With --plain, and on a terminal that can draw nothing, the text is shown as it came."""
    async with (
        ScriptedServer(Script.stream(*ANSWER)) as server,
        OnTerminal("chat", "--base-url", server.url, option, QUESTION, env={**env, **more}) as terminal,
    ):
        _, shown = await terminal.ends()

    assert "".join(ANSWER) in plain(shown)


async def test_something_moves_while_a_table_comes(env: dict[str, str]) -> None:
    """A table can be drawn only when it is whole; until then there is a sign of life, and no trace of it afterwards."""
    pause = Pause()
    script = Script(
        Head(),
        Send(chunks("| a | b |\n|---|---|\n| 1 ", finish=None, done=False)),
        pause,
        Send(chunks("| 2 |\nand on", finish="stop")),
    )
    async with (
        ScriptedServer(script) as server,
        OnTerminal("chat", "--base-url", server.url, QUESTION, env=env) as terminal,
    ):
        await terminal.sees("a table is coming")
        pause.release()
        erased = await terminal.sees("a\x1b[0m")
        _, shown = await terminal.ends()

    assert erased.endswith("\r\x1b[K\x1b[1m")
    assert "1 │ 2\nand on\n" in plain(shown)


async def test_what_was_held_back_is_shown_when_the_answer_is_stopped(env: dict[str, str]) -> None:
    """Ctrl-C in the midst of a bold word keeps every letter that had come."""
    async with (
        ScriptedServer(Script.stall("Some **bo")) as server,
        OnTerminal("chat", "--base-url", server.url, QUESTION, env=env) as terminal,
    ):
        await terminal.sees("Some ")
        terminal.types("", key=CTRL_C)
        code, shown = await terminal.ends()

    assert 130 == code
    assert "**bo\n" in plain(shown)


async def test_the_end_tells_how_fast_it_was(env: dict[str, str]) -> None:
    """On a terminal: how many tokens, and how many a second."""
    script = Script.stream("one ", "two", usage=Usage(3, 1200), model="m")
    async with (
        ScriptedServer(script) as server,
        OnTerminal("chat", "--base-url", server.url, QUESTION, env=env) as terminal,
    ):
        _, shown = await terminal.ends()

    assert re.search(r"autonomousai: m answered as llama; 1200 tokens(, \d+ a second)?\n$", plain(shown))
