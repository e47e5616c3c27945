"""A request in terms of chat completions -> the body of ``POST /responses`` to an upstream. Does no I/O.

OpenAI API reference, "Responses", "Create a model response". Its caller may have asked over the same wire: then the body is the
caller's own, with another model. ``FIELDS`` says what becomes of each field of chat completions; one that it does not name is
passed on, for the upstream to judge.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from ...events import Message, Messages
from ...late import late_pattern
from ...request import ChatRequest
from ...sealed_thoughts import ITEMS, is_packed
from ..call_ids import with_distinct_ids
from ..json_kinds import kind
from ..messages import check_messages
from ..pairing import with_paired_results
from ..request_body import encode_request, plain_fields
from ..shapes import refusal
from ..tool_names import short_name
from .items import WIRE_NAME, Json

_MARK: Final = "cache_control"

#: Members of a caller's own body that are about the server that the caller asked, and not about the answer.
_OWN: Final = ("background", "previous_response_id", "stream_options")


def write_response_request(model: str, request: ChatRequest) -> bytes:
    """Return the body that asks an upstream's *model*. The upstream is to keep nothing, unless the caller said that it may.

    Raises `StatusError` 400 that names a field which this wire has no word for, `InvalidMessagesError`, or `ValueError`.
    """
    origin = request.origin
    if origin is not None and origin.wire == WIRE_NAME:
        body = {name: value for name, value in origin.document.items() if name not in _OWN}
        _merge(body, _from_fields(origin.changes, strict=False))
        if isinstance(body.get("input"), list):
            body["input"] = [item for item in body["input"] if not _is_our_reasoning(item)]
        if origin.continues is not None:
            said = body.get("input")
            before = [_message("user", said)] if isinstance(said, str) else list(said or ())
            body["input"] = [*before, _message("assistant", origin.continues)]
    else:
        body = {"input": input_items(with_paired_results(with_distinct_ids(check_messages(request.messages))))}
        _merge(body, _from_fields(plain_fields(request.fields), strict=True))
        if origin is not None and "tools" in origin.document:
            _merge(body, _searches(origin.document))
        if isinstance(reasoning := body.get("reasoning"), dict) and reasoning.get("effort") not in (None, "none"):
            _merge(body, {"include": ["reasoning.encrypted_content"]})  # it comes back with the next turn
            body["reasoning"] = {**reasoning, "summary": reasoning.get("summary", "auto")}  # unasked, it shows no thought
        if request.echo:  # who writes the answer knows the tools' own names
            _shorten_names(body)
    body |= {"model": model, "stream": request.stream}
    if body.get("store") is None:
        body["store"] = False
    return encode_request(body)


def _shorten_names(body: Json) -> None:
    """Offer tools under names that the API takes: some servers take longer ones, and others' characters."""
    for name in ("tools", "input"):
        if isinstance(said := body.get(name), list):
            body[name] = [_with_short_name(each) for each in said]
    if isinstance(choice := body.get("tool_choice"), dict):
        tools = choice.get("tools")
        inner = {"tools": [_with_short_name(tool) for tool in tools]} if isinstance(tools, list) else {}
        body["tool_choice"] = {**_with_short_name(choice), **inner}


def _with_short_name(holder: Any) -> Any:
    """Return what names a tool, as a copy: another upstream may be asked with the same request."""
    if not isinstance(holder, dict) or not isinstance(name := holder.get("name"), str):
        return holder
    return {**holder, "name": short_name(name)}


#: The id that a server of this package gives to reasoning.
_OUR_REASONING: Final = late_pattern(r"rs_[0-9a-f]{24,32}_\d{1,9}", re.ASCII)


def _is_our_reasoning(item: Any) -> bool:
    """Return whether an item is reasoning that no server of this wire knows: of another upstream, or not sent back whole."""
    if not isinstance(item, dict) or item.get("type") != "reasoning":
        return False
    encrypted = item.get("encrypted_content")
    return is_packed(encrypted) or (not encrypted and _OUR_REASONING.fullmatch(str(item.get("id"))) is not None)


# ---- messages -> items


def input_items(messages: Messages) -> list[Json]:
    """Return *messages*, which are checked, as the items of ``input``."""
    items: list[Json] = []
    customs: set[str] = set()  # ids of calls of custom tools
    function = ""  # the id of the last call in the form that chat completions had before tools
    for message in messages:
        role = message["role"]
        if role == "tool":
            call_id = message["tool_call_id"]
            name = "custom_tool_call_output" if call_id in customs else "function_call_output"
            items.append({"type": name, "call_id": call_id, "output": _input_content(message.get("content"))})
        elif role == "function":
            items.append(
                {"type": "function_call_output", "call_id": function, "output": _input_content(message.get("content"))}
            )
        elif role == "assistant":
            items += _encrypted_reasoning(message)
            if content := _output_content(message):
                items.append(_message(role, content))
            calls = [_call_item(call) for call in message.get("tool_calls") or ()]
            customs.update(call["call_id"] for call in calls if call.get("type") == "custom_tool_call")
            items += calls
            if old := message.get("function_call"):
                function = f"call_{len(items)}"
                items.append({"type": "function_call", "call_id": function, **_function(old)})
        else:
            items.append(_message(role, _input_content(message.get("content"))))
    return items


def _encrypted_reasoning(message: Message) -> list[Json]:
    """Return what was thought before an answer, as a server of this wire encrypted it."""
    items = message.get(ITEMS)
    found = [item for item in (items if isinstance(items, list) else ()) if isinstance(item, dict)]
    return [item for item in found if item.get("type") == "reasoning" and isinstance(item.get("encrypted_content"), str)]


def _message(role: str, content: Any) -> Json:
    return {"type": "message", "role": role, "content": content}


def _function(function: Mapping[str, Any]) -> Json:
    return {"name": function.get("name"), "arguments": function.get("arguments")}


def _call_item(call: Json) -> Json:
    if call.get("type", "function") == "function":
        return {"type": "function_call", "call_id": call["id"], **_function(call["function"])}
    custom = call.get("custom")
    if call["type"] == "custom" and isinstance(custom, dict):
        said = {"name": custom.get("name"), "input": custom.get("input")}
        return {"type": "custom_tool_call", "call_id": call.get("id"), **said}
    return call


def _input_content(content: Any) -> Any:
    """Return the content of a message that is no answer: text, or parts."""
    if content is None:
        return ""
    return (
        content
        if isinstance(content, str)
        else [_unmarked(_INPUT_PARTS.get(part["type"], _as_it_is)(part)) for part in content]
    )


def _unmarked(holder: Json) -> Json:
    """Return a part or a tool without the mark by which other servers cache prompts: the API caches them unasked, and refuses
    members that it does not know."""
    return {name: value for name, value in holder.items() if name != _MARK} if _MARK in holder else holder


def _output_content(message: Message) -> Any:
    """Return what an assistant's message says, text or parts; nothing where it only calls tools."""
    content, refused = message.get("content"), message.get("refusal")
    if not isinstance(content, str) and content and len(content) == 1 and content[0]["type"] == "text":
        content = content[0]["text"]  # servers want a part with an id, a status and annotations, and take a text
    if isinstance(content, str) and not refused:
        return content
    parts = [{"type": "text", "text": content}] if isinstance(content, str) and content else content or ()
    parts = [_unmarked(_OUTPUT_PARTS.get(part["type"], _as_it_is)(part)) for part in parts]
    return [*parts, {"type": "refusal", "refusal": refused}] if refused else parts


Part = Callable[[Json], Json]


def _as_it_is(part: Json) -> Json:
    return part


def _renamed(name: str) -> Part:
    return lambda part: {**part, "type": name}


def _image(part: Json) -> Json:
    image = part["image_url"]
    image = {"url": image} if isinstance(image, str) else image
    detail = image.get("detail")
    return {"type": "input_image", "image_url": image["url"], "detail": detail if isinstance(detail, str) else "auto"}


def _file(part: Json) -> Json:
    file = part.get("file")
    return {"type": "input_file", **file} if isinstance(file, dict) else part


_INPUT_PARTS: Final[dict[str, Part]] = {"text": _renamed("input_text"), "image_url": _image, "file": _file}
_OUTPUT_PARTS: Final[dict[str, Part]] = {"text": _renamed("output_text")}


# ---- fields -> members


class ChatFieldRule(NamedTuple):
    """What becomes of a field of chat completions. ``fate``: carried (the same is said, maybe by another name), approximated,
    dropped (the answer may be another one, within what the field promises), or refused. ``says``: the same, for people.
    ``members``: returns what the body gets for a value."""

    fate: str
    says: str
    members: Callable[[str, Any], Json]


def _from_fields(fields: Mapping[str, Any], *, strict: bool) -> Json:
    """Return the members of the body that *fields* become. Unless *strict*, what there is no word for is left out."""
    body: Json = {}
    for name, value in fields.items():
        rule = FIELDS.get(name)
        if rule is None:
            _merge(body, {name: value})
        elif strict or rule.fate != "refused":
            _merge(body, rule.members(name, value))
    return body


def _merge(body: Json, members: Json) -> None:
    """Put *members* into *body*: into what is an object there, behind what is a list, else in its place."""
    for name, value in members.items():
        said = body.get(name)
        if isinstance(said, dict) and isinstance(value, dict):
            body[name] = {**said, **value}
        elif isinstance(said, list) and isinstance(value, list) and name in ("tools", "include"):
            body[name] = [*said, *value]
        else:
            body[name] = value


def _as(path: str) -> Callable[[str, Any], Json]:
    """Return what puts the value at a *path* of one or two names."""
    outer, _, inner = path.partition(".")
    return lambda _, value: {outer: {inner: value} if inner else value}


def _nothing(name: str, value: Any) -> Json:
    return {}


def _refuse_unless(*fine: Any) -> Callable[[str, Any], Json]:
    """Return what refuses all values but those that change nothing."""

    def members(name: str, value: Any) -> Json:
        if value in fine:
            return {}
        raise refusal(
            name,
            "the upstream is asked over the Responses API, which has no word for it; leave it out",
            "unsupported_parameter",
        )

    return members


def _flat_tool(tool: Any) -> Any:
    """Return a tool without the object that chat completions put around what it is."""
    if not isinstance(tool, dict):
        return tool
    inner = tool.get(tool.get("type", "function"))
    if not isinstance(inner, dict):
        return tool
    flat = {"type": tool.get("type", "function"), **{k: v for k, v in tool.items() if v is not inner and k != "type"}, **inner}
    flat = _unmarked(flat)
    if flat["type"] == "function":
        # Without a word, this API makes schemas strict, and chat completions do not.
        return {"parameters": None, "strict": False, **flat}
    if flat["type"] == "custom" and isinstance(form := flat.get("format"), dict) and isinstance(form.get("grammar"), dict):
        flat["format"] = {"type": "grammar", **form["grammar"]}
    return flat


def _tools(name: str, value: Any) -> Json:
    if not isinstance(value, list):
        return {"tools": value}
    offered: dict[Any, Any] = {}  # of each name the first: no call could say which it means
    for place, tool in enumerate(map(_flat_tool, value)):
        said = tool.get("name") if isinstance(tool, dict) else None
        offered.setdefault(said if isinstance(said, str) else place, tool)
    return {"tools": list(offered.values())}


def _functions(name: str, value: Any) -> Json:
    tools = _tools(name, [{"type": "function", "function": each} for each in value] if isinstance(value, list) else value)
    return {**tools, "parallel_tool_calls": False}  # its caller's form of an answer has room for one call


def _tool_choice(name: str, value: Any) -> Json:
    if not isinstance(value, dict):
        return {"tool_choice": "required" if value == "any" else value}
    tool = value.get("type", "function")
    inner = value.get(tool, value if name == "function_call" else {})
    if tool == "allowed_tools" and isinstance(inner, dict):
        tools = [_flat_tool(each) for each in inner.get("tools") or ()]
        named = [{k: each[k] for k in ("type", "name") if k in each} if isinstance(each, dict) else each for each in tools]
        return {"tool_choice": {"type": "allowed_tools", "mode": inner.get("mode", "auto"), "tools": named}}
    if isinstance(inner, dict) and "name" in inner:
        return {"tool_choice": {"type": tool, "name": inner["name"]}}
    return {"tool_choice": value}


def _response_format(name: str, value: Any) -> Json:
    if not isinstance(value, dict):
        raise refusal(name, f"must be an object, not {kind(value)}", "invalid_type")
    inner = value.get("json_schema")
    if value.get("type") == "json_schema" and isinstance(inner, dict):
        value = {"type": "json_schema", **inner}
    return {"text": {"format": value}}


def _logprobs(name: str, value: Any) -> Json:
    return {"include": ["message.output_text.logprobs"]} if value else {}


def _modalities(name: str, value: Any) -> Json:
    return _refuse_unless(["text"])(name, value)


def _searches(document: Json) -> Json:
    """Return OpenAI's own search of the web for a caller of Messages who asked for Anthropic's."""
    from ..web_search import asked_search, responses_search  # noqa: PLC0415  few requests search

    asked = asked_search(document)
    return {} if asked is None else {"tools": [responses_search(asked)]}


def _web_search(name: str, value: Any) -> Json:
    tool: Json = {"type": "web_search"}
    if isinstance(value, dict):
        tool |= value
        where = value.get("user_location")
        if isinstance(where, dict) and isinstance(place := where.get("approximate"), dict):
            tool["user_location"] = {"type": "approximate", **place}
    return {"tools": [tool]}


def _reasoning(name: str, value: Any) -> Json:
    return {"reasoning": {"effort": value}}


def _carried(says: str, members: Callable[[str, Any], Json]) -> ChatFieldRule:
    return ChatFieldRule("carried", says, members)


_SAME: Final = lambda name, value: {name: value}  # noqa: E731
_LIMIT: Final = _carried("`max_output_tokens`", _as("max_output_tokens"))
_PENALTY: Final = _carried("as it is: Open Responses has it, and OpenAI's own server refuses it", _SAME)

#: By the field's name.
FIELDS: Final[dict[str, ChatFieldRule]] = {
    "max_tokens": _LIMIT,
    "max_completion_tokens": _LIMIT,
    "tools": _carried("flattened; a function is `strict` only where it says so", _tools),
    "tool_choice": _carried("flattened", _tool_choice),
    "functions": _carried("`tools`", _functions),
    "function_call": _carried("`tool_choice`", _tool_choice),
    "response_format": _carried("`text.format`", _response_format),
    "verbosity": _carried("`text.verbosity`", _as("text.verbosity")),
    "reasoning_effort": _carried("`reasoning.effort`, with a summary of what was thought", _reasoning),
    "logprobs": _carried('`include: ["message.output_text.logprobs"]`', _logprobs),
    "frequency_penalty": _PENALTY,
    "presence_penalty": _PENALTY,
    "web_search_options": ChatFieldRule("approximated", "the tool `web_search`, which the model may leave unused", _web_search),
    "stream_options": ChatFieldRule("dropped", "usage always comes", _nothing),
    "seed": ChatFieldRule("dropped", "it promises no more than an attempt to repeat an answer", _nothing),
    "prediction": ChatFieldRule("dropped", "it only makes an answer quicker", _nothing),
    "stop": ChatFieldRule(
        "refused",
        "beside `logprobs`; else the answer is cut at the first such text, and the upstream left",
        _refuse_unless("", []),
    ),
    "n": ChatFieldRule("refused", "unless it is 1", _refuse_unless(1)),
    "logit_bias": ChatFieldRule("refused", "unless it is empty", _refuse_unless({})),
    "modalities": ChatFieldRule("refused", 'unless it is `["text"]`', _modalities),
    "audio": ChatFieldRule("refused", "there is no spoken answer", _refuse_unless({})),
}
