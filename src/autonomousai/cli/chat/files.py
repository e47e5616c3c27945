"""Files that go with a question: their text, from plain text or a PDF, becomes part of the message. Knows files alone."""

from __future__ import annotations

import codecs
import io
import json
import logging
import os
from pathlib import Path
from typing import Any, Final

from ...errors import ConfigError
from ..exit_codes import UsageError

#: Bytes of a file, or of standard input. What is larger is read by no model, and becomes a request that servers refuse.
LARGEST: Final = 14_000_000


def decode(data: bytes) -> str:
    """Return text in UTF-8, or in what its byte order mark says (UTF-16, as Windows writes it). Raises `UnicodeDecodeError`."""
    is_wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if is_wide else "utf-8-sig")


def with_files(paths: list[Path], question: str) -> str:
    """Return *question* behind the text of the files, each between tags that name it. Raises `UsageError` for one that cannot
    be read, or holds no text."""
    parts = [f'<file name="{_shown_name(path)}">\n{file_text(path)}\n</file>' for path in paths]
    return "\n\n".join([*parts, question] if question else parts)


def _shown_name(path: Path) -> str:
    """Return the name of a file as text; bytes in it that are no text (PEP 383) are replaced."""
    return os.fsencode(path.name).decode("utf-8", "replace")


def file_text(path: Path) -> str:
    """Return the text of a file: of a PDF its pages' text, of any other the file itself, which must be UTF-8."""
    data = _read(path)
    if data.startswith(b"%PDF-"):
        return _pdf_text(path, data)
    try:
        return decode(data).strip("\r\n")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"--file {path}: is not UTF-8 text and no PDF (byte {data[error.start]:#04x} at offset {error.start}); convert it "
            "first, or give an image with --image"
        ) from None


def read_bytes(option: str, path: Path) -> bytes:
    """Return what the file holds that *option* names: one byte more than `LARGEST` at the most. Raises `UsageError`."""
    try:
        with path.expanduser().open("rb") as file:
            return file.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(f"{option} {path}: cannot be read ({error.strerror})") from None
    except RuntimeError as error:
        raise UsageError(f"{option} {path}: {error}") from None


def _read(path: Path) -> bytes:
    data = read_bytes("--file", path)
    if len(data) > LARGEST:
        raise UsageError(f"--file {path}: is larger than {LARGEST / 1e6:.0f} MB; give a part of it")
    if not data.strip():
        raise UsageError(f"--file {path}: is empty")
    return data


def _pdf_text(path: Path, data: bytes) -> str:
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
    """Return the request field that asks for JSON by *schema*: JSON text, or the path of a file that holds it. Raises
    `UsageError` where it is no schema."""
    text = schema if schema.lstrip()[:1] in ("", "{", "[") else _schema_text(Path(schema))
    try:
        document = json.loads(text)
    except ValueError as error:
        raise UsageError(f"--schema: is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise UsageError(
            '--schema: must be a JSON object such as {"type": "object", "properties": {"name": {"type": "string"}}}'
        )
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


def _schema_text(path: Path) -> str:
    try:
        return path.expanduser().read_text(encoding="utf-8-sig")
    except (OSError, RuntimeError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"--schema {path}: cannot be read ({said}); give a file, or the schema itself") from None
