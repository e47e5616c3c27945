"""The request of text completions (OpenAI API reference, "Create completion"): the table of its fields, and how it is read and
written. ``POST /v1/completions``: a prompt as it is, without a chat template.
"""

from __future__ import annotations

from typing import Any, Final

from ...request import ChatRequest
from ..fields import FieldTable, RequestField, honoured, missing, refused, table_of
from ..openai_chat.request import (
    ADMINISTRATION,
    ANSWER,
    LENGTH,
    OPTIONS_NEED_A_STREAM,
    OTHERS,
    OTHERS_SAY,
    SAMPLING,
    STREAM,
    STREAM_OPTIONS,
    leave_out_empty,
    take_usage,
)
from ..prompts import count_of, is_tokens, texts_or_tokens
from ..raw import COMPLETIONS_WIRE, raw_request
from ..request_body import decode_object, encode_request
from ..shapes import FLAG, TEXT, either, whole

#: Tokens of an answer whose request names no limit, by the vendor's reference. Upstreams have defaults of their own.
DEFAULT_MAX_TOKENS: Final = 16

#: Choices that the embedded engine makes of one request.
MOST_CHOICES: Final = 128

_PROMPT: Final = texts_or_tokens()
_COUNT: Final = whole(1, MOST_CHOICES)

_ENGINE: Final = "llamacpp"
_PROBABILITIES: Final = either("true or false, or a whole number", {bool: FLAG, int: whole(0, 20), float: whole(0, 20)})

_CHAT_ROWS: Final = {row.name: row for row in (*LENGTH, *ANSWER)}


COMPLETIONS: Final = FieldTable(
    name="TextCompletionRequest",
    says=f"A request of text completions: a prompt as it is, without a chat template. {OTHERS_SAY}",
    rows=table_of(
        RequestField(
            "model",
            TEXT,
            "One of `GET /v1/models`, or an alias; absent or empty: the default model.",
            uses={_ENGINE: honoured()},
        ),
        RequestField(
            "prompt",
            _PROMPT,
            "What is to be continued: a text, a list of texts, or tokens of the upstream's own vocabulary.",
            needed=True,
            uses={_ENGINE: honoured(says="text, or a list of up to 128 texts; no tokens")},
        ),
        RequestField(
            "suffix",
            TEXT,
            "What follows the text that is asked for: the model fills in the middle.",
            uses={_ENGINE: honoured(says="where the weights have tokens for it")},
        ),
        RequestField("echo", FLAG, "Whether the text begins with the prompt.", uses={_ENGINE: honoured()}),
        RequestField(
            "n",
            whole(),
            "How many choices for each prompt; an answer of several is not rescued.",
            uses={_ENGINE: honoured(_COUNT, says="side by side in slots that are free")},
        ),
        RequestField(
            "best_of",
            whole(),
            "The choices are the best of so many. They come whole then, not piece by piece.",
            uses={_ENGINE: refused("is not supported by the embedded engine; request n choices", 1)},
        ),
        RequestField(
            "logprobs",
            either("true or false, or a whole number", {bool: FLAG, int: whole(), float: whole()}),
            "Log probabilities of so many of the likeliest tokens at each place.",
            uses={_ENGINE: honoured(_PROBABILITIES, says="up to 20, and not with `echo`")},
        ),
        RequestField(
            "max_tokens",
            whole(),
            f"The longest answer, in tokens; absent: the upstream's default, which is OpenAI's {DEFAULT_MAX_TOKENS} for the "
            "embedded engine. 0: nothing but the prompt, with `echo`.",
            uses={_ENGINE: honoured(whole(-1, 2**31 - 1), says="-1: as many as fit")},
        ),
        _CHAT_ROWS["stop"],
        _CHAT_ROWS["response_format"],
        STREAM,
        STREAM_OPTIONS,
        *SAMPLING,
        *ADMINISTRATION,
    ),
    rules=(OPTIONS_NEED_A_STREAM,),
    others=OTHERS,
)


def read_completion_request(body: bytes) -> ChatRequest:
    """Return the request in *body*. Raises `StatusError` 400 that names the field."""
    document = decode_object(body)
    model = COMPLETIONS.take(document, "model")
    prompt = COMPLETIONS.take(document, "prompt")
    if prompt is None:
        raise missing("prompt", "send the text that is to be continued", document)
    for rule in COMPLETIONS.rules:
        rule.check(document)
    stream = COMPLETIONS.take(document, "stream")
    fields = COMPLETIONS.check(document)
    include_usage = take_usage(fields)
    leave_out_empty(fields)
    prompts = count_of(prompt)
    choices = prompts * fields.get("n", 1)
    return raw_request(
        COMPLETIONS_WIRE,
        model or "",
        {"prompt": prompt, **fields},
        # A continuation has no place for a prompt that is repeated, and counts the offsets of its tokens anew.
        continuable=choices == 1 and not (is_tokens(prompt) or fields.get("echo") or fields.get("logprobs")),
        stream=bool(stream),
        include_usage=include_usage,
        fields={**fields, "n": choices} if choices != 1 else fields,
    )


def write_completion_request(request: ChatRequest, model: str) -> bytes:
    """Return the body that asks an upstream's *model*; a stream is asked for its usage."""
    origin = request.origin
    assert origin is not None
    body = {"model": model, **origin.document, **{name: value for name, value in origin.changes.items() if value is not None}}
    if origin.continues is not None:
        body["prompt"] = continued_prompt(body["prompt"], origin.continues)
    options = body.pop("stream_options", None) or {}
    body["stream"] = stream = request.stream and not is_best_of(body)
    if stream:
        body["stream_options"] = {**options, "include_usage": True}
    return encode_request(body)


def continued_prompt(prompt: str | list[str], text: str) -> str:
    """Return the one *prompt* with the beginning of its answer."""
    return (prompt if isinstance(prompt, str) else prompt[0]) + text


def is_best_of(document: dict[str, Any]) -> bool:
    """Return whether choices are to be chosen from more than are shown: then no upstream can stream them."""
    best = document.get("best_of")
    return isinstance(best, int) and best > (document.get("n") or 1)
