"""What goes with a question of `chat`: files, a schema for the answer; and how little may be said beside it."""

from __future__ import annotations

import base64
import io
import json
import os
from pathlib import Path
from typing import Any

import pypdf
import pytest

from autonomousai.cli.chat.files import response_format
from autonomousai.testing import Request, Script, ScriptedServer
from tests.support.program import run

SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


def question(request: Request) -> Any:
    """The text of the last message that a request carries."""
    return json.loads(base64.b64decode(request.json()["messages"]))[-1]["content"]


def locked_pdf() -> bytes:
    """A PDF that is encrypted with a password."""
    writer, file = pypdf.PdfWriter(), io.BytesIO()
    writer.add_blank_page(100, 100)
    writer.encrypt("x", algorithm="RC4-128")
    writer.write(file)
    return file.getvalue()


def pdf(text: str) -> bytes:
    """A PDF of one page with *text* on it, or an empty page."""
    content = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode() if text else b""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    body, places = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, 1):
        places.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return body + b"xref\n0 6\n0000000000 65535 f \n%strailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        table,
        len(body),
    )


async def test_files_go_before_the_question(env: dict[str, str], tmp_path: Path) -> None:
    """Each between tags with its name: text without its byte order mark, and the text of a PDF."""
    (tmp_path / "notes.txt").write_bytes("\ufeffGrün\n".encode())
    (tmp_path / "report.pdf").write_bytes(pdf("Sales fell."))
    files = ["-f", str(tmp_path / "notes.txt"), "--file", str(tmp_path / "report.pdf")]
    async with ScriptedServer() as server:
        ended = await run("chat", "--base-url", server.url, *files, "-m", "llama", "-s", "Be kind.", "Why?", env=env)
        await run("chat", "--base-url", server.url, *files[:2], env=env)

    assert (0, "") == (ended.code, ended.err)
    assert (
        '<file name="notes.txt">\nGrün\n</file>\n\n<file name="report.pdf">\nSales fell.\n</file>\n\nWhy?',
        '<file name="notes.txt">\nGrün\n</file>',
    ) == tuple(map(question, server.requests))


async def test_a_files_name_may_be_no_text(env: dict[str, str], tmp_path: Path) -> None:
    """What of it is none is replaced; the conversation is kept as any other."""
    path = os.fsencode(tmp_path) + b"/caf\xe9.txt"
    Path(os.fsdecode(path)).write_text("Hi", encoding="utf-8")
    async with ScriptedServer() as server:
        ended = await run("chat", "--base-url", server.url, "-m", "llama", "-f", path, env=env)

    assert (0, "") == (ended.code, ended.err)
    assert '<file name="caf\ufffd.txt">\nHi\n</file>' == question(server.requests[0])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b" \n", "is empty"),
        (b"\xff\xd8\xff\xe0", "is not UTF-8 text and no PDF (byte 0xff at offset 0)"),
        (b"%PDF-1.4\nnothing", "this PDF cannot be read"),
        (pdf(""), "this PDF holds no text"),
        (locked_pdf(), "this PDF asks for a password; save it without one"),
        (b"x" * 14_000_001, "is larger than 14 MB"),
    ],
    ids=["missing", "empty", "image", "damaged", "scanned", "locked", "large"],
)
async def test_a_file_without_text_is_named(env: dict[str, str], tmp_path: Path, content: bytes | None, said: str) -> None:
    """With what to do; nothing is asked."""
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    async with ScriptedServer() as server:
        ended = await run("chat", "--base-url", server.url, "--file", str(path), "Why?", env=env)

    assert (2, "", []) == (ended.code, ended.out, server.requests)
    assert f"--file {path}: {said}" in ended.err


@pytest.mark.parametrize("from_file", [True, False])
async def test_a_schema_is_sent(env: dict[str, str], tmp_path: Path, from_file: bool) -> None:
    """From a file, or as it stands on the command line; the answer is its JSON as it comes."""
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(SCHEMA))
    given = str(path) if from_file else json.dumps(SCHEMA)
    async with ScriptedServer(Script.stream('{"name": ', '"*Ada*"}')) as server:
        ended = await run("chat", "--base-url", server.url, "--schema", given, "Invent a person.", env=env)

    assert (0, '{"name": "*Ada*"}\n', "") == ended
    assert {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": SCHEMA},
    } == server.requests[0].json()["response_format"]


STRICT = {**SCHEMA, "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (STRICT, True),
        (SCHEMA, False),
        ({**STRICT, "required": []}, False),
        ({**STRICT, "properties": {"name": SCHEMA}}, False),
        ({**STRICT, "properties": {"name": {"type": "array", "items": STRICT}}}, True),
        ({**STRICT, "properties": {"name": {"type": "array", "items": SCHEMA}}}, False),
        ({**STRICT, "properties": {"name": {"anyOf": [STRICT, SCHEMA]}}}, False),
        ({**STRICT, "properties": {"name": {"$ref": "#/$defs/x"}}, "$defs": {"x": SCHEMA}}, False),
        ({**STRICT, "allOf": [STRICT]}, False),
        ({**STRICT, "properties": {"name": {"type": ["object", "null"]}}}, False),
        ({**STRICT, "required": 5}, False),
        ({**STRICT, "properties": {"name": True}}, False),
    ],
)
def test_a_schema_is_strict_where_openai_takes_it(schema: dict[str, Any], strict: bool) -> None:
    """It refuses a request with one that is said to be strict, and leaves something open."""
    assert strict == response_format(json.dumps(schema))["json_schema"].get("strict", False)


@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        (Script.stream('{"name": "Ad', finish="length"), 4, "the answer was cut at its length limit"),
        (Script.stream("Ada."), 4, "the answer is not JSON"),
        (Script.stream('```json\n{"name": "Ada"}\n```'), 4, "the answer is not JSON"),
        (Script.stream('{"name": "Ada"}', finish="length"), 0, "the answer was cut at its length limit"),
    ],
)
async def test_an_answer_by_a_schema_that_is_no_json_is_told(env: dict[str, str], script: Script, code: int, said: str) -> None:
    """By the exit code, and on stderr: not every server minds a schema, and a cut answer is no JSON."""
    async with ScriptedServer(script) as server:
        ended = await run("chat", "--base-url", server.url, "--schema", json.dumps(SCHEMA), "Invent one.", env=env)

    assert code == ended.code
    assert said in ended.err
    assert ("the answer is not JSON" in ended.err) == (code == 4)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("{", "is not JSON"),
        ("no-such-file", "No such file"),
        ("{}x", "is not JSON"),
        ("", "is not JSON"),
        ("[]", "must be a JSON object"),
        ('{"a":' * 20_000 + "1" + "}" * 20_000, "is nested too deeply"),
        ("/dev/zero", "is larger than 14 MB"),
        ("https://example.org/person.json", "is a URL and no file"),
    ],
    ids=lambda each: each[:20],
)
async def test_what_is_no_schema_is_named(env: dict[str, str], schema: str, said: str) -> None:
    """A mistake of the command line."""
    ended = await run("chat", "--base-url", "http://127.0.0.1:9", "--schema", schema, "Why?", env=env)

    assert 2 == ended.code
    assert "--schema" in ended.err
    assert said in ended.err


async def test_quiet_says_nothing_but_errors(env: dict[str, str]) -> None:
    """No notes on stderr; an error is there as ever."""
    limited = Script.stream("Half", finish="length")
    async with ScriptedServer(limited, limited, Script.cut("Half")) as server:
        noted = await run("chat", "--base-url", server.url, "Why?", env=env)
        quiet = await run("chat", "--base-url", server.url, "-q", "Why?", env=env)
        failed = await run("chat", "--base-url", server.url, "--quiet", "Why?", env=env)

    assert "length limit" in noted.err
    assert (0, "Half\n", "") == quiet
    assert (4, True) == (failed.code, "error:" in failed.err)


async def test_text_as_windows_writes_it_is_read(env: dict[str, str], tmp_path: Path) -> None:
    """A byte order mark says that it is UTF-16: of a file, and of standard input."""
    path = tmp_path / "notes.txt"
    path.write_bytes("Grün\r\n".encode("utf-16"))
    async with ScriptedServer() as server:
        await run("chat", "--base-url", server.url, "-f", str(path), "Why?", env=env)
        await run("chat", "--base-url", server.url, env=env, given="Grün\r\n".encode("utf-16"))

    assert ['<file name="notes.txt">\nGrün\n</file>\n\nWhy?', "Grün"] == [question(each) for each in server.requests]


async def test_standard_input_has_a_bound(env: dict[str, str]) -> None:
    """What never ends is not read until the machine's memory does."""
    with Path("/dev/zero").open("rb") as endless:
        ended = await run("chat", "--base-url", "http://127.0.0.1:9", env=env, stdin=endless)

    assert (2, "autonomousai chat: error: standard input is larger than 14 MB; give a part of it\n") == (ended.code, ended.err)


async def test_a_dash_is_standard_input(env: dict[str, str]) -> None:
    """For the prompt, a file, an image and a schema, of which it is then no part of the prompt."""
    picture = b"\x89PNG\r\n\x1a\n0000"
    async with ScriptedServer() as server:
        chat = ("chat", "--base-url", f"{server.url}/v1", "-m", "m", "-q")
        await run(*chat, "-", env=env, given=b"Why?\n")
        await run(*chat, "-f", "-", "Why?", env=env, given=b"notes")
        await run(*chat, "--image", "-", "Who?", env=env, given=picture)
        await run(*chat, "--schema", "-", "Why?", env=env, given=json.dumps(SCHEMA).encode())
        twice = await run(*chat, "-f", "-", "-", env=env, given=b"notes")

    sent = [each.json()["messages"][-1]["content"] for each in server.requests if each.method == "POST"]
    assert ["Why?", '<file name="stdin">\nnotes\n</file>\n\nWhy?', "Why?"] == [each for each in sent if isinstance(each, str)]
    assert {"url": f"data:image/png;base64,{base64.b64encode(picture).decode()}"} == sent[2][1]["image_url"]
    assert SCHEMA == server.requests[-1].json()["response_format"]["json_schema"]["schema"]
    assert (2, True) == (twice.code, "standard input can be read once" in twice.err)


@pytest.mark.parametrize("url", ["https://example.org/cat.jpg", "data:image/png;base64,iVBORw0KGgo="])
async def test_an_image_may_be_named_by_its_url(env: dict[str, str], url: str) -> None:
    """The server fetches it, or it is in the URL; a text is to be fetched first."""
    async with ScriptedServer() as server:
        chat = ("chat", "--base-url", f"{server.url}/v1", "-m", "m")
        await run(*chat, "--image", url, "Who?", env=env)
        text = await run(*chat, "-f", "https://example.org/notes.txt", "Why?", env=env)

    assert {"url": url} == server.requests[-1].json()["messages"][-1]["content"][1]["image_url"]
    assert (2, True) == (text.code, "https://example.org/notes.txt: is a URL and no file" in text.err)


async def test_the_url_of_an_image_is_text(env: dict[str, str]) -> None:
    """Unlike a file's name, which may be any bytes."""
    ended = await run("chat", "--image", os.fsdecode(b"https://example.org/\xff.jpg"), "Who?", env=env)

    assert (2, True) == (ended.code, "--image is not valid UTF-8 (character 20)" in ended.err)


@pytest.mark.parametrize(
    "given",
    [
        {"name": "person", "strict": False, "schema": SCHEMA},
        {"type": "json_schema", "json_schema": {"name": "person", "strict": False, "schema": SCHEMA}},
        {"type": "json_schema", "name": "person", "strict": False, "schema": SCHEMA},
    ],
)
def test_a_schema_may_be_given_as_it_stands_in_a_request(given: dict[str, Any]) -> None:
    """As the field of chat completions, its inner part, or that of responses; a schema with a property of that name is one."""
    asked = response_format(json.dumps(given))
    own = {"type": "object", "properties": {}, "schema": {}}

    assert {"name": "person", "strict": False, "schema": SCHEMA} == asked["json_schema"]
    assert own == response_format(json.dumps(own))["json_schema"]["schema"]


async def test_a_schema_as_windows_writes_it_is_read(env: dict[str, str], tmp_path: Path) -> None:
    """In UTF-16, with a byte order mark, as PowerShell redirects."""
    path = tmp_path / "schema.json"
    path.write_bytes(json.dumps(SCHEMA).encode("utf-16"))

    assert SCHEMA == response_format(str(path))["json_schema"]["schema"]
