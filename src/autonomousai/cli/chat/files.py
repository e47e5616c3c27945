"""Files that go with a question: their text, from plain text or a PDF, becomes part of the message. Knows files alone."""

from __future__ import annotations

import codecs
import io
import json
import logging
import os
import re
import select
import shlex
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TextIO

from ...errors import ConfigError
from ..exit_codes import UsageError

#: Bytes of a file, or of standard input. What is larger is read by no model, and becomes a request that servers refuse.
LARGEST: Final = 14_000_000

#: The name of standard input, where a file can be named.
STDIN: Final = "-"

#: How the name of what is no file begins: a URL's scheme.
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")

#: Seconds after which the program says what it is waiting for.
_PATIENCE: Final = 1.0


def decode(data: bytes) -> str:
    """Return text in UTF-8, or in what its byte order mark says (UTF-16, as Windows writes it). Raises `UnicodeDecodeError`."""
    is_wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if is_wide else "utf-8-sig")


def dropped_name(typed: str) -> str:
    """Return the name of a file that was typed, or dropped on a terminal, which pastes it as a shell reads it: in quotes, or
    with backslashes before spaces. What is a file as it stands is meant so."""
    with suppress(OSError, RuntimeError, ValueError):
        if Path(typed).expanduser().exists():
            return typed
    try:
        read = shlex.split(typed)
    except ValueError:
        return typed
    return read[0] if len(read) == 1 else typed


def with_files(names: list[str], question: str) -> str:
    """Return *question* behind the text of the files, each between tags that name it. Raises `UsageError` for one that cannot
    be read, or holds no text."""
    parts = [f'<file name="{_shown_name(name)}">\n{file_text(name)}\n</file>' for name in names]
    return "\n\n".join([*parts, question] if question else parts)


def _shown_name(name: str) -> str:
    """Return the name of a file as text; bytes in it that are no text (PEP 383) are replaced."""
    return "stdin" if name == STDIN else os.fsencode(Path(name).name).decode("utf-8", "replace")


def file_text(name: str) -> str:
    """Return the text of a file: of a PDF its pages' text, of any other the file itself, which must be UTF-8."""
    data = read_bytes("--file", name)
    if not data.strip():
        raise UsageError(f"--file {name}: is empty")
    if data.startswith(b"%PDF-"):
        return _pdf_text(name, data)
    try:
        return decode(data).strip("\r\n")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"--file {name}: is not UTF-8 text and no PDF (byte {data[error.start]:#04x} at offset {error.start}); convert it "
            "first, or give an image with --image"
        ) from None


def read_bytes(option: str, name: str, *, advice: str = "") -> bytes:
    """Return what the file holds that *option* names, or standard input: `LARGEST` bytes at the most. Raises `UsageError`, with
    *advice* where there is no such file."""
    if name == STDIN and sys.stdin is not None:
        return read_stream(sys.stdin)
    if _URL.match(name) and not Path(name).exists():
        raise UsageError(f"{option} {name}: is a URL and no file; fetch it first, for example with curl")
    try:
        with Path(name).expanduser().open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(f"{option} {name}: cannot be read ({error.strerror}){advice}") from None
    except (RuntimeError, ValueError) as error:
        raise UsageError(f"{option} {name}: {error}") from None
    if len(data) > LARGEST:
        raise UsageError(f"{option} {name}: is larger than {LARGEST / 1e6:.0f} MB; give a part of it")
    return data


def read_stream(stdin: TextIO, on_waiting: Callable[[], None] = lambda: None) -> bytes:
    """Return all of standard input. *on_waiting* is called once, where nothing comes for a while."""
    pieces: list[bytes] = []
    size = 0
    has_waited = False
    try:
        while True:
            # Never a read that waits: a signal that comes just before it would be seen after it, and that may be never.
            if not select.select([stdin], [], [], _PATIENCE)[0]:
                if not (has_waited or pieces):
                    on_waiting()
                    has_waited = True
                continue
            piece = os.read(stdin.fileno(), 1 << 16)
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)
            size += len(piece)
            if size > LARGEST:
                raise UsageError(f"standard input is larger than {LARGEST / 1e6:.0f} MB; give a part of it")
    except OSError as error:
        raise UsageError(f"standard input cannot be read: {error.strerror}") from None


def _pdf_text(path: str, data: bytes) -> str:
    try:
        import pypdf  # noqa: PLC0415  an optional extra
    except ImportError:
        raise ConfigError(f"--file {path}: PDF files need pypdf; run: pip install 'autonomousai[cli]'") from None
    logging.getLogger("pypdf").setLevel(logging.ERROR)  # it warns of what it has mended
    try:
        pages = [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(data)).pages]
    except pypdf.errors.FileNotDecryptedError:
        raise UsageError(f"--file {path}: this PDF asks for a password; save it without one") from None
    except Exception as error:  # damaged files raise whatever they lead to
        raise UsageError(f"--file {path}: this PDF cannot be read ({type(error).__name__}: {str(error)[:100]})") from None
    text = "\n\n".join(page.strip() for page in pages if page.strip())
    if not text:
        raise UsageError(f"--file {path}: this PDF holds no text, only images; give its pages with --image")
    return text


def response_format(schema: str) -> dict[str, Any]:
    """Return the request field that asks for JSON by *schema*: JSON text, or the path of a file that holds it; alone, or as it
    stands in a request. Raises `UsageError` where it is no schema."""
    text = schema if schema.lstrip()[:1] in ("", "{", "[") else _schema_text(schema)
    try:
        document = json.loads(text)
    except ValueError as error:
        raise UsageError(f"--schema: is not JSON: {error}") from None
    except RecursionError:
        raise UsageError("--schema: is nested too deeply") from None
    if not isinstance(document, dict):
        raise UsageError(
            '--schema: must be a JSON object such as {"type": "object", "properties": {"name": {"type": "string"}}}'
        )
    named = document
    if document.get("type") == "json_schema":  # the field of chat completions, or that of responses
        named = document["json_schema"] if isinstance(document.get("json_schema"), dict) else document
    if isinstance(named.get("schema"), dict) and "properties" not in named:
        said = {key: named[key] for key in ("name", "description", "strict") if named.get(key) is not None}
        return {"type": "json_schema", "json_schema": {"name": "answer", **said, "schema": named["schema"]}}
    strict = {"strict": True} if _can_be_strict(document) else {}
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": document, **strict}}


#: Keywords of which OpenAI takes none in a strict schema; and where the schemas within one stand, alone, in lists, by name.
_NEVER_STRICT: Final = frozenset(
    {"allOf", "oneOf", "not", "if", "then", "else", "patternProperties", "dependentRequired", "dependentSchemas"}
)
_WITHIN: Final = ("items", "anyOf", "prefixItems", "properties", "$defs", "definitions")


def _can_be_strict(schema: Any) -> bool:
    """Return whether OpenAI takes *schema* as strict: each object names all its properties as required, and no others are
    allowed. It refuses the whole request where that is not so; without the word, it takes the schema."""
    if not isinstance(schema, dict) or not _NEVER_STRICT.isdisjoint(schema):
        return False
    properties = schema.get("properties", {})
    kinds = schema.get("type")
    if "properties" in schema or kinds == "object" or (isinstance(kinds, list) and "object" in kinds):
        required = schema.get("required", [])
        if schema.get("additionalProperties") is not False or not isinstance(properties, dict):
            return False
        if not isinstance(required, list) or {*map(str, required)} != {*properties}:
            return False
    return all(_can_be_strict(each) for key in _WITHIN if key in schema for each in _schemas_in(schema[key], key))


def _schemas_in(value: Any, key: str) -> list[Any]:
    """Return the schemas that stand under *key*."""
    if isinstance(value, list):
        return value
    return list(value.values()) if isinstance(value, dict) and key != "items" else [value]


def is_json(text: str) -> bool:
    """Return whether *text* is JSON, and nothing beside it."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _schema_text(name: str) -> str:
    data = read_bytes("--schema", name, advice="; give a file, or the schema itself")
    try:
        return decode(data)
    except UnicodeDecodeError as error:
        raise UsageError(f"--schema {name}: cannot be read ({error}); give a file, or the schema itself") from None
