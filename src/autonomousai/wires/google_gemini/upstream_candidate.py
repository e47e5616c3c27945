"""What one candidate says becomes events: text, thoughts, calls, images, and what each rests on. Knows neither the stream nor
the document that it came in (Gemini API reference, "Candidate", "Part")."""

from __future__ import annotations

import json
from typing import Any, Final

from ...events import Annotations, Batch, Images, LogProbs, Reasoning, ToolCallDelta
from ...sealed_thoughts import OF_CALL
from ..finish_reasons import broken_off
from ..openai_chat import tool_calls
from .stop import chat_reason_of, reason_in
from .upstream_citations import citations_in
from .upstream_shapes import SIGNATURE, Json, extra, parts_of, text_in, unknown_of_candidate

#: Members of a part that have events; another one is a part that other APIs have nothing for.
_KNOWN_PART: Final = frozenset({"text", "thought", "thoughtSignature", "functionCall", "inlineData"})


class CandidateReader:
    """Reads one candidate. ``reason``: why it ended, in the vendor's words, None as long as it has not. ``is_doubtful``: it
    said more behind a reason, so that one in the midst of what it says proves nothing. ``has_said``: whether it has said
    anything."""

    __slots__ = (
        "_calls",
        "_cited",
        "_ids",
        "_index",
        "_resting",
        "_signature",
        "_texts",
        "has_said",
        "is_doubtful",
        "message",
        "reason",
    )

    def __init__(self, index: int) -> None:
        self._index = index
        self._texts: list[str] = []
        self._calls = 0
        self._ids: set[str] = set()
        self._cited: set[tuple[str, int, int]] = set()
        self._resting: list[Json] = []  # pieces that say what it rests on, until its end
        self._signature = ""  # of what was said without a call
        self.reason: str | None = None
        self.message: Any = None  # what the vendor says of the reason
        self.is_doubtful = False
        self.has_said = False

    @property
    def has_calls(self) -> bool:
        """Return whether a tool is called."""
        return self._calls > 0

    @property
    def chat_reason(self) -> str | None:
        """Return why it ended, in the words of chat completions."""
        return None if self.reason is None else chat_reason_of(self.reason, has_calls=self.has_calls)

    @property
    def text(self) -> str:
        """Return the text until now."""
        return "".join(self._texts)

    def read(self, candidate: Json, batch: Batch) -> None:
        """Add what a *candidate* of one chunk says. Raises `StreamError` where its reason reports that it broke off."""
        before = len(batch)
        for part in parts_of(candidate):
            self._read_part(part, batch)
        self._read_log_probs(candidate.get("logprobsResult"), batch)
        if len(batch) > before:
            self.has_said = True
            self.is_doubtful = self.is_doubtful or self.reason is not None
            self.reason = None
        reason = reason_in(candidate.get("finishReason"))
        if reason is not None and (error := broken_off(reason)) is not None:
            raise error
        if reason is not None:
            if len(batch) == before and self.has_said:
                self.is_doubtful = False  # it stands alone, behind all that was said
            self.reason, self.message = reason, candidate.get("finishMessage")
            self._say_signature(batch)
        self._cite(candidate, batch)
        if unknown := unknown_of_candidate(candidate):
            batch.append(extra({"candidates": [{"index": self._index, **unknown}]}))

    def _read_part(self, part: Json, batch: Batch) -> None:
        signature = text_in(part.get("thoughtSignature"))
        text, call, data = part.get("text"), part.get("functionCall"), part.get("inlineData")
        if isinstance(call, dict):
            self._say_signature(batch)
            batch.append(self._call(call, signature))
            return
        self._signature = signature or self._signature
        if isinstance(text, str):
            if not text:
                return
            if part.get("thought"):
                batch.append(Reasoning(text))
            else:
                self._texts.append(text)
                batch.append(text)
        elif isinstance(data, dict) and text_in(data.get("mimeType")).startswith("image/") and not part.get("thought"):
            url = f"data:{data['mimeType']};base64,{text_in(data.get('data'))}"
            batch.append(Images([{"type": "image_url", "image_url": {"url": url}}]))
        elif part.keys() - _KNOWN_PART or isinstance(data, dict):
            batch.append(extra({"candidates": [{"index": self._index, "content": {"parts": [part]}}]}))

    def _call(self, call: Json, signature: str) -> ToolCallDelta:
        """Return a call, which comes in one piece. Its signature is where the vendor's layer for chat completions has it."""
        call_id = text_in(call.get("id"))
        if not call_id or call_id in self._ids:  # callers distinguish calls by their ids
            call_id = tool_calls.new_call_id()
        self._ids.add(call_id)
        arguments = call.get("args")
        said = json.dumps({} if arguments is None else arguments, ensure_ascii=False, separators=(",", ":"))
        place, self._calls = self._calls, self._calls + 1
        signed = {OF_CALL: {"google": {"thought_signature": signature}}} if signature else None
        return ToolCallDelta(place, call_id, text_in(call.get("name")), said, signed)

    def _say_signature(self, batch: Batch) -> None:
        """Say the signature of what was said before, which is taken back beside text. Other candidates are never continued."""
        signature, self._signature = self._signature, ""
        if signature and not self._index:
            batch.append(extra({SIGNATURE: signature}))

    def _read_log_probs(self, result: Any, batch: Batch) -> None:
        chosen = result.get("chosenCandidates") if isinstance(result, dict) else None
        if not isinstance(chosen, list) or not chosen:
            return
        tops = result.get("topCandidates")
        tops = tops if isinstance(tops, list) else []
        content = []
        for place, token in enumerate(chosen):
            top = tops[place].get("candidates") if place < len(tops) and isinstance(tops[place], dict) else None
            others = [_token(each) for each in top if isinstance(each, dict)] if isinstance(top, list) else []
            if isinstance(token, dict):
                content.append({**_token(token), "top_logprobs": others})
        batch.append(LogProbs(content))

    def _cite(self, candidate: Json, batch: Batch) -> None:
        """Say what is cited, once, at the end: each piece of an answer may say all of it once more."""
        if "groundingMetadata" in candidate or "citationMetadata" in candidate:
            self._resting.append(candidate)
        if self.reason is None or not self._resting:
            return
        resting, self._resting = self._resting, []
        new = []
        for each in citations_in(resting, self.text):
            page = each["url_citation"]
            key = page["url"], page["start_index"], page["end_index"]
            if key not in self._cited:
                self._cited.add(key)
                new.append(each)
        if new:
            batch.append(Annotations(new))


def _token(said: Json) -> Json:
    token = text_in(said.get("token"))
    value = said.get("logProbability")
    likely = value if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
    return {"token": token, "logprob": likely, "bytes": list(token.encode("utf-8", "replace"))}
