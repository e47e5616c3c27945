"""Events -> candidates (Gemini API reference, "Candidate", "Content"): what is said of each choice of an answer.

Calls come complete, for their arguments are objects: their pieces are gathered until the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ...events import (
    Annotations,
    Batch,
    ChoiceEvent,
    Event,
    Extra,
    FinishReason,
    Images,
    LogProbs,
    Reasoning,
    Refusal,
    ToolCall,
    ToolCallDelta,
    as_readable,
    join_tool_calls,
)
from ...reasoning_details import ReasoningDetails
from ...sealed_thoughts import OF_CALL, of_call, pack, sealed_in
from ..base import AnswerHead
from ..citations import as_responses
from ..finish_reasons import meaning_of
from ..raw import GEMINI_WIRE as WIRE
from ..tool_names import NAMES
from .thoughts import SHOWN, signature_of

Json = dict[str, Any]

#: Finish reasons of chat completions in the vendor's words; a call of a function is no reason of its own.
_REASONS: Final = {"length": "MAX_TOKENS", "content_filter": "SAFETY"}

#: The vendor's words for an answer that has ended.
OWN_REASONS: Final = frozenset(
    {"STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "LANGUAGE", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII"}
    | {"IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "IMAGE_OTHER", "MODEL_ARMOR", "ESCALATION"}
)

_MALFORMED: Final = "MALFORMED_FUNCTION_CALL"

#: The member of an `Extra` with the signature of what a model said without a call.
_SIGNATURE: Final = "signature"


class _SaidOfCandidate:
    """What was said of one candidate, and waits for its end."""

    __slots__ = ("calls", "ending", "is_refused", "packed")

    def __init__(self) -> None:
        self.calls: list[ToolCallDelta] = []
        self.is_refused = False
        self.ending: Json = {}  # what an upstream of this wire said of the end, in its words
        self.packed: list[str] = []  # thoughts that an upstream of another wire signed


class Candidates:
    """The candidates of one answer, as its events come."""

    __slots__ = ("_details", "_names", "_said", "_shows_thoughts", "members", "usage")

    def __init__(self, head: AnswerHead) -> None:
        echo = head.echo or {}
        self._shows_thoughts = SHOWN in echo
        self._names: Mapping[str, str] = echo.get(NAMES) or {}
        self._said: dict[int, _SaidOfCandidate] = {}
        self._details = ReasoningDetails()
        #: What an upstream of this wire said of the chunk that comes next.
        self.members: Json = {}
        #: And what it counted, in its own words.
        self.usage: Json = {}

    def read(self, batch: Batch) -> list[Json]:
        """Return what *batch* says, a candidate each; nothing of what waits for the end."""
        candidates: dict[int, Json] = {}
        for event in batch:
            if type(event) is ChoiceEvent:
                self._add(candidates, event.index, event.event)
            elif type(event) is Extra:
                self._add_extra(candidates, event)
            else:
                self._add(candidates, 0, event)
        return list(candidates.values())

    def end(self, finish: FinishReason) -> Json:
        """Return the end of the first candidate."""
        return self._end({"content": {"parts": [], "role": "model"}}, 0, finish)

    def _add(self, candidates: dict[int, Json], index: int, event: Event) -> None:
        kind = type(event)
        if kind is str or kind is Reasoning or kind is Refusal:
            text = event if type(event) is str else event.text  # type: ignore[union-attr]
            if kind is Refusal:
                self._of(index).is_refused = True
            if text and (kind is not Reasoning or self._shows_thoughts):
                _add_text(_parts(candidates, index), text, is_thought=kind is Reasoning)
        elif type(event) is ToolCallDelta:
            self._of(index).calls.append(event)
        elif type(event) is LogProbs:
            if event.content:
                _add_probabilities(_candidate(candidates, index), event.content)
        elif type(event) is Images:
            _parts(candidates, index).extend([part for image in event.items if (part := _image(image)) is not None])
        elif type(event) is Annotations:
            if cited := [each for item in event.items if (each := _citation(item)) is not None]:
                known = _candidate(candidates, index).setdefault("citationMetadata", {}).setdefault("citationSources", [])
                known.extend(cited)
        elif type(event) is FinishReason and index:
            self._end(_candidate(candidates, index), index, event)

    def _add_extra(self, candidates: dict[int, Json], event: Extra) -> None:
        """Add what has no event of its own: members of this wire, and thoughts that a vendor wants back."""
        if event.wire != WIRE:
            if (sealed := sealed_in(event)) is not None:
                self._of(0).packed.append(pack(sealed))
            else:
                self._details.add(event)
            return
        for name, value in event.members.items():
            if name == _SIGNATURE:
                _sign(_parts(candidates, 0), value)
            elif name == "candidates":
                for said in value:
                    self._add_members(candidates, said)
            elif name == "usageMetadata":
                self.usage = value
            else:
                self.members[name] = value

    def _add_members(self, candidates: dict[int, Json], said: Json) -> None:
        index = said.get("index") or 0
        members = {name: value for name, value in said.items() if name not in ("index", "content", *_ENDING)}
        if any(name in said for name in _ENDING):
            self._of(index).ending = {name: value for name, value in said.items() if name in _ENDING}
        if parts := (said.get("content") or {}).get("parts"):
            _parts(candidates, index).extend(parts)
        if members:
            candidate = _candidate(candidates, index)
            candidate.pop("citationMetadata", None)  # it was made of these
            candidate |= members

    def _of(self, index: int) -> _SaidOfCandidate:
        return self._said.setdefault(index, _SaidOfCandidate())

    # ---- the end

    def _end(self, candidate: Json, index: int, finish: FinishReason) -> Json:
        """Complete a candidate with its calls, and why it ended. It always has a part: clients take one without any for an
        answer that failed."""
        said = self._said.get(index) or _SaidOfCandidate()
        reason = finish.standard_reason
        calls = as_readable(join_tool_calls(said.calls), reason).calls
        read = [(call, _arguments(call)) for call in calls]
        if not index and (details := self._details.take()) is not None:
            said.packed.append(details)
        parts = candidate["content"]["parts"]
        made = [self._call_part(call, arguments, said) for call, arguments in read if arguments is not None]
        last: Json = {"text": ""}
        if said.packed:
            (made[0] if made else last).setdefault("thoughtSignature", signature_of(said.packed))
        if not (made or parts) or len(last) > 1:
            parts.append(last)
        parts += made
        candidate |= {"finishReason": self._reason(said, reason, has_calls=bool(made)), "index": index, **said.ending}
        malformed = [call for call, arguments in read if arguments is None]
        if malformed and candidate["finishReason"] == "STOP":
            called = ", ".join(f"{self._name(call)}({call.arguments})" for call in malformed)
            candidate |= {"finishReason": _MALFORMED, "finishMessage": f"Malformed function call: {called}"}
        return candidate

    def _reason(self, said: _SaidOfCandidate, reason: str | None, *, has_calls: bool) -> str:
        if reason is None:
            return "STOP"
        if (own := reason.upper()) in OWN_REASONS:
            return own if own != "STOP" or has_calls or not said.is_refused else "SAFETY"
        return _REASONS.get(meaning_of(reason), "STOP")

    def _call_part(self, call: ToolCall, arguments: Json, said: _SaidOfCandidate) -> Json:
        part: Json = {"functionCall": {"id": call.id, "name": self._name(call), "args": arguments}}
        given = (call.extra or {}).get(OF_CALL)
        google = given.get("google") if isinstance(given, dict) else None
        if isinstance(google, dict) and isinstance(signature := google.get("thought_signature"), str) and signature:
            part["thoughtSignature"] = signature
        elif (sealed := of_call(call.id, call.extra)) is not None:
            said.packed.append(pack(sealed))
        return part

    def _name(self, call: ToolCall) -> str:
        return self._names.get(call.name, call.name)


#: What a candidate says of its end.
_ENDING: Final = ("finishReason", "finishMessage")


def _candidate(candidates: dict[int, Json], index: int) -> Json:
    found = candidates.get(index)
    if found is None:
        found = candidates[index] = {"content": {"parts": [], "role": "model"}, "index": index}
    return found


def _parts(candidates: dict[int, Json], index: int) -> list[Json]:
    parts: list[Json] = _candidate(candidates, index)["content"]["parts"]
    return parts


def _add_text(parts: list[Json], text: str, *, is_thought: bool) -> None:
    """Add *text* to the last part, where that is of its kind."""
    last = parts[-1] if parts else {}
    if "text" in last and last.get("thought", False) is is_thought:
        last["text"] += text
    else:
        parts.append({"text": text, **({"thought": True} if is_thought else {})})


def _sign(parts: list[Json], signature: str) -> None:
    """Add the signature of what was said without a call: to the last text, or else as a part of its own. In one content with a
    call, Gemini CLI would take that for none."""
    last = parts[-1] if parts else {}
    if "text" in last and not last.get("thought"):
        last["thoughtSignature"] = signature
    else:
        parts.append({"text": "", "thoughtSignature": signature})


def _arguments(call: ToolCall) -> Json | None:
    """Return the object that a call's arguments are; None where they are none."""
    try:
        value = msgspec.json.decode(call.arguments)
    except (msgspec.DecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _image(image: Any) -> Json | None:
    url = image.get("image_url") if isinstance(image, dict) else image
    url = url.get("url") if isinstance(url, dict) else url
    if not isinstance(url, str) or not url:
        return None
    if not url.startswith("data:"):
        return {"fileData": {"mimeType": "image/png", "fileUri": url}}
    kind, _, data = url.removeprefix("data:").partition(";base64,")
    return {"inlineData": {"mimeType": kind, "data": data}}


def _citation(item: Any) -> Json | None:
    page = as_responses(item)
    if not isinstance(page, dict) or not isinstance(page.get("url"), str):
        return None
    places = {"startIndex": page.get("start_index"), "endIndex": page.get("end_index")}
    cited = {name: value for name, value in places.items() if isinstance(value, int)}
    return {**cited, "uri": page["url"], **({"title": page["title"]} if page.get("title") else {})}


def _add_probabilities(candidate: Json, content: list[Any]) -> None:
    result = candidate.setdefault("logprobsResult", {"topCandidates": [], "chosenCandidates": []})
    for entry in content:
        if isinstance(entry, dict):
            tops = entry.get("top_logprobs")
            result["chosenCandidates"].append(_token(entry))
            top = [_token(each) for each in tops if isinstance(each, dict)] if isinstance(tops, list) else []
            result["topCandidates"].append({"candidates": top})


def _token(entry: Json) -> Json:
    return {"token": entry.get("token"), "logProbability": entry.get("logprob")}
