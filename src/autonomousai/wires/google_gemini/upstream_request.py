"""A request -> the body of ``POST /v1beta/models/{model}:generateContent`` (Gemini API reference, "Generating content"), for an
upstream. The model, and whether the answer is streamed, stand in the path.

A request that came over the same wire goes as it came, but for what was changed since, and for thoughts of other vendors. Any
other one is in the terms of chat completions: what becomes of its fields is the table `CHAT`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from ...request import NO_SEED, ChatRequest, OriginalRequest
from ..call_ids import with_distinct_ids
from ..custom_tools import custom_function
from ..messages import check_messages
from ..openai_chat.request import CHAT
from ..pairing import with_paired_results
from ..request_body import encode_request, request_fields
from ..tool_names import short_name
from .upstream_contents import without_foreign_signatures, write_contents
from .upstream_schemas import has_properties, plain_schema
from .upstream_shapes import WIRE
from .upstream_thinking import as_level, thinking_of, wants_signatures

Json = dict[str, Any]

#: Members of the API's own request, which a caller of chat completions may name beside its fields; in the vendor's layer for
#: chat completions they stand in ``google``, in other letters.
_OWN: Final = {
    "safetySettings": "safety_settings",
    "cachedContent": "cached_content",
    "generationConfig": "generation_config",
    "toolConfig": "tool_config",
}
_THINKING: Final = {
    "include_thoughts": "includeThoughts",
    "thinking_level": "thinkingLevel",
    "thinking_budget": "thinkingBudget",
}

_MODES: Final = {"auto": "AUTO", "none": "NONE", "required": "ANY"}

#: The greatest number that may be a seed.
_SEEDS: Final = 2**31


def write_gemini_request(request: ChatRequest, model: str) -> bytes:
    """Return the body that asks *model*.

    Raises `StatusError` 400 that names the field that the API cannot honour, `ValueError` where it cannot be written.
    """
    return encode_request(gemini_document(request, model))


def gemini_document(request: ChatRequest, model: str) -> Json:
    """Return the same as an object."""
    origin = request.origin
    if origin is not None and origin.wire == WIRE:
        return _original(origin)
    return _translated(request, model)


def _original(origin: OriginalRequest) -> Json:
    """Return a request of the same wire."""
    body = {name: value for name, value in origin.document.items() if name != "model"}
    if isinstance(contents := body.get("contents"), list):
        body["contents"] = without_foreign_signatures(contents)
    config: Json = {}
    for name, value in CHAT.for_kind("gemini", origin.changes).items():
        if (write := WRITERS.get(name)) is not None:
            write(body, config, value)
    if config:
        body["generationConfig"] = {**(body.get("generationConfig") or {}), **config}
    return body


def _translated(request: ChatRequest, model: str) -> Json:
    messages = with_paired_results(with_distinct_ids(check_messages(request.messages)))
    system, contents = write_contents(messages, signed=wants_signatures(model))
    body: Json = {"contents": contents}
    if system:
        body["systemInstruction"] = {"parts": system}
    fields = CHAT.check(request_fields(request.fields))
    own: Json = {name: fields.pop(name) for name in _OWN if name in fields}
    for name in ("google", "extra_body"):
        own |= _own_fields(fields.pop(name, None))
    config: Json = {}
    for name, value in CHAT.for_kind("gemini", fields).items():
        if (write := WRITERS.get(name)) is not None:
            write(body, config, value)
        elif name not in ("model", "messages", "stream"):
            body[name] = value
    _settle_thinking(config, model)
    _settle_tools(body)
    config = _merged(config, own.pop("generationConfig", None))
    body |= own
    if config:
        body["generationConfig"] = config
    if request.echo:  # who writes the answer knows the tools' own names
        _shorten_names(body)
    return body


def _own_fields(said: Any) -> Json:
    """Return the members of the API's own that stand in ``google``."""
    google = said.get("google", said) if isinstance(said, Mapping) else None
    if not isinstance(google, Mapping):
        return {}
    own = {name: google[snake] for name, snake in _OWN.items() if snake in google}
    if isinstance(thinking := google.get("thinking_config"), Mapping):
        named = {_THINKING.get(name, name): value for name, value in thinking.items()}
        own["generationConfig"] = _merged(dict(own.get("generationConfig") or {}), {"thinkingConfig": named})
    return own


def _merged(config: Json, own: Any) -> Json:
    """Return *config* with what its caller said of it in the API's own words."""
    return {**config, **own} if isinstance(own, Mapping) else config


# ---- tools ---------------------------------------------------------------------------------------------------------------


def _write_tools(body: Json, config: Json, value: Any) -> None:
    declared = [written for tool in value if (written := _function(tool)) is not None]
    named = list({str(each["name"]): each for each in reversed(declared)}.values())[::-1]
    tools = body.setdefault("tools", [])
    if named:
        tools.append({"functionDeclarations": named})
    tools += [tool for tool in value if _is_own(tool)]


def _is_own(tool: Json) -> bool:
    """Return whether a tool is one of the vendor's, such as ``{"googleSearch": {}}``."""
    return "type" not in tool and "function" not in tool


def _function(tool: Json) -> Json | None:
    function = tool.get("function")
    if tool.get("type", "function") == "custom" and isinstance(tool.get("custom"), Mapping):
        function = custom_function(dict(tool["custom"]))
    if not isinstance(function, Mapping):
        return None
    written: Json = {"name": function.get("name")}
    if function.get("description"):
        written["description"] = function["description"]
    parameters = function.get("parameters")
    if isinstance(parameters, Mapping) and has_properties(parameters):
        written["parametersJsonSchema"] = plain_schema({"type": "object", **parameters})
    return written


def _write_functions(body: Json, config: Json, value: Any) -> None:
    _write_tools(body, config, [{"type": "function", "function": function} for function in value])


def _write_choice(body: Json, config: Json, value: Any) -> None:
    names: list[Any] = []
    mode = "ANY"
    if isinstance(value, str):
        mode = _MODES.get(value, "AUTO")
    elif value.get("type") == "allowed_tools":
        allowed = value.get("allowed_tools")
        allowed = allowed if isinstance(allowed, Mapping) else value
        tools = allowed.get("tools")
        names = [_name_of(tool) for tool in tools] if isinstance(tools, list) else []
        mode = _MODES.get(str(allowed.get("mode")), "AUTO")
    else:
        names = [_name_of(value)]
    names = [name for name in names if isinstance(name, str)]
    if mode == "AUTO" and names:  # the API takes names for calls that are ordered alone
        body[_ALLOWED] = names
        names = []
    body["toolConfig"] = {"functionCallingConfig": {"mode": mode, **({"allowedFunctionNames": names} if names else {})}}


#: Under this name, until all fields are written: the functions that the choice leaves.
_ALLOWED: Final = "#allowed"


def _name_of(tool: Any) -> Any:
    if not isinstance(tool, Mapping):
        return None
    inner = next((tool[name] for name in ("function", "custom") if isinstance(tool.get(name), Mapping)), tool)
    return inner.get("name")


def _write_function_call(body: Json, config: Json, value: Any) -> None:
    _write_choice(body, config, value if isinstance(value, str) else {"type": "function", "function": value})


def _write_search(body: Json, config: Json, value: Any) -> None:
    body.setdefault("tools", []).append({"googleSearch": {}})


def _settle_tools(body: Json) -> None:
    """Without functions nothing can be said of them."""
    allowed = body.pop(_ALLOWED, None)
    tools = body.get("tools") or []
    if allowed is not None:
        tools = [{**tool, **_left(tool, allowed)} for tool in tools]
    tools = [tool for tool in tools if tool.get("functionDeclarations") != []]
    if tools:
        body["tools"] = tools
    else:
        body.pop("tools", None)
    if not any("functionDeclarations" in tool for tool in tools):
        body.pop("toolConfig", None)


def _left(tool: Json, allowed: list[str]) -> Json:
    declared = tool.get("functionDeclarations")
    if declared is None:
        return {}
    return {"functionDeclarations": [each for each in declared if each["name"] in allowed]}


def _shorten_names(body: Json) -> None:
    """Write the names of functions as the API takes them."""
    for holder in _named(body):
        if isinstance(holder.get("name"), str):
            holder["name"] = short_name(holder["name"])
    chosen = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    if "allowedFunctionNames" in chosen:
        chosen["allowedFunctionNames"] = [short_name(name) for name in chosen["allowedFunctionNames"]]


def _named(body: Json) -> Iterator[Json]:
    """Yield what names a function in a request: tools, calls and results."""
    for tool in body.get("tools") or ():
        yield from tool.get("functionDeclarations") or ()
    for content in body["contents"]:
        for part in content["parts"]:
            for member in ("functionCall", "functionResponse"):
                if member in part:
                    yield part[member]


# ---- how it is answered --------------------------------------------------------------------------------------------------


def _as(name: str) -> Callable[[Json, Json, Any], None]:
    """Return what writes a field that the API has under the *name*."""

    def write(body: Json, config: Json, value: Any) -> None:
        config[name] = value

    return write


def _write_stop(body: Json, config: Json, value: Any) -> None:
    if kept := [text for text in ([value] if isinstance(value, str) else value) if text]:
        config["stopSequences"] = kept


def _write_seed(body: Json, config: Json, value: Any) -> None:
    if value not in NO_SEED:
        config["seed"] = value % _SEEDS


def _write_length(body: Json, config: Json, value: Any) -> None:
    if type(value) is not int or value > 0:  # -1 is none
        config["maxOutputTokens"] = value


def _write_format(body: Json, config: Json, value: Any) -> None:
    kind, held = value.get("type"), value.get("json_schema")
    if kind in ("json_object", "json_schema"):
        config["responseMimeType"] = "application/json"
        schema = held.get("schema") if isinstance(held, Mapping) else value.get("schema")
        if kind == "json_schema" and isinstance(schema, Mapping):
            config["responseJsonSchema"] = plain_schema(dict(schema))


def _write_log_probs(body: Json, config: Json, value: Any) -> None:
    if value is not False and value is not None:
        config["responseLogprobs"] = True
        if type(value) is int and value:
            config.setdefault("logprobs", value)


def _write_top_log_probs(body: Json, config: Json, value: Any) -> None:
    if value:
        config["responseLogprobs"] = True
        config["logprobs"] = value


#: Tiers of chat completions, as the API calls them.
_TIERS: Final = {"default": "standard", "standard": "standard", "flex": "flex", "priority": "priority"}


def _write_tier(body: Json, config: Json, value: Any) -> None:
    if (tier := _TIERS.get(value)) is not None:
        body["serviceTier"] = tier


def _write_modalities(body: Json, config: Json, value: Any) -> None:
    config["responseModalities"] = [str(each).upper() for each in value]


# ---- thinking: what is said of it is settled when the model is looked at

_EFFORT: Final = "#effort"


def _write_effort(body: Json, config: Json, value: Any) -> None:
    config.setdefault(_EFFORT, value)


def _write_reasoning(body: Json, config: Json, value: Any) -> None:
    if isinstance(value, Mapping):
        if value.get("effort") is not None:
            _write_effort(body, config, value["effort"])
        if value.get("summary") is not None:
            _think(config, includeThoughts=True)


def _write_thinking(body: Json, config: Json, value: Any) -> None:
    """In the words of the Messages API, which some callers of chat completions use."""
    if not isinstance(value, Mapping):
        return
    if value.get("type") == "disabled":
        _write_effort(body, config, "none")
    elif value.get("type") == "enabled":
        _write_budget(body, config, value.get("budget_tokens"))


def _write_budget(body: Json, config: Json, value: Any) -> None:
    if type(value) is int:
        _think(config, thinkingBudget=value, includeThoughts=value != 0)


def _write_include(body: Json, config: Json, value: Any) -> None:
    if isinstance(value, bool):
        _think(config, includeThoughts=value)


def _think(config: Json, **members: Any) -> None:
    config["thinkingConfig"] = {**config.get("thinkingConfig", {}), **members}


def _settle_thinking(config: Json, model: str) -> None:
    effort = config.pop(_EFFORT, None)
    said = config.get("thinkingConfig") or {}
    if "thinkingBudget" not in said and (of_effort := thinking_of(effort, model)) is not None:
        said = {**of_effort, **said}
    elif "thinkingBudget" in said and wants_signatures(model):  # the models that think by a level
        said = as_level(said)
    if said:
        config["thinkingConfig"] = said


#: How each field is written that the table carries.
WRITERS: Final[Mapping[str, Callable[[Json, Json, Any], None]]] = {
    "temperature": _as("temperature"),
    "top_p": _as("topP"),
    "top_k": _as("topK"),
    "presence_penalty": _as("presencePenalty"),
    "frequency_penalty": _as("frequencyPenalty"),
    "seed": _write_seed,
    "max_tokens": _write_length,
    "max_completion_tokens": _write_length,
    "stop": _write_stop,
    "n": _as("candidateCount"),
    "tools": _write_tools,
    "tool_choice": _write_choice,
    "functions": _write_functions,
    "function_call": _write_function_call,
    "web_search_options": _write_search,
    "response_format": _write_format,
    "logprobs": _write_log_probs,
    "top_logprobs": _write_top_log_probs,
    "modalities": _write_modalities,
    "service_tier": _write_tier,
    "reasoning_effort": _write_effort,
    "reasoning": _write_reasoning,
    "thinking": _write_thinking,
    "thinking_budget": _write_budget,
    "include_reasoning": _write_include,
}
