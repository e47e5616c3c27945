"""Other forms of a request to the Gemini API, for models that refuse the usual one: a table. Models differ in how thinking is
asked of them, in the schemas that they take, and in what may stand in a conversation.

What is learnt of a model is kept as that of chat completions, see `adaptations`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import ClassVar, Final

import msgspec

from ..late import late_pattern
from ..wires.google_gemini.upstream_contents import UNSIGNED, sign_calls, unsigned_calls
from ..wires.google_gemini.upstream_schemas import has_properties, openapi_schema
from ..wires.google_gemini.upstream_thinking import as_budget, as_level
from .adaptations import Adaptation, Form, Json
from .answer_limits import SHORTER_ANSWER
from .learnt_forms import Adaptations

_REFUSED: Final = late_pattern(
    r"not (?:\w+ )?(?:supported|enabled|allowed|available|valid)|unsupported|n't support"
    r"|unknown name|cannot find field|invalid",
    re.IGNORECASE,
)
_SCHEMA: Final = late_pattern(r"schema|function_?declarations?\[|parameters", re.IGNORECASE)
_SIGNATURE: Final = late_pattern(r"thought[ _]?signature|corrupted tool call context", re.IGNORECASE)
_FORMAT: Final = late_pattern(r"(?:function calling|tool use) with a response mime type", re.IGNORECASE)
_PENALTY: Final = late_pattern(r"penalty", re.IGNORECASE)
_MODEL_LAST: Final = late_pattern(r"ending with a model turn|must end with a user", re.IGNORECASE)
_SYSTEM: Final = late_pattern(r"developer instruction|system[ _]?instruction", re.IGNORECASE)
_IDS: Final = late_pattern(r"""unknown name \\*["']id\\*["']""", re.IGNORECASE)
_LEVEL: Final = late_pattern(r"thinking[ _]?level", re.IGNORECASE)
_BUDGET: Final = late_pattern(r"thinking[ _]?budget|\bbudget\b", re.IGNORECASE)
_THINKING: Final = late_pattern(r"thinking|include_?thoughts", re.IGNORECASE)

#: What is said in a turn of nothing.
_NO_CONTENT: Final = "(no content)"

#: What a user says behind an answer that the model does not continue.
_CONTINUE: Final = "Continue."


def _is_refused(said: str) -> bool:
    return bool(_REFUSED.search(said))


def _config(body: Json) -> Json:
    config = body.get("generationConfig")
    return config if isinstance(config, dict) else {}


def _thinking(body: Json) -> Json:
    thinking = _config(body).get("thinkingConfig")
    return thinking if isinstance(thinking, dict) else {}


def _think(body: Json, config: Json) -> None:
    if config:
        body["generationConfig"]["thinkingConfig"] = config
    else:
        del body["generationConfig"]["thinkingConfig"]


def _level(body: Json) -> str:
    return str(_thinking(body).get("thinkingLevel", "")).lower()


def _without_thinking(body: Json) -> None:
    _think(body, {})


# ---- schemas


def _functions(body: Json) -> Iterator[Json]:
    for tool in body.get("tools") or ():
        for function in (tool.get("functionDeclarations") or ()) if isinstance(tool, dict) else ():
            if isinstance(function, dict) and isinstance(function.get("parametersJsonSchema"), dict):
                yield function


def _leave_out_penalties(body: Json) -> None:
    for name in ("presencePenalty", "frequencyPenalty"):
        body["generationConfig"].pop(name, None)


def _has_json_schemas(body: Json) -> bool:
    return "responseJsonSchema" in _config(body) or any(True for _ in _functions(body))


def _write_openapi(body: Json) -> None:
    """Write schemas in the words of OpenAPI, which older models and some gateways take alone."""
    for function in list(_functions(body)):
        schema = openapi_schema(function.pop("parametersJsonSchema"))
        if has_properties(schema):
            function["parameters"] = schema
    config = _config(body)
    if isinstance(schema := config.pop("responseJsonSchema", None), dict):
        config["responseSchema"] = openapi_schema(schema)


def _has_format(body: Json) -> bool:
    return "responseMimeType" in _config(body)


def _ask_for_format(body: Json) -> None:
    """Ask for JSON in words: models before Gemini 3 are held to it where no function may be called alone."""
    config = _config(body)
    del config["responseMimeType"]
    schema = next((found for name in ("responseJsonSchema", "responseSchema") if (found := config.pop(name, None))), None)
    words = "Where you call no function, answer with JSON alone"
    if schema is not None:
        words += f", which obeys this schema: {msgspec.json.encode(schema).decode()}"
    system = body.setdefault("systemInstruction", {"parts": []})
    system["parts"] = [*system["parts"], {"text": f"{words}."}]


# ---- the conversation


def _contents(body: Json) -> list[Json]:
    contents = body.get("contents")
    return [each for each in contents if isinstance(each, dict)] if isinstance(contents, list) else []


def _parts(body: Json) -> Iterator[Json]:
    for content in _contents(body):
        parts = content.get("parts")
        yield from (part for part in (parts if isinstance(parts, list) else ()) if isinstance(part, dict))


def _signed(body: Json) -> list[Json]:
    """Return the parts with a signature that some server gave."""
    return [part for part in _parts(body) if part.get("thoughtSignature") not in (None, UNSIGNED)]


def _unsign(body: Json) -> None:
    for part in _signed(body):
        del part["thoughtSignature"]
    sign_calls(_contents(body))


def _with_ids(body: Json) -> list[Json]:
    held = [part.get(name) for part in _parts(body) for name in ("functionCall", "functionResponse")]
    return [each for each in held if isinstance(each, dict) and "id" in each]


def _leave_out_ids(body: Json) -> None:
    for each in _with_ids(body):
        del each["id"]


def _ends_with_model(body: Json) -> bool:
    contents = _contents(body)
    return bool(contents) and contents[-1].get("role") == "model"


def _let_user_continue(body: Json) -> None:
    body["contents"].append({"role": "user", "parts": [{"text": _CONTINUE}]})


def _repeats_role(body: Json) -> bool:
    return any(one.get("role") == other.get("role") for one, other in pairwise(_contents(body)))


def _alternate(body: Json) -> None:
    """Say nothing of the other side between two turns of one: the results of calls take no words beside them."""
    contents: list[Json] = []
    for content in _contents(body):
        role = content.get("role")
        if contents and contents[-1].get("role") == role:
            contents.append({"role": "user" if role == "model" else "model", "parts": [{"text": _NO_CONTENT}]})
        contents.append(content)
    body["contents"] = contents


def _say_system_as_user(body: Json) -> None:
    parts = body.pop("systemInstruction")["parts"]
    first = body["contents"][0]
    if first.get("role") == "user" and not any("functionResponse" in part for part in first["parts"]):
        first["parts"] = [*parts, *first["parts"]]
    else:
        body["contents"].insert(0, {"role": "user", "parts": parts})


def _without(name: str, named: str) -> Adaptation:
    """Return the form without a member of ``generationConfig``, which the API may name otherwise."""
    pattern = late_pattern(rf"\b(?:{name}|{named})\b", re.IGNORECASE)
    return Adaptation(
        f"no_{named}",
        lambda body, said, param: name in _config(body) and bool(pattern.search(said)) and _is_refused(said),
        lambda body: body["generationConfig"].pop(name, None),
    )


#: In the order in which they are looked for: the first that the refusal asks for is taken, the next with the next refusal.
GEMINI_FORMS: Final[tuple[Form, ...]] = (
    SHORTER_ANSWER,
    Adaptation(
        "no_thought_signatures",
        lambda body, said, param: bool(_SIGNATURE.search(said)) and bool(unsigned_calls(_contents(body))),
        lambda body: sign_calls(_contents(body)),
    ),
    Adaptation(  # another account has signed them, or another model: other conversations keep theirs
        "no_foreign_signatures",
        lambda body, said, param: bool(_SIGNATURE.search(said)) and bool(_signed(body)),
        _unsign,
        lasts=False,
    ),
    Adaptation("no_call_ids", lambda body, said, param: bool(_IDS.search(said)) and bool(_with_ids(body)), _leave_out_ids),
    Adaptation(
        "thinking_low",
        lambda body, said, param: _level(body) == "minimal" and "minimal" in said.lower(),
        lambda body: _think(body, {**_thinking(body), "thinkingLevel": "low"}),
    ),
    Adaptation(
        "thinking_budget",
        lambda body, said, param: bool(_level(body)) and bool(_LEVEL.search(said)),
        lambda body: _think(body, as_budget(_thinking(body))),
    ),
    Adaptation(
        "thinking_level",
        lambda body, said, param: bool(_thinking(body).get("thinkingBudget")) and bool(_BUDGET.search(said)),
        lambda body: _think(body, as_level(_thinking(body))),
    ),
    Adaptation(
        "no_thinking",
        lambda body, said, param: bool(_thinking(body)) and bool(_THINKING.search(said)),
        _without_thinking,
    ),
    Adaptation(
        "no_penalties",
        lambda body, said, param: (
            bool(_config(body).keys() & {"presencePenalty", "frequencyPenalty"})
            and bool(_PENALTY.search(said))
            and _is_refused(said)
        ),
        _leave_out_penalties,
    ),
    Adaptation(
        "user_turn_last",
        lambda body, said, param: bool(_MODEL_LAST.search(said)) and _ends_with_model(body),
        _let_user_continue,
        lasts=False,
    ),
    Adaptation(
        "alternating_roles",
        lambda body, said, param: "alternat" in said.lower() and _repeats_role(body),
        _alternate,
    ),
    Adaptation(
        "user_role",
        lambda body, said, param: "systemInstruction" in body and bool(_SYSTEM.search(said)) and _is_refused(said),
        _say_system_as_user,
    ),
    *(
        _without(name, named)
        for name, named in {"topK": "top_k", "topP": "top_p", "temperature": "temperature", "seed": "seed"}.items()
    ),
    Adaptation(
        "format_in_words",
        lambda body, said, param: bool(_FORMAT.search(said)) and _has_format(body),
        _ask_for_format,
        lasts=False,
    ),
    Adaptation(
        "openapi_schemas",
        lambda body, said, param: bool(_SCHEMA.search(said)) and _has_json_schemas(body),
        _write_openapi,
    ),
)


class GeminiOwnAdaptations(Adaptations):
    """What was learnt of such a server by requests of callers of the same API, who get every other refusal."""

    rows: ClassVar[tuple[Form, ...]] = tuple(
        row for row in GEMINI_FORMS if row.name in ("no_thought_signatures", "no_foreign_signatures")
    )
    in_body: ClassVar[bool] = False


class GeminiAdaptations(Adaptations):
    """What was learnt of a server that speaks the Gemini API."""

    rows: ClassVar[tuple[Form, ...]] = GEMINI_FORMS
    in_body: ClassVar[bool] = False
