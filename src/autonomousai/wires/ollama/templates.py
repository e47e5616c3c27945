"""The ``template`` of ``/api/generate``: a prompt written by the caller's own template, in the words of Go's text/template that
Ollama's templates are made of (Ollama, "Template"). Knows the texts of one prompt, and no loops over messages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from ..shapes import refusal

#: What stands in double braces; a hyphen takes the white space on its side along.
_ACTION: Final = re.compile(r"(?:(\s+)(?=\{\{-))?\{\{-?\s*(.*?)\s*(?:-\}\}\s*|\}\})", re.DOTALL)
_VARIABLE: Final = re.compile(r"(if\s+)?\.(System|Prompt|Suffix|Response|First)")


def fill_template(template: str, texts: Mapping[str, str]) -> str:
    """Return the prompt that *template* makes of *texts* (``System``, ``Prompt``), up to where the answer stands in it. Raises
    `StatusError` 400 for one with other actions than a text, ``if``, ``else`` and ``end``.

    Example::

        assert fill_template("{{ if .System }}{{ .System }}\\n{{ end }}{{ .Prompt }}", {"Prompt": "Hi"}) == "Hi"
    """
    said: list[str] = []
    open_ifs: list[bool] = []  # whether what stands in each is said
    place = 0
    for action in _ACTION.finditer(template):
        said += [template[place : action.start()]] if all(open_ifs) else []
        place = action.end()
        words = action[2]
        if words == "end" and open_ifs:
            open_ifs.pop()
        elif words == "else" and open_ifs:
            open_ifs[-1] = not open_ifs[-1]
        elif (named := _VARIABLE.fullmatch(words)) is None:
            raise _unknown(words)
        elif named[1]:
            open_ifs.append(bool(texts.get(named[2])))
        elif named[2] == "Response":
            return "".join(said)
        else:
            said += [texts.get(named[2], "")] if all(open_ifs) else []
    if open_ifs:
        raise _unknown("if without end")
    return "".join([*said, template[place:]])


def _unknown(words: str) -> Exception:
    problem = f"has {words[:50]!r}, which is not known over this API; write the prompt by it, and send it with raw"
    return refusal("template", problem, "unsupported_parameter")
