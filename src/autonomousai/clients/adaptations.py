"""Other forms of the same request, for servers that refuse the usual one: a table, and which of its rows a refusal asks for.

What was learnt of one server is kept in `learnt_forms`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from ..errors import StatusError
from ..late import late_pattern
from ..sealed_thoughts import BLOCKS, DETAILS, ITEMS, OF_CALL
from ..wires.messages import REASONING
from .answer_limits import SHORTER_ANSWER, TOO_LARGE, LengthBound
from .conversation_forms import (
    SYSTEM,
    alternate,
    as_developer,
    as_system,
    as_text,
    as_user,
    fill_content,
    has_long_ids,
    late_system_messages,
    marked,
    of_role,
    repeats_role,
    shorten_ids,
    sign_calls,
    system_as_user,
    text_lists,
    unmark,
    unsigned_calls,
    without_content,
)
from .tool_schemas import FlatSchemas, WithoutKeyword

if TYPE_CHECKING:
    from .held_schemas import PlainSchemas
    from .needless_fields import WithoutField
    from .unknown_extras import Extra
    from .vendor_refusals import VendorForm

Json = dict[str, Any]

#: Statuses by which servers refuse a request for what it says.
_REFUSALS: Final = frozenset({400, 403, 404, 405, 415, 422, 501})

#: What servers say with the status 500 where the chat template of the model refuses the conversation.
_TEMPLATE: Final = late_pattern(r"jinja|chat template|system role not supported|unexpected message role", re.IGNORECASE)

_UNKNOWN_FIELD: Final = late_pattern(
    r"un(?:recognized|supported|known|expected)|not (?:supported|permitted|allowed|recognized|valid)"
    r"|extra (?:fields?|inputs?)|no such|cannot find field",
    re.IGNORECASE,
)
_NO_STREAM: Final = late_pattern(
    r"verified to stream"
    r"|stream\w*['\"`]? ?[^.]{0,60}(?:not (?:supported|allowed|available|permitted|enabled)|unsupported|disabled)"
    r"|(?:not|n't) support[^.]{0,30} stream|unsupported[^.]{0,40}['\"`]stream['\"`]",
    re.IGNORECASE,
)
_STREAM_ALONE: Final = late_pattern(
    r"only (?:supports?|allows?|accepts?|works? (?:with|in))[^.]{0,20} stream|streaming is (?:required|mandatory)"
    r"|requires? (?:the )?['\"`]?stream|non-?stream\w*[^.]{0,60}(?:not (?:supported|allowed)|unsupported)"
    r"|['\"`]?stream['\"`]? (?:must|should|has to) be (?:set to )?['\"`]?true|enable (?:the )?stream",
    re.IGNORECASE,
)


_NO_LATE_SYSTEM: Final = late_pattern(
    r"system (?:message|prompt|role)s?[^.]{0,80}(?:beginning|first|start|not (?:allowed|supported))"
    r"|only[^.]{0,60}system message|role ['\"`]?system['\"`]? after role",
    re.IGNORECASE,
)
_NO_SYSTEM: Final = late_pattern(
    r"system (?:message|prompt|role|instruction)s? (?:is |are )?not (?:supported|allowed|enabled)|not support ['\"`]?system\b"
    r"|not support[^.]{0,30} system (?:message|prompt|role|instruction)|developer instruction is not enabled",
    re.IGNORECASE,
)
#: Where the system may speak, but not so: the next request may be another.
_NOT_ALWAYS: Final = late_pattern(r"multiple|several|more than|images? in\b|\bif\b|\bwhen\b|\bafter\b", re.IGNORECASE)
_NO_DEVELOPER: Final = late_pattern(
    r"(?:role|variant|support)\w*\b[^.\n]{0,40}\bdeveloper\b|\bdeveloper\b[^.\n]{0,40}(?:\brole|\bis not\b|unsupported|invalid)"
    r"|(?:unexpected|unknown|invalid|unsupported) (?:message )?role",
    re.IGNORECASE,
)
_TEXT_ALONE: Final = late_pattern(
    r"invalid type: sequence, expected a string|str(?:ing)? type expected|expected (?:a )?string, (?:but )?(?:got|received)"
    r"|(?:must|should|needs to|has to) be (?:a |of type )?(?:valid )?['\"`]?string|only (?:supports?|accepts?) string content",
    re.IGNORECASE,
)
_NO_NULL: Final = late_pattern(
    r"missing field `?content|content\b[^.]{0,60}(?:\bnull\b|\bnone\b|required|missing|empty)|null[^.]{0,30}\bcontent\b"
    r"|invalid type: null, expected",
    re.IGNORECASE,
)
_ID_OF_CALL: Final = late_pattern(r"tool_calls|tool_call_id|call_id")
_LIST_INPUT: Final = late_pattern(
    r"\binput\b['\"`]? (?:must|should|has to) be (?:a |an )?(?:valid )?(?:list|array)", re.IGNORECASE
)
_WANTS_BACK: Final = late_pattern(r"must be (?:passed|sent|provided|included)|missing|required", re.IGNORECASE)


class Adaptation(msgspec.Struct, frozen=True):
    """One other form of a request. ``is_wanted``: whether a refusal, in its words, asks for it; ``apply``: change the request's
    body to it. ``name``: what it is called in ``doctor`` and in ``/metrics``. ``lasts``: whether later requests are asked so at
    once; not where it says nothing of other conversations, which keep what this one lost."""

    name: str
    is_wanted: Callable[[Json, str, str | None], bool]
    apply: Callable[[Json], None]
    lasts: bool = True

    def asked(self, body: Json, said: str, param: str | None) -> Adaptation | None:
        """Return the form that a refusal of *body* asks for, None where it is not this one."""
        return self if self.is_wanted(body, said, param) else None

    def named(self, name: str) -> Adaptation | None:
        """Return the form of that name, None where it is another one's."""
        return self if name == self.name else None


class LateForms(msgspec.Struct, frozen=True):
    """Forms in whose place another module stands until a server refuses something. ``load``: returns them."""

    name: str
    load: Callable[[], tuple[Form, ...]]

    def asked(self, body: Json, said: str, param: str | None) -> Form | None:
        """See `Adaptation.asked`."""
        return next((form for row in self.load() if (form := row.asked(body, said, param)) is not None), None)

    def named(self, name: str) -> Form | None:
        """See `Adaptation.named`."""
        return next((form for row in self.load() if (form := row.named(name)) is not None), None)

    def apply(self, body: Json) -> None:
        """Change nothing: the forms do."""


Form: TypeAlias = (
    "Adaptation | LengthBound | FlatSchemas | WithoutKeyword | PlainSchemas | Extra | WithoutField | VendorForm | LateForms"
)


def without(name: str, words: Callable[[str], bool]) -> Adaptation:
    """Return the form without a field, for models that do not take it. *words*: whether a refusal that names the field may be
    about it."""
    named = late_pattern(rf"\b{name}\b")
    return Adaptation(
        f"no_{name}",
        lambda body, said, param: name in body and bool(named.search(said)) and words(said),
        lambda body: body.pop(name, None),
    )


def _rename(old: str, new: str) -> Callable[[Json], None]:
    def apply(body: Json) -> None:
        if old in body:
            body.setdefault(new, body.pop(old))

    return apply


def _ask_whole(body: Json) -> None:
    body["stream"] = False
    body.pop("stream_options", None)


def _ask_streamed(body: Json) -> None:
    body["stream"] = True


def _strict_functions(body: Json) -> list[Json]:
    tools = body.get("tools")
    functions = [tool.get("function") for tool in (tools if isinstance(tools, list) else ()) if isinstance(tool, dict)]
    return [function for function in functions if isinstance(function, dict) and "strict" in function]


def _drop_strict(body: Json) -> None:
    for function in _strict_functions(body):
        del function["strict"]


def _needless() -> tuple[Form, ...]:
    from .needless_fields import FORMS  # noqa: PLC0415  few servers refuse what says nothing

    return FORMS


def _names_reasoning(said: str) -> bool:
    return REASONING in said or "reasoning content" in said.lower()


def _lacks_reasoning(body: Json) -> bool:
    return any(not isinstance(message.get(REASONING), str) for message in of_role(body, "assistant"))


def _add_reasoning(body: Json) -> None:
    """Say of each message of the assistant what it thought: nothing, where that is not known."""
    for message in of_role(body, "assistant"):
        if not isinstance(message.get(REASONING), str):
            message[REASONING] = ""


def _has_blank_reasoning(body: Json) -> bool:
    return any(message.get(REASONING) == "" for message in of_role(body, "assistant"))


def _fill_reasoning(body: Json) -> None:
    """Say of each message of the assistant that it thought, where a server takes no thought of nothing."""
    for message in of_role(body, "assistant"):
        message[REASONING] = message.get(REASONING) or " "


def _drop_reasoning(body: Json) -> None:
    for message in of_role(body, "assistant"):
        message.pop(REASONING, None)


def _of_vendors() -> tuple[Form, ...]:
    from .vendor_refusals import FORMS  # noqa: PLC0415  two vendors refuse so

    return FORMS


def _items() -> ModuleType:
    from . import replayed_items  # noqa: PLC0415  few servers refuse an item

    return replayed_items


def _list_input(body: Json) -> None:
    body["input"] = [{"type": "message", "role": "user", "content": body["input"]}]


def _without_member(name: str) -> Adaptation:
    """Return the form without a member of messages in which this server gave what another upstream thought."""

    def drop(body: Json) -> None:
        for message in of_role(body, "assistant"):
            message.pop(name, None)

    return Adaptation(
        f"no_{name}",
        lambda body, said, param: (
            any(name in message for message in of_role(body, "assistant")) and name in f"{said} {param or ''}"
        ),
        drop,
    )


def _searches(body: Json) -> list[Json]:
    tools = body.get("tools")
    tools = [tool for tool in (tools if isinstance(tools, list) else ()) if isinstance(tool, dict)]
    return [tool for tool in tools if str(tool.get("type")).startswith("web_search")]


def _search_not(body: Json) -> None:
    """Leave out the vendor's own search of the web."""
    searches = _searches(body)
    body["tools"] = [tool for tool in body.get("tools") or () if tool not in searches]
    if not body["tools"]:
        del body["tools"]


#: For callers of another API, whose own upstream would have searched.
NO_SEARCH: Final = Adaptation(
    "no_web_search",
    lambda body, said, param: bool(_searches(body)) and "tool" in f"{said} {param or ''}".lower(),
    _search_not,
)

#: In the order in which they are looked for: the name of one field may be a part of another's.
ADAPTATIONS: Final[tuple[Form, ...]] = (
    SHORTER_ANSWER,
    Adaptation(
        "short_call_ids",
        lambda body, said, param: (
            "too long" in said and bool(_ID_OF_CALL.search(f"{said} {param or ''}")) and has_long_ids(body)
        ),
        shorten_ids,
    ),
    Adaptation(  # whatever an upstream gives, a caller gets what was asked for
        "no_encoding_format",
        lambda body, said, param: body.get("encoding_format") in ("base64", "float") and "encoding_format" in said,
        lambda body: body.pop("encoding_format", None),
    ),
    Adaptation(
        "list_input",
        lambda body, said, param: isinstance(body.get("input"), str) and bool(_LIST_INPUT.search(said)),
        _list_input,
    ),
    Adaptation(
        "no_foreign_items",
        lambda body, said, param: isinstance(body.get("input"), list) and _items().refuses_foreign(body, said, param),
        lambda body: _items().leave_out_foreign(body),
    ),
    Adaptation(
        "no_encrypted_thoughts",
        lambda body, said, param: isinstance(body.get("input"), list) and _items().refuses_thoughts(body, said, param),
        lambda body: _items().leave_out_thoughts(body),
        lasts=False,
    ),
    Adaptation(
        "max_completion_tokens",
        lambda body, said, param: "max_tokens" in body and "max_completion_tokens" in said and not TOO_LARGE.search(said),
        _rename("max_tokens", "max_completion_tokens"),
    ),
    Adaptation(
        "max_tokens",
        lambda body, said, param: (
            "max_completion_tokens" in body and "max_completion_tokens" in said and bool(_UNKNOWN_FIELD.search(said))
        ),
        _rename("max_completion_tokens", "max_tokens"),
    ),
    Adaptation(
        "no_stream_options",
        lambda body, said, param: "stream_options" in body and "stream_options" in said,
        lambda body: body.pop("stream_options", None),
    ),
    Adaptation(
        "empty_reasoning",
        lambda body, said, param: _names_reasoning(said) and bool(_WANTS_BACK.search(said)) and _lacks_reasoning(body),
        _add_reasoning,
    ),
    Adaptation(
        "blank_reasoning",
        lambda body, said, param: _names_reasoning(said) and bool(_WANTS_BACK.search(said)) and _has_blank_reasoning(body),
        _fill_reasoning,
    ),
    Adaptation(
        "no_reasoning",
        lambda body, said, param: (
            any(REASONING in message for message in of_role(body, "assistant"))
            and _names_reasoning(f"{said} {param or ''}")
            and not _WANTS_BACK.search(said)
        ),
        _drop_reasoning,
    ),
    Adaptation(
        "no_thought_signatures",
        lambda body, said, param: "thought_signature" in said and bool(unsigned_calls(body)),
        sign_calls,
    ),
    Adaptation(
        "no_cache_control",
        lambda body, said, param: "cache_control" in f"{said} {param or ''}" and bool(marked(body)),
        unmark,
    ),
    _without_member(BLOCKS),
    _without_member(ITEMS),
    _without_member(DETAILS),
    _without_member(OF_CALL),
    LateForms("vendors", _of_vendors),
    Adaptation(
        "system_first",
        lambda body, said, param: bool(_NO_LATE_SYSTEM.search(said)) and bool(late_system_messages(body)),
        as_user,
    ),
    Adaptation(
        "system_role",
        lambda body, said, param: bool(of_role(body, "developer")) and bool(_NO_DEVELOPER.search(said)),
        as_system,
    ),
    Adaptation(
        "user_role",
        lambda body, said, param: (
            bool(_NO_SYSTEM.search(said)) and not _NOT_ALWAYS.search(said) and bool(of_role(body, *SYSTEM))
        ),
        system_as_user,
    ),
    Adaptation(
        "developer",
        lambda body, said, param: bool(_NO_LATE_SYSTEM.search(said)) and bool(of_role(body, "system", member="input")),
        as_developer,
    ),
    Adaptation(
        "alternating_roles",
        lambda body, said, param: "alternat" in said.lower() and repeats_role(body),
        alternate,
    ),
    Adaptation(
        "text_content",
        lambda body, said, param: "content" in said and bool(_TEXT_ALONE.search(said)) and bool(text_lists(body)),
        as_text,
    ),
    Adaptation(
        "no_null_content",
        lambda body, said, param: (
            "content" in said and bool(_NO_NULL.search(said) or _TEXT_ALONE.search(said)) and bool(without_content(body))
        ),
        fill_content,
    ),
    Adaptation(
        "no_strict",
        lambda body, said, param: "strict" in said and bool(_UNKNOWN_FIELD.search(said)) and bool(_strict_functions(body)),
        _drop_strict,
    ),
    LateForms("needless", _needless),
    FlatSchemas(),
    WithoutKeyword(),
    Adaptation(
        "no_stream",
        lambda body, said, param: body.get("stream") is True and (param == "stream" or bool(_NO_STREAM.search(said))),
        _ask_whole,
    ),
    Adaptation(
        "stream_alone",
        lambda body, said, param: not body.get("stream") and (param == "stream" or bool(_STREAM_ALONE.search(said))),
        _ask_streamed,
    ),
)


class _Streamed(msgspec.Struct):
    stream: bool = False


def is_streamed(body: bytes) -> bool:
    """Return whether a request asks for a stream."""
    return msgspec.json.decode(body, type=_Streamed).stream


def other_form(body: bytes, error: StatusError, rows: tuple[Form, ...] = ADAPTATIONS) -> tuple[str, bytes] | None:
    """Return the name and the body of the form that *error*, the answer to *body*, asks for; None where it asks for none of
    *rows*.

    Example::

        refusal = StatusError("Use 'max_completion_tokens' instead.", status=400)
        form = other_form(b'{"model":"m","max_tokens":5}', refusal)
        assert form == ("max_completion_tokens", b'{"model":"m","max_completion_tokens":5}')
    """
    said = f"{error.problem} {error.body}"
    if error.status not in _REFUSALS and not (error.status == 500 and _TEMPLATE.search(said)):
        return None
    document = msgspec.json.decode(body)
    for row in rows:
        if (form := row.asked(document, said, error.param)) is not None:
            form.apply(document)
            return form.name, msgspec.json.encode(document)
    return None
