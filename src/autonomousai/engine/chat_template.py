"""What a chat template of weights knows, as far as it can be read off it. Imports nothing of the package, as the child does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

#: How a template writes calls, see `SYNTAXES`; nothing where it knows none, or writes them in a way unknown here.
ToolStyle = Literal["hermes", "llama3", ""]


class CallSyntax(NamedTuple):
    """How a chat template writes a call: between two tags, or bare; and what it calls the arguments."""

    opening: str
    closing: str
    key: str


#: By the name of a style, see `tool_style`. The last is for templates that know no tools.
SYNTAXES: Final[Mapping[str, CallSyntax]] = {
    "hermes": CallSyntax("<tool_call>", "</tool_call>", "arguments"),
    "llama3": CallSyntax("", "", "parameters"),
    "": CallSyntax("<tool_call>", "</tool_call>", "arguments"),
}

#: What a bare call is begun with: models that forget the tags write JSON, some in a fence. The names come in between.
HEAD: Final = (r'\s*(?:```(?:json)?\s*)?\{\s*"name"\s*:\s*"', r'"\s*,\s*"(?:arguments|parameters)"\s*:\s*')


#: Who writes the tag that opens a model's thoughts: the template always, or unless thinking is off; the model, with its tags;
#: nothing where there are none.
ThoughtStyle = Literal["always", "default", "tags", ""]

#: Who opens the thoughts of one answer: the template, or the model if any; or there are none.
Thoughts = Literal["opened", "tags", ""]

#: An opening tag that is not closed at once, as it is where there shall be no thoughts.
_OPENED: Final = re.compile(r"<think>(?!(?:\\n|\s)*</think>)")


def thought_style(template: str) -> ThoughtStyle:
    """Return how thoughts are begun by *template*.

    Example::

        assert "always" == thought_style("… {% if add_generation_prompt %}<think>{% endif %}")
    """
    if "<think>" not in template:
        return ""
    if _OPENED.search(template.rpartition("add_generation_prompt")[2]):
        return "default" if "enable_thinking" in template else "always"
    return "tags"


def tool_style(template: str, abilities: Mapping[str, Any]) -> ToolStyle:
    """Return how calls are written by *template*, which has these *abilities* (llama.cpp's ``chat_template_caps``).

    Example::

        assert "hermes" == tool_style("… <tool_call> … arguments …", {"supports_tools": True})
        assert "" == tool_style("… <tool_call> … arguments …", {})
    """
    if not abilities.get("supports_tools"):
        return ""
    if "<tool_call>" in template and "arguments" in template and "<function=" not in template:
        return "hermes"
    if "parameters" in template and ("<|python_tag|>" in template or "ipython" in template):
        return "llama3"
    return ""
