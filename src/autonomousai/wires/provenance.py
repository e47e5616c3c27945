"""The ``x_autonomousai`` object at the end of an answer: how it came about, and what its text can be checked against."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import msgspec

from ..errors import StreamError
from ..report import Report

KEY = "x_autonomousai"


def make_provenance(
    report: Report, text: str, others: Mapping[int, str] | None = None, notes: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the object for an answer of *text*: ``upstream``, ``attempts``, ``splices``, ``length`` (characters), ``sha256``
    (of the UTF-8, in hex). *others*: the texts of the choices beside the first, by index; then ``choices`` has the same of
    each. ``cache``: hit or miss, where one was asked. *notes*: see `FinishReason`; where there are none, they are left out."""
    provenance: dict[str, Any] = {
        "upstream": report.upstream,
        "attempts": report.attempts,
        "splices": report.splices,
        "length": len(text),
        "sha256": _digest(text),
    }
    if others:
        provenance["choices"] = [
            {"index": index, "length": len(each), "sha256": _digest(each)} for index, each in sorted(others.items())
        ]
    if report.cache is not None:
        provenance["cache"] = report.cache
    if notes:
        provenance["notes"] = list(notes)
    return provenance


def check_provenance(evidence: Mapping[str, Any], text: str) -> StreamError | None:
    """The error that it is, where *text* is not what the server says it sent. What a server does not say is not checked."""
    length, digest = evidence.get("length"), evidence.get("sha256")
    if isinstance(digest, str) and digest != _digest(text):
        said = f" of {length} characters" if isinstance(length, int) else ""
        return StreamError(
            f"the text that arrived ({len(text)} characters) is not the one{said} that the server says it sent; try again",
            status=200,
            retryable=True,
            code="checksum_mismatch",
        )
    return None


class _Document(msgspec.Struct):
    x_autonomousai: dict[str, Any] | None = None


def provenance_of_document(body: bytes) -> dict[str, Any] | None:
    """The object in a whole answer that was not streamed, or None."""
    if KEY.encode() not in body:
        return None
    try:
        return msgspec.json.decode(body.removeprefix(BOM_UTF8), type=_Document).x_autonomousai
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


@cache  # the statement would look for the module with each answer
def _sha256() -> Callable[[bytes], Any]:
    from hashlib import sha256  # noqa: PLC0415  OpenSSL comes with it: with the first answer that has a digest

    return sha256


def _digest(text: str) -> str:
    digest: str = _sha256()(text.encode("utf-8", "surrogatepass")).hexdigest()
    return digest
