"""`autonomousai chat` through pipes, against a scripted server: what goes in, what comes out, how it ends."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import select
import signal
import sys
from typing import Any

import pytest

from autonomousai.cli.chat.served import Served
from autonomousai.cli.chat.targets import ChatSettings, wire_of, with_usual_path
from autonomousai.errors import ModelNotFoundError
from autonomousai.events import Usage
from autonomousai.models import HOSTED
from autonomousai.testing import Head, Pause, Request, Script, ScriptedServer, Send, chunks
from tests.support.program import finish, run, start
from tests.support.proxy import ForwardingProxy

QUESTION = "Why is the sky blue?"


def sent(request: Request) -> Any:
    """The messages that a request carries."""
    return json.loads(base64.b64decode(request.json()["messages"]))


def events(out: str) -> list[Any]:
    """What `--json` wrote."""
    return [json.loads(line) for line in out.splitlines()]


async def test_the_answer_alone_is_on_stdout(env: dict[str, str]) -> None:
    """Through pipes stdout holds the answer and one newline, and stderr nothing."""
    async with ScriptedServer(Script.stream("Because ", "of scattering.")) as server:
        ended = await run("chat", "--base-url", server.url, QUESTION, env=env)

    assert (0, "Because of scattering.\n", "") == ended


async def test_a_final_newline_is_not_doubled(env: dict[str, str]) -> None:
    """An answer that ends with a newline gets no second one."""
    async with ScriptedServer(Script.stream("one\n", "two\n")) as server:
        ended = await run("chat", "--base-url", server.url, QUESTION, env=env)

    assert "one\ntwo\n" == ended.out


async def test_a_pipe_gets_the_exact_text(env: dict[str, str]) -> None:
    """Control characters, carriage returns and any script reach a pipe as they are."""
    text = "\x1b[31mred\x1b[0m\r\n\x07 naïve 日本語 🦀 \x9b0m\x7f"
    async with ScriptedServer(Script.stream(text)) as server:
        process = await start("chat", "--base-url", server.url, QUESTION, env=env)
        out, _ = await process.communicate()

    assert (text + "\n").encode() == out


async def test_an_empty_answer_is_empty(env: dict[str, str]) -> None:
    """Where the model said nothing, nothing is written, and it is no failure; stderr says so."""
    async with ScriptedServer(Script.stream()) as server:
        ended = await run("chat", "--base-url", server.url, QUESTION, env=env)

    assert (0, "", "autonomousai: the answer is complete, and holds no text\n") == ended


async def test_a_refusal_is_shown(env: dict[str, str]) -> None:
    """It is printed, and told apart from an answer: by stderr, and in JSON by its type."""
    refusal = Script.stream({"refusal": "I can"}, {"refusal": "not."})
    async with ScriptedServer(refusal, refusal) as server:
        ended = await run("chat", "--base-url", f"{server.url}/v1", "-m", "m", QUESTION, env=env)
        told = await run("chat", "--base-url", f"{server.url}/v1", "-m", "m", "--json", QUESTION, env=env)

    assert (0, "I cannot.\n", "autonomousai: the model refused to answer\n") == ended
    assert [{"type": "refusal", "text": "I can"}, {"type": "refusal", "text": "not."}] == events(told.out)[:-1]


async def test_text_is_written_as_it_comes(env: dict[str, str]) -> None:
    """The first words are in the pipe while the rest has not been generated yet."""
    pause = Pause()
    script = Script(Head(), Send(chunks("first", finish=None, done=False)), pause, Send(chunks(" second", finish="stop")))
    async with ScriptedServer(script) as server:
        process = await start("chat", "--base-url", server.url, QUESTION, env=env)
        assert process.stdout is not None
        first = await process.stdout.readexactly(5)
        pause.release()
        ended = await finish(process)

    assert (b"first", " second\n") == (first, ended.out)


async def test_options_become_the_request(env: dict[str, str]) -> None:
    """Model, system message, temperature, length and seed are in the request, and nothing that was not asked for."""
    options = ["--model", "hermes-3", "--system", "Be kind.", "--temperature", "0", "--max-tokens", "7", "--seed", "42"]
    async with ScriptedServer() as server:
        await run("chat", "--base-url", server.url + "/", *options, QUESTION, env=env)

    (request,) = server.requests
    body = request.json()
    expected = {"aiAgent": "hermes", "stream": True, "temperature": 0, "max_tokens": 7, "seed": 42}
    assert "/api/v1/ai/chat-hermes" == request.path
    assert [{"role": "system", "content": "Be kind."}, {"role": "user", "content": QUESTION}] == sent(request)
    assert expected == {name: body[name] for name in expected}


async def test_without_options_nothing_is_added(env: dict[str, str]) -> None:
    """A bare question is sent as one user message, without fields that nobody named."""
    async with ScriptedServer() as server:
        await run("chat", "--base-url", server.url, QUESTION, env=env)

    assert [{"role": "user", "content": QUESTION}] == sent(server.requests[0])
    assert not {"temperature", "max_tokens", "seed"} & server.requests[0].json().keys()


async def test_no_stream_asks_for_a_document(env: dict[str, str]) -> None:
    """`--no-stream` sends `stream: false` and prints the whole answer."""
    async with ScriptedServer() as server:
        ended = await run("chat", "--base-url", server.url, "--no-stream", QUESTION, env=env)

    assert False is server.requests[0].json()["stream"]
    assert (0, "Hello world\n", "") == ended


async def test_the_environment_names_server_and_key(env: dict[str, str]) -> None:
    """AUTONOMOUSAI_BASE_URL and AUTONOMOUSAI_API_KEY do what the options do."""
    async with ScriptedServer() as server:
        named = {**env, "AUTONOMOUSAI_BASE_URL": server.url, "AUTONOMOUSAI_API_KEY": "key-1"}
        ended = await run("chat", QUESTION, env=named)

    assert (0, "Hello world\n", "") == ended
    assert "Bearer key-1" == server.requests[0].headers["authorization"]


async def test_a_proxy_is_used(env: dict[str, str]) -> None:
    """`--proxy` is the way to the server."""
    async with ScriptedServer() as server, ForwardingProxy() as proxy:
        ended = await run("chat", "--base-url", server.url, "--proxy", proxy.url, QUESTION, env=env)

    assert (0, "Hello world\n", "") == ended
    assert 1 == len(proxy.log)


# Standard input


async def test_standard_input_joins_the_prompt(env: dict[str, str]) -> None:
    """Prompt, blank line, standard input."""
    async with ScriptedServer() as server:
        await run("chat", "--base-url", server.url, "review this", env=env, given=b"- old\n+ new\n")

    assert "review this\n\n- old\n+ new" == sent(server.requests[0])[0]["content"]


@pytest.mark.parametrize("given", ["naïve 日本語 🦀\n".encode(), "\ufeffnaïve 日本語 🦀\r\n".encode()])
async def test_standard_input_alone_is_the_prompt(given: bytes, env: dict[str, str]) -> None:
    """Without a PROMPT, what comes through the pipe is the question; neither a BOM nor its last newline belongs to it."""
    async with ScriptedServer() as server:
        await run("chat", "--base-url", server.url, env=env, given=given)

    assert "naïve 日本語 🦀" == sent(server.requests[0])[0]["content"]


async def test_an_empty_pipe_is_refused(env: dict[str, str]) -> None:
    """The command before it failed, or brought nothing: an answer to the prompt alone would look like one to its text."""
    async with ScriptedServer() as server:
        ended = await run("chat", "--base-url", server.url, "review this", env=env, given=b"\n")
        alone = await run("chat", "--base-url", server.url, "review this", env=env)

    assert (2, "") == (ended.code, ended.out)
    assert "standard input is empty" in ended.err
    assert "add </dev/null" in ended.err
    assert (0, 1) == (alone.code, len(server.requests))


async def test_a_long_standard_input_arrives_whole(env: dict[str, str]) -> None:
    """A megabyte through the pipe is sent to the last character."""
    text = "line of text\n" * 80_000 + "the end"
    async with ScriptedServer() as server:
        await run("chat", "--base-url", server.url, env=env, given=text.encode())

    assert text == sent(server.requests[0])[0]["content"]


async def test_standard_input_that_is_no_text_is_refused(env: dict[str, str]) -> None:
    """Invalid UTF-8 is an error that says where, and nothing is sent."""
    async with ScriptedServer() as server:
        ended = await run("chat", "--base-url", server.url, "look", env=env, given=b"abc\xff\xfe")

    assert (2, "") == (ended.code, ended.out)
    assert "standard input is not UTF-8 text (byte 0xff at offset 3)" in ended.err
    assert [] == server.requests


@pytest.mark.parametrize("given", [b"", b"  \n\n"])
async def test_nothing_to_ask_is_wrong_usage(given: bytes, env: dict[str, str]) -> None:
    """Neither a prompt nor text on standard input is exit code 2."""
    ended = await run("chat", "--base-url", "http://127.0.0.1:9", env=env, given=given)

    assert (2, "") == (ended.code, ended.out)
    assert "there is nothing to ask" in ended.err


# JSON


async def test_json_writes_an_event_a_line(env: dict[str, str]) -> None:
    """`--json` writes text, reasoning, tool calls and the finish as they come, each an object on its line."""
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
    script = Script.stream(
        {"reasoning_content": "Hm."},
        "Hel",
        "lo\n\x1b\x9b",
        {"tool_calls": [call]},
        finish="tool_calls",
        usage=Usage(3, 2),
        model="real-one",
    )
    async with ScriptedServer(script) as server:
        ended = await run("chat", "--base-url", server.url, "--json", QUESTION, env=env)

    assert (0, "") == (ended.code, ended.err)
    assert [
        {"type": "reasoning", "text": "Hm."},
        {"type": "text", "text": "Hel"},
        {"type": "text", "text": "lo\n\x1b\x9b"},
        {"type": "tool_calls", "tool_calls": [{"id": "call_1", "name": "look", "arguments": '{"at": 1}', "index": 0}]},
        {
            "type": "finish",
            "reason": "tool_calls",
            "evidence": "finish_reason",
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
            "model": "real-one",
        },
    ] == events(ended.out)
    assert not {"\x1b", "\x9b"} & set(ended.out)


async def test_json_says_that_an_answer_failed(env: dict[str, str]) -> None:
    """With `--json` a failure is the last event, and a line on stderr too."""
    async with ScriptedServer(Script.status(429, retry_after=7)) as server:
        ended = await run("chat", "--base-url", server.url, "--json", QUESTION, env=env)

    (event,) = events(ended.out)
    found = {name: event[name] for name in ("type", "error", "status", "retryable", "retry_after")}
    assert {"type": "error", "error": "StatusError", "status": 429, "retryable": True, "retry_after": 7} == found
    assert 1 == ended.code
    assert "scripted 429" in event["message"]
    assert "scripted 429" in ended.err


async def test_json_says_that_the_set_up_is_wrong(env: dict[str, str]) -> None:
    """Even what goes wrong before anything is sent is an event."""
    ended = await run("chat", "--base-url", "ftp://x", "--json", QUESTION, env=env)

    assert [("error", "ConfigError")] == [(event["type"], event["error"]) for event in events(ended.out)]


# Failures


@pytest.mark.parametrize(
    ("script", "code", "out"),
    [
        ("unauthorized", 1, ""),
        ("reset_before_headers", 1, ""),
        ("html", 1, ""),
        (Script.cut("Hel", "lo"), 4, "Hello\n"),
        (Script.cut("Hel", "lo", terminator=True), 4, "Hello\n"),
        (Script.error_event("Hel"), 4, "Hel\n"),
        (Script.malformed_event("Hel"), 4, "Hel\n"),
        (Script.error_event(), 1, ""),
    ],
)
async def test_a_failed_request_tells_by_its_exit_code(script: Script | str, code: int, out: str, env: dict[str, str]) -> None:
    """1 where nothing came, 4 where the beginning of an answer stands on stdout; stderr says why, without a traceback."""
    async with ScriptedServer(script) as server:
        ended = await run("chat", "--base-url", server.url, QUESTION, env=env)

    assert (code, out) == (ended.code, ended.out)
    assert ended.err.startswith("autonomousai: error: ")
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("options", [(), ("--no-stream",)])
async def test_a_script_is_told_that_an_answer_was_cut_at_its_length(options: tuple[str, ...], env: dict[str, str]) -> None:
    """Its end is proven, so the exit code is 0; standard error says what the text cannot."""
    script = Script.document("Red, gre", finish="length") if options else Script.stream("Red, gre", finish="length")
    async with ScriptedServer(script) as server:
        ended = await run("chat", "--base-url", server.url, *options, QUESTION, env=env)

    assert (0, "Red, gre\n") == (ended.code, ended.out)
    assert "autonomousai: the answer was cut at its length limit; --max-tokens raises it\n" == ended.err


@pytest.mark.parametrize(("options", "advised"), [((), True), (("--model", "m"), False)])
async def test_a_server_that_wants_a_model_named_is_understood(
    options: tuple[str, ...], advised: bool, env: dict[str, str]
) -> None:
    """Where none was, the option is named that does it."""
    refusal = Script.status(400, {"error": {"message": "you must provide a model parameter"}})
    async with ScriptedServer(refusal) as server:
        ended = await run("chat", "--base-url", f"{server.url}/v1", *options, QUESTION, env=env)

    assert (1, advised) == (ended.code, "no model was named: do so with --model" in ended.err)


@pytest.mark.parametrize("options", [(), ("--model", "m"), ("--no-stream",)])
async def test_the_servers_first_model_is_asked_where_none_was_named(options: tuple[str, ...], env: dict[str, str]) -> None:
    """Most servers of OpenAI's wire have one model, and want its name all the same."""
    async with ScriptedServer(Script.document("Hi") if "--no-stream" in options else Script.stream("Hi")) as server:
        server.play(Script.status(200, {"data": [{"id": "first"}, {"id": "second"}]}), path="/v1/models")
        ended = await run("chat", "--base-url", f"{server.url}/v1", *options, QUESTION, env=env)

    assert (0, "Hi\n", "") == ended
    asked = [json.loads(each.body)["model"] for each in server.requests if each.method == "POST"]
    assert asked == ["m" if "--model" in options else "first"]


@pytest.mark.parametrize(
    ("end", "options", "path"),
    [
        ("", ("--wire", "anthropic"), "/v1/messages"),
        ("/v1", ("--wire", "anthropic"), "/v1/messages"),
        ("", (), "/api/v1/ai/chat"),
        ("/ ", (), "/api/v1/ai/chat"),
        ("/v1", (), "/v1/chat/completions"),
        ("/v1/\n", (), "/v1/chat/completions"),
        ("/v1beta/openai", (), "/v1beta/openai/chat/completions"),
        ("/api/paas/v4", (), "/api/paas/v4/chat/completions"),
        ("/api/v3", (), "/api/v3/chat/completions"),
        ("", ("--wire", "openai"), "/v1/chat/completions"),
        ("/", ("--wire", "openai"), "/v1/chat/completions"),
        ("", ("--vendor", "vllm"), "/v1/chat/completions"),
        ("", ("--vendor", "deepseek", "--api-key", "x"), "/chat/completions"),
        ("/behind/a/proxy", ("--wire", "autonomousai"), "/behind/a/proxy/api/v1/ai/chat"),
    ],
)
async def test_which_wire_a_base_url_means(end: str, options: tuple[str, ...], path: str, env: dict[str, str]) -> None:
    """A bare root is the AutonomousAI wire's, any path OpenAI's; --wire says it otherwise."""
    async with ScriptedServer(Script.messages("Hi") if path == "/v1/messages" else Script.stream("Hi")) as server:
        ended = await run("chat", "--base-url", server.url + end, "--model", "llama", *options, QUESTION, env=env)

    assert (0, "Hi\n", "") == ended
    assert [path] == [each.path for each in server.requests]


async def test_a_model_of_the_servers_own_is_asked_for_at_a_bare_root(env: dict[str, str]) -> None:
    """One that the AutonomousAI API does not have: one with --find lists Ollama's, and so does Ollama."""
    async with ScriptedServer() as server:
        ended = await run("chat", "--base-url", server.url, "--model", "llama3.2", QUESTION, env=env)

    assert (0, "Hello world\n") == (ended.code, ended.out)
    assert ["/v1/chat/completions"] == [each.path for each in server.requests]
    assert "llama3.2" == server.requests[0].json()["model"]


@pytest.mark.parametrize(
    ("url", "vendor", "base_url"),
    [
        ("https://api.deepseek.com", None, "https://api.deepseek.com"),
        ("https://api.perplexity.ai/", None, "https://api.perplexity.ai"),
        ("https://api.groq.com", None, "https://api.groq.com/openai/v1"),
        ("http://host/", "ollama", "http://host/v1"),
        ("http://host", "groq", "http://host"),
        ("http://host/x", None, "http://host/x"),
    ],
)
def test_a_bare_root_is_completed_as_its_vendor_has_it(url: str, vendor: Any, base_url: str) -> None:
    """Some answer at their root, others further below; one's own place for those is what was written."""
    assert base_url == with_usual_path(url, vendor)


@pytest.mark.parametrize("end", ["", "/"])
def test_the_hosted_service_has_the_models_of_the_table_alone(end: str) -> None:
    """However its address is written: it is asked for no others."""
    served = Served(ChatSettings(model="llama3.2", base_url=HOSTED + end))

    assert served.has_ours
    with pytest.raises(ModelNotFoundError):
        served.resolve("llama3.2")


@pytest.mark.parametrize(
    ("url", "wire"),
    [
        ("https://api.anthropic.com", "anthropic"),
        ("https://api.anthropic.com/v1/", "anthropic"),
        ("https://api.anthropic.com.example.org/v1", "openai"),
    ],
)
def test_anthropics_own_server_speaks_its_wire(url: str, wire: str) -> None:
    """Without being told so."""
    assert wire == wire_of(url, None)


async def test_nobody_listening_is_a_failed_request(env: dict[str, str]) -> None:
    """A refused connection is exit code 1, and the message names the address."""
    async with ScriptedServer() as server:
        url = server.url
    ended = await run("chat", "--base-url", url, QUESTION, env=env)

    assert (1, "") == (ended.code, ended.out)
    assert url in ended.err


async def test_keys_are_never_shown(env: dict[str, str]) -> None:
    """Neither the key nor the password in an address appears in any output."""
    async with ScriptedServer(Script.status(401)) as server:
        url = server.url.replace("http://", "http://user:pass-word@")
        one = await run("chat", "--base-url", url, "--api-key", "sk-secret", QUESTION, env=env)
    other = await run("chat", "--base-url", url, "--api-key", "sk-secret", "--json", QUESTION, env=env)

    assert (1, 1) == (one.code, other.code)
    shown = "".join((one.out, one.err, other.out, other.err))
    assert "sk-secret" not in shown
    assert "pass-word" not in shown
    assert "the key is given with AUTONOMOUSAI_API_KEY" in one.err


async def test_a_full_disk_is_said(env: dict[str, str]) -> None:
    """Output that cannot be written is exit code 1, with the reason, and no traceback."""
    async with ScriptedServer(Script.stream("Hello")) as server:
        with open("/dev/full", "wb") as full:  # noqa: PTH123
            ended = await run("chat", "--base-url", server.url, QUESTION, env=env, stdout=full)

    assert (1, "autonomousai: error: standard output cannot be written: No space left on device\n") == (ended.code, ended.err)


@pytest.mark.parametrize("unbuffered", ["", "1"])
async def test_an_output_that_does_not_block_gets_all(unbuffered: str, env: dict[str, str]) -> None:
    """A pipe that another program has made non-blocking, and that is full, loses no part of an answer."""
    text = "".join(f"{number} " for number in range(40_000))
    env = {**env, "PYTHONUNBUFFERED": unbuffered}
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    async with ScriptedServer(Script.stream(*(text[at : at + 1000] for at in range(0, len(text), 1000)))) as server:
        process = await start("chat", "--base-url", server.url, QUESTION, env=env, stdout=writing)
        while select.select([], [writing], [], 0)[1]:
            await asyncio.sleep(0)
        os.close(writing)
        with open(reading, "rb") as reader:  # noqa: PTH123  a descriptor
            said = await asyncio.to_thread(reader.read)
        ended = await finish(process)

    assert (0, "", text + "\n") == (ended.code, ended.err, said.decode())


async def test_notes_that_cannot_be_written_do_not_matter(env: dict[str, str]) -> None:
    """A stderr that is full changes neither the answer nor the exit code."""
    async with ScriptedServer(Script.stream("Hello"), Script.status(400)) as server:
        with open("/dev/full", "wb") as full:  # noqa: PTH123
            answered = await run("chat", "--base-url", server.url, QUESTION, env=env, stderr=full)
            refused = await run("chat", "--base-url", server.url, QUESTION, env=env, stderr=full)

    assert [(0, "Hello\n"), (1, "")] == [(answered.code, answered.out), (refused.code, refused.out)]


async def test_standard_input_that_cannot_be_read_is_refused(env: dict[str, str]) -> None:
    """What is open for writing alone is no standard input, and that is said in words."""
    write_only = os.open(os.devnull, os.O_WRONLY)
    ended = await run("chat", QUESTION, env=env, stdin=write_only)
    os.close(write_only)

    assert (2, "autonomousai chat: error: standard input cannot be read: Bad file descriptor\n") == (ended.code, ended.err)


# Leaving


async def test_a_reader_who_leaves_stops_the_answer(env: dict[str, str]) -> None:
    """`| head -1`: the request is closed at once, nothing is said, and the exit code is that of other tools."""
    pause = Pause()
    first, more = chunks("first\n", finish=None, done=False), chunks("more\n", finish=None, done=False)
    reading, writing = os.pipe()
    async with ScriptedServer(Script(Head(), Send(first), pause, Send(more)).then(Pause())) as server:
        process = await start("chat", "--base-url", server.url, QUESTION, env=env, stdout=writing)
        os.close(writing)
        got = await asyncio.to_thread(os.read, reading, 100)
        os.close(reading)
        pause.release()
        ended = await finish(process)
        end = await server.requests[0].over()

    assert (b"first\n", "left") == (got, end)
    assert (141, "") == (ended.code, ended.err)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
async def test_a_signal_stops_the_answer(number: signal.Signals, code: int, env: dict[str, str]) -> None:
    """Ctrl-C, `kill` and a closed terminal close the request; what came stands on stdout with its newline."""
    async with ScriptedServer(Script.stall("first")) as server:
        process = await start("chat", "--base-url", server.url, QUESTION, env=env)
        assert process.stdout is not None
        first = await process.stdout.readexactly(5)
        process.send_signal(number)
        ended = await finish(process)
        end = await server.requests[0].over()

    assert (b"first", "left") == (first, end)
    assert (code, "\n", "") == ended


async def test_a_signal_is_told_to_a_script(env: dict[str, str]) -> None:
    """With --json the last line says that the answer is not whole, then as ever."""
    async with ScriptedServer(Script.stall("first")) as server:
        process = await start("chat", "--json", "--base-url", server.url, QUESTION, env=env)
        assert process.stdout is not None
        first = json.loads(await process.stdout.readline())
        process.send_signal(signal.SIGINT)
        ended = await finish(process)

    stopped = {"type": "error", "error": "Stopped", "message": "stopped before the answer was complete"}
    assert ({"type": "text", "text": "first"}, stopped) == (first, json.loads(ended.out))
    assert (130, "") == (ended.code, ended.err)


async def test_a_signal_before_the_first_word_stops_it_too(env: dict[str, str]) -> None:
    """While the server is silent Ctrl-C works as well."""
    async with ScriptedServer("silence") as server:
        process = await start("chat", "--base-url", server.url, QUESTION, env=env)
        request = await server.request(0)
        process.send_signal(signal.SIGINT)
        ended = await finish(process)
        end = await request.over()

    assert "left" == end
    assert (130, "", "") == ended


INTERRUPTED_IMPORT = """
import os, signal, sys
class Interrupting:
    def find_spec(self, name, path, target=None):
        if name == "autonomousai.cli.parser":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
from autonomousai.__main__ import main
sys.exit(main())
"""


async def test_a_signal_while_the_program_is_read_leaves_no_traceback(env: dict[str, str]) -> None:
    """Ctrl-C at once, before the first command is known."""
    process = await start("models", env=env, program=(sys.executable, "-c", INTERRUPTED_IMPORT))
    ended = await finish(process)

    assert (130, "", "") == ended


async def test_a_signal_gets_out_of_a_full_pipe(env: dict[str, str]) -> None:
    """A reader who reads nothing more cannot keep the program from being stopped."""
    flood = Script(Head(), *[Send(chunks("x" * 10_000, finish=None, done=False))] * 1000)
    reading, writing = os.pipe()
    async with ScriptedServer(flood) as server:
        process = await start("chat", "--base-url", server.url, QUESTION, env=env, stdout=writing)
        while select.select([], [writing], [], 0)[1]:
            await asyncio.sleep(0)
        process.send_signal(signal.SIGTERM)
        ended = await finish(process)
    os.close(writing)
    os.close(reading)

    assert (143, "") == (ended.code, ended.err)


async def test_waiting_for_standard_input_is_told_to_a_log_too(env: dict[str, str]) -> None:
    """A program that started this one with a pipe of its own has only its log to learn from."""
    process = await start("chat", QUESTION, env=env, stdin=asyncio.subprocess.PIPE)
    assert process.stderr is not None
    said = await process.stderr.readline()
    process.send_signal(signal.SIGINT)
    ended = await finish(process)

    assert said.startswith(b"autonomousai: reading standard input up to its end")
    assert (130, "") == (ended.code, ended.out)


async def test_waiting_for_standard_input_is_told_and_can_be_interrupted(env: dict[str, str]) -> None:
    """Who forgot that a pipe stays open reads what the program waits for, and Ctrl-C ends it quietly."""
    terminal, its_side = os.openpty()
    process = await start("chat", QUESTION, env=env, stdin=asyncio.subprocess.PIPE, stderr=its_side)
    said = await asyncio.to_thread(os.read, terminal, 1000)
    process.send_signal(signal.SIGINT)
    ended = await finish(process)
    os.close(its_side)
    os.close(terminal)

    assert b"autonomousai: reading standard input up to its end" in said
    assert 130 == ended.code


@pytest.mark.parametrize("options", [[], ["--wire", "openai"], ["--vendor", "ollama"], ["--vendor", "anthropic"]])
@pytest.mark.parametrize("url", ["http://[::1:9/v1", "http://a..example", "http://\u2100.example"])
async def test_an_address_that_cannot_be_read_is_said_so(url: str, options: list[str], env: dict[str, str]) -> None:
    """Whichever API the server is said to have, and wherever the address stands."""
    given = await run("chat", "--base-url", url, *options, QUESTION, env=env)
    in_environment = await run("chat", *options[:2], QUESTION, env={**env, "AUTONOMOUSAI_BASE_URL": url})

    assert given.err.startswith("autonomousai: error: base_url ")
    assert (3, "", 1) == (given.code, given.out, given.err.count("\n"))
    assert "Traceback" not in in_environment.err


# By its vendor


@pytest.mark.parametrize(
    ("vendor", "options", "variables", "sent_key"),
    [
        ("groq", (), {"GROQ_API_KEY": "key-of-groq"}, {"authorization": "Bearer key-of-groq"}),
        ("groq", ("--api-key", "another"), {"GROQ_API_KEY": "key-of-groq"}, {"authorization": "Bearer another"}),
        ("azure", ("--api-key", "key-of-azure"), {}, {"api-key": "key-of-azure"}),
        ("deepseek", ("--api-key", "own"), {"AUTONOMOUSAI_API_KEY": "x"}, {"authorization": "Bearer own"}),
        ("ollama", (), {"AUTONOMOUSAI_API_KEY": "own"}, {"authorization": "Bearer own"}),
        ("ollama", (), {}, {}),
    ],
)
async def test_a_vendor_is_asked_with_its_own_key(
    vendor: str, options: tuple[str, ...], variables: dict[str, str], sent_key: dict[str, str], env: dict[str, str]
) -> None:
    """On OpenAI's wire, at the path that it has there; the key is its variable's, or what was said."""
    async with ScriptedServer(Script.stream("Because.")) as server:
        named = {**env, **variables, "AUTONOMOUSAI_BASE_URL": "http://127.0.0.1:9"}
        ended = await run("chat", "--vendor", vendor, "--base-url", server.url, "--model", "m", *options, QUESTION, env=named)
    headers = server.requests[-1].headers

    path = "/v1/chat/completions" if vendor == "ollama" else "/chat/completions"
    assert (0, "Because.\n", path) == (ended.code, ended.out, server.requests[-1].path)
    assert sent_key == {name: headers[name] for name in ("authorization", "api-key") if name in headers}


async def test_anthropic_is_a_vendor_too(env: dict[str, str]) -> None:
    """Over its own wire, with the key that was said."""
    async with ScriptedServer(Script.messages("Because.")) as server:
        options = ("--base-url", server.url, "--model", "m", "--api-key", "k", QUESTION)
        ended = await run("chat", "--vendor", "anthropic", *options, env=env)
    asked = server.requests[-1]

    assert (0, "Because.\n", "/v1/messages", "k") == (ended.code, ended.out, asked.path, asked.headers["x-api-key"])


async def test_a_wrong_key_of_a_vendor_names_its_variable(env: dict[str, str]) -> None:
    """Not the one of this program, which is not read then."""
    async with ScriptedServer(Script.status(401)) as server:
        named = {**env, "OPENAI_API_KEY": "wrong"}
        ended = await run("chat", "--vendor", "openai", "--base-url", server.url, "-m", "m", QUESTION, env=named)

    assert 1 == ended.code
    assert "the key is given with OPENAI_API_KEY, or with --api-key" in ended.err


@pytest.mark.parametrize(
    ("vendor", "names", "asked", "code"),
    [
        ("openai", ("text-embedding-ada-002", "gpt-a", "gpt-b"), None, 2),
        ("openai", ("text-embedding-ada-002", "gpt-a"), "gpt-a", 0),
        ("ollama", ("nomic-embed-text", "llama3.2", "qwen3"), "llama3.2", 0),
        ("ollama", ("nomic-embed-text",), "nomic-embed-text", 0),
    ],
)
async def test_without_a_model_one_that_chats_is_asked(
    vendor: str, names: tuple[str, ...], asked: str | None, code: int, env: dict[str, str]
) -> None:
    """And none by chance at a vendor that has many, each at its price."""
    async with ScriptedServer() as server:
        server.play(Script.status(200, {"object": "list", "data": [{"id": name} for name in names]}), path="/v1/models")
        named = {**env, "OPENAI_API_KEY": "k"}
        ended = await run("chat", "--vendor", vendor, "--base-url", server.url, QUESTION, env=named)
    sent = [request.json()["model"] for request in server.requests if request.method == "POST"]

    assert (code, [asked] if asked else []) == (ended.code, sent)
    assert asked or "name a model with --model; this server has: gpt-a, gpt-b\n" in ended.err


async def test_openais_variables_are_read(env: dict[str, str]) -> None:
    """The base URL too, as by its own clients; what is said on the command line wins."""
    async with ScriptedServer(Script.stream("One"), Script.stream("Two")) as server:
        named = {**env, "OPENAI_API_KEY": "k", "OPENAI_BASE_URL": f"{server.url}/v1"}
        one = await run("chat", "--vendor", "openai", "-m", "m", QUESTION, env=named)
        named["OPENAI_BASE_URL"] = "http://127.0.0.1:9"
        two = await run("chat", "--vendor", "openai", "-m", "m", "--base-url", f"{server.url}/v1", QUESTION, env=named)

    assert (("One\n", 0), ("Two\n", 0)) == ((one.out, one.code), (two.out, two.code))


async def test_anthropics_variables_are_read(env: dict[str, str]) -> None:
    """Base URL and key belong together: another server does not get the key."""
    async with ScriptedServer(Script.messages("One"), Script.messages("Two")) as server:
        named = {**env, "ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": server.url}
        one = await run("chat", "--vendor", "anthropic", "-m", "m", QUESTION, env=named)
        named["ANTHROPIC_BASE_URL"] = "http://127.0.0.1:9"
        two = await run("chat", "--vendor", "anthropic", "-m", "m", "--base-url", server.url, QUESTION, env=named)

    assert (("One\n", 0), ("Two\n", 0)) == ((one.out, one.code), (two.out, two.code))
    assert ["k", None] == [request.headers.get("x-api-key") for request in server.requests]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"message": "The model `m` does not exist", "code": "model_not_found"}, 2),
        ({"message": "model 'm' not found, try pulling it first", "code": None}, 2),
        ({"message": "no such page"}, 1),
    ],
)
async def test_a_model_that_a_server_does_not_have_is_a_mistake_of_the_command_line(
    error: dict[str, Any], code: int, env: dict[str, str]
) -> None:
    """As one that is known before anything is asked; a path that is not there is none."""
    async with ScriptedServer(Script.status(404, {"error": error})) as server:
        ended = await run("chat", "--base-url", f"{server.url}/v1", "-m", "m", QUESTION, env=env)

    assert (code, "") == (ended.code, ended.out)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--vendor", "groq"), 3, "GROQ_API_KEY"),
        (("--vendor", "grok"), 2, "did you mean groq?"),
        (("--vendor", "azure", "--api-key", "k"), 2, "name yours with --base-url"),
        (("--vendor", "groq", "--wire", "autonomousai"), 2, "leave out --wire autonomousai"),
        (("--vendor", "groq", "--wire", "anthropic"), 2, "leave out --wire anthropic"),
        (("--vendor", "anthropic"), 3, "ANTHROPIC_API_KEY"),
        (("--vendor", "anthropic", "--wire", "openai"), 2, "leave out --wire openai"),
        (
            ("--base-url", "groq"),
            2,
            "its base URL is https://api.groq.com/openai/v1; `autonomousai chat --vendor groq` knows it",
        ),
        (("--vendor", "groq", "--context", "9"), 2, "for the engine"),
    ],
)
async def test_what_is_missing_for_a_vendor_is_told(
    arguments: tuple[str, ...], code: int, words: str, env: dict[str, str]
) -> None:
    """The variable of its key, its address, or what was mistyped."""
    ended = await run("chat", *arguments, QUESTION, env=env)

    assert (code, "", True) == (ended.code, ended.out, words in ended.err)
