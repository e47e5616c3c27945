"""The conversation, on a pseudo-terminal with real keys, against a scripted server."""

from __future__ import annotations

import base64
import json
import os
import shlex
import signal
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from autonomousai.cli.chat.context import is_same_model
from autonomousai.testing import Head, Pause, Request, Script, ScriptedServer, Send, chunks
from tests.support.program import ALT_ENTER, CTRL_C, CTRL_D, CTRL_Z, PROGRAM, TAB, UP, OnTerminal, plain, run, without

PROMPT = "llama>"


def sent(request: Request) -> Any:
    """The messages that a request carries."""
    return json.loads(base64.b64decode(request.json()["messages"]))


def talk(server: ScriptedServer, env: dict[str, str], *options: str) -> OnTerminal:
    """A conversation with the scripted server."""
    return OnTerminal("chat", "--base-url", server.url, *options, env=env)


async def test_what_was_said_is_remembered(env: dict[str, str]) -> None:
    """The second question is sent behind the first one and its answer, and all behind the system message."""
    async with ScriptedServer(Script.stream("Hello Ann."), Script.stream("Ann.")) as server:
        async with talk(server, env, "--system", "Be brief.") as terminal:
            await terminal.sees(PROMPT)
            terminal.types("My name is Ann.")
            await terminal.sees("Hello Ann.")
            await terminal.sees(PROMPT)
            terminal.types("What is my name?")
            await terminal.sees("Ann.")
            await terminal.sees(PROMPT)
            terminal.types("", key=CTRL_D)
            code, _ = await terminal.ends()

    assert 0 == code
    assert [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "My name is Ann."},
        {"role": "assistant", "content": "Hello Ann."},
        {"role": "user", "content": "What is my name?"},
    ] == sent(server.requests[1])


async def test_who_answers_is_said_at_the_beginning(env: dict[str, str]) -> None:
    """A conversation opens with the server it is held with, and a word on how to leave it."""
    async with ScriptedServer() as server, talk(server, env) as terminal:
        opening = plain(await terminal.sees(PROMPT))

    assert f"autonomousai: using llama at {server.url}\nautonomousai: /help shows the commands, Ctrl-D leaves\n" == opening


async def test_ctrl_z_suspends_the_program(env: dict[str, str]) -> None:
    """As in other programs: the shell takes over, and `fg` comes back to the conversation."""
    async with ScriptedServer(Script.stream("three.")) as server:
        async with OnTerminal("--norc", "-i", env={**env, "PS1": "shell> "}, program=("bash",)) as terminal:
            await terminal.sees("shell>")
            terminal.types(f"{shlex.join(PROGRAM)} chat --base-url {server.url}")
            await terminal.sees(PROMPT)
            terminal.types("", key=CTRL_Z)
            await terminal.sees("Stopped")
            await terminal.sees("shell>")
            terminal.types("fg")
            await terminal.sees(PROMPT)
            terminal.types("Count")
            await terminal.sees("three.")
            await terminal.sees(PROMPT)
            terminal.types("", key=CTRL_D)
            await terminal.sees("shell>")
            terminal.types("exit $?")
            code, _ = await terminal.ends()

    assert 0 == code


async def test_ctrl_c_stops_the_answer_and_not_the_program(env: dict[str, str]) -> None:
    """The request is closed, what came is remembered, and the next question is answered."""
    async with ScriptedServer(Script.stall("One, two, "), Script.stream("three.")) as server, talk(server, env) as terminal:
        await terminal.sees(PROMPT)
        terminal.types("Count")
        await terminal.sees("One, two, ")
        terminal.types("", key=CTRL_C)
        await terminal.sees("stopped")
        end = await server.requests[0].over()
        await terminal.sees(PROMPT)
        terminal.types("Go on")
        await terminal.sees("three.")
        terminal.types("/quit")
        code, _ = await terminal.ends()

    assert (0, "left") == (code, end)
    assert ["Count", "One, two, ", "Go on"] == [message["content"] for message in sent(server.requests[1])]


async def test_a_question_that_got_no_word_is_withdrawn(env: dict[str, str]) -> None:
    """Stopped before the first word, a question is not sent again with the next one."""
    async with ScriptedServer("silence", Script.stream("Yes.")) as server, talk(server, env) as terminal:
        await terminal.sees(PROMPT)
        terminal.types("Are you there?")
        await server.request(0)
        terminal.types("", key=CTRL_C)
        await terminal.sees("stopped")
        await terminal.sees(PROMPT)
        terminal.types("And now?")
        await terminal.sees("Yes.")

    assert [{"role": "user", "content": "And now?"}] == sent(server.requests[1])


async def test_ctrl_c_twice_is_no_more_than_once(env: dict[str, str]) -> None:
    """An impatient second Ctrl-C does not end the program."""
    async with ScriptedServer(Script.stall("One"), Script.stream("Two.")) as server, talk(server, env) as terminal:
        await terminal.sees(PROMPT)
        terminal.types("Count")
        await terminal.sees("One")
        terminal.types(CTRL_C, key=CTRL_C)
        await terminal.sees("stopped")
        terminal.types("Go on")
        await terminal.sees("Two.")
        terminal.types("/quit")
        code, _ = await terminal.ends()

    assert 0 == code


async def test_ctrl_c_at_the_prompt_drops_the_line(env: dict[str, str]) -> None:
    """What was typed is not sent, and the conversation goes on."""
    async with ScriptedServer() as server, talk(server, env) as terminal:
        await terminal.sees(PROMPT)
        terminal.types("never mind", key=CTRL_C)
        await terminal.sees(PROMPT)
        terminal.types("Hello")
        await terminal.sees("Hello world")

    assert ["Hello"] == [message["content"] for message in sent(server.requests[0])]


async def test_a_failure_does_not_end_the_conversation(env: dict[str, str]) -> None:
    """The error is shown, and the next question is answered."""
    async with ScriptedServer(Script.status(400), Script.stream("Better.")) as server, talk(server, env) as terminal:
        await terminal.sees(PROMPT)
        terminal.types("Hello")
        await terminal.sees("scripted 400")
        await terminal.sees(PROMPT)
        terminal.types("Again")
        await terminal.sees("Better.")
        terminal.types("/quit")
        code, _ = await terminal.ends()

    assert 0 == code
    assert ["Again"] == [message["content"] for message in sent(server.requests[1])]


async def test_model_and_system_can_be_changed(env: dict[str, str]) -> None:
    """`/model` and `/system` hold for the questions after them; an unknown model changes nothing."""
    async with ScriptedServer() as server, talk(server, env) as terminal:
        await terminal.sees(PROMPT)
        terminal.types("/model hermes-3")
        await terminal.sees("using hermes")
        await terminal.sees("hermes>")
        terminal.types("/model gpt-9")
        await terminal.sees("model 'gpt-9' is not supported")
        terminal.types("/system Be kind.")
        await terminal.sees("system message: Be kind.")
        terminal.types("Hello")
        await terminal.sees("answered as hermes")
        terminal.types('/system ""')
        await terminal.sees("system message: the model's own")
        terminal.types("Bye")
        await terminal.sees("Hello world")

    assert ["hermes", "hermes"] == [request.json()["aiAgent"] for request in server.requests]
    assert [["Be kind.", "Hello"], ["Hello", "Hello world", "Bye"]] == [
        [message["content"] for message in sent(request)] for request in server.requests
    ]


async def test_model_alone_shows_the_models(env: dict[str, str]) -> None:
    """`/model` lists the five, and marks the one that is asked."""
    async with ScriptedServer() as server, talk(server, env) as terminal:
        await terminal.sees(PROMPT)
        terminal.types("/model")
        shown = plain(await terminal.sees("llama-3.2-70b"))

    assert "* llama       llama-3.3-70b" in shown
    assert "  qwen_coder  qwen-2.5-coder-32b" in shown


async def test_a_strangers_models_are_not_ours(env: dict[str, str]) -> None:
    """On OpenAI's wire the five are not listed, and who answers is a sentence where no model was named."""
    async with (
        ScriptedServer() as server,
        OnTerminal("chat", "--base-url", f"{server.url}/v1", env=env) as terminal,
    ):
        opening = plain(await terminal.sees("Ctrl-D leaves"))
        terminal.types("/model")
        shown = plain(await terminal.sees("lists what it has"))

    assert f"autonomousai: using the first model that it lists at {server.url}/v1\n" in opening
    assert "qwen_coder" not in shown


@pytest.mark.parametrize(
    ("asked", "answered", "same"),
    [
        ("gpt-4.1-mini", "gpt-4.1-mini-2025-04-14", True),
        ("claude-sonnet-4", "claude-sonnet-4-20250514", True),
        ("mistral-small", "mistral-small-2506", True),
        ("llama3.2", "llama3.2:latest", True),
        ("m", "m", True),
        ("gpt-4.1", "gpt-4.1-mini", False),
        ("llama", "smollm2-135m", False),
        ("llama3.2", "llama3.2:1b", False),
    ],
)
def test_a_version_is_no_other_model(asked: str, answered: str, same: bool) -> None:
    """Who answered is said where that is news."""
    assert same == is_same_model(asked, answered)


async def test_who_answers_is_said_once(env: dict[str, str]) -> None:
    """And again when another does."""
    answers = [Script.stream("x", model=model) for model in ("one", "one", "two")]
    async with ScriptedServer(*answers) as server, talk(server, env, "--wire", "openai", "-m", "m") as terminal:
        shown = ""
        for question in ("First", "Second", "Third"):
            shown += await terminal.sees("m>")
            terminal.types(question)
        shown += await terminal.sees("two answered as m")

    assert 1 == shown.count("one answered as m")


async def test_clear_forgets(env: dict[str, str]) -> None:
    """After `/clear` a question stands alone."""
    async with ScriptedServer() as server, talk(server, env) as terminal:
        await terminal.sees(PROMPT)
        terminal.types("One")
        await terminal.sees("answered as llama")
        terminal.types("/clear")
        await terminal.sees("forgotten")
        terminal.types("Two")
        await terminal.sees("Hello world")

    assert [{"role": "user", "content": "Two"}] == sent(server.requests[1])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("talk.md", "## system\n\nBe kind.\n\n## user\n\nHello\n\n## assistant\n\nHello world\n"),
        (
            "talk.json",
            [
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": "Hello"},
                {"role": "assistant", "content": "Hello world"},
            ],
        ),
    ],
)
async def test_save_writes_the_conversation(name: str, expected: Any, env: dict[str, str], tmp_path: Path) -> None:
    """`/save` writes Markdown or JSON, as the name says; again to the same file, but never over a foreign one."""
    foreign = tmp_path / f"foreign-{name}"
    foreign.write_text("mine")
    async with ScriptedServer() as server, talk(server, env, "--system", "Be kind.") as terminal:
        await terminal.sees(PROMPT)
        terminal.types("Hello")
        await terminal.sees("answered as llama")
        terminal.types(f"/save ~/{name}")
        await terminal.sees(f"saved: {tmp_path / name}")
        terminal.types(f"/save ~/{name}")
        await terminal.sees(f"saved: {tmp_path / name}")
        terminal.types(f"/save {foreign}")
        await terminal.sees("exists already; choose another name")
        terminal.types("/save")
        await terminal.sees("/save needs the name of a file")
        terminal.types(f"/save {tmp_path}/no/such/place")
        await terminal.sees("No such file or directory")

    text = (tmp_path / name).read_text()
    assert expected == (json.loads(text) if name.endswith(".json") else text)
    assert "mine" == foreign.read_text()


@pytest.mark.parametrize("form", ["{}", "'{}'", '"{}"', "\\"])
async def test_a_file_may_be_dropped_on_the_terminal(form: str, env: dict[str, str], tmp_path: Path) -> None:
    """Terminals paste the name as a shell reads it: in quotes, or with backslashes; `/save` reads it so too."""
    (tmp_path / "my notes.txt").write_text("The sky is blue.")
    written = [str(tmp_path / name) for name in ("my notes.txt", "my talk.md")]
    notes, talk_ = [name.replace(" ", r"\ ") if form == "\\" else form.format(name) for name in written]
    async with ScriptedServer() as server, talk(server, env) as terminal:
        await terminal.sees(PROMPT)
        terminal.types(f"/file {notes}")
        await terminal.sees("it goes with the next question")
        terminal.types("Why?")
        await terminal.sees("answered as llama")
        terminal.types(f"/save {talk_}")
        await terminal.sees(f"saved: {tmp_path / 'my talk.md'}")

    assert '<file name="my notes.txt">\nThe sky is blue.\n</file>' in sent(server.requests[0])[0]["content"]
    assert "Why?" in (tmp_path / "my talk.md").read_text()


async def test_a_place_that_cannot_be_is_no_end_of_a_conversation(env: dict[str, str]) -> None:
    """A home that no user has, under `/save`."""
    async with ScriptedServer() as server, talk(server, env) as terminal:
        await terminal.sees(PROMPT)
        terminal.types("Hello")
        await terminal.sees("answered as llama")
        terminal.types("/save ~no-such-user/talk.md")
        await terminal.sees("cannot write ~no-such-user/talk.md: No such file or directory")
        await terminal.sees(PROMPT)


async def test_the_last_question_can_be_asked_again_changed_or_withdrawn(env: dict[str, str]) -> None:
    """`/retry`, `/edit` and `/undo`: what was said before stays, and what is kept follows."""
    answers = [Script.stream(f"Answer {number}.") for number in range(1, 6)]
    async with ScriptedServer(*answers) as server, talk(server, env) as terminal:
        await terminal.sees(PROMPT)
        for number, line in enumerate(("One", "Two", "/retry", "/edit Three"), 1):
            terminal.types(line)
            await terminal.sees(f"Answer {number}.")
            await terminal.sees(PROMPT)
        terminal.types("/edit")
        await terminal.sees("Three")
        terminal.types(" and four")
        await terminal.sees("Answer 5.")
        await terminal.sees(PROMPT)
        terminal.types("/undo")
        await terminal.sees("are forgotten")
        terminal.types("/copy")
        await terminal.sees("\x1b]52;c;" + base64.b64encode(b"Answer 1.").decode())
        await terminal.sees("copied")
        terminal.types("", key=CTRL_D)
        await terminal.ends()
    exported = await run("history", "export", "--format", "json", env=env)

    begun = [{"role": "user", "content": "One"}, {"role": "assistant", "content": "Answer 1."}]
    assert ["Two", "Two", "Three", "Three and four"] == [sent(request)[-1]["content"] for request in server.requests[1:]]
    assert all(sent(request)[:-1] == begun for request in server.requests[1:])
    assert ["One", "Answer 1."] == [message["content"] for message in json.loads(exported.out)[0]["messages"]]


async def test_a_question_without_an_answer_can_be_asked_again(env: dict[str, str]) -> None:
    """It was withdrawn; `/retry` asks it all the same. Where nothing was asked, a word says so."""
    async with ScriptedServer(Script.status(400), Script.stream("Now.")) as server, talk(server, env) as terminal:
        await terminal.sees(PROMPT)
        for line in ("/retry", "/edit x", "/undo"):
            terminal.types(line)
            await terminal.sees("nothing was asked yet")
        terminal.types("/copy")
        await terminal.sees("there is no answer yet")
        terminal.types("One")
        await terminal.sees("error:")
        await terminal.sees(PROMPT)
        terminal.types("/retry")
        await terminal.sees("Now.")

    assert [[{"role": "user", "content": "One"}]] * 2 == list(map(sent, server.requests))


async def test_a_file_goes_with_the_next_question(env: dict[str, str], tmp_path: Path) -> None:
    """With that one alone; a file without text is named."""
    (tmp_path / "notes.txt").write_text("Green.")
    async with ScriptedServer() as server, talk(server, env) as terminal:
        await terminal.sees(PROMPT)
        terminal.types("/file")
        await terminal.sees("/file needs the name of a file")
        terminal.types("/file ~/no-such-file")
        await terminal.sees("No such file")
        terminal.types("/file ~/notes.txt")
        await terminal.sees("it goes with the next question")
        for line in ("Which?", "Why?"):
            await terminal.sees(PROMPT)
            terminal.types(line)
            await terminal.sees("Hello world")

    assert ['<file name="notes.txt">\nGreen.\n</file>\n\nWhich?', "Why?"] == [
        sent(request)[-1]["content"] for request in server.requests
    ]


async def test_a_strangers_models_can_be_listed(env: dict[str, str]) -> None:
    """`/models` asks the server; a star is at the one that answers."""
    async with ScriptedServer() as server:
        server.play(
            Script.body(b'{"data": [{"id": "small"}, {"id": "large"}]}', content_type="application/json"), path="/v1/models"
        )
        async with OnTerminal("chat", "--base-url", f"{server.url}/v1", "-m", "large", env=env) as terminal:
            await terminal.sees("large>")
            terminal.types("/models")
            shown = plain(await terminal.sees("* large"))

    assert shown.endswith("  small\n")


@pytest.mark.parametrize("term", ["xterm", "dumb"])
async def test_a_line_that_is_no_text_is_refused(term: str, env: dict[str, str]) -> None:
    """The next one is answered; what is UTF-8 is read in an ASCII locale too."""
    ascii_locale = {**env, "TERM": term, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    async with ScriptedServer() as server, talk(server, ascii_locale) as terminal:
        await terminal.sees(PROMPT)
        os.write(terminal.child.child_fd, b"caf\xe9\r")
        await terminal.sees("that line is not valid UTF-8")
        os.write(terminal.child.child_fd, "Grüße\r".encode())
        await terminal.sees("answered as llama")

    assert [[{"role": "user", "content": "Grüße"}]] == [sent(request) for request in server.requests]


async def test_help_shows_the_commands(env: dict[str, str]) -> None:
    """`/help` explains every command and the keys."""
    async with ScriptedServer() as server, talk(server, env) as terminal:
        await terminal.sees(PROMPT)
        terminal.types("/help")
        shown = await terminal.sees("even if a slash follows.")

    for word in (
        "/model",
        "/models",
        "/file",
        "/retry",
        "/edit",
        "/undo",
        "/copy",
        "/system",
        "/clear",
        "/save",
        "/help",
        "/quit",
        "Alt-Enter",
        "Ctrl-C",
    ):
        assert word in shown


async def test_what_was_mistyped_is_guessed_in_a_conversation(env: dict[str, str]) -> None:
    """A command or a model that is near to one there is."""
    async with ScriptedServer() as server, talk(server, env) as terminal:
        await terminal.sees(PROMPT)
        terminal.types("/modle hermes")
        await terminal.sees("did you mean /model?")
        terminal.types("/model hermse")
        await terminal.sees("did you mean hermes?")


@pytest.mark.parametrize("word", ["exit", "Quit "])
async def test_the_words_by_which_other_programs_are_left_leave(env: dict[str, str], word: str) -> None:
    """Behind a space they are said to the model."""
    async with ScriptedServer() as server, talk(server, env) as terminal:
        await terminal.sees(PROMPT)
        terminal.types(f" {word}")
        await terminal.sees("answered as llama")
        await terminal.sees(PROMPT)
        terminal.types(word)
        code, _ = await terminal.ends()

    assert (0, 1) == (code, len(server.requests))


async def test_an_unknown_command_gets_a_clear_word(env: dict[str, str]) -> None:
    """A slash that means nothing is not sent to the model; behind a space it is."""
    async with ScriptedServer() as server, talk(server, env) as terminal:
        await terminal.sees(PROMPT)
        terminal.types("/etc/hosts is what?")
        await terminal.sees("there is no command /etc/hosts; /help shows those there are")
        terminal.types(" /etc/hosts is what?")
        await terminal.sees("answered as llama")

    assert ["/etc/hosts is what?"] == [message["content"] for message in sent(server.requests[0])]


async def test_alt_enter_begins_a_new_line(env: dict[str, str]) -> None:
    """A question may have several lines, and so has what is sent."""
    async with ScriptedServer() as server, talk(server, env) as terminal:
        await terminal.sees(PROMPT)
        terminal.types("one", key=ALT_ENTER)
        terminal.types("two")
        await terminal.sees("answered as llama")

    assert "one\ntwo" == sent(server.requests[0])[0]["content"]


async def test_what_is_typed_during_an_answer_waits_for_the_prompt(env: dict[str, str]) -> None:
    """Keys pressed while an answer streams are not echoed into it, and are there at the next prompt."""
    pause = Pause()
    script = Script(
        Head(), Send(chunks("One, ", finish=None, done=False)), pause, Send(chunks("two.", finish="stop", model="m"))
    )
    async with ScriptedServer(script, Script.stream("Yes.")) as server, talk(server, env) as terminal:
        await terminal.sees(PROMPT)
        terminal.types("Count")
        await terminal.sees("One, ")
        terminal.types("And three?")
        pause.release()
        rest = await terminal.sees(" answered as llama")
        await terminal.sees("And three?")
        await terminal.sees("Yes.")

    assert plain(rest).startswith("two.\nautonomousai: ")
    assert "And three?" == sent(server.requests[1])[-1]["content"]


async def test_ctrl_d_during_an_answer_leaves_after_it(env: dict[str, str]) -> None:
    """Whoever presses Ctrl-D too early reads the answer to its end, and leaves then."""
    pause = Pause()
    script = Script(
        Head(), Send(chunks("One, ", finish=None, done=False)), pause, Send(chunks("two.", finish="stop", model="m"))
    )
    async with ScriptedServer(script) as server, talk(server, env) as terminal:
        await terminal.sees(PROMPT)
        terminal.types("Count")
        await terminal.sees("One, ")
        terminal.types("", key=CTRL_D)
        pause.release()
        code, shown = await terminal.ends()

    assert 0 == code
    assert plain(shown).startswith("two.\nautonomousai: ")


async def test_tab_completes_commands(env: dict[str, str]) -> None:
    """The beginning of a command and Tab are the command."""
    async with ScriptedServer() as server, talk(server, env) as terminal:
        await terminal.sees(PROMPT)
        terminal.types("/cl", key=TAB)
        await terminal.sees("ear")  # the rest alone, where what was typed is on the screen already
        terminal.types("")
        await terminal.sees("forgotten")


async def test_lines_are_kept_for_the_next_time(env: dict[str, str], tmp_path: Path) -> None:
    """The arrow key brings back what an earlier conversation asked; the file is its owner's alone."""
    async with ScriptedServer() as server:
        async with talk(server, env) as terminal:
            await terminal.sees(PROMPT)
            terminal.types("remember me")
            await terminal.sees("answered as llama")
            terminal.types("", key=CTRL_D)
            await terminal.ends()
        async with talk(server, env) as terminal:
            await terminal.sees(PROMPT)
            terminal.types("", key=UP)
            await terminal.sees("remember me")
            terminal.types("")
            await terminal.sees("answered as llama")

    history = tmp_path / ".local" / "state" / "autonomousai" / "history"
    assert "remember me" == sent(server.requests[1])[0]["content"]
    assert 0o600 == stat.S_IMODE(history.stat().st_mode)
    assert 0o700 == stat.S_IMODE(history.parent.stat().st_mode)


async def test_without_a_place_for_the_history_it_still_talks(env: dict[str, str]) -> None:
    """Where the history cannot be written this is said, and nothing else is lost."""
    async with ScriptedServer() as server, talk(server, {**env, "XDG_STATE_HOME": "/proc"}) as terminal:
        await terminal.sees("no input history is kept")
        terminal.types("Hello")
        await terminal.sees("Hello world")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("asking", [True, False])
async def test_a_signal_ends_the_conversation(asking: bool, number: signal.Signals, code: int, env: dict[str, str]) -> None:
    """SIGTERM and SIGHUP end it at the prompt and in the midst of an answer, quietly."""
    async with ScriptedServer(Script.stall("One")) as server, talk(server, env) as terminal:
        await terminal.sees(PROMPT)
        if asking:
            terminal.types("Count")
            await terminal.sees("One")
        os.kill(terminal.child.pid, number)
        ended, shown = await terminal.ends()

    assert code == ended
    assert "Traceback" not in shown


async def test_answers_can_be_piped_while_one_talks(env: dict[str, str], tmp_path: Path) -> None:
    """With stdout in a file the conversation is held on stderr, and the file gets the answers alone."""
    out = tmp_path / "answers"
    command = f'exec "{sys.executable}" -m autonomousai chat --base-url "$URL" >"{out}"'
    async with ScriptedServer() as server:
        async with OnTerminal("-c", command, env={**env, "URL": server.url}, program=("/bin/sh",)) as terminal:
            await terminal.sees(PROMPT)
            terminal.types("Hello")
            await terminal.sees("answered as llama")
            terminal.types("", key=CTRL_D)
            await terminal.ends()

    assert "Hello world\n" == out.read_text()


async def test_without_prompt_toolkit_it_talks_plainly(env: dict[str, str]) -> None:
    """Where the extra is not installed it is named, and plain input does."""
    async with (
        ScriptedServer(Script.stall("One"), Script.stream("Two.")) as server,
        OnTerminal("chat", "--base-url", server.url, env=env, program=without("prompt_toolkit")) as terminal,
    ):
        await terminal.sees("pip install 'autonomousai[cli]'")
        await terminal.sees(PROMPT)
        terminal.types("Count", key="\n")
        await terminal.sees("One")
        terminal.types("", key=CTRL_C)
        await terminal.sees("stopped")
        await terminal.sees(PROMPT)
        terminal.types("never mind", key=CTRL_C)
        await terminal.sees(PROMPT)
        terminal.types("Go on", key="\n")
        await terminal.sees("Two.")
        await terminal.sees(PROMPT)
        terminal.types("", key=CTRL_D)
        code, _ = await terminal.ends()

    assert 0 == code
    assert ["Count", "One", "Go on"] == [message["content"] for message in sent(server.requests[1])]


async def test_a_signal_ends_plain_input(env: dict[str, str]) -> None:
    """SIGTERM at the plain prompt ends the program."""
    async with (
        ScriptedServer() as server,
        OnTerminal("chat", "--base-url", server.url, env={**env, "TERM": "dumb"}) as terminal,
    ):
        await terminal.sees(PROMPT)
        os.kill(terminal.child.pid, signal.SIGTERM)
        code, shown = await terminal.ends()

    assert 143 == code
    assert "Traceback" not in shown
