"""Answers of the Responses wire as servers send them, and what becomes of them."""

from __future__ import annotations

import json
from typing import Any

from autonomousai.errors import HTTPError
from autonomousai.events import Batch, FinishReason
from autonomousai.wires.json import mend
from autonomousai.wires.openai_responses.decoder import ResponsesStreamDecoder

Json = dict[str, Any]

USAGE: Json = {
    "input_tokens": 3,
    "input_tokens_details": {"cached_tokens": 1},
    "output_tokens": 2,
    "output_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 5,
}


def event(name: str, /, **members: Any) -> Json:
    """An event of the name ``response.NAME``."""
    return {"type": f"response.{name}", **members}


def response(status: str = "completed", **members: Any) -> Json:
    return {"id": "resp_1", "object": "response", "model": "m", "status": status, **members}


def created() -> Json:
    return event("created", response=response("in_progress", output=[]))


def completed(*output: Json, **members: Any) -> Json:
    return event("completed", response=response(output=list(output), **members))


def part(text: str, **more: Any) -> Json:
    return {"type": "output_text", "text": text, **more}


def message(*parts: Json, id: str = "msg_1", **more: Any) -> Json:
    return {"type": "message", "id": id, "role": "assistant", "status": "completed", "content": list(parts), **more}


def call(name: str = "f", arguments: str = "{}", id: str = "fc_1", call_id: str = "call_1", **more: Any) -> Json:
    return {"type": "function_call", "id": id, "call_id": call_id, "name": name, "arguments": arguments, **more}


def thought(*summary: str, id: str = "rs_1", **more: Any) -> Json:
    return {"type": "reasoning", "id": id, "summary": [{"type": "summary_text", "text": text} for text in summary], **more}


def added(item: Json, index: int = 0) -> Json:
    return event("output_item.added", output_index=index, item=item)


def done(item: Json, index: int = 0) -> Json:
    return event("output_item.done", output_index=index, item=item)


def delta(text: Any, index: int = 0, id: str = "msg_1", place: int = 0, name: str = "output_text", **more: Any) -> Json:
    return event(f"{name}.delta", output_index=index, item_id=id, content_index=place, delta=text, **more)


def arguments(text: str, index: int = 0, id: str = "fc_1") -> Json:
    return event("function_call_arguments.delta", output_index=index, item_id=id, delta=text)


def summary(text: str, place: int = 0, index: int = 0, id: str = "rs_1") -> Json:
    return event("reasoning_summary_text.delta", output_index=index, item_id=id, summary_index=place, delta=text)


def stream(*events: Json | bytes | str) -> bytes:
    """A body with an ``event`` line for each object that has a type; bytes are written as they are."""
    parts = []
    for number, each in enumerate(events):
        if isinstance(each, bytes):
            parts.append(each)
            continue
        if isinstance(each, str):
            parts.append(f"data: {each}\n\n".encode())
            continue
        data = json.dumps({**each, "sequence_number": number}, ensure_ascii=False)
        data = data if mend(data) == data else json.dumps(json.loads(data))
        name = f"event: {each['type']}\n" if isinstance(each.get("type"), str) else ""
        parts.append(f"{name}data: {data}\n\n".encode())
    return b"".join(parts)


class Reading:
    """What becomes of a stream that comes in these reads, whose body ended in good order."""

    def __init__(self, *reads: bytes) -> None:
        self.decoder = ResponsesStreamDecoder()
        self.events: Batch = [said for read in reads for said in self.decoder.feed(read)]
        self.events += self.decoder.end()
        self.error: HTTPError | None = None
        self.finish: FinishReason | None = None
        try:
            self.finish = self.decoder.finish()
        except HTTPError as error:
            self.error = error

    @property
    def seen(self) -> tuple[Any, ...]:
        error = self.error and (type(self.error), self.error.code, self.error.message, self.error.retryable)
        return self.events, self.finish, error, self.decoder.complete, self.decoder.extension
