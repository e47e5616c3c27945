"""Error objects: what strangers send becomes one bounded, harmless line; what we send has OpenAI's shape and no secrets."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autonomousai.errors import (
    ConfigError,
    ConnectError,
    HTTPError,
    IncompleteStreamError,
    InvalidMessagesError,
    ModelNotFoundError,
    ProviderError,
    StatusError,
    StreamError,
)
from autonomousai.errors import TimeoutError as ClockError
from autonomousai.wires.errors import as_gateway_error, encode_error, error_event, for_callers
from autonomousai.wires.foreign_errors import error_in_event, read_error
from autonomousai.wires.redaction import redact

OPENAI = {"error": {"message": "No such model", "type": "invalid_request_error", "param": "model", "code": "model_not_found"}}

#: body -> message, type, code, param
SHAPES: list[tuple[str, Any, tuple[str, str | None, str | None, str | None]]] = [
    ("openai", OPENAI, ("No such model", "invalid_request_error", "model_not_found", "model")),
    (
        "message alone",
        {"error": {"message": "Missing or invalid API key."}},
        ("Missing or invalid API key.", None, "invalid_api_key", None),
    ),
    (
        "pydantic's words, with what was sent",
        {"message": "0.content Field required [type=missing, input_value={'text': 'Is my api key invalid?'}, input_type=dict]"},
        (
            "0.content Field required [type=missing, input_value={'text': 'Is my api key invalid?'}, input_type=dict]",
            None,
            None,
            None,
        ),
    ),
    (
        "a list of Pydantic's as text, with what was sent",
        {"message": "[{'type': 'missing', 'msg': 'Field required', 'input': 'the model was not found'}]", "code": 400},
        ("[{'type': 'missing', 'msg': 'Field required', 'input': 'the model was not found'}]", None, "400", None),
    ),
    ("error as text", {"error": "model is loading"}, ("model is loading", None, None, None)),
    ("tgi", {"error": "too many tokens", "error_type": "validation"}, ("too many tokens", "validation", None, None)),
    ("oauth", {"error": "invalid_token", "error_description": "It expired"}, ("It expired", None, None, None)),
    ("spring", {"status": 500, "error": "Internal Server Error", "message": "No handler"}, ("No handler", None, None, None)),
    ("bare message", {"message": "forbidden", "code": 7}, ("forbidden", None, "7", None)),
    ("fastapi text", {"detail": "Not Found"}, ("Not Found", None, None, None)),
    (
        "fastapi list",
        {"detail": [{"loc": ["body", "messages", 0, "role"], "msg": "Field required", "type": "missing"}]},
        ("messages.0.role: Field required", "missing", None, "messages.0.role"),
    ),
    (
        "mistral",
        {
            "object": "error",
            "message": {"detail": [{"loc": ["body", "n"], "msg": "too large"}]},
            "type": "invalid",
            "code": None,
        },
        ("n: too large", "invalid", None, "n"),
    ),
    (
        "vllm",
        {"object": "error", "message": "bad n", "type": "BadRequestError", "param": None, "code": 400},
        ("bad n", "BadRequestError", "400", None),
    ),
    (
        "anthropic",
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
        ("Overloaded", "overloaded_error", None, None),
    ),
    (
        "google list",
        [{"error": {"code": 429, "message": "Quota", "status": "RESOURCE_EXHAUSTED"}}],
        ("Quota", "RESOURCE_EXHAUSTED", "429", None),
    ),
    (
        "cloudflare",
        {"success": False, "errors": [{"code": 10000, "message": "Authentication error"}]},
        ("Authentication error", None, "10000", None),
    ),
    ("errors as texts", {"errors": ["first", "second"]}, ("first", None, None, None)),
    ("problem", {"title": "Bad", "detail": "n is wrong", "status": 400}, ("n is wrong", None, None, None)),
    (
        "llama-server names its reason in type",
        {"error": {"code": 400, "message": "too long", "type": "exceed_context_size_error", "n_ctx": 64}},
        ("too long", "exceed_context_size_error", "exceed_context_size_error", None),
    ),
    (
        "vllm says only in words that the prompt is too long",
        {"message": "This model's maximum context length is 4096 tokens.", "code": 400},
        ("This model's maximum context length is 4096 tokens.", None, "context_length_exceeded", None),
    ),
    (
        "passed on by OpenRouter",
        {"error": {"message": "Provider returned error", "code": 429, "metadata": {"raw": "slow down", "provider_name": "P"}}},
        ("slow down", None, "429", None),
    ),
    (
        "passed on by OpenRouter, as text of JSON",
        {
            "error": {
                "message": "Provider returned error",
                "code": 400,
                "metadata": {"raw": json.dumps({"error": {"message": "prompt is too long", "type": "t", "param": "p"}})},
            }
        },
        ("prompt is too long", "t", "context_length_exceeded", "p"),
    ),
    (
        "passed on by OpenRouter, as an object",
        {"error": {"message": "Provider returned error", "metadata": {"raw": {"detail": "bad n"}}}},
        ("bad n", None, None, None),
    ),
    (
        "a message that is JSON",
        {"error": {"message": '{"error": {"message": "inner", "code": "c"}}'}},
        ("inner", None, "c", None),
    ),
    ("an error that is JSON", {"error": '{"message": "inner"}'}, ("inner", None, None, None)),
    ("a message that is nearly JSON", {"error": {"message": "{inner"}}, ("{inner", None, None, None)),
    (
        "apigee",
        {"fault": {"faultstring": "quota", "detail": {"errorcode": "q.Violation"}}},
        ("quota", None, "q.Violation", None),
    ),
    ("aws", {"__type": "ThrottlingException", "message": "slow down"}, ("slow down", "ThrottlingException", None, None)),
    ("a cause", {"error": {"name": "E", "cause": {"message": "inner"}}}, ("inner", None, None, None)),
    ("json text", "nothing here", ("nothing here", None, None, None)),
    ("unknown object", {"a": [1]}, ('{"a": [1]}', None, None, None)),
    ("booleans and lists say nothing", {"error": {"message": "m", "code": True, "type": []}}, ("m", None, None, None)),
]


@pytest.mark.parametrize(("document", "expected"), [row[1:] for row in SHAPES], ids=[row[0] for row in SHAPES])
def test_reads_every_common_shape(document: Any, expected: tuple[str, ...]) -> None:
    """Message, type, code and param are found wherever a server puts them."""
    error = read_error(418, json.dumps(document).encode(), {})

    assert (f"the server answered 418 I'm a Teapot: {expected[0]}", *expected[1:]) == (
        error.message,
        error.type,
        error.code,
        error.param,
    )


#: How vendors say that a prompt is too long, and what only sounds alike.
TOO_LONG = [
    "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens",
    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    "Input length (600013 tokens) exceeds the maximum allowed length (536826 tokens). Use a shorter input.",
    "Range of input length should be [1, 30720]",
    "Prompt exceeds max length",
    "prompt is too long: 208310 tokens > 200000 maximum",
    "Input is too long for requested model.",
    "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5000.",
    "Prompt contains 33000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
    "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens and 20 `max_new_tokens`",
    "Input validation error: `inputs` must have less than 4096 tokens. Given: 5000",
    "Invalid request: Your request exceeded model token limit: 8192",
    "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
    "the model is loaded with context length of only 4096 tokens, which is not enough",
    "Please reduce the length of the messages or completion.",
    "Request body too large for gpt-4o model. Max size: 8000 tokens.",
    "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
    "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
    "request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it",
    "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
    "Your input exceeds the context window of this model. Please adjust your input and try again.",
    "Input length 5000 exceeds maximum length 4096",
    "litellm.ContextWindowExceededError: litellm.BadRequestError: OpenAIException",
    "tokens in request more than max tokens allowed",
]
NOT_TOO_LONG = [
    "Rate limit reached for tokens per min. Limit 10000",
    "max_tokens is too large: 100000. This model supports at most 16384 completion tokens",
    "string too long in metadata",
    "The maximum number of images exceeded",
    "Invalid value for max_tokens: integer above maximum",
    "the file is too large; the greatest size: 8 MB",
]


@pytest.mark.parametrize(
    ("message", "code"), [(words, "context_length_exceeded") for words in TOO_LONG] + [(words, None) for words in NOT_TOO_LONG]
)
def test_a_prompt_that_is_too_long_is_known_by_words(message: str, code: str | None) -> None:
    """The code is OpenAI's, whoever says it: a gateway then asks where more fits."""
    error = read_error(400, json.dumps({"error": {"message": message, "code": None}}).encode(), {})

    assert code == error.code


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("tokens_limit_reached", "Request body too large for gpt-4o model. Max size: 8000 tokens.", "context_length_exceeded"),
        ("prompt_too_long", "prompt is too long: 208310 tokens > 200000 maximum", "context_length_exceeded"),
        ("token_quota_reached", "This action cannot be completed: the token quota has been reached", "insufficient_quota"),
        ("permission_denied", "Your newly created team doesn't have any credits yet.", "insufficient_quota"),
        ("tokens_limit_reached", "Too much.", "tokens_limit_reached"),
        ("bad_key", "Incorrect API key provided: xa***", "bad_key"),
        ("rate_limit_exceeded", "Rate limit reached. Please reduce the length of the messages", "rate_limit_exceeded"),
    ],
)
def test_a_vendors_own_code_gives_way_to_one_that_is_acted_on(code: str, message: str, expected: str) -> None:
    """By OpenAI's code a gateway asks where more fits, or where there is money, and an agent shortens its prompt."""
    error = read_error(413, json.dumps({"error": {"code": code, "message": message}}).encode(), {})

    assert expected == error.code


#: What servers answer with a 400, and what it is about.
REFUSED = {
    "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing.": "insufficient_quota",
    "You have reached your specified API usage limits. You will regain access on 2027-01-01.": "insufficient_quota",
    "Sorry, your account balance is insufficient": "insufficient_quota",
    "Insufficient balance. Manage your billing here": "insufficient_quota",
    "Budget has been exceeded! Current cost: 1, Max budget: 0.5": "insufficient_quota",
    "您的账户已欠费,请充值后重试": "insufficient_quota",
    "API key not valid. Please pass a valid API key.": "invalid_api_key",
    "API key expired. Please renew the API key.": "invalid_api_key",
    "Incorrect API key provided: xa***": "invalid_api_key",
    "User location is not supported for the API use.": "unsupported_country_region_territory",
    "The model `x` has been decommissioned and is no longer supported.": "model_not_found",
    "foo/bar is not a valid model ID": "model_not_found",
    "Model Not Exist": "model_not_found",
    "Invalid model name passed in model=x": "model_not_found",
    "No models loaded. Please load a model in the developer page": "model_not_found",
    "The model has crashed without additional information. (Exit code: 1)": "model_not_found",
    "Model unloaded.": "model_not_found",
    "Unavailable model: x": "model_not_found",
    "The requested model 'x' is not supported by any provider you have enabled.": "model_not_found",
    "Invocation of model ID x with on-demand throughput isn't supported": "model_not_found",
    "registry.ollama.ai/library/x does not support tools": "unsupported_parameter",
    "x is not a multimodal model": "unsupported_parameter",
    "image input is not supported - hint: you may need to provide the mmproj": "unsupported_parameter",
    "messages[0]: unknown variant `image_url`, expected `text`": "unsupported_parameter",
    '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set': "unsupported_parameter",
    "Account x is suspended, possibly due to reaching the monthly spending limit": "insufficient_quota",
    "用户额度不足, 剩余额度: $0.00": "insufficient_quota",
    "Content violates usage guidelines.": "content_filter",
    "The response was filtered by Azure OpenAI's content management policy": "content_filter",
    "Output blocked by content filtering policy": "content_filter",
    "Output data may contain inappropriate content.": "content_filter",
    "output new_sensitive": "content_filter",
    "系统检测到输入或生成内容可能包含不安全或敏感内容": "content_filter",
    'x requires moderation on Y. Your input was flagged for "violence"': "content_filter",
    "For this model a temperature of 2 is not supported": None,
    "The model has no schema: response_format is not available": None,
    "The model x and role tool: messages[2] is not valid": None,
    "temperature: must be at most 2": None,
    "Invalid schema for function 'f': In context=(), object schema missing properties.": None,
    "The model produced invalid JSON": None,
    "messages with role 'tool' must be a response to a preceding message with 'tool_calls'": None,
}


@pytest.mark.parametrize(("message", "code"), REFUSED.items())
def test_what_is_refused_is_known_by_words(message: str, code: str | None) -> None:
    """A key, money, a model or an ability that is wanting is another server's chance: it is not the request that is wrong."""
    said = {"message": message, "type": "invalid_request_error", "code": "invalid_request_error"}
    for document in (
        {"error": {"message": message, "code": None}},
        {"error": {"message": message, "code": 400}},
        {"error": said},
    ):
        error = read_error(400, json.dumps(document).encode(), {})

        named = document["error"]["code"]
        assert (code or (named and str(named))) == error.code
        assert not error.retryable


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, {"code": "invalid_api_key"}),
        (400, {"type": "budget_exceeded", "code": "400"}),
        (412, {"code": "insufficient_quota"}),
    ],
)
def test_an_operators_fault_with_a_400_is_none_of_the_callers(status: int, said: dict[str, str]) -> None:
    """As with a 401 or a 402: the upstream's words may name its key."""
    error = read_error(status, json.dumps({"error": {"message": "no: xa***", **said}}).encode(), {})

    shown = as_gateway_error(error)

    assert (502, False) == (shown.status, "xa***" in str(shown))


def test_a_400_for_a_while_may_pass() -> None:
    """Cloudflare's Workers AI says so when it has no machine free."""
    body = {
        "errors": [{"message": "AiError: Capacity temporarily exceeded, please try again.", "code": 3040}],
        "success": False,
    }

    assert read_error(400, json.dumps(body).encode(), {}).retryable
    groqs = {"error": {"message": "Flex tier capacity exceeded", "code": "capacity_exceeded"}}
    assert read_error(498, json.dumps(groqs).encode(), {}).retryable


def test_a_filter_is_no_matter_of_the_key() -> None:
    """xAI and OpenRouter filter with a 403: the caller hears of it, in the server's words, and no other upstream is asked."""
    error = read_error(403, b'{"code": "The caller may not", "error": "Content violates usage guidelines."}', {})

    assert ("content_filter", "") == (error.code, error.advice)
    assert as_gateway_error(error) is error


@pytest.mark.parametrize(
    "said",
    [
        {"type": "exceeded_current_quota_error"},
        {"code": "insufficient_quota"},
        {"code": "billing_hard_limit_reached"},
        {"code": "billing_not_active"},
        {"code": "data_inspection_failed"},
        {"code": "Arrearage"},
    ],
    ids=str,
)
def test_what_no_wait_mends_is_not_asked_again(said: dict[str, str]) -> None:
    """Though its status is that of a limit, or it comes inside a stream."""
    document = {"error": {"message": "no", **said}}
    inside = error_in_event(document)

    assert not read_error(429, json.dumps(document).encode(), {}).retryable
    assert inside is not None
    assert not inside.retryable


def test_a_validators_words_name_the_field() -> None:
    """They are not in the words themselves, and without it nothing says what to change."""
    said = {"detail": [{"loc": ["body", "messages", 0, "role"], "msg": "Field required", "type": "missing"}]}
    named = {"detail": [{"loc": ["body", "n"], "msg": "n must be 1", "type": "value_error"}]}

    phrase = HTTPStatus(422).phrase  # it depends on the version of Python
    assert f"the server answered 422 {phrase}: messages.0.role: Field required" == str(
        read_error(422, json.dumps(said).encode(), {})
    )
    assert str(read_error(422, json.dumps(named).encode(), {})).endswith(": n must be 1")


TEXTS = [
    (b"", "502 Bad Gateway"),
    (b"  \r\n ", "502 Bad Gateway"),
    (b"{}", "502 Bad Gateway"),
    (b"null", "502 Bad Gateway"),
    (b"Bad Gateway", "502 Bad Gateway"),
    (b"upstream\r\n  connect\terror", "502 Bad Gateway: upstream connect error"),
    (b"\x1b[31mred\x07", "502 Bad Gateway: [31mred"),
    (b"\xff\xfe", "502 Bad Gateway: \ufffd\ufffd"),
    (b"{broken", "502 Bad Gateway: {broken"),
    (b"[" * 30_000, "502 Bad Gateway: " + "[" * 499 + "…"),
    (b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>", "502 Bad Gateway"),
    (b"<!DOCTYPE html><TITLE lang=en>Down &amp; out</TITLE><p>more", "502 Bad Gateway: Down & out"),
    (b"<html><title></title><script>var a=1</script><h1>Sorry</h1> <b>later</b>", "502 Bad Gateway: Sorry later"),
    (b"<html><style>b{}</style>Sorry<script>if (a<b) never closed", "502 Bad Gateway: Sorry"),
    (b"a < b", "502 Bad Gateway: a < b"),
    (b'data: {"error": {"message": "in a stream"}}\n\n', "502 Bad Gateway: in a stream"),
    (b'id:1\nevent:error\n:HTTP_STATUS/400\ndata:{"code":"InvalidParameter","message":"bad n"}\n\n', "502 Bad Gateway: bad n"),
    (b"event: error\r\ndata: overloaded\r\n\r\n", "502 Bad Gateway: overloaded"),
    (b"event: error\n\n", "502 Bad Gateway: event: error"),
    (b"id: 42 is not known", "502 Bad Gateway: id: 42 is not known"),
    (b"data is missing: all of it", "502 Bad Gateway: data is missing: all of it"),
    (
        b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Reduce your rate</Message></Error>',
        "502 Bad Gateway: Reduce your rate",
    ),
    (b"<?xml version='1.0'?><a/>", "502 Bad Gateway: <?xml version='1.0'?><a/>"),
]


@pytest.mark.parametrize(("body", "expected"), TEXTS)
def test_reads_what_is_no_json(body: bytes, expected: str) -> None:
    """Plain text, HTML (the title, or else its words) and nothing at all become one printable line."""
    error = read_error(502, body, {})

    assert f"the server answered {expected}; the fault is the server's: try again later" == error.message


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (400, ""),
        (401, "; check the API key"),
        (403, "; check what the API key may do"),
        (404, "; check base_url and the model's name"),
        (429, "; wait before trying again"),
        (500, "; the fault is the server's: try again later"),
        (529, "; the fault is the server's: try again later"),
        (501, "; it does not take such requests: check the address, and what is asked for"),
    ],
)
def test_says_what_to_do(status: int, hint: str) -> None:
    """By status; a status without a standard phrase is no trouble."""
    message = read_error(status, b'"no"', {}).message

    assert message.startswith(f"the server answered {status}")
    assert message.endswith(f": no{hint}")


def test_without_money_no_wait_is_advised() -> None:
    """It would not help."""
    body = b'{"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}'

    assert read_error(429, body, {}).message.endswith(": You exceeded your current quota")


NOW = 1_000_000_000.0  # Sun, 09 Sep 2001 01:46:40 GMT


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "3"}, 3.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"Retry-After": "Sun, 09 Sep 2001 01:47:00 GMT"}, 20.0),
        ({"Retry-After": "Sun, 09 Sep 2001 01:47:00 -0000"}, 20.0),
        ({"Retry-After": "Sun, 09 Sep 2001 01:00:00 GMT"}, 0.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e3"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "Sun, 99 Sep 2001 01:47:00 GMT"}, None),
        ({"retry-after-ms": "x", "retry-after": "2"}, 2.0),
        # The ways that the standard does not know.
        ({"retry-after": "30s"}, 30.0),
        ({"retry-after": "1m30s"}, 90.0),
        ({"retry-after": "500 ms"}, 0.5),
        ({"retry-after": "2 minutes"}, 120.0),
        ({"retry-after": "7, 9"}, 9.0),
        ({"retry-after": str(int(NOW) + 30)}, 30.0),
        ({"retry-after": str((int(NOW) + 30) * 1000)}, 30.0),
        ({"retry-after": str(int(NOW) - 30)}, 0.0),
        ({"retry-after": "2001-09-09T01:47:00Z"}, 20.0),
        ({"retry-after": "30 apples"}, None),
        # When a limit ends of which nothing is left.
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360.0),
        ({"x-ratelimit-remaining-requests": "5", "x-ratelimit-reset-requests": "6m0s"}, None),
        ({"x-ratelimit-reset": "30"}, None),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str((int(NOW) + 30) * 1000)}, 30.0),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "30"}, 30.0),
        ({"anthropic-ratelimit-tokens-remaining": "0", "anthropic-ratelimit-tokens-reset": "2001-09-09T01:47:00Z"}, 20.0),
        ({"retry-after": "1", "ratelimit-remaining": "0", "ratelimit-reset": "30"}, 1.0),
        ({"x-ms-retry-after-ms": "2500"}, 2.5),
        ({"anthropic-ratelimit-input-tokens-remaining": "0", "anthropic-ratelimit-input-tokens-reset": "30"}, 30.0),
        ({"x-ratelimit-remaining-tokens-minute": "0", "x-ratelimit-reset-tokens-minute": "12.5"}, 12.5),
        ({"RateLimit": "limit=100, remaining=0, reset=50"}, 50.0),
        ({"RateLimit": "limit=100, remaining=7, reset=50"}, None),
        ({"RateLimit": '"api";r=0;t=30'}, 30.0),
        ({"RateLimit": '"day";r=3;t=900, "minute";r=0;t=30'}, 30.0),
        ({"RateLimit": '"api";r=5;t=30'}, None),
        ({"RateLimit": '"api";r=0'}, None),
    ],
)
def test_reads_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, milliseconds or a date; what is negative or garbage is not there."""
    error = read_error(429, b"", headers, now=lambda: NOW)

    assert seconds == error.retry_after


@pytest.mark.parametrize(
    ("document", "seconds"),
    [
        ({"error": {"message": "Rate limit reached. Please try again in 20s."}}, 20.0),
        ({"error": {"message": "Rate limit reached. Please try again in 6m0s. Visit"}}, 360.0),
        ({"error": {"message": "Please try again in 176ms."}}, 0.176),
        ({"error": {"message": "Please retry after 86 seconds."}}, 86.0),
        ({"error": {"message": "retry in 34.5s", "details": [{"@type": "x/google.rpc.RetryInfo", "retryDelay": "34s"}]}}, 34.0),
        ([{"error": {"message": "m", "details": [{"@type": "x/google.rpc.RetryInfo", "retryDelay": "1.5s"}]}}], 1.5),
        ({"error": {"message": "m", "retry_after": 7}}, 7.0),
        ({"error": {"message": "m"}, "retryAfterMs": 250}, 0.25),
        ({"error": "Model is loading", "estimated_time": 20.5}, 20.5),
        (
            {"error": {"message": "m", "metadata": {"headers": {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "30"}}}},
            30.0,
        ),
        ({"error": {"message": "m", "retry_after": True, "details": "x", "metadata": 7}}, None),
        ({"error": {"message": "m", "retry_after": -1}}, None),
        ({"error": {"message": "Please try again later, or in 2 parsecs"}}, None),
    ],
)
def test_reads_how_long_to_wait_in_an_error(document: Any, seconds: float | None) -> None:
    """Where no header says it, the error's members and words do, in a stream too; a header says it better."""
    body = json.dumps(document).encode()

    assert seconds == read_error(429, body, {}).retry_after
    assert 1.0 == read_error(429, body, {"retry-after": "1"}).retry_after
    if isinstance(document, dict):
        error = error_in_event(document)
        assert error is not None
        assert seconds == error.retry_after


@pytest.mark.parametrize(("given", "said"), [("0.25", "0.25"), ("34.07", "34.1"), ("3600", "3600"), ("86400", "86400")])
def test_how_long_to_wait_is_said_as_people_write_it(given: str, said: str) -> None:
    """An hour is 3600 s, and not 3.6e+03 s."""
    assert f"try again in {said} s" in str(read_error(429, b"", {"retry-after": given}))


def test_the_hint_says_how_long_to_wait() -> None:
    """Where the server said it."""
    error = read_error(503, b"busy", {"Retry-After": "2.5"})

    assert "the server answered 503 Service Unavailable: busy; try again in 2.5 s" == error.message


@pytest.mark.parametrize("name", ["x-request-id", "X-Request-ID", "request-id"])
def test_keeps_the_request_id(name: str) -> None:
    """Under either name, in any case."""
    error = read_error(500, b"", {name: "req_1"})

    assert "req_1" == error.request_id


def test_bounds_what_it_keeps() -> None:
    """64 KiB of the body, 500 characters of the message, 200 of a name."""
    error = read_error(400, b"x" * 100_000, {})
    named = read_error(400, json.dumps({"error": {"message": "m" * 9_000, "type": "t" * 9_000}}).encode(), {})

    assert 65_536 == len(error.body)
    assert len("the server answered 400 Bad Request: ") + 500 == len(error.message) == len(named.message)
    assert "t" * 199 + "…" == named.type


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Incorrect API key provided: sk-abc123XYZ_-*99.", "Incorrect API key provided: ***"),
        ("got Authorization: Bearer abc.def-123 here", "got Authorization: Bearer *** here"),
        ('{"authorization":"bearer  hunter2"}', '{"authorization":"bearer ***"}'),
        ("Authorization: Basic dXNlcjpwYXNzd29yZA==", "Authorization: Basic ***"),
        ("see https://x.example/v1?key=AbC&n=1", "see https://x.example/v1?key=***&n=1"),
        ("proxy http://me:secret@10.0.0.1:3128/ refused", "proxy http://***@10.0.0.1:3128/ refused"),
        ("key AIzaSyA1234567890abcdefghijk is bad", "key *** is bad"),
        ("Missing bearer or basic authentication in header", "Missing bearer or basic authentication in header"),
        ("use Bearer auth, or a bearer token", "use Bearer auth, or a bearer token"),
        ("the task-force at a basic level", "the task-force at a basic level"),
    ],
)
def test_removes_what_looks_like_a_key(text: str, expected: str) -> None:
    """And leaves plain sentences alone."""
    assert expected == redact(text)


def test_a_key_never_comes_back() -> None:
    """An upstream that quotes the key, in a shape that nothing gives away, quotes it in vain: the caller of this names it."""
    body = json.dumps({"error": {"message": "key tulip-42 is wrong", "type": "tulip-42", "code": "sk-tulip42"}}).encode()

    error = read_error(401, body, {}, secrets=["tulip-42", ""])

    assert "tulip" not in repr((error.message, error.type, error.code, error.param, error.body))


def test_a_key_is_removed_before_the_message_is_cut() -> None:
    """Or its beginning would stay."""
    error = read_error(400, b"m" * 495 + b" sk-abcdefghijk", {})

    assert "sk-" not in error.message


@given(
    st.integers(400, 599),
    st.binary(max_size=300),
    st.dictionaries(st.sampled_from(["x-request-id", "retry-after", "X"]), st.text()),
)
def test_reads_any_bytes(status: int, body: bytes, headers: dict[str, str]) -> None:
    """Never another exception, always one line of text that UTF-8 can carry."""
    error = read_error(status, body, headers)

    shown = error.message + (error.request_id or "")
    assert [] == [char for char in shown if char < " " or "\x7f" <= char <= "\x9f"]
    assert shown == shown.encode().decode()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "errors", "detail", "message", "type", "object", "code", "param", "loc", "msg", "status"])
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_reads_any_document(document: Any) -> None:
    """Fields are text or absent, whatever stands in their places."""
    error = read_error(400, json.dumps(document).encode(), {})

    assert all(field is None or isinstance(field, str) for field in (error.type, error.code, error.param))


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=4), st.sampled_from(["message", "error", "ping"]))
def test_looks_at_any_event(event: dict[str, Any], name: str) -> None:
    """An event is an error or it is not; it never raises, and an error is always named."""
    error = error_in_event(event, event=name)

    assert error is None or str(error).startswith("the server sent an error inside the stream: ")


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (OPENAI, ("No such model", "invalid_request_error", "model_not_found", False)),
        ({"error": "boom"}, ("boom", None, None, True)),
        (
            {"error": {"message": "Error code: 400 - {'error': {'message': 'filtered', 'code': 'content_filter'}}"}},
            ("Error code: 400 - {'error': {'message': 'filtered', 'code': 'content_filter'}}", None, "content_filter", False),
        ),
        ({"error": {"message": "Error code: 400 - bad"}}, ("Error code: 400 - bad", None, "400", False)),
        ({"error": {"message": "upstream: HTTP 503"}}, ("upstream: HTTP 503", None, "503", True)),
        ({"error": {"message": "HTTP 400", "code": 500}}, ("HTTP 400", None, "500", True)),
        ({"error": {"code": 502, "message": "m"}, "choices": []}, ("m", None, "502", True)),
        ({"error": {"code": 400, "message": "m"}}, ("m", None, "400", False)),
        ({"error": {"http_status_code": 422, "message": "m"}}, ("m", None, "422", False)),
        ({"error": {"code": "content_filter", "message": "m"}}, ("m", None, "content_filter", False)),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "m"}}, ("m", "overloaded_error", None, True)),
        ({"object": "error", "message": "m", "type": "BadRequestError", "code": 400}, ("m", "BadRequestError", "400", False)),
        ({"detail": "gone"}, ("gone", None, None, True)),
        ({"code": 500, "message": "m"}, ("m", None, "500", True)),
        # Vendors' own shapes. Where only words can tell, they tell whether it helps to ask again.
        (
            {"base_resp": {"status_code": 1004, "status_msg": "login fail"}, "choices": None},
            ("login fail", None, "1004", False),
        ),
        ({"base_resp": {"status_code": 1002, "status_msg": "rate limit"}}, ("rate limit", None, "1002", True)),
        ({"base_resp": {"status_code": 1013, "status_msg": "oops"}, "choices": []}, ("oops", None, "1013", True)),
        ({"code": 1113, "msg": "您的账户已欠费", "success": False}, ("您的账户已欠费", None, "insufficient_quota", False)),
        ({"code": "1305", "msg": "服务繁忙"}, ("服务繁忙", None, "1305", True)),
        ({"code": "InvalidApiKey", "message": "Invalid API-key"}, ("Invalid API-key", None, "InvalidApiKey", False)),
        ({"error_code": 18, "error_msg": "Open api qps request limit"}, ("Open api qps request limit", None, "18", True)),
        ({"errcode": 40001, "errmsg": "no"}, ("no", None, "40001", True)),
        ({"header": {"code": 10013, "message": "illegal"}}, ("illegal", None, "10013", False)),
        ({"Response": {"Error": {"Code": "LimitExceeded", "Message": "m"}}}, ("m", None, "LimitExceeded", True)),
        ({"status": "error", "message": "m"}, ("m", None, None, True)),
        ({"status": 503, "message": "m"}, ("m", None, None, True)),
        ({"success": False, "errors": [{"code": 7009, "message": "m"}]}, ("m", None, "7009", True)),
        ({"success": False}, ("it does not say which", None, None, True)),
        ({"error": {"x": 1}}, ("it does not say which", None, None, True)),
        ({"error": True}, ("it does not say which", None, None, True)),
        ({"error": {"message": "key sk-abcdef99"}}, ("key ***", None, None, True)),
    ],
)
def test_finds_an_error_inside_a_stream(event: dict[str, Any], expected: tuple[str, str | None, str | None, bool]) -> None:
    """In every common shape, with whether asking again can help."""
    error = error_in_event(event)

    assert error is not None
    assert (f"the server sent an error inside the stream: {expected[0]}", *expected[1:], 200) == (
        error.message,
        error.type,
        error.code,
        error.retryable,
        error.status,
    )


def test_an_event_of_the_type_error_is_one() -> None:
    """Whatever its object looks like."""
    error = error_in_event({"message": "lost"}, event="error")

    assert error is not None
    assert "the server sent an error inside the stream: lost" == str(error)


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"choices": []},
        {"choices": [{"delta": {"content": "an error"}}], "error": None},
        {"choices": [], "error": ""},
        {"choices": [], "detail": "kept", "message": "m", "code": 500},
        {"choices": [{"delta": {"content": "a"}}], "base_resp": {"status_code": 0, "status_msg": "success"}},
        {"base_resp": {"status_code": 0, "status_msg": ""}},
        {"code": 0, "msg": "ok"},
        {"code": 200, "msg": "ok"},
        {"code": "Success", "message": "ok"},
        {"status": "loading", "message": "the model", "code": 1},
        {"type": "ping"},
        {"type": "message_start", "message": {"id": "1"}},
        {"message": "still working"},
        {"object": "chat.completion.chunk", "error": {}},
    ],
)
def test_other_events_are_no_errors(event: dict[str, Any]) -> None:
    """A null error beside choices is common."""
    assert error_in_event(event) is None


@pytest.mark.parametrize(("code", "is_error"), [(1, False), (503, True)])
def test_an_event_of_another_type_counts_in_codes_of_its_own(code: int, is_error: bool) -> None:
    """Its code is a failure where it is a status of HTTP's; any other one may be the place in a queue."""
    assert is_error == (error_in_event({"code": code, "message": "queued"}, event="progress") is not None)


def request_error(**fields: Any) -> StatusError:
    return StatusError("m", **{"status": 400, **fields})


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ModelNotFoundError("x", ["llama"]), (404, "invalid_request_error", "model", "model_not_found")),
        (
            InvalidMessagesError("is null", index=2, field="content"),
            (400, "invalid_request_error", "messages[2].content", "invalid_value"),
        ),
        (ConfigError("no weights"), (500, "server_error", None, "config_error")),
        (ConnectError("refused"), (502, "server_error", None, "upstream_unreachable")),
        (ClockError("first_token", 20), (504, "timeout", None, "first_token_timeout")),
        (ClockError("total", 20), (504, "timeout", None, "total_timeout")),
        (StreamError("m", status=200), (502, "server_error", None, "upstream_error")),
        (StreamError("m", status=200, code="event_too_large"), (502, "server_error", None, "event_too_large")),
        (StreamError("m", code="context_length_exceeded"), (400, "invalid_request_error", None, "context_length_exceeded")),
        (StreamError("m", code="insufficient_quota"), (429, "insufficient_quota", None, "insufficient_quota")),
        (StreamError("m", type="rate_limit_error"), (429, "rate_limit_error", None, "upstream_error")),
        (StreamError("m", code="429"), (429, "rate_limit_error", None, "429")),
        (StreamError("m", code="too_many_requests"), (429, "rate_limit_error", None, "too_many_requests")),
        (StreamError("m", code="ThrottlingException"), (429, "rate_limit_error", None, "ThrottlingException")),
        (StreamError("m", type="RESOURCE_EXHAUSTED"), (429, "rate_limit_error", None, "upstream_error")),
        (StreamError("m", code="server_is_overloaded"), (503, "overloaded_error", None, "server_is_overloaded")),
        (StreamError("m", type="UNAVAILABLE"), (503, "overloaded_error", None, "upstream_error")),
        (StreamError("m", code="400"), (400, "invalid_request_error", None, "400")),
        (StreamError("rate limit exceeded(RPM)", code="1002", retryable=True), (429, "rate_limit_error", None, "1002")),
        (StreamError("Too many requests, slow down", retryable=True), (429, "rate_limit_error", None, "upstream_error")),
        (StreamError("您的账户达到请求频率上限", code="1302", retryable=True), (429, "rate_limit_error", None, "1302")),
        (StreamError("rate limit exceeded", code="x"), (502, "server_error", None, "x")),
        (StreamError("m", code="503", type="x"), (503, "overloaded_error", None, "503")),
        (
            StreamError("m", code="invalid_prompt", type="invalid_request_error"),
            (400, "invalid_request_error", None, "invalid_prompt"),
        ),
        (
            StreamError("m", code="invalid_api_key", type="invalid_request_error"),
            (502, "server_error", None, "invalid_api_key"),
        ),
        (StreamError("m", code="401", type="invalid_request_error"), (502, "server_error", None, "401")),
        (StreamError("m", type="overloaded_error"), (503, "overloaded_error", None, "upstream_error")),
        (IncompleteStreamError(), (502, "server_error", None, "upstream_incomplete")),
        (HTTPError("m"), (502, "server_error", None, None)),
        (HTTPError("m", status=200), (502, "server_error", None, None)),
        (HTTPError("m", status=503), (503, "server_error", None, None)),
        (ProviderError("m"), (500, "server_error", None, "provider_error")),
        (request_error(type="t", param="n", code="c"), (400, "t", "n", "c")),
        (request_error(), (400, "invalid_request_error", None, None)),
        (request_error(status=401), (401, "authentication_error", None, None)),
        (request_error(status=403), (403, "permission_error", None, None)),
        (request_error(status=404), (404, "not_found_error", None, None)),
        (request_error(status=429), (429, "rate_limit_error", None, None)),
        (request_error(status=503), (503, "server_error", None, None)),
        (request_error(status=504), (504, "timeout", None, None)),
        (request_error(status=999), (502, "server_error", None, None)),
    ],
    ids=repr,
)
def test_answers_each_error_with_its_status(error: ProviderError, expected: tuple[Any, ...]) -> None:
    """By a table; the body has OpenAI's shape and holds the error's message, as callers may read it."""
    status, headers, body = encode_error(error)

    told = json.loads(body)["error"]
    assert expected == (status, told["type"], told["param"], told["code"])
    assert {"message", "type", "param", "code"} == told.keys()
    assert for_callers(error) == told["message"]
    assert headers == ({"www-authenticate": "Bearer"} if status == 401 else {})


def test_a_subclass_is_answered_as_its_class() -> None:
    """Somebody's own provider may raise finer errors."""

    class NoRouteError(ConnectError):
        pass

    assert 502 == encode_error(NoRouteError("m"))[0]


@pytest.mark.parametrize("error", [KeyError("sk-secret in a path"), OSError(2, "No such file", "/etc/x"), RuntimeError("boom")])
def test_tells_nothing_of_errors_that_are_not_ours(error: Exception) -> None:
    """They may hold anything."""
    status, headers, body = encode_error(error)

    told = {"message": "internal error; the server's log says more", "type": "server_error", "param": None}
    assert (500, {}, {"error": {**told, "code": "internal_error"}}) == (status, headers, json.loads(body))


@pytest.mark.parametrize(("seconds", "header"), [(0, "0"), (0.2, "1"), (3, "3"), (-5, "0"), (float("inf"), "1000000000")])
def test_says_when_to_come_back(seconds: float, header: str) -> None:
    """In whole seconds, never sooner than was asked."""
    _, headers, _ = encode_error(request_error(status=429, retry_after=seconds))

    assert {"retry-after": header} == headers


def test_a_written_error_holds_no_key() -> None:
    """Whoever put it into the message."""
    _, _, body = encode_error(ConnectError("proxy http://me:secret@proxy:1 refused Bearer abc123"))

    assert b"secret" not in body
    assert b"abc123" not in body


@pytest.mark.parametrize(
    "error",
    [
        ConnectError("cannot connect to http://10.0.0.5:8000/v1/chat/completions: refused", advice="check that it runs there"),
        ConnectError("TLS with https://inner.example failed: Cannot connect to host inner.example:443 ssl:True; check it"),
        HTTPError("the server at http://10.0.0.5:8000/v1 closed the connection before it answered; try again"),
        ConfigError("'http://10.0.0.5:x/' is not a URL that a request can be sent to"),
    ],
)
def test_callers_do_not_learn_where_an_upstream_lives(error: ProviderError) -> None:
    """What we say of a connection names no address to callers; the rest of the message stays."""
    body = encode_error(error)[2].decode()

    assert not {"10.0.0.5", "inner.example"} & set(re.findall(r"[\w.]*\w", body))
    assert "upstream" in body


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            ConnectError(
                "cannot connect to http://10.0.0.5:8000/v1: Connection refused", advice="check that the server runs there"
            ),
            "cannot connect to the upstream: Connection refused; try again later, or report it to this server's operator",
        ),
        (
            read_error(502, b"<html><title>502 Bad Gateway</title></html>", {}),
            "the upstream answered 502 Bad Gateway; the fault is the upstream's: try again later",
        ),
        (
            ClockError("first_token", 4),
            "no first token within 4 s (timeout 'first_token'); try again, or have this server's operator raise it",
        ),
        (
            IncompleteStreamError(),
            "the stream ended without a finish reason or other proof of its end: the answer may be cut; try again",
        ),
    ],
)
def test_callers_are_told_in_words_for_them(error: ProviderError, told: str) -> None:
    """Who asks this server knows it alone as the server, and has neither our clocks nor our exceptions."""
    assert told == json.loads(encode_error(error)[2])["error"]["message"]


@pytest.mark.parametrize(
    "advice", ["resting; try again in 4 s", "broken: try again later", "only this server's operator can repair that"]
)
def test_advice_is_given_once(advice: str) -> None:
    """Where the server says what helps, nothing is added that says it again, or otherwise."""
    error = read_error(503, json.dumps({"error": {"message": advice}}).encode(), {"Retry-After": "4"})

    assert f"the server answered 503 Service Unavailable: {advice}" == error.message
    assert 4 == error.retry_after


def test_what_an_upstream_says_keeps_its_addresses() -> None:
    """A link in an upstream's own answer is for the caller."""
    error = read_error(400, b'{"error": {"message": "see https://docs.example/limits"}}', {})

    assert b"https://docs.example/limits" in encode_error(error)[2]


def test_an_error_event_holds_the_same_object() -> None:
    """As one event of the default type, which every reader of the stream looks at."""
    error = StreamError("line\nbreak", status=200, code="c")

    event = error_event(error)

    assert b"data: " + encode_error(error)[2] + b"\n\n" == event
    assert 2 == event.count(b"\n")


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80), st.sampled_from([400, 401, 404, 429, 500, 503]))
def test_what_is_written_is_read_again(message: str, status: int) -> None:
    """The type, param and code of a server of ours reach a client of ours."""
    error = StatusError(message, status=status, type="some_type", param="some.param", code="some_code", retry_after=7)

    status, headers, body = encode_error(error)
    read = read_error(status, body, headers)

    expected = (status, "some_type", "some.param", "some_code", 7)
    assert expected == (read.status, read.type, read.param, read.code, read.retry_after)


@pytest.mark.parametrize("status", [401, 402, 403, 404, 405, 407])
def test_what_the_operator_got_wrong_is_not_the_callers_fault(status: int) -> None:
    """A caller whose own key is right must not read that a key is wrong."""
    error = StatusError("Incorrect API key 12345", status=status, type="authentication_error", body="b", request_id="r")

    shown = as_gateway_error(error)

    assert (502, "server_error", f"upstream_{status}", False) == (shown.status, shown.type, shown.code, shown.retryable)
    assert ("b", "r", error) == (shown.body, shown.request_id, shown.__cause__)
    assert "12345" not in shown.message


@pytest.mark.parametrize(
    "error",
    [request_error(), request_error(status=429), request_error(status=500), request_error(status=403, code="content_filter")],
    ids=repr,
)
def test_other_answers_of_upstreams_stay_as_they_are(error: StatusError) -> None:
    """They concern the caller, or tell the truth."""
    assert error is as_gateway_error(error)
