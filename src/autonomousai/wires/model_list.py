"""A server's list of models, whatever shape it has: OpenAI's object, a bare array, ``models`` in place of ``data``. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ..errors import StreamError
from .json import decode

#: What the list is called in its document, and a model in its entry; the first that is there counts.
_LISTS: Final = ("data", "models")
_NAMES: Final = ("id", "name", "model")


class ModelEntry(msgspec.Struct, frozen=True):
    """A model as a server lists it. ``fields``: all that is said of it."""

    id: str
    aliases: list[str] = []
    owned_by: str = ""
    fields: Mapping[str, Any] = {}


def read_model_list(body: bytes) -> list[ModelEntry]:
    """Return the models that *body* lists, each once, in its order. An entry without a name is left out.

    Raises `StreamError` where it is no list of models.
    """
    try:
        document = decode(body)
    except (ValueError, RecursionError) as error:
        raise StreamError(f"the server's list of models cannot be read: {error}", status=200) from None
    entries = document
    if isinstance(document, dict):
        found = [document[key] for key in _LISTS if key in document]
        entries = next((each for each in found if each is not None), [] if found else None)
    if isinstance(entries, dict):  # by name
        entries = [{"id": name, **(entry if isinstance(entry, dict) else {})} for name, entry in entries.items()]
    if not isinstance(entries, list):
        raise StreamError("the server's list of models cannot be read: it holds no list", status=200)
    models: dict[str, ModelEntry] = {}
    for entry in entries:
        if (model := _read_entry(entry)) is not None:
            models.setdefault(model.id, model)
    return list(models.values())


def _read_entry(entry: Any) -> ModelEntry | None:
    fields = entry if isinstance(entry, dict) else {"id": entry}
    name = next((value for key in _NAMES if isinstance(value := fields.get(key), str) and value.strip()), None)
    if name is None:
        return None
    said = fields.get("aliases")
    aliases = [alias for alias in said if isinstance(alias, str)] if isinstance(said, list) else []
    owner = fields.get("owned_by")
    return ModelEntry(name, aliases, owner if isinstance(owner, str) else "", fields)
