"""What the embedded engine is asked: messages as its chat template wants them, and the fields that it is known to honour.

Knows no process and no HTTP. The engine takes much without complaint that it then ignores, or reads otherwise than it was
meant; so what is passed on stands in a table, and anything else is a 400 that names the field.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from ..errors import ConfigError, StatusError
from ..events import Message, Messages
from ..request import NO_SEED
from ..wires.fields import UNSUPPORTED, FieldTable
from ..wires.messages import ROLES
from ..wires.openai_chat.older_calls import with_tool_calls
from ..wires.openai_chat.request import CHAT
from ..wires.schema_bounds import check_schema
from ..wires.shapes import check_type, number, refusal, shown
from .images import INVALID_IMAGE, image_part
from .schema import engine_schema
from .tool_messages import template_calls
from .tool_schema import held_schema
from .usual_schema import usual_schema

#: The engine's seeds have 32 bits, of which the last value means "draw one".
SEEDS: Final = 2**32 - 1


# ---- messages ---------------------------------------------------------------------------------------------------------


def engine_messages(messages: Messages, system: str | None, *, sees: bool = False) -> Messages:
    """The checked *messages* as role and text, with calls of tools; *system* comes first where the caller says nothing of that
    kind. *sees*: a message of the user may carry images; then its content is a list of parts.

    ``developer`` is another word for ``system``. Raises `StatusError` 400 for what the weights cannot take: images and sound.
    ``name`` and the like do not reach a chat template, and are left out.
    """
    seen: list[int] | None = [] if sees else None
    told = [_told(index, message, seen) for index, message in enumerate(with_tool_calls(messages))]
    _join_end(told)
    if told == [{"role": "assistant", "content": ""}]:
        raise refusal("messages[0].content", "is empty, and there is nothing else to answer; send a message of the user")
    if len(told) > 1 and told[-1] == {"role": "assistant", "content": ""}:
        told.pop()  # nothing is begun; the engine would leave out the line that opens an answer
    if system and not any(message["role"] == "system" for message in told):
        told.insert(0, {"role": "system", "content": system})
    return told


def _join_end(told: Messages) -> None:
    """Join messages of the assistant at the end, of which the engine continues one alone. Raises `StatusError` 400 for calls
    there, which have no results."""
    while True:
        if "tool_calls" in told[-1]:
            problem = "have no results; send a message of the role tool for each of them"
            raise refusal(f"messages[{len(told) - 1}].tool_calls", problem)
        if len(told) < 2 or not "assistant" == told[-1]["role"] == told[-2]["role"]:
            return
        begun = told.pop()
        told[-1] = {**told[-1], "content": "\n\n".join(filter(None, (told[-1]["content"], begun["content"])))}


def _told(index: int, message: Message, seen: list[int] | None) -> Message:
    role = _role(index, message)
    told: Message = {"role": role, "content": _content(index, message, seen if role == "user" else None)}
    if told["role"] == "tool":
        told["tool_call_id"] = message["tool_call_id"]
    elif calls := template_calls(message.get("tool_calls") or ()):
        told["tool_calls"] = calls
    return told


def _role(index: int, message: Message) -> str:
    role: str = message["role"]
    if role not in ROLES:
        raise refusal(f"messages[{index}].role", f"{role[:50]!r} is no role that this model knows", UNSUPPORTED)
    if any(call.get("type", "function") != "function" for call in message.get("tool_calls") or ()):
        raise refusal(f"messages[{index}].tool_calls", "the embedded engine knows calls of functions alone", UNSUPPORTED)
    if message.get("audio"):
        raise refusal(f"messages[{index}].audio", "is for models that speak; this one does not", UNSUPPORTED)
    return "system" if role == "developer" else role


#: Parts of the assistant's in which other servers have what it thought. The weights get what it said.
_THOUGHTS: Final = frozenset({"thinking", "redacted_thinking", "reasoning"})

_NOT_TEXT: Final = {"image_url": ("see images", "unsupported_image"), "input_audio": ("hear sound", UNSUPPORTED)}


def _content(index: int, message: Message, seen: list[int] | None) -> str | list[dict[str, Any]]:
    """Return the text of a message; or, where it carries images that can be seen, its parts. *seen*: see `image_part`; None
    where none can be."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if content is None:
        return str(message.get("refusal") or "")
    parts: list[dict[str, Any]] = []
    for place, part in enumerate(content):
        kind, param = part["type"], f"messages[{index}].content[{place}]"
        if kind == "image_url" and seen is not None:
            parts.append(image_part(f"{param}.image_url", part["image_url"], seen))
        elif kind in ("text", "refusal"):
            parts.append({"type": "text", "text": part[kind]})
        elif kind not in _THOUGHTS or message["role"] != "assistant":
            what, code = _NOT_TEXT.get(kind, (f"take {kind[:50]!r}", UNSUPPORTED))
            where = " in such a message" if kind == "image_url" and message["role"] != "user" else ""
            raise refusal(param, f"this model cannot {what}{where}; send text", code)
    if any(part["type"] == "image_url" for part in parts):
        return parts
    return "\n".join(part["text"] for part in parts)


# ---- fields -----------------------------------------------------------------------------------------------------------

#: The engine looks for each of them in each piece of an answer.
_MAX_STOPS: Final = 64


def _stop(param: str, value: Any) -> Any:
    texts = [text for text in ([value] if isinstance(value, str) else value) if text]  # forms send the text of an empty line
    if len(texts) > _MAX_STOPS:
        raise refusal(param, f"at most {_MAX_STOPS} texts are accepted, not {len(texts)}")
    return value if isinstance(value, str) else texts


def _logit_bias(param: str, value: Any) -> Any:
    check_type(param, value, dict)
    for token, bias in value.items():
        _BIAS.check(f"{param}.{token[:20]}", bias)
        if not (token.isascii() and token.isdecimal()):
            raise refusal(f"{param}.{token[:20]}", "must be a token's number, as digits")
    return value


_BIAS: Final = number(-100, 100)


def _response_format(param: str, value: Any) -> Any:
    name = value["type"]
    schema = value.get("schema")  # llama-server and Together have it here, with either type
    if name == "json_object" and schema is None:
        return value
    if name in ("json_object", "json_schema"):
        place, described = f"{param}.schema", value
        if name == "json_schema" and schema is None:
            check_type(f"{param}.json_schema", value.get("json_schema"), dict)
            described = value["json_schema"]
            schema, place = described.get("schema"), f"{param}.json_schema.schema"
        return answer_format(schema, place, is_loose=described.get("strict") is False)
    if name != "text":
        raise refusal(f"{param}.type", f"must be text, json_object or json_schema, not {shown(name)}")
    return None


def answer_format(schema: Any, place: str, *, is_loose: bool) -> dict[str, Any]:
    """Return the ``response_format`` for an answer that obeys *schema*: by llama.cpp's own way where that honours every word of
    it, else by a grammar, as for the arguments of tools, which knows more words (``guided``; see `answer_schema`).

    *is_loose*: the caller said ``strict: false``, and what cannot be honoured is left out. Raises `StatusError` 400 that names
    the place, elsewhere."""
    guided: dict[str, Any] = {}
    check_schema(schema, place)
    try:
        obeyed = engine_schema(usual_schema(schema), place)
    except StatusError as error:
        if error.code != UNSUPPORTED:  # it is no schema, or one that nothing obeys
            raise
        obeyed, guided = held_schema(schema, place, is_strict=not is_loose), {"guided": True}
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": obeyed, "strict": True}, **guided}


def _stream_options(param: str, value: Any) -> None:
    """Usage is sent in any case, and no answer is padded."""
    for name, option in value.items():
        if option and name not in ("include_usage", "include_obfuscation"):
            raise refusal(f"{param}.{name[:50]}", "is not supported by the embedded engine; leave it out", UNSUPPORTED)


def _limit(param: str, value: int) -> int | None:
    """-1 says nothing of it, as at llama-server and LM Studio."""
    return None if value == -1 else value


def _if_any(param: str, value: Any) -> Any:
    return value or None


def _seed(param: str, value: Any) -> int | None:
    return None if value in NO_SEED else int(value) % SEEDS


#: What becomes of fields whose rows say more than a table can. None: nothing need be said of it to the engine.
_MADE: Final[dict[str, Callable[[str, Any], Any]]] = {
    "logit_bias": _logit_bias,
    "logprobs": _if_any,
    "max_completion_tokens": _limit,
    "max_tokens": _limit,
    "n": lambda param, value: None if value == 1 else value,
    "response_format": _response_format,
    "seed": _seed,
    "stop": _stop,
    "stream_options": _stream_options,
    "top_logprobs": _if_any,
}

#: Characters of messages up to which the engine reads all of them for each answer: about 250 tokens, a second on two cores.
EXACT_SIZE: Final = 1024


def check_sizes(*, slots: Any, context: Any, threads: Any, max_tokens: Any) -> None:
    """Raise `ConfigError` for sizes that an engine cannot have; llama.cpp would say so in words of its own, or end."""
    given = {"slots": slots, "context": 1 if context == "auto" else context, "max_tokens": max_tokens, "threads": threads}
    for name, value in given.items():
        least = 0 if name == "threads" else 1
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**31:
            raise ConfigError(f"must be a whole number from {least} on, not {value!r:.50}", key=name)


def is_exact(messages: Messages, fields: Mapping[str, Any]) -> bool:
    """Return whether the answer must be one that comes again with the same seed: where the caller gave one, where a broken
    answer could not be continued, as it is JSON of a schema, or where reading the whole prompt each time costs little. With the
    prompt cache on, a seed does not repeat an answer.

    Example::

        assert is_exact([{"role": "user", "content": "Hello"}], {})
        assert not is_exact([{"role": "user", "content": "Hello " * 1000}], {})
        assert is_exact([{"role": "user", "content": "Hello " * 1000}], {"seed": 1})
    """
    if fields.get("seed") not in NO_SEED or fields.get("response_format") is not None:
        return True
    size = sum(len(str(fields[name])) for name in ("tools", "functions") if fields.get(name))
    for message in messages:
        content = message.get("content")
        if isinstance(content, str):
            size += len(content)
        else:
            size += sum(len(str(part.get("text", ""))) for part in content or ())
            if any(part.get("type") == "image_url" for part in content or ()):
                return False  # seeing takes longer than reading
    return size <= EXACT_SIZE


def engine_fields(
    fields: Mapping[str, Any], *, max_tokens: int, context: int, exact: bool = True, table: FieldTable = CHAT
) -> dict[str, Any]:
    """The request's *fields* as the engine gets them, by their *table*. *max_tokens*: where the caller names none; never more
    than the context.
    *exact*: see `is_exact`; otherwise what a slot has read of the same prompt before is not read again.

    Every request has a seed: with it, and with the prompt cache off, the same request has the same answer. A seed that does not
    fit the engine's 32 bits is folded into them, always in the same way. Raises `StatusError` 400 that names the field.
    """
    passed: dict[str, Any] = {}
    for name, value in table.for_kind("llamacpp", table.check(fields)).items():
        made = _MADE[name](name, value) if name in _MADE else value
        if made not in (None, [], {}, ""):
            passed[name] = made
    if table is CHAT:
        _refuse_no_tokens(passed)
    _join_limits(passed)
    if (penalty := passed.pop("repetition_penalty", None)) is not None:
        passed.setdefault("repeat_penalty", penalty)
    if "top_logprobs" in passed and "logprobs" not in passed:
        raise refusal("top_logprobs", "is given, and logprobs is not true; send both")
    if table is CHAT and passed.get("logprobs"):
        passed.setdefault("top_logprobs", 1)  # or llama.cpp would name twenty
    passed.setdefault("seed", secrets.randbelow(2**31))
    passed["max_tokens"] = min(passed.get("max_tokens", max_tokens), context)
    # The engine notices that its caller has left when it writes: so it tells of its progress after each batch of the prompt, or
    # a long one would be read to its end in vain.
    return {**passed, "cache_prompt": not exact, "return_progress": True}


def _refuse_no_tokens(passed: dict[str, Any]) -> None:
    """A completion of no tokens can be its prompt again; an answer in a chat cannot."""
    for name in ("max_completion_tokens", "max_tokens"):
        if passed.get(name) == 0:
            raise refusal(name, "must be from 1, or -1 where none is wanted, not 0")


def _join_limits(passed: dict[str, Any]) -> None:
    """Two names of one limit, of which the engine gets one."""
    limit = passed.pop("max_completion_tokens", None)
    if limit is not None and passed.setdefault("max_tokens", limit) != limit:
        problem = f"{limit} contradicts max_tokens, which is {passed['max_tokens']}; send one of the two"
        raise refusal("max_completion_tokens", problem)


# ---- errors -----------------------------------------------------------------------------------------------------------


def refuse_too_long(size: int, *, context: int, longest: int, param: str = "messages") -> None:
    """Raise `StatusError` 400 for a prompt that cannot fit into a *context* of so many tokens, whatever its text: it has *size*
    bytes, and a token at most *longest* (0: unknown). To find that out by the tokenizer takes gigabytes where there are
    megabytes."""
    if longest and size // longest >= context:
        raise _too_long(context, f"at least {size // longest} tokens ({size} bytes)", param)


def _too_long(context: int, count: str, param: str, body: str = "") -> StatusError:
    """Return the 400 for a prompt of *count* that does not fit, in OpenAI's words: many an agent knows it by those alone, and
    shortens its conversation then."""
    return StatusError(
        f"This model's maximum context length is {context} tokens, one of them for the answer, and the {param} resulted in "
        f"{count}; reduce the length of the {param}, or give the engine a larger context",
        status=400,
        type="invalid_request_error",
        param=param,
        code="context_length_exceeded",
        body=body,
    )


#: So llama.cpp says which schema it cannot make a grammar of.
_SCHEMA_ERROR: Final = "JSON schema error"

#: And so, where it can make no sampler of its own grammar for a schema.
_GRAMMAR_ERROR: Final = "failed to parse grammar"


class _TooLong(msgspec.Struct):
    n_prompt_tokens: int
    n_ctx: int


class _TooLongBody(msgspec.Struct):
    error: _TooLong


def size_of(messages: Messages) -> int:
    """Return the bytes of the text of checked *messages*."""
    size = 0
    for message in messages:
        content = message["content"]
        texts = [content] if isinstance(content, str) else [part.get("text", "") for part in content]
        size += sum(len(text.encode()) for text in texts)
    return size


def explain(error: StatusError, param: str = "messages") -> StatusError:
    """The engine's refusal as the caller should see it: of a prompt that is too long it says how long it was, and what fits."""
    if "is too large to process" in error.problem:  # so says llama.cpp of a text to embed
        problem = "a text is longer than what the weights read at once; cut it into pieces"
        return StatusError(
            f"{param}: {problem}",
            status=400,
            type="invalid_request_error",
            param=param,
            code="context_length_exceeded",
            body=error.body,
        )
    if "Failed to load image" in error.problem:
        return refusal(param, "one of the images is damaged: it cannot be decoded; send it again", INVALID_IMAGE)
    if _SCHEMA_ERROR in error.problem:  # a reference that leads nowhere, for example
        place = error.problem.partition(_SCHEMA_ERROR)[2]
        return refusal("response_format", f"the embedded engine cannot be held to its schema{place[:300]}")
    if _GRAMMAR_ERROR in error.problem:  # one that refers to itself and says nothing else, for example
        return refusal("response_format", "the embedded engine cannot be held to its schema; make it simpler", UNSUPPORTED)
    if error.code != "exceed_context_size_error":
        return error
    try:
        told = msgspec.json.decode(error.body, type=_TooLongBody).error
    except msgspec.DecodeError:
        return error
    return _too_long(told.n_ctx, f"{told.n_prompt_tokens} tokens", param, error.body)
