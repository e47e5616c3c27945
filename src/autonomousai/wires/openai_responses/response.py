"""The response object (OpenAI API reference, "The response object"; Open Responses, ``ResponseResource``): every member that
its schema names, in each event that carries one, and in the answer that is no stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ...events import FinishReason, Usage
from ..cache_counts import cache_read, cache_written
from ..finish_reasons import meaning_of
from ..provenance import KEY

if TYPE_CHECKING:
    from ..base import AnswerHead

#: The name of the wire.
WIRE: Final = "openai_responses"

#: What a response says of its request where that said nothing.
_DEFAULTS: Final[dict[str, Any]] = {
    "background": False,
    "frequency_penalty": 0.0,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "presence_penalty": 0.0,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": False,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}

_json = msgspec.json.Encoder().encode

#: Each of them as JSON, and all of them.
_TEXTS: Final = {name: b"%b:%b" % (_json(name), _json(value)) for name, value in _DEFAULTS.items()}
_DEFAULTS_TEXT: Final = b",".join(_TEXTS.values())

#: What is not done, whatever was asked: nothing is kept after its answer.
_UNKEPT: Final = frozenset({"background", "store"})


def echo_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a checked request the answer repeats."""
    echo = {name: document[name] for name in _DEFAULTS if document.get(name) is not None and name not in _UNKEPT}
    if "tools" in echo:
        echo["tools"] = [_tool(tool) for tool in echo["tools"]]
    for name in ("text", "reasoning"):
        if name in echo:
            said = {inner: value for inner, value in echo[name].items() if value is not None}
            echo[name] = {**_DEFAULTS[name], **said}
    if echo.get("service_tier") == "auto":
        del echo["service_tier"]
    return echo


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    """Return a function with all members that the schema of responses names."""
    if tool["type"] != "function":
        return tool
    return {"description": None, "parameters": None, "strict": None, **tool}


def response_of(head: AnswerHead, **members: Any) -> dict[str, Any]:
    """Return the response as far as it has come; *members* replace what it says at its beginning."""
    return {**_beginning(head), **_DEFAULTS, **(head.echo or {}), **members}


def _beginning(head: AnswerHead) -> dict[str, Any]:
    """Return what a response says of itself before anything was said."""
    return {
        "id": head.id,
        "object": "response",
        "created_at": head.created,
        "completed_at": None,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "model": head.model,
        "output": [],
        "usage": None,
    }


#: Why an answer is incomplete, by its finish reason.
_INCOMPLETE: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}


def incomplete_reason(finish: FinishReason) -> str | None:
    """Return why an answer that ended with *finish* is incomplete, None where it is whole."""
    if finish.reason == "stop":  # as most answers end
        return None
    reason = finish.standard_reason
    return None if reason is None else _INCOMPLETE.get(meaning_of(reason))


def ended(head: AnswerHead, finish: FinishReason, output: Any, unknown: Mapping[str, Any]) -> dict[str, Any]:
    """Return the response at its end. *unknown*: members that came from an upstream of the same wire, and our own."""
    return response_of(head, **{**unknown, **_end(head, finish, output, unknown)})


def _asked(echo: Mapping[str, Any] | None) -> bytes:
    """Return what a response says of its request, as JSON without the braces. Of most the greater part is that nothing was
    asked."""
    if not echo:
        return _DEFAULTS_TEXT
    said = {name: b"%b:%b" % (_json(name), _json(value)) for name, value in echo.items()}
    return b",".join({**_TEXTS, **said}.values())


def encode_begun(head: AnswerHead) -> bytes:
    """Return the response before anything was said, as JSON."""
    return _BEGUN % (_json(head.id), head.created, _json(head.model), _asked(head.echo))


_BEGUN: Final = (
    b'{"id":%b,"object":"response","created_at":%d,"completed_at":null,"status":"in_progress","error":null,'
    b'"incomplete_details":null,"model":%b,"output":[],"usage":null,%b}'
)


def encode_ended(head: AnswerHead, finish: FinishReason, output: bytes, unknown: Mapping[str, Any]) -> bytes:
    """Return the response at its end as JSON, whose *output* is JSON too. *unknown*: members that came from an upstream of the
    same wire, and our own."""
    if not unknown.keys() <= _OUR_OWN:
        return _json(ended(head, finish, msgspec.Raw(output), unknown))
    reason = incomplete_reason(finish)
    pieces = [
        b'{"id":',
        _json(head.id),
        b',"object":"response","created_at":%d,"completed_at":' % head.created,
        b'%d,"status":"completed"' % head.created if reason is None else b'null,"status":"incomplete"',
        b',"error":null,"incomplete_details":',
        b"null" if reason is None else b'{"reason":"%b"}' % reason.encode(),
        b',"model":',
        _json(head.model),
        b',"output":',
        output,
        b',"usage":',
        b"null" if finish.usage is None else _usage(finish.usage),
        b",",
        _asked(head.echo),
    ]
    if unknown:
        pieces += (b",", _json(unknown)[1:-1])
    pieces.append(b"}")
    return b"".join(pieces)


def _usage(usage: Usage) -> bytes:
    """Return what `usage_of` returns, as JSON."""
    if usage.extra:
        return _json(usage_of(usage))
    return _USAGE % (
        usage.prompt_tokens,
        usage.cached_tokens or 0,
        usage.completion_tokens,
        usage.reasoning_tokens or 0,
        usage.total_tokens or usage.prompt_tokens + usage.completion_tokens,
    )


_USAGE: Final = (
    b'{"input_tokens":%d,"input_tokens_details":{"cached_tokens":%d,"cache_write_tokens":0},'
    b'"output_tokens":%d,"output_tokens_details":{"reasoning_tokens":%d},"total_tokens":%d}'
)

#: Members beside all others.
_OUR_OWN: Final = frozenset({KEY})


def _end(head: AnswerHead, finish: FinishReason, output: Any, unknown: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the end of an answer says anew."""
    reason = incomplete_reason(finish)
    members: dict[str, Any] = {"output": output, "usage": None if finish.usage is None else usage_of(finish.usage)}
    if unknown.get("status") == "incomplete":
        pass  # for a reason that is not known here, which stands beside it
    elif reason is None:
        members |= {"status": "completed", "completed_at": head.created}
    else:
        members |= {"status": "incomplete", "incomplete_details": {"reason": reason}}
    return members


#: Members of usage in the words of chat completions, which have others here.
_CHAT_DETAILS: Final = ("prompt_tokens_details", "completion_tokens_details")


def usage_of(usage: Usage) -> dict[str, Any]:
    """Return the tokens as this wire counts them."""
    said = usage.extra or {}
    extra = {name: value for name, value in said.items() if name not in _CHAT_DETAILS}
    inputs, outputs = (_details(extra.pop(name, None)) for name in ("input_tokens_details", "output_tokens_details"))
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": cache_read(usage), "cache_write_tokens": cache_written(usage), **inputs},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0, **outputs},
        "total_tokens": usage.total_tokens or usage.prompt_tokens + usage.completion_tokens,
        **extra,
    }


def _details(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
