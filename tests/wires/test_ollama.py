"""Ollama's own API: which requests are taken, what they become, and events as lines and documents, as bytes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from autonomousai.capabilities import Capabilities
from autonomousai.errors import InvalidMessagesError, StatusError, StreamError
from autonomousai.events import Batch, FinishReason, LogProbs, Reasoning, Started, ToolCallDelta, Usage
from autonomousai.wires.base import AnswerHead
from autonomousai.wires.ollama.contexts import context_of
from autonomousai.wires.ollama.embeddings import OLLAMA_EMBED
from autonomousai.wires.ollama.models import show_model
from autonomousai.wires.ollama.wire import OLLAMA

HEAD = AnswerHead("chatcmpl-1", 1700000000, "m")
GENERATED = AnswerHead("chatcmpl-1", 1700000000, "m", echo={"generated": []})
STAMP = {"model": "m", "created_at": "2023-11-14T22:13:20Z"}
#: Templates with what is not known: loops, pipes, and conditions that do not end.
TEMPLATES = (
    "{{ range .Messages }}{{ .Content }}{{ end }}",
    "{{ .Prompt | trim }}",
    "{{ if .System }}a",
    "{{ end }}",
    "{{ .Tools }}",
)
#: What an answer obeys, as OpenAI's clients write it.
OPENAIS: Any = [{"type": "json_object"}, {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}]
#: Contexts that are of no answer of this server: tokens of Ollama's own, and damaged ones.
FOREIGN: Any = [
    [1, 2],
    [5],
    [3, 2**40],
    [6, 0x789C8A, 0x8E0000],
    context_of([("user", "a" * 99)])[:-2],
    [2.5],
    [5.0, 2.0, -1.0],
    "a",
]
PARTS: Any = [
    {"type": "text", "text": "Hello"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
]
HELLO = {"role": "user", "content": "Hello"}
STOP = FinishReason("stop", "finish_reason", Usage(3, 2))


def chat(**document: Any) -> Any:
    return OLLAMA.decode_request(json.dumps({"messages": [HELLO], **document}).encode(), "/api/chat")


def generate(**document: Any) -> Any:
    return OLLAMA.decode_request(json.dumps(document).encode(), "/api/generate")


def lines(data: bytes) -> list[Any]:
    assert data.endswith(b"\n")
    return [json.loads(line) for line in data.splitlines()]


# ---- requests


@pytest.mark.parametrize(
    ("asked", "fields"),
    [
        ({}, {}),
        (
            {"options": {"num_predict": 5, "temperature": 0, "stop": ["a"], "num_ctx": 4096}},
            {"max_tokens": 5, "temperature": 0, "stop": ["a"]},
        ),
        ({"options": {"num_predict": -1}}, {}),
        (
            {"options": {"seed": 7, "top_k": 3.0, "min_p": 0.1, "repeat_penalty": 1.1, "stop": []}},
            {"seed": 7, "top_k": 3, "min_p": 0.1, "repeat_penalty": 1.1},
        ),
        ({"options": None, "format": None, "think": None, "keep_alive": "5m", "unknown": {"a": 1}}, {}),
        ({"format": "json"}, {"response_format": {"type": "json_object"}}),
        ({"format": ""}, {}),
        (
            {"format": {"type": "object"}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": False},
                }
            },
        ),
        *(({"format": form}, {"response_format": form}) for form in OPENAIS),
        ({"top_logprobs": 2}, {}),
        ({"logprobs": False, "top_logprobs": 2}, {"logprobs": False}),
        ({"think": True}, {"reasoning_effort": "medium"}),
        ({"think": False}, {"reasoning_effort": "none"}),
        ({"think": "high"}, {"reasoning_effort": "high"}),
        ({"logprobs": True, "top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}),
        ({"tools": []}, {}),
    ],
    ids=str,
)
def test_what_is_asked_becomes_fields_of_chat_completions(asked: dict[str, Any], fields: dict[str, Any]) -> None:
    """What has no meaning there is left out."""
    assert fields == chat(**asked).fields
    assert fields == generate(prompt="Hello", **{name: value for name, value in asked.items() if name != "tools"}).fields


@pytest.mark.parametrize(
    ("asked", "streams"), [({}, True), ({"stream": None}, True), ({"stream": True}, True), ({"stream": False}, False)]
)
def test_an_answer_is_streamed_unless_it_is_refused(asked: dict[str, Any], streams: bool) -> None:
    """As Ollama's own server does it."""
    assert streams is chat(**asked).stream
    assert streams is generate(prompt="Hello", **asked).stream


def test_calls_and_results_find_each_other_without_ids() -> None:
    """By the names of their tools; arguments are text, as chat completions have them."""
    messages = [
        HELLO,
        {
            "role": "assistant",
            "content": "",
            "thinking": "Hm.",
            "tool_calls": [
                {"function": {"index": 0, "name": "a", "arguments": {"x": 1}}},
                {"function": {"index": 1, "name": "b", "arguments": {}}},
            ],
        },
        {"role": "tool", "tool_name": "b", "content": "of b"},
        {"role": "tool", "tool_name": "a", "content": "of a"},
        {"role": "tool", "content": "of none"},
    ]

    said = chat(messages=messages).messages

    (first, second), ids = said[1]["tool_calls"], [message.get("tool_call_id") for message in said[2:4]]
    assert [second["id"], first["id"]] == ids
    assert ({"name": "a", "arguments": '{"x":1}'}, {"name": "b", "arguments": "{}"}) == (first["function"], second["function"])
    assert "Hm." == said[1]["reasoning_content"]
    assert {"role": "user", "content": "of none"} == said[4]


@pytest.mark.parametrize(
    ("data", "url"),
    [
        ("iVBORw0KGgo=", "data:image/png;base64,iVBORw0KGgo="),
        ("/9j/4AAQ", "data:image/jpeg;base64,/9j/4AAQ"),
        ("R0lGODlh", "data:image/gif;base64,R0lGODlh"),
        ("UklGRiQA", "data:image/webp;base64,UklGRiQA"),
        ("data:image/png;base64,iVBORw0KGgo=", "data:image/png;base64,iVBORw0KGgo="),
    ],
)
def test_images_are_parts_of_the_message(data: str, url: str) -> None:
    """Their type is the one by which they begin."""
    parts = [{"type": "text", "text": "Hello"}, {"type": "image_url", "image_url": {"url": url}}]

    assert [{"role": "user", "content": parts}] == chat(messages=[{**HELLO, "images": [data]}]).messages
    assert [{"role": "user", "content": parts}] == generate(prompt="Hello", images=[data]).messages


@pytest.mark.parametrize(
    ("message", "content"),
    [
        ({"content": PARTS}, PARTS),
        ({"content": PARTS, "images": [None, ""]}, PARTS),
        ({"content": "Hello", "images": [None, ""]}, "Hello"),
        ({"content": "Hello", "images": None}, "Hello"),
    ],
    ids=str,
)
def test_contents_may_be_parts(message: dict[str, Any], content: Any) -> None:
    """As programs send them that have them from OpenAI's API; an image that is none is left out."""
    assert [{"role": "user", "content": content}] == chat(messages=[{"role": "user", **message}]).messages


def test_a_prompt_and_a_system_prompt_are_messages() -> None:
    """As `/api/generate` has them."""
    assert [{"role": "system", "content": "Be brief."}, HELLO] == generate(prompt="Hello", system="Be brief.").messages


@pytest.mark.parametrize(
    ("path", "document", "param"),
    [
        ("/api/chat", {"messages": [{"content": "Hello"}]}, "messages[0].role"),
        ("/api/chat", {"messages": [{**HELLO, "images": "iVBOR"}]}, "messages[0].images"),
        ("/api/chat", {"messages": [HELLO], "options": {"temperature": "hot"}}, "options.temperature"),
        ("/api/chat", {"messages": [HELLO], "format": "xml"}, "format"),
        ("/api/chat", {"messages": [HELLO], "think": 3}, "think"),
        ("/api/chat", {"messages": [HELLO], "stream": "yes"}, "stream"),
        ("/api/chat", {"messages": [{"role": "wizard", "content": "Hello"}]}, "messages[0].role"),
        ("/api/generate", {"prompt": 1}, "prompt"),
        ("/api/generate", {"prompt": "a", "raw": 1}, "raw"),
        ("/api/generate", {"prompt": "a", "suffix": "b", "images": ["iVBOR"]}, "images"),
        ("/api/generate", {"options": 1}, "options"),
        *(("/api/generate", {"prompt": "a", "template": template}, "template") for template in TEMPLATES),
        *(("/api/generate", {"prompt": "a", "context": context}, "context") for context in FOREIGN),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_refused(path: str, document: dict[str, Any], param: str) -> None:
    """With the place of what is wrong."""
    with pytest.raises((StatusError, InvalidMessagesError)) as caught:
        OLLAMA.decode_request(json.dumps(document).encode(), path)

    assert str(caught.value).startswith(param)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({}, "load"),
        ({"keep_alive": "5m"}, "load"),
        ({"keep_alive": -1}, "load"),
        ({"keep_alive": False}, "load"),
        ({"keep_alive": 0}, "unload"),
        ({"keep_alive": "0"}, "unload"),
        ({"keep_alive": "0m0s"}, "unload"),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    ("path", "empty"),
    [
        ("/api/chat", {}),
        ("/api/chat", {"messages": []}),
        ("/api/chat", {"messages": None}),
        ("/api/generate", {}),
        ("/api/generate", {"prompt": "", "system": "a"}),
    ],
    ids=str,
)
def test_a_request_that_asks_nothing_loads_a_model(
    path: str, empty: dict[str, Any], asked: dict[str, Any], reason: str
) -> None:
    """Or has it unloaded: no model is asked."""
    request = OLLAMA.decode_request(json.dumps({"model": "m", **empty, **asked}).encode(), path)
    end = OLLAMA.end_at_once(request)

    assert end is not None
    got = json.loads(OLLAMA.encode_answer([end], AnswerHead("chatcmpl-1", 1700000000, "m", echo=request.echo)))
    assert ("m", True, reason, True) == (request.model, request.stream, got["done_reason"], got["done"])
    assert "" == (got["response"] if path == "/api/generate" else got["message"]["content"])


def test_a_request_that_asks_something_has_no_end_at_once() -> None:
    """Neither a conversation nor a raw prompt."""
    asked = (chat(), generate(prompt="a"), generate(prompt="a", raw=True), generate(suffix="b"))

    assert [None] * 4 == [OLLAMA.end_at_once(request) for request in asked]


@pytest.mark.parametrize(
    ("asked", "document"),
    [
        ({"prompt": "a", "raw": True}, {"prompt": "a", "max_tokens": 1024}),
        (
            {"prompt": "a", "suffix": "b", "options": {"num_predict": 5, "stop": ["c", ""], "num_ctx": 9}},
            {"prompt": "a", "suffix": "b", "max_tokens": 5, "stop": ["c"]},
        ),
        ({"suffix": "b"}, {"prompt": "", "suffix": "b", "max_tokens": 1024}),
        (
            {"prompt": "a", "raw": True, "format": "json", "think": False, "logprobs": True, "system": "left out"},
            {"prompt": "a", "max_tokens": 1024, "response_format": {"type": "json_object"}, "logprobs": 1},
        ),
        ({"prompt": "a", "raw": True, "logprobs": True, "top_logprobs": 3}, {"prompt": "a", "max_tokens": 1024, "logprobs": 3}),
    ],
    ids=str,
)
def test_a_raw_prompt_is_a_text_completion(asked: dict[str, Any], document: dict[str, Any]) -> None:
    """As it is, or with what follows; without a context to continue it by."""
    request = generate(**asked)

    assert ("openai_completions", document, True) == (request.origin.wire, request.origin.document, request.stream)
    answer = OLLAMA.encode_answer(["Hi", STOP], AnswerHead("chatcmpl-1", 1700000000, "m", echo=request.echo))
    assert ("Hi", False) == (json.loads(answer)["response"], "context" in json.loads(answer))


@pytest.mark.parametrize(
    ("template", "prompt"),
    [
        ("{{ .Prompt }}", "Hi"),
        ("{{.Prompt}}!", "Hi!"),
        ("<s>{{ .System }}</s> {{ .Prompt }} A: {{ .Response }}<end>", "<s>Be.</s> Hi A: "),
        ("{{ if .System }}[{{ .System }}]{{ else }}none{{ end }} {{ .Prompt }}", "[Be.] Hi"),
        ("{{ if .First }}{{ if .System }}a{{ end }}b{{ else }}c{{ end }}{{ .Prompt }}", "cHi"),
        ("{{- if .System }}\n{{ .System }}\n{{- end }}\n\n{{- .Prompt -}}  \n", "\nBe.Hi"),
        ("none", "none"),
    ],
)
def test_a_template_writes_a_raw_prompt(template: str, prompt: str) -> None:
    """Up to where the answer stands in it."""
    request = generate(prompt="Hi", system="Be.", template=template)

    assert ("openai_completions", prompt) == (request.origin.wire, request.origin.document["prompt"])


@pytest.mark.parametrize("streamed", [True, False])
def test_a_context_continues_a_conversation(streamed: bool) -> None:
    """That of an answer, which nothing keeps here. New instructions replace the old ones."""
    first = generate(prompt="Hallo \u00e9", system="Be brief.")
    head = AnswerHead("chatcmpl-1", 1700000000, "m", echo=first.echo)
    encoder = OLLAMA.encoder(head)
    data = encoder.write(["H", "i"]) + encoder.end(STOP) if streamed else OLLAMA.encode_answer(["H", "i", STOP], head) + b"\n"
    context = lines(data)[-1]["context"]

    said = [{"role": "user", "content": "Hallo \u00e9"}, {"role": "assistant", "content": "Hi"}]
    brief = {"role": "system", "content": "Be brief."}
    assert max(context) < 2**24
    assert [brief, *said, HELLO] == generate(prompt="Hello", context=context).messages
    assert [{**brief, "content": "Be long."}, *said, HELLO] == generate(
        prompt="Hello", context=context, system="Be long."
    ).messages


@pytest.mark.parametrize(("written", "meant"), [("USER", "user"), ("System", "system")])
def test_roles_are_read_in_any_case(written: str, meant: str) -> None:
    """As Ollama reads them."""
    assert meant == chat(messages=[{**HELLO, "role": written}, HELLO]).messages[0]["role"]


def test_arguments_may_be_text() -> None:
    """As programs send them that have them from OpenAI's API."""
    call = {"function": {"name": "f", "arguments": '{"a": 1}'}}
    messages = [HELLO, {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_name": "f", "content": "x"}]

    assert '{"a": 1}' == chat(messages=messages).messages[1]["tool_calls"][0]["function"]["arguments"]


# ---- answers


@pytest.mark.parametrize(
    ("total", "before", "prompt", "eval"),
    [(1000, 400, 400, 600), (1000, 1000, 0, 1000), (5, 7, 0, 5), (0, 0, 0, 1)],
)
def test_an_answer_says_how_long_it_took(total: int, before: int, prompt: int, eval: int) -> None:
    """Where that is known. Clients divide by the last of them; of an answer that came at once it is all of the time."""
    head = AnswerHead("chatcmpl-1", 1700000000, "m", durations=lambda: (total, before))

    for got in (json.loads(OLLAMA.encode_answer(["Hi", STOP], head)), lines(OLLAMA.encoder(head).end(STOP))[-1]):
        assert (total, 0) == (got["total_duration"], got["load_duration"])
        assert (prompt, eval) == (got["prompt_eval_duration"], got["eval_duration"])


@pytest.mark.parametrize(
    ("events", "said"),
    [
        (["Hel", "lo"], [{"content": "Hel"}, {"content": "lo"}]),
        ([Reasoning("Hm."), "Hi"], [{"content": "", "thinking": "Hm."}, {"content": "Hi"}]),
        (["", Started("m")], []),
    ],
)
def test_a_stream_is_lines(events: Batch, said: list[dict[str, Any]]) -> None:
    """A piece each, and a last one that is done."""
    encoder = OLLAMA.encoder(HEAD)
    got = lines(encoder.write([Started("m"), *events]) + encoder.end(STOP, extension={"upstream": "u"}))

    assert [{**STAMP, "message": {"role": "assistant", **each}, "done": False} for each in said] == got[:-1]
    assert {
        **STAMP,
        "message": {"role": "assistant", "content": ""},
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": 3,
        "eval_count": 2,
        "x_autonomousai": {"upstream": "u"},
    } == got[-1]


def test_an_answer_to_a_prompt_is_a_response() -> None:
    """Streamed and complete, with what was thought."""
    encoder = OLLAMA.encoder(GENERATED)
    got = lines(encoder.write([Started("m"), Reasoning("Hm."), "Hi"]) + encoder.end(STOP))

    assert [("", "Hm."), ("Hi", None), ("", None)] == [(line["response"], line.get("thinking")) for line in got]
    whole = json.loads(OLLAMA.encode_answer([Started("m"), Reasoning("Hm."), "H", "i", STOP], GENERATED))
    assert ("Hi", "Hm.", True) == (whole["response"], whole["thinking"], whole["done"])


@pytest.mark.parametrize(
    ("arguments", "object"), [(['{"a"', ": 1}"], {"a": 1}), (["", ""], {}), (["oops"], {"INVALID_JSON": "oops"})]
)
def test_calls_come_complete_before_the_end(arguments: list[str], object: Any) -> None:
    """Their arguments are an object; an answer with calls has stopped."""
    pieces: Batch = [ToolCallDelta(0, "c1", "f"), *(ToolCallDelta(0, arguments=piece) for piece in arguments)]
    finish = FinishReason("tool_calls", "finish_reason")
    call = {"id": "c1", "function": {"index": 0, "name": "f", "arguments": object}}

    encoder = OLLAMA.encoder(HEAD)
    assert b"" == encoder.write(pieces)
    (said, last) = lines(encoder.end(finish))
    whole = json.loads(OLLAMA.encode_answer([*pieces, finish], HEAD))

    assert ([call], False) == (said["message"]["tool_calls"], said["done"])
    assert (True, "stop") == (last["done"], last["done_reason"])
    assert ([call], "stop") == (whole["message"]["tool_calls"], whole["done_reason"])


def test_calls_bear_the_names_that_were_offered() -> None:
    """Other APIs take no dots, and get the tool under another name."""
    request = chat(tools=[{"type": "function", "function": {"name": "files.read", "parameters": {"type": "object"}}}])
    assert request.echo is not None
    ((offered, own),) = request.echo["names"].items()
    head = AnswerHead("chatcmpl-1", 1700000000, "m", echo=request.echo)
    events: Batch = [ToolCallDelta(0, "c1", offered, "{}"), FinishReason("tool_calls", "finish_reason")]

    encoder = OLLAMA.encoder(head)
    encoder.write(events[:1])
    (said, _) = lines(encoder.end(events[1]))  # type: ignore[arg-type]
    whole = json.loads(OLLAMA.encode_answer(events, head))

    assert "files.read" == own
    for message in (said["message"], whole["message"]):
        assert ["files.read"] == [call["function"]["name"] for call in message["tool_calls"]]


@pytest.mark.parametrize(("reason", "said"), [("length", "length"), (None, "stop"), ("content_filter", "content_filter")])
def test_the_end_says_why(reason: str | None, said: str) -> None:
    """In Ollama's words, where it has one."""
    assert said == lines(OLLAMA.encoder(HEAD).end(FinishReason(reason, "done")))[0]["done_reason"]


def test_log_probabilities_go_with_their_text() -> None:
    """In the line of the piece before them, or in one of their own."""
    entry = {"token": "Hi", "logprob": -0.1}
    encoder = OLLAMA.encoder(HEAD)

    assert [("Hi", [entry])] == [
        (x["message"]["content"], x["logprobs"]) for x in lines(encoder.write(["Hi", LogProbs([entry])]))
    ]
    other = {"token": "you", "logprob": -0.2}
    pairs: Batch = [LogProbs([entry]), "Hi", LogProbs([other]), "you", LogProbs([entry])]
    assert [("Hi", [entry]), ("you", [other]), ("", [entry])] == [
        (x["message"]["content"], x["logprobs"]) for x in lines(encoder.write(pairs))
    ]
    assert [("", [entry])] == [(x["message"]["content"], x["logprobs"]) for x in lines(encoder.write([LogProbs([entry])]))]
    assert [entry] == json.loads(OLLAMA.encode_answer(["Hi", LogProbs([entry]), STOP], HEAD))["logprobs"]


def test_errors_are_texts() -> None:
    """Of a response, and of a stream that broke."""
    error = StreamError("it broke")

    status, _, body = OLLAMA.encode_error(error)
    assert (502, json.loads(body)) == (status, lines(OLLAMA.encoder(HEAD).fail(error))[0])
    assert "it broke" in json.loads(body)["error"]
    assert body + b"\n" == OLLAMA.encode_error_event(error)


def test_what_bridges_a_silence_says_nothing() -> None:
    """To readers of both paths."""
    for line in (*lines(OLLAMA.ping), *lines(OLLAMA.encoder(HEAD).sign(3))):
        assert (False, "") == (line["done"], line["message"]["content"])


# ---- embeddings


@pytest.mark.parametrize(
    ("path", "document", "input"),
    [
        ("/api/embed", {"input": "a"}, "a"),
        ("/api/embed", {"input": ["a", "b"], "truncate": True, "options": {}, "keep_alive": 0}, ["a", "b"]),
        ("/api/embeddings", {"prompt": "a"}, "a"),
        ("/api/embed", {"prompt": "a"}, "a"),
        ("/api/embeddings", {"input": "a"}, "a"),
    ],
)
def test_embeddings_are_asked_as_openais(path: str, document: dict[str, Any], input: Any) -> None:
    """Over the API that upstreams have."""
    request = OLLAMA_EMBED.decode_request(json.dumps({"model": "m", **document}).encode(), path)

    assert request.origin is not None
    assert ("openai_embeddings", {"input": input}) == (request.origin.wire, request.origin.document)


@pytest.mark.parametrize("document", [{}, {"input": ""}, {"input": []}, {"prompt": ""}, {"input": None}], ids=str)
@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/api/embed", {"model": "m", "embeddings": []}),
        ("/api/embeddings", {"embedding": []}),
    ],
)
def test_of_no_text_there_are_no_vectors(path: str, answer: dict[str, Any], document: dict[str, Any]) -> None:
    """Which is no error; and no upstream is asked."""
    request = OLLAMA_EMBED.decode_request(json.dumps(document).encode(), path)
    end = OLLAMA_EMBED.end_at_once(request)

    assert end is not None
    got = json.loads(OLLAMA_EMBED.encode_answer([end], AnswerHead("chatcmpl-1", 1700000000, "m", echo=request.echo)))
    assert answer == got


@pytest.mark.parametrize(
    ("able", "told"),
    [
        (Capabilities(), ["completion", "tools"]),
        (Capabilities(tools=False, vision=True), ["completion", "vision"]),
        (
            Capabilities(embeddings=None, wires=("openai_completions", "openai_embeddings")),
            ["completion", "tools", "embedding"],
        ),
        (Capabilities(embeddings=True, wires=("openai_embeddings",)), ["embedding"]),
    ],
    ids=str,
)
def test_a_model_says_what_it_can(able: Capabilities, told: list[str]) -> None:
    """Clients offer no chats with one that makes embeddings alone. What its context is stands where they look for it."""
    shown = show_model("m", msgspec.structs.replace(able, context=512), {}, 1700000000)

    assert told == shown["capabilities"]
    architecture = shown["model_info"]["general.architecture"]
    assert (512, "m") == (shown["model_info"][f"{architecture}.context_length"], shown["model_info"]["general.basename"])
    assert "512" in shown["parameters"].split()
