"""Conversations that are kept: by `chat`, for `chat --continue`, and for `history`."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest

from autonomousai.cli.chat.conversations import BROKE_OFF, FAILED, Conversations, KeepError, Kept, NotKeptError
from autonomousai.cli.chat.kept_server import KeptServer
from autonomousai.events import Usage
from autonomousai.testing import Head, Pause, Request, Script, ScriptedServer, Send, chunks
from tests.support.program import CTRL_D, OnTerminal, finish, plain, run, start

DATABASE = ".local/share/autonomousai/conversations.db"


def sent(request: Request) -> Any:
    """The messages that a request carries."""
    return json.loads(base64.b64decode(request.json()["messages"]))


def sent_openly(request: Request) -> Any:
    """The messages that a request of chat completions carries."""
    return request.json()["messages"]


async def listed(env: dict[str, str], *arguments: str) -> Any:
    """What `history --json` lists."""
    ended = await run("history", *arguments, "--json", env=env)
    assert 0 == ended.code, ended.err
    return json.loads(ended.out)


async def exported(env: dict[str, str]) -> Any:
    """The last conversation, as `history export` writes it."""
    ended = await run("history", "export", "--format", "json", env=env)
    assert 0 == ended.code, ended.err
    (conversation,) = json.loads(ended.out)
    return conversation


async def test_continue_goes_on_with_the_last_conversation(env: dict[str, str]) -> None:
    """The second program sends what the first one said, with its model and system message, and adds to it."""
    script = Script.stream("Hello Ann.", usage=Usage(9, 3), model="real-one")
    async with ScriptedServer(script, Script.stream("Ann.")) as server:
        first = ["--model", "hermes", "--system", "Be kind.", "I am Ann."]
        await run("chat", "--base-url", server.url, *first, env=env)
        ended = await run("chat", "--base-url", server.url, "--continue", "Who am I?", env=env)
    conversation = await exported(env)

    assert (0, "Ann.\n", "") == ended
    assert "/api/v1/ai/chat-hermes" == server.requests[1].path
    assert ["Be kind.", "I am Ann.", "Hello Ann.", "Who am I?"] == [each["content"] for each in sent(server.requests[1])]
    assert ("hermes", "Be kind.", "I am Ann.") == tuple(conversation[key] for key in ("model", "system", "title"))
    assert ["I am Ann.", "Hello Ann.", "Who am I?", "Ann."] == [each["content"] for each in conversation["messages"]]
    answer = conversation["messages"][1]
    found = {key: answer[key] for key in ("role", "state", "model", "reason", "prompt_tokens", "completion_tokens")}
    assert {
        "role": "assistant",
        "state": "whole",
        "model": "real-one",
        "reason": "stop",
        "prompt_tokens": 9,
        "completion_tokens": 3,
    } == found


async def test_a_conversation_continues_at_its_server(env: dict[str, str]) -> None:
    """The one that options named, without naming it again, and before the one of the environment; also from then on."""
    async with ScriptedServer() as server, ScriptedServer() as other:
        env = {**env, "AUTONOMOUSAI_BASE_URL": other.url}
        ended = [
            await run("chat", "--base-url", f"{server.url}/v1", "--model", "m", "One", env=env),
            await run("chat", "-c", "Two", env=env),
            await run("chat", "-c", "Three", env=env),
        ]
        there = await run("chat", "-c", "--base-url", other.url, "--model", "llama", "Four", env=env)

    assert [0, 0, 0, 0] == [each.code for each in (*ended, there)]
    assert ["/v1/chat/completions"] * 3 == [request.path for request in server.requests]
    assert 6 == len(sent_openly(server.requests[2])) + 1
    assert ["/api/v1/ai/chat"] == [request.path for request in other.requests]
    assert other.url == (await exported(env))["server"]["base_url"]


async def test_a_conversation_with_the_usual_server_follows_that(env: dict[str, str]) -> None:
    """The environment named it, which may name another one since."""
    async with ScriptedServer() as server, ScriptedServer() as other:
        await run("chat", "One", env={**env, "AUTONOMOUSAI_BASE_URL": server.url})
        await run("chat", "-c", "Two", env={**env, "AUTONOMOUSAI_BASE_URL": other.url})
        conversation = await exported(env)

    assert (1, 1) == (len(server.requests), len(other.requests))
    assert "server" not in conversation


async def test_a_key_is_not_kept_with_a_conversation(env: dict[str, str]) -> None:
    """Neither in the address of its server nor beside it."""
    async with ScriptedServer() as server:
        address = server.url.replace("://", "://me:secret@") + "/v1?api-version=1"
        options = ["--base-url", address, "--wire", "openai", "--model", "m", "--api-key", "secret"]
        await run("chat", *options, "One", env=env)
        conversation = await exported(env)

    assert {"base_url": f"{server.url}/v1?api-version=1", "wire": "openai"} == conversation["server"]
    assert "secret" not in json.dumps(conversation)


def test_a_file_of_the_first_version_is_taken_over(tmp_path: Path) -> None:
    """What was kept stays, and more can be added."""
    path = tmp_path / "c.db"
    with Conversations(path) as kept:
        first = kept.keep(None, model="llama", system=None, messages=[Kept("user", "Hello")])
    with sqlite3.connect(path) as db:
        db.execute("ALTER TABLE conversations DROP COLUMN server")
        db.execute("PRAGMA user_version = 1")
    db.close()

    with Conversations(path) as kept:
        kept.keep(first, model="llama", system=None, messages=[Kept("user", "Again")], server=KeptServer("http://x/v1"))
        conversation = kept.load(first)
    assert ["Hello", "Again"] == [message.content for message in conversation.messages]
    assert KeptServer("http://x/v1") == conversation.server


async def test_a_conversation_is_chosen_by_the_beginning_of_its_id(env: dict[str, str]) -> None:
    """`--conversation` goes on with that one, not with the last."""
    async with ScriptedServer() as server:
        await run("chat", "--base-url", server.url, "One", env=env)
        (one,) = await listed(env)
        await run("chat", "--base-url", server.url, "Two", env=env)
        await run("chat", "--base-url", server.url, "--conversation", one["id"][:5], "Three", env=env)

    assert ["One", "Hello world", "Three"] == [each["content"] for each in sent(server.requests[2])]
    assert [(4, "One"), (2, "Two")] == [(each["messages"], each["title"]) for each in await listed(env)]


@pytest.mark.parametrize(
    ("script", "kept"),
    [
        (Script.cut("Hel", "lo"), [("Hi", "whole"), ("Hello", "broke off")]),
        (Script.status(500), [("Hi", "failed")]),
    ],
)
async def test_what_broke_is_kept_as_that(script: Script, kept: list[tuple[str, str]], env: dict[str, str]) -> None:
    """A cut answer is kept with its beginning, a failed question without one, and both say why."""
    async with ScriptedServer(script) as server:
        ended = await run("chat", "--base-url", server.url, "Hi", env=env)
        messages = (await exported(env))["messages"]
        server.play(Script.stream("Yes."))
        again = await run("chat", "--base-url", server.url, "-c", "Again", env=env)

    assert ended.code in (1, 4)
    assert kept == [(each["content"], each["state"]) for each in messages]
    assert messages[-1]["why"]
    assert 0 == again.code
    assert [text for text, state in kept if state != "failed"] + ["Again"] == [
        each["content"] for each in sent(server.requests[-1])
    ]


async def test_an_answer_that_was_stopped_is_kept_as_far_as_it_came(env: dict[str, str]) -> None:
    """A signal in mid-answer loses nothing that was shown."""
    async with ScriptedServer(Script.stall("first")) as server:
        process = await start("chat", "--base-url", server.url, "Hi", env=env)
        assert process.stdout is not None
        await process.stdout.readexactly(5)
        process.send_signal(signal.SIGINT)
        await finish(process)
    answer = (await exported(env))["messages"][1]

    assert ("first", "stopped") == (answer["content"], answer["state"])


async def test_an_answer_whose_reader_left_is_kept_as_far_as_it_came(env: dict[str, str]) -> None:
    """`| head -1` loses nothing that was read."""
    pause = Pause()
    more = Send(chunks("more\n", finish=None, done=False))
    reading, writing = os.pipe()
    async with ScriptedServer(
        Script(Head(), Send(chunks("first\n", finish=None, done=False)), pause, more).then(Pause())
    ) as server:
        process = await start("chat", "--base-url", server.url, "Hi", env=env, stdout=writing)
        os.close(writing)
        await asyncio.to_thread(os.read, reading, 100)
        os.close(reading)
        pause.release()
        await finish(process)
    answer = (await exported(env))["messages"][1]

    assert ("first\nmore\n", "stopped", "the reader of the output left") == tuple(
        answer[key] for key in ("content", "state", "why")
    )


@pytest.mark.parametrize(("option", "variable"), [("--no-history", ""), ("--plain", "off")])
async def test_nothing_is_kept_where_that_is_not_wanted(
    option: str, variable: str, env: dict[str, str], tmp_path: Path
) -> None:
    """Neither with --no-history nor with AUTONOMOUSAI_HISTORY=off is a file made."""
    async with ScriptedServer() as server:
        ended = await run("chat", "--base-url", server.url, option, "Hi", env={**env, "AUTONOMOUSAI_HISTORY": variable})

    assert (0, "Hello world\n", "") == ended
    assert not (tmp_path / DATABASE).exists()


async def test_the_file_is_its_owners_alone(env: dict[str, str], tmp_path: Path) -> None:
    """Conversations are private: 0600 in 0700, where XDG_DATA_HOME says."""
    async with ScriptedServer() as server:
        await run("chat", "--base-url", server.url, "Hi", env={**env, "XDG_DATA_HOME": str(tmp_path / "data")})
    path = tmp_path / "data" / "autonomousai" / "conversations.db"

    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert 0o700 == stat.S_IMODE(path.parent.stat().st_mode)


async def test_an_answer_does_not_depend_on_the_disk(env: dict[str, str]) -> None:
    """Where nothing can be kept this is said, and the answer and its exit code are as ever."""
    async with ScriptedServer() as server:
        ended = await run("chat", "--base-url", server.url, "Hi", env={**env, "XDG_DATA_HOME": "/proc"})

    assert (0, "Hello world\n") == (ended.code, ended.out)
    assert "this conversation is not kept: /proc/autonomousai/conversations.db: " in ended.err


async def test_a_conversation_on_a_terminal_is_one(env: dict[str, str]) -> None:
    """What is asked line by line is kept together; `/clear` begins another one; `--continue` takes it up."""
    async with ScriptedServer() as server:
        async with OnTerminal("chat", "--base-url", server.url, env=env) as terminal:
            for line, answer in (
                ("One", "Hello world"),
                ("Two", "Hello world"),
                ("/clear", "forgotten"),
                ("Three", "Hello world"),
            ):
                await terminal.sees("llama>")
                terminal.types(line)
                await terminal.sees(answer)
            terminal.types("", key=CTRL_D)
            await terminal.ends()
        async with OnTerminal("chat", "-c", "--base-url", server.url, env=env) as terminal:
            opening = plain(await terminal.sees("llama>"))
            terminal.types("Four")
            await terminal.sees("Hello world")

    assert "continuing 'Three' (2 messages)" in opening
    assert ["Three", "Hello world", "Four"] == [each["content"] for each in sent(server.requests[-1])]
    assert [("Three", 4), ("One", 4)] == [(each["title"], each["messages"]) for each in await listed(env)]


async def test_history_lists_searches_shows_exports_and_deletes(env: dict[str, str]) -> None:
    """The whole life of two conversations, as a person sees it."""
    async with ScriptedServer(Script.stream("The sky is **blue**."), Script.stream("Grüße aus Ägypten.")) as server:
        await run("chat", "--base-url", server.url, "Why is the sky blue?", env=env)
        await run("chat", "--base-url", server.url, "Say hello in German", env=env)
    table = (await run("history", env=env)).out.splitlines()
    sky, german = table[2].split()[0], table[1].split()[0]
    by_accents = await run("history", "search", "agypt", "gruß", env=env)
    by_beginnings = await run("history", "search", "sky", "bl", env=env)
    shown = await run("history", "show", sky, env=env)
    everything = (await run("history", "export", "--all", env=env)).out
    deleted = await run("history", "delete", sky, env=env)
    rest = await listed(env)

    assert ["ID", "WHEN", "MODEL", "MESSAGES", "TITLE"] == table[0].split()
    assert [german] == [line.split()[0] for line in by_accents.out.splitlines()[1:]]
    assert [sky] == [line.split()[0] for line in by_beginnings.out.splitlines()[1:]]
    assert "## user\n\nWhy is the sky blue?\n\n## assistant (scripted)\n\nThe sky is **blue**.\n" in shown.out
    assert everything.index("Grüße") < everything.index("sky is")
    assert (0, "", f"autonomousai: deleted: {sky}\n") == deleted
    assert [german] == [each["id"] for each in rest]


async def test_what_was_deleted_is_not_in_the_file(env: dict[str, str], tmp_path: Path) -> None:
    """Not a word of it, neither in the tables nor in the index."""
    async with ScriptedServer(Script.stream("the secret is xyzzyplugh")) as server:
        await run("chat", "--base-url", server.url, "tell xyzzyplugh", env=env)
        await run("chat", "--base-url", server.url, "--no-history", "x", env=env)
    path = tmp_path / DATABASE
    before = b"xyzzyplugh" in b"".join(each.read_bytes() for each in path.parent.glob("conversations.db*"))
    await run("history", "delete", "--all", env=env)

    assert before
    assert b"xyzzyplugh" not in b"".join(each.read_bytes() for each in path.parent.glob("conversations.db*"))


async def test_history_show_draws_on_a_terminal(env: dict[str, str]) -> None:
    """There Markdown is drawn, and control characters do no harm."""
    async with ScriptedServer(Script.stream("**bold**\x1b[2J")) as server:
        await run("chat", "--base-url", server.url, "Hi", env=env)
    async with OnTerminal("history", "show", env=env) as terminal:
        _, shown = await terminal.ends()

    assert "\x1b[1mbold\x1b[0m" in shown
    assert "\x1b[2J" not in shown


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["history", "show"], 2, "there is no conversation yet"),
        (["history", "show", "zzz"], 2, "there is no conversation 'zzz'"),
        (["history", "delete"], 2, "name conversations, or --all of them"),
        (["history", "search"], 2, "the following arguments are required: WORD"),
        (["history", "search", " "], 2, "WORD is empty"),
        (["history", "nonsense"], 2, "invalid choice"),
        (["chat", "--continue", "Hi"], 2, "there is no conversation yet"),
        (["chat", "--continue", "--conversation", "x", "Hi"], 2, "not allowed with"),
    ],
)
async def test_what_is_not_there_is_said(arguments: list[str], code: int, words: str, env: dict[str, str]) -> None:
    """In words, on stderr, with the exit code of wrong usage."""
    ended = await run(*arguments, env=env)

    assert (code, "") == (ended.code, ended.out)
    assert words in ended.err


async def test_a_file_of_another_kind_is_left_alone(env: dict[str, str], tmp_path: Path) -> None:
    """What is no database, or of a later version, is neither read nor written."""
    path = tmp_path / DATABASE
    path.parent.mkdir(parents=True)
    path.write_bytes(b"my notes, no database " * 100)
    ended = await run("history", env=env)

    assert 3 == ended.code
    assert "file is not a database; move the file away to begin a new one" in ended.err
    assert path.read_bytes() == b"my notes, no database " * 100


async def test_a_damaged_message_is_an_error_in_words(env: dict[str, str], tmp_path: Path) -> None:
    """A file that SQLite can read may be damaged all the same: it is said, by its name, and no traceback."""
    path = tmp_path / DATABASE
    with Conversations(path) as kept:
        kept.keep(None, model="llama", system=None, messages=[Kept("user", "Hello")])
    with sqlite3.connect(path) as db:
        db.execute("UPDATE messages SET content = ?", ('"Hel',))
    db.close()
    ended = await run("history", "show", env=env)

    assert (3, "") == (ended.code, ended.out)
    assert f"error: {path} is damaged" in ended.err


# The file itself


def test_a_later_version_is_refused(tmp_path: Path) -> None:
    """An older program does not touch what a newer one wrote."""
    path = tmp_path / "c.db"
    with Conversations(path):
        pass
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()

    with pytest.raises(KeepError, match="later version"), Conversations(path):
        pass


def test_two_programs_keep_at_once(tmp_path: Path) -> None:
    """Conversations that grow side by side lose nothing."""
    path = tmp_path / "c.db"
    with Conversations(path) as one, Conversations(path) as other:
        ids: list[str | None] = [None, None]
        for number in range(20):
            for place, kept in enumerate((one, other)):
                ids[place] = kept.keep(ids[place], model="m", system=None, messages=[Kept("user", f"{place} {number}")])
        found = [[each.content for each in one.load(each).messages] for each in ids if each]

    assert [[f"{place} {number}" for number in range(20)] for place in (0, 1)] == found


@pytest.mark.parametrize("indexed", [True, False])
def test_search_finds_words_with_and_without_an_index(indexed: bool, tmp_path: Path) -> None:
    """All words must stand in one message; marks of a query language are none."""
    with Conversations(tmp_path / "c.db") as kept:
        if not indexed:
            kept._db.execute("DROP TABLE words")
            kept._indexed = False
        one = kept.keep(
            None, model="m", system=None, messages=[Kept("user", 'a "quoted" 100% AND thing'), Kept("assistant", "x")]
        )
        kept.keep(None, model="m", system=None, messages=[Kept("user", "a thing"), Kept("assistant", "quoted")])
        found = [
            [each.id for each in kept.search(words)] for words in ('"quoted" thing', "100%", "AND", "quot thing", "nothing")
        ]

    assert [[one], [one], [one], [one], []] == found


def test_an_image_is_kept_and_its_words_are_found(tmp_path: Path) -> None:
    """What was sent can be sent again; the title is the text."""
    parts = [{"type": "text", "text": "what is it"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]
    with Conversations(tmp_path / "c.db") as kept:
        name = kept.keep(None, model="m", system=None, messages=[Kept("user", parts), Kept("assistant", "a cat")])
        conversation = kept.load(name)

    assert "what is it" == conversation.title
    assert [parts, "a cat"] == [each["content"] for each in conversation.to_send()]


def test_what_failed_is_not_sent_again(tmp_path: Path) -> None:
    """A question without an answer is withdrawn; a partial answer goes on."""
    messages = [Kept("user", "a", state=FAILED), Kept("user", "b"), Kept("assistant", "c", state=BROKE_OFF)]
    with Conversations(tmp_path / "c.db") as kept:
        conversation = kept.load(kept.keep(None, model="m", system=None, messages=messages))

    assert ["b", "c"] == [each["content"] for each in conversation.to_send()]


def test_a_beginning_must_be_ones_own(tmp_path: Path) -> None:
    """An ambiguous id is no id."""
    with Conversations(tmp_path / "c.db") as kept:
        ids = [kept.keep(None, model="m", system=None, messages=[Kept("user", "x")]) for _ in range(40)]

        assert ids[0] == kept.find(ids[0])
        with pytest.raises(NotKeptError, match="several conversations begin"):
            kept.find(next(first for first in "23456789abcdefghjkmnpqrstuvwxyz" if sum(each[0] == first for each in ids) > 1))


def test_an_interrupted_write_leaves_no_half(tmp_path: Path) -> None:
    """A question and its answer are kept together or not at all."""
    with Conversations(tmp_path / "c.db") as kept:
        with pytest.raises((TypeError, asyncio.CancelledError, KeepError)):
            kept.keep(None, model="m", system=None, messages=[Kept("user", "x"), Kept("assistant", "y", at=object())])  # type: ignore[arg-type]

        assert [] == kept.recent()


async def test_who_answered_is_shown_where_no_model_was_named(env: dict[str, str]) -> None:
    """In the list, in the header and in the export; without any name, nothing hangs over."""
    named, unnamed = Script.stream("Hello.", model="real-one"), Script.stream("Hello.", model="")
    async with ScriptedServer(named, unnamed) as server:
        server.play(*[Script.status(404)] * 2, path="/v1/models")
        await run("chat", "--base-url", f"{server.url}/v1", "First", env=env)
        first, shown, document = await listed(env), await run("history", "show", env=env), await exported(env)
        await run("chat", "--base-url", f"{server.url}/v1", "Second", env=env)
        second = await run("history", "show", env=env)

    assert ["real-one"] == [each["model"] for each in first]
    assert shown.out.splitlines()[2].endswith(", real-one")
    assert "real-one" == document["model"]
    assert not second.out.splitlines()[2].endswith((",", ", "))
