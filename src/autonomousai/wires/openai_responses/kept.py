"""Responses that are kept: what is said of one that has not ended, its input as a list, and what a later one continues from
(OpenAI API reference, "Responses": get, cancel, delete, list input items; ``previous_response_id``). Does no I/O.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from ...errors import StatusError
from ...events import Batch, FinishReason
from ...late import late_pattern
from ..base import AnswerHead
from ..shapes import refusal
from .answer import encode_response
from .output import output_for, with_log_probs
from .response import response_of

Item = dict[str, Any]
Document = dict[str, Any]

#: What the ids of items of each type begin with; other types have their own first letters.
_PREFIXES: Final = {"message": "msg", "function_call": "fc", "custom_tool_call": "ctc", "reasoning": "rs"}

#: Items of an answer whose ids only this server knows: a later request names none, or an upstream would look for them.
_OWN_IDS: Final = frozenset({"message", "function_call", "custom_tool_call"})

#: The id of an item here: what names its response, and whether it is of the input.
_ITEM_ID: Final = late_pattern(r"[^_]+_([0-9a-f]{32})_(?:in_)?\d{1,9}", re.ASCII)

#: Statuses of a response that another one may continue from.
_CONTINUED: Final = ("completed", "incomplete")

#: Items in a page of a list.
_PAGE: Final = 20
_LARGEST_PAGE: Final = 100


def kept_response(
    events: Batch, head: AnswerHead, *, status: str, failure: Document, extension: dict[str, Any] | None = None
) -> Document:
    """Return the response that *events* are, as far as they have come. *status*, and the members that tell a *failure*: where
    they do not end in a `FinishReason`."""
    if events and type(events[-1]) is FinishReason:
        whole: Document = msgspec.json.decode(encode_response(events, head, extension=extension))
        return whole
    output = output_for(head)
    for event, log_probs in with_log_probs(events):
        output.add(event, log_probs)
    return response_of(head, status=status, output=output.documents(), **failure)


# ---- the input


def input_list(value: Any) -> list[Item]:
    """Return an ``input``, text or items, as items."""
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": value}]}]
    return list(value or ())


def input_page(
    value: Any, stem: str, *, order: str | None = None, limit: str | None = None, after: str | None = None
) -> Document:
    """Return a page of the items of an ``input``, each with an id; *stem*: what the response is named by. Raises `StatusError`
    400 that names the parameter."""
    items = [_listed(item, stem, index) for index, item in enumerate(input_list(value))]
    if order not in (None, "asc", "desc"):
        raise refusal("order", "must be asc or desc")
    if order != "asc":
        items.reverse()
    if limit is not None and not (limit.isascii() and limit.isdigit() and len(limit) < 4 and 1 <= int(limit) <= _LARGEST_PAGE):
        raise refusal("limit", f"must be a whole number from 1 to {_LARGEST_PAGE}")
    if after is not None:
        place = next((index for index, item in enumerate(items) if item["id"] == after), None)
        if place is None:
            raise refusal("after", "must be the id of an item of this list")
        items = items[place + 1 :]
    page = items[: _PAGE if limit is None else int(limit)]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(page) < len(items),
    }


def _listed(item: Item, stem: str, index: int) -> Item:
    """Return an item as lists have it: with a type, an id and a status, and a message's text as a part."""
    kind = _type_of(item)
    prefix = _PREFIXES.get(kind) or "".join(word[0] for word in kind.split("_") if word) or "item"
    listed = {"id": f"{prefix}_{stem}_in_{index}", **{k: v for k, v in item.items() if v is not None}, "type": kind}
    if kind != "reasoning":
        listed.setdefault("status", "completed")
    if kind == "message" and isinstance(text := listed.get("content"), str):
        said = listed.get("role") == "assistant"
        more: Item = {"annotations": [], "logprobs": []} if said else {}
        listed["content"] = [{"type": "output_text" if said else "input_text", "text": text, **more}]
    return listed


def _type_of(item: Item) -> str:
    return item.get("type") or ("message" if item.get("role") is not None else "item_reference")


# ---- to be continued from


def answered_turn(own: Any, response: Document) -> list[Item]:
    """Return the turn that a request which continues from *response* has before its own input: the *own* input of the request
    that was answered, and the answer. Raises `StatusError` 400 where the response is not whole."""
    if response["status"] not in _CONTINUED:
        raise refusal(
            "previous_response_id", f"the response is {response['status']}, and only one that has ended can be continued from"
        )
    return [*input_list(own), *_answered(response["output"])]


def _answered(output: list[Item]) -> list[Item]:
    """Return items of an answer as a later request has them."""
    return [
        {name: value for name, value in item.items() if name != "id"} if item.get("type") in _OWN_IDS else item
        for item in output
    ]


# ---- references to items


def references(value: Any) -> dict[str, str]:
    """Return the ids that an ``input`` refers to and that this server gave, each with what names its response.

    Other ids are the upstream's to know.
    """
    items = value if isinstance(value, list) else ()
    ids = [item.get("id") for item in items if _type_of(item) == "item_reference"]
    return {each: match[1] for each in ids if isinstance(each, str) and (match := _ITEM_ID.fullmatch(each))}


def items_by_id(before: Any, response: Document, stem: str) -> dict[str, list[Item]]:
    """Return what stands for a reference to each item of a kept response: of its input, which was *before*, and of what it
    answered. *stem*: what the response is named by."""
    given = {str(_listed(item, stem, index)["id"]): [item] for index, item in enumerate(input_list(before))}
    said = {str(item.get("id")): _answered([item]) for item in response["output"] if item.get("status") != "in_progress"}
    return given | said


def with_items(value: list[Item], ids: dict[str, str], known: dict[str, list[Item]]) -> list[Item]:
    """Return an input with the items that it refers to by these *ids*. Raises `StatusError` 404 for one that is not known."""
    items: list[Item] = []
    for item in value:
        name = item["id"] if _type_of(item) == "item_reference" else None
        if name not in ids:
            items.append(item)
        elif name in known:
            items += known[name]
        else:
            raise StatusError(
                f"Item with id {name!r} not found.", status=404, type="invalid_request_error", param="input", code=None
            )
    return items


def response_not_found(id: str) -> StatusError:
    """Return the error for a response that is not kept, not any more, or belongs to another key."""
    return StatusError(
        f"Response with id {id[:100]!r} not found.", status=404, type="invalid_request_error", param="id", code="not_found"
    )


def previous_response_not_found(id: str) -> StatusError:
    """Return the error for a request that continues from a response which is not found."""
    return StatusError(
        f"Previous response with id {id[:100]!r} not found.",
        status=404,
        type="invalid_request_error",
        param="previous_response_id",
        code="previous_response_not_found",
    )


def not_in_background() -> StatusError:
    """Return the error for a response that cannot be cancelled."""
    return refusal("id", "the response was not asked for with background = true; only such a one can be cancelled")
