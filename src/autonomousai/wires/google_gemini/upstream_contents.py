"""Messages of chat completions -> the contents of the Gemini API (Gemini API reference, "Content", "Part").

System messages are taken out of the conversation, and messages of the same role that follow one another are one content. The
results of the calls of one turn are a content of their own, all together, behind it: the API refuses anything beside them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any, Final

from ...events import Message, Messages
from ...sealed_thoughts import OF_CALL
from ..custom_tools import custom_arguments
from ..data_urls import read_data_url
from ..fields import UNSUPPORTED
from ..json import too_deep
from ..shapes import refusal
from ..tool_forms import object_of_arguments
from .thoughts import packed_in

Json = dict[str, Any]

#: What the vendor takes in place of a signature that another model's call never had (Gemini API, "Thought signatures", FAQ).
UNSIGNED: Final = "skip_thought_signature_validator"

#: What an empty message says, where there must be one.
_NO_CONTENT: Final = "(no content)"

#: The types of files at an address, by the end of its path.
_TYPES: Final = {
    **dict.fromkeys((".jpg", ".jpeg"), "image/jpeg"),
    **{f".{kind}": f"image/{kind}" for kind in ("png", "webp", "gif", "heic", "heif")},
    **{f".{kind}": f"audio/{kind}" for kind in ("wav", "mp3", "aiff", "aac", "ogg", "flac")},
    **{f".{kind}": f"video/{kind}" for kind in ("mp4", "mpeg", "webm")},
    ".mov": "video/quicktime",
    ".pdf": "application/pdf",
    ".txt": "text/plain",
}

_EXACT: Final = 2**53


def write_contents(messages: Messages, *, signed: bool) -> tuple[list[Json], list[Json]]:
    """Return the parts of the system's instruction, and the contents. *signed*: whether the model refuses a turn whose first
    call has no signature. Raises `StatusError` 400 for a part that the API cannot take.

    Where there are system messages alone, they are what the user says: the API wants one content at least.
    """
    system: list[Json] = []
    turns = _Turns()
    calls = [call for message in messages for call in message.get("tool_calls") or ()]
    names = {call["id"]: _function_of(call, "messages")["name"] for call in calls}
    places = {call["id"]: place for place, call in enumerate(calls)}
    for index, message in enumerate(messages):
        where, role = f"messages[{index}].content", message["role"]
        if role in ("system", "developer"):
            system += _parts(message.get("content"), where)
        elif role in ("tool", "function"):
            parts = _parts(message.get("content"), where)
            call_id = message.get("tool_call_id")
            name = str(names.get(call_id) or message.get("name") or "unknown")
            result = _result(call_id if role == "tool" else None, name, parts)
            turns.add_result(places.get(call_id, len(places)), result, [part for part in parts if "text" not in part])
        elif role == "assistant":
            turns.add("model", list(_said(message, where)))
        else:
            parts = _parts(message.get("content"), where)
            turns.add("user", parts or ([{"text": _NO_CONTENT}] if index == len(messages) - 1 else []))
    contents = turns.contents()
    if not contents:
        return [], [{"role": "user", "parts": system or [{"text": _NO_CONTENT}]}]
    if contents[0]["role"] == "model":  # the user begins
        contents.insert(0, {"role": "user", "parts": [{"text": _NO_CONTENT}]})
    if signed:
        sign_calls(contents)
    return system, contents


class _Turns:
    """The contents of a conversation, as they are written."""

    def __init__(self) -> None:
        self._results: list[tuple[int, Json]] = []  # of the last turn, with the places of their calls
        self._contents: list[Json] = []
        self._kind = ""
        self._shown: list[Json] = []  # images of results, which stand behind all of them

    def add(self, role: str, parts: list[Json]) -> None:
        """Add what *role* says to its turn."""
        self._show()
        if parts:
            self._add(role, role, parts)

    def add_result(self, place: int, part: Json, shown: list[Json]) -> None:
        """Add the result of the call at a *place* among all calls, and what it shows."""
        self._results.append((place, part))
        self._shown += shown

    def contents(self) -> list[Json]:
        """Return all of them."""
        self._show()
        return self._contents

    def _show(self) -> None:
        results, shown = self._results, self._shown
        self._results, self._shown = [], []
        if results:  # in the order of the calls, by which models without ids know them
            results.sort(key=lambda result: result[0])
            self._add("result", "user", [part for _, part in results])
        if shown:
            self._add("user", "user", shown)

    def _add(self, kind: str, role: str, parts: list[Json]) -> None:
        if self._kind == kind:
            self._contents[-1]["parts"] += parts
        else:
            self._contents.append({"role": role, "parts": parts})
        self._kind = kind


def unsigned_calls(contents: list[Any]) -> list[Json]:
    """Return the first call of each turn, where it has no signature."""
    found = []
    for content in contents:
        parts = content.get("parts") if isinstance(content, dict) and content.get("role") == "model" else None
        calls = [part for part in parts or () if isinstance(part, dict) and "functionCall" in part]
        if calls and not calls[0].get("thoughtSignature"):
            found.append(calls[0])
    return found


def sign_calls(contents: list[Any]) -> None:
    """Say of the first call of each turn that it has no signature, where it has none."""
    for part in unsigned_calls(contents):
        part["thoughtSignature"] = UNSIGNED


def without_foreign_signatures(contents: list[Any]) -> list[Any]:
    """Return contents of the API's own without the thoughts that an upstream of another wire signed; a call says then that it
    has no signature."""
    return [_without_foreign(content) for content in contents]


def _without_foreign(content: Any) -> Any:
    parts = content.get("parts") if isinstance(content, dict) else None
    if not isinstance(parts, list) or not any(map(_is_foreign, parts)):
        return content
    return {**content, "parts": [_unsigned(part) if _is_foreign(part) else part for part in parts]}


def _is_foreign(part: Any) -> bool:
    signature = part.get("thoughtSignature") if isinstance(part, dict) else None
    return isinstance(signature, str) and bool(packed_in(signature))


def _unsigned(part: Json) -> Json:
    rest = {name: value for name, value in part.items() if name != "thoughtSignature"}
    return {**rest, "thoughtSignature": UNSIGNED} if "functionCall" in part else rest


# ---- the assistant's -----------------------------------------------------------------------------------------------------


def _said(message: Message, where: str) -> Iterator[Json]:
    """Yield what the assistant said, with the signatures that its vendor gave."""
    parts = [*_parts(message.get("content"), where), *_parts(message.get("refusal"), where), *_images(message, where)]
    signature = _signature(message)
    if signature and parts:
        parts[-1] = {**parts[-1], "thoughtSignature": signature}
    elif signature and not message.get("tool_calls"):
        parts = [{"text": "", "thoughtSignature": signature}]
    yield from parts
    for call in message.get("tool_calls") or ():
        yield _call(call.get("id"), _function_of(call, where), _signature(call))
    if function := message.get("function_call"):
        yield _call(None, function, "")


def _images(message: Message, where: str) -> list[Json]:
    """Return the images that the model made, as answers of chat completions have them."""
    images = message.get("images")
    return _parts([each for each in images if isinstance(each, dict)], where) if isinstance(images, list) else []


def _signature(holder: Mapping[str, Any]) -> str:
    """Return the signature that Google's own layer for chat completions puts into a message, or a call."""
    content = holder.get(OF_CALL)
    google = content.get("google") if isinstance(content, dict) else None
    signature = google.get("thought_signature") if isinstance(google, dict) else None
    return signature if isinstance(signature, str) else ""


def _function_of(call: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    if call.get("type") == "custom" and isinstance(custom := call.get("custom"), dict):
        return {"name": custom.get("name"), "arguments": custom_arguments(str(custom.get("input") or ""))}
    if call.get("type", "function") != "function":
        raise refusal(where, f"a call of the type {call.get('type')!r:.50} has no place in the Gemini API", UNSUPPORTED)
    function: Mapping[str, Any] = call["function"]
    return function


def _call(call_id: str | None, function: Mapping[str, Any], signature: str) -> Json:
    call: Json = {"name": function["name"], "args": object_of_arguments(function["arguments"])}
    part: Json = {"functionCall": {"id": call_id, **call} if call_id else call}
    return {**part, "thoughtSignature": signature} if signature else part


def _result(call_id: Any, name: str, parts: list[Json]) -> Json:
    """Return the result of a call. An object goes as it is; any other text as the ``output``, as the API calls it."""
    text = "".join(part["text"] for part in parts if "text" in part)
    response: Json = {"name": name, "response": _object_in(text) or {"output": text}}
    return {"functionResponse": {"id": call_id, **response} if call_id else response}


def _object_in(text: str) -> Json | None:
    """Return the object that *text* is the JSON of, if the API can hold it: it knows numbers of 64 bits with a point alone."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and not too_deep(value) and _is_exact(value) else None


def _is_exact(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_exact, value.values()))
    if isinstance(value, list):
        return all(map(_is_exact, value))
    if isinstance(value, float):
        return isfinite(value)
    return not isinstance(value, int) or abs(value) <= _EXACT


# ---- parts of content ----------------------------------------------------------------------------------------------------


def _parts(content: Any, where: str) -> list[Json]:
    if content is None:
        return []
    if isinstance(content, str):
        return [{"text": content}] if content.strip() else []
    written = (_part(part, f"{where}[{place}]") for place, part in enumerate(content))
    return [part for part in written if part is not None]


def _part(part: Json, where: str) -> Json | None:
    """Return a part, None for an empty text."""
    kind = part.get("type")
    if kind in ("text", "refusal"):
        return {"text": part[kind]} if part[kind].strip() else None
    if kind in ("image_url", "video_url"):
        held = part[kind]
        return _data(held["url"] if isinstance(held, dict) else held, where)
    if kind == "file" and isinstance(file := part.get("file"), dict):
        return _file(file, where)
    if kind == "input_audio" and isinstance(audio := part.get("input_audio"), dict):
        return _audio(audio, where)
    raise refusal(where, f"is of the type {kind!r:.50}, which has no place in the Gemini API", UNSUPPORTED)


def _data(url: str, where: str) -> Json:
    """Return the part of what is at an address, or in it."""
    if (held := read_data_url(url, where)) is not None:
        return {"inlineData": {"mimeType": held[0], "data": held[1]}}
    path = url.partition("?")[0].partition("#")[0].lower()
    known = next((kind for end, kind in _TYPES.items() if path.endswith(end)), None)
    return {"fileData": {"fileUri": url, **({"mimeType": known} if known else {})}}


def _file(file: Json, where: str) -> Json:
    if isinstance(file.get("file_id"), str):
        return {"fileData": {"fileUri": file["file_id"]}}
    data = file.get("file_data") or file.get("file_url")
    if not isinstance(data, str) or not data:
        raise refusal(f"{where}.file", "needs file_data (a data: URL), file_url or file_id", "missing")
    is_url = data.startswith(("data:", "http://", "https://", "gs://"))
    return _data(data if is_url else f"data:application/pdf;base64,{data}", where)


def _audio(audio: Json, where: str) -> Json:
    data, form = audio.get("data"), audio.get("format")
    if not isinstance(data, str) or not data:
        raise refusal(f"{where}.input_audio.data", "is missing; send the sound in base64", "missing")
    named = str(form or "wav").lower()
    return _data(data if data.startswith("data:") else f"data:audio/{named};base64,{data}", where)
