"""A request -> the body of ``POST /v1/messages`` (Anthropic API reference, "Create a Message"), for an upstream.

A request that came over the same wire goes as it came, but for its model, whether it is streamed, and what was changed since.
Any other one is in the terms of chat completions: what becomes of its fields is the table `CHAT`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from ...late import late_pattern
from ...request import ChatRequest, OriginalRequest
from ..call_ids import with_distinct_ids
from ..custom_tools import custom_function
from ..messages import CheckedMessages, check_messages
from ..openai_chat.request import CHAT
from ..pairing import with_paired_results
from ..request_body import encode_request, plain_fields
from ..tool_names import short_name
from .members import Json
from .message import DEFAULT_MAX_TOKENS, WIRE
from .upstream_messages import with_clean_ids, write_messages

#: Efforts of chat completions, as the API calls them.
_EFFORTS: Final = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}

_TIERS: Final = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}
_CHOICES: Final = {"auto": "auto", "none": "none", "required": "any"}
#: Under this name, until all fields are written: the tools that the choice leaves.
_ALLOWED: Final = "#allowed"

_NO_PARAMETERS: Final[Json] = {"type": "object", "properties": {}}


def write_messages_request(
    request: ChatRequest, model: str, *, max_tokens: int = DEFAULT_MAX_TOKENS, stream: bool | None = None
) -> bytes:
    """Return the body that asks *model*. *max_tokens*: where the request names none. *stream*: instead of what the request
    says.

    Raises `StatusError` 400 that names the field that the API cannot honour, `ValueError` where it cannot be written.
    """
    origin = request.origin
    messages = request.messages
    if origin is None or origin.wire != WIRE:
        body = {"model": model, **_translated(request)}
    elif type(messages) is CheckedMessages and messages.plain and not origin.changes and origin.continues is None:
        body = dict(origin.document)  # it names no calls
    else:
        body = _original(origin)
    body |= {"model": model, "stream": request.stream if stream is None else stream}  # in their places, where they have some
    body.setdefault("max_tokens", max_tokens)
    return encode_request(body)


# ---- over the same wire --------------------------------------------------------------------------------------------------


def _original(origin: OriginalRequest) -> Json:
    body = dict(origin.document)
    if isinstance(messages := body.get("messages"), list):
        body["messages"] = with_clean_ids(messages)
    if origin.changes:
        _write_fields(body, origin.changes)
    if origin.continues is not None:
        body["messages"] = _with_beginning(body.get("messages") or [], origin.continues)
        body.pop("thinking", None)  # the API begins no thinking in the midst of a text
    return body


def _with_beginning(messages: list[Any], text: str) -> list[Any]:
    """Return *messages* with the beginning of the answer as the last one; the caller may have written a beginning too."""
    last = messages[-1] if messages else None
    if not isinstance(last, dict) or last.get("role") != "assistant":
        return [*messages, {"role": "assistant", "content": text}] if text else messages
    content = last.get("content")
    if isinstance(content, str):
        return [*messages[:-1], {**last, "content": content + text}]
    return [*messages[:-1], {**last, "content": [*(content or ()), {"type": "text", "text": text}]}] if text else messages


# ---- from chat completions -----------------------------------------------------------------------------------------------


def _translated(request: ChatRequest) -> Json:
    messages = check_messages(request.messages)
    is_plain = type(messages) is CheckedMessages and messages.plain  # it has no calls
    system, written = write_messages(messages if is_plain else with_paired_results(with_distinct_ids(messages)))
    body: Json = {"messages": written}
    if system:
        body["system"] = system[0]["text"] if len(system) == 1 and system[0].keys() == {"type", "text"} else system
    if fields := plain_fields(request.fields):
        _write_fields(body, CHAT.check(fields))
    searches = (
        request.origin is not None and "tools" in request.origin.document and _write_search(body, request.origin.document)
    )
    if fields or searches or not is_plain:
        _settle_tools(body)
        _settle_thinking(body)
    if request.echo:  # who writes the answer knows the tools' own names
        for holder in _named(body):
            holder["name"] = short_name(holder["name"])
    return body


def _named(body: Json) -> Iterator[Json]:
    """Yield what names a function in a request: tools, calls, and the choice."""
    blocks = (block for message in body["messages"] for block in message["content"] if block.get("type") == "tool_use")
    functions = (tool for tool in body.get("tools", ()) if "input_schema" in tool)
    holders = (*functions, *blocks, body.get("tool_choice") or {})
    yield from (holder for holder in holders if isinstance(holder.get("name"), str))


def _write_fields(body: Json, fields: Mapping[str, Any]) -> None:
    """Write checked fields of chat completions, by the table."""
    for name, value in CHAT.for_kind("anthropic", fields).items():
        if (write := WRITERS.get(name)) is None:
            body[name] = value
        else:
            write(body, value)


def _settle_tools(body: Json) -> None:
    """Without tools nothing can be said of them; but calls in the conversation must have been calls of some tool."""
    allowed = body.pop(_ALLOWED, None)
    if allowed is not None:
        body["tools"] = [tool for tool in body.get("tools", ()) if tool.get("name") in allowed]
    if tools := body.get("tools"):
        body["tools"] = _of_one_name(tools)
    else:
        body.pop("tools", None)
        body.pop("tool_choice", None)
        blocks = [block for message in body["messages"] for block in message["content"]]
        names = dict.fromkeys(block["name"] for block in blocks if block.get("type") == "tool_use")
        if names:
            body["tools"] = [{"name": name, "input_schema": _NO_PARAMETERS} for name in names]
            body["tool_choice"] = {"type": "none"}
    choice = body.get("tool_choice")
    if choice is not None and "type" not in choice:  # it was said of the calls alone
        choice["type"] = "auto"
    if choice is not None and choice["type"] == "none":
        choice.pop("disable_parallel_tool_use", None)


def _of_one_name(tools: list[Json]) -> list[Json]:
    """Return *tools*, of each name the first: the API refuses all where two have one, and no call could say which it means."""
    first: dict[str, int] = {}
    for place, tool in enumerate(tools):
        first.setdefault(str(tool.get("name")), place)
    return [tool for place, tool in enumerate(tools) if "name" not in tool or first[str(tool["name"])] == place]


def _settle_thinking(body: Json) -> None:
    """The API thinks neither before a call that is ordered, nor in the midst of an answer, nor with a temperature."""
    thinking = body.get("thinking")
    if not isinstance(thinking, dict) or thinking.get("type") == "disabled":
        return
    if (body.get("tool_choice") or {}).get("type") in ("any", "tool") or _continues(body):
        del body["thinking"]
        return
    for name in ("temperature", "top_k"):
        body.pop(name, None)
    if isinstance(top_p := body.get("top_p"), int | float) and top_p < 0.95:
        del body["top_p"]
    budget = thinking.get("budget_tokens")
    if isinstance(budget, int) and "max_tokens" not in body:
        body["max_tokens"] = budget + DEFAULT_MAX_TOKENS


def _continues(body: Json) -> bool:
    messages = body["messages"]
    return bool(messages) and messages[-1].get("role") == "assistant"


# ---- one field each ------------------------------------------------------------------------------------------------------


def _write_max_tokens(body: Json, value: Any) -> None:
    body["max_tokens"] = value


def _write_temperature(body: Json, value: Any) -> None:
    body["temperature"] = min(value, 1) if isinstance(value, int | float) else value


def _write_stop(body: Json, value: Any) -> None:
    texts = [value] if isinstance(value, str) else list(value)
    if kept := [text for text in texts if not isinstance(text, str) or text.strip()]:
        body["stop_sequences"] = kept


def _write_tools(body: Json, value: Any) -> None:
    body["tools"] = [*body.get("tools", ()), *map(_tool, value)]


def _write_search(body: Json, document: Json) -> bool:
    """Offer the vendor's own search of the web to a caller of Responses who asked for OpenAI's; return whether one did."""
    from ..web_search import asked_search, messages_search  # noqa: PLC0415  few requests search

    if (asked := asked_search(document)) is None:
        return False
    body["tools"] = [*body.get("tools", ()), messages_search(asked)]
    return True


def _write_search_options(body: Json, value: Any) -> None:
    from ..web_search import messages_search  # noqa: PLC0415  few requests search

    body["tools"] = [*body.get("tools", ()), messages_search(value if isinstance(value, dict) else {})]


def _tool(tool: Json) -> Json:
    function = tool.get("function")
    if tool.get("type", "function") != "function" or not isinstance(function, Mapping):
        if tool.get("type") != "custom" or not isinstance(tool.get("custom"), Mapping):
            return tool  # of the vendor's own
        function = custom_function(dict(tool["custom"]))
    written: Json = {"name": function.get("name"), "input_schema": _schema(function.get("parameters"))}
    if function.get("description"):
        written["description"] = function["description"]
    if function.get("strict"):
        written["strict"] = True
    mark = tool.get("cache_control") or function.get("cache_control")
    return {**written, "cache_control": mark} if mark else written


def _schema(parameters: Any) -> Json:
    return {"type": "object", **parameters} if isinstance(parameters, Mapping) and parameters else _NO_PARAMETERS


def _write_functions(body: Json, value: Any) -> None:
    _write_tools(body, [{"type": "function", "function": function} for function in value])
    _write_parallel(body, False)  # its caller's form of an answer has room for one call


def _write_choice(body: Json, value: Any) -> None:
    choice = body.setdefault("tool_choice", {})
    if isinstance(value, str):
        choice["type"] = _CHOICES.get(value, value)
    elif value.get("type") == "allowed_tools":
        allowed = _member(value, "allowed_tools") or value
        choice["type"] = _CHOICES.get(str(allowed.get("mode")), "auto")
        tools = allowed.get("tools")
        body[_ALLOWED] = [_name_of(tool) for tool in tools] if isinstance(tools, list) else []
    else:
        choice.update(type="tool", name=_name_of(value))


def _member(value: Any, name: str) -> Json:
    """Return a member that is an object, an empty one where it is none."""
    found = value.get(name) if isinstance(value, Mapping) else None
    return found if isinstance(found, dict) else {}


def _name_of(tool: Any) -> Any:
    """Return the name of a tool, which stands in an object of its own or beside the type."""
    return (_member(tool, "function") or _member(tool, "custom") or _member({"tool": tool}, "tool")).get("name")


def _write_function_call(body: Json, value: Any) -> None:
    _write_choice(body, value if isinstance(value, str) else {"type": "function", "function": value})


def _write_parallel(body: Json, value: Any) -> None:
    if value is False:
        body.setdefault("tool_choice", {})["disable_parallel_tool_use"] = True


def _write_format(body: Json, value: Any) -> None:
    schema = _member(value, "json_schema").get("schema")
    if value.get("type") == "json_schema" and schema is not None:
        _put(body, "output_config", format={"type": "json_schema", "schema": schema})


def _write_effort(body: Json, value: Any) -> None:
    if value == "none":
        body.setdefault("thinking", {"type": "disabled"})
    else:
        body.setdefault("thinking", {"type": "adaptive"})
        _put(body, "output_config", effort=_EFFORTS.get(value, value) if isinstance(value, str) else value)


def _write_reasoning(body: Json, value: Any) -> None:
    if isinstance(value, Mapping) and value.get("effort") is not None:
        _write_effort(body, value["effort"])


#: Characters of the longest name of a user that the API takes, and names that it refuses: addresses and numbers of telephones.
_LONGEST_USER: Final = 256
_REACHABLE: Final = late_pattern(r".*\S@\S.*|\+?[\d\s()./-]{7,}", re.DOTALL)


def _opaque(user: Any) -> Any:
    """Return the name of a user as the API takes it: in place of one that it refuses, its SHA-256, which is always the same."""
    if not isinstance(user, str) or not (len(user) > _LONGEST_USER or _REACHABLE.fullmatch(user)):
        return user
    from hashlib import sha256  # noqa: PLC0415  few names are such, and it is slow to come

    return sha256(user.encode("utf-8", "surrogatepass")).hexdigest()


def _write_user(body: Json, value: Any) -> None:
    _put(body, "metadata", user_id=_opaque(value))


def _write_safety_identifier(body: Json, value: Any) -> None:
    _put(body, "metadata", **{"user_id": _opaque(value), **body.get("metadata", {})})


def _write_metadata(body: Json, value: Any) -> None:
    if isinstance(user := value.get("user_id"), str):
        _write_safety_identifier(body, user)


def _write_service_tier(body: Json, value: Any) -> None:
    if (tier := _TIERS.get(value)) is not None:
        body["service_tier"] = tier


def _put(body: Json, name: str, **members: Any) -> None:
    body[name] = {**(body.get(name) or {}), **members}


#: How each field is written that the table carries.
WRITERS: Final[Mapping[str, Callable[[Json, Any], None]]] = {
    "max_tokens": _write_max_tokens,
    "max_completion_tokens": _write_max_tokens,
    "temperature": _write_temperature,
    "stop": _write_stop,
    "tools": _write_tools,
    "tool_choice": _write_choice,
    "parallel_tool_calls": _write_parallel,
    "functions": _write_functions,
    "function_call": _write_function_call,
    "response_format": _write_format,
    "reasoning_effort": _write_effort,
    "reasoning": _write_reasoning,
    "user": _write_user,
    "safety_identifier": _write_safety_identifier,
    "metadata": _write_metadata,
    "service_tier": _write_service_tier,
    "web_search_options": _write_search_options,
}
