"""What the values of a request must look like (Gemini API reference, "Generating content", "Caching": Content, Part)."""

from __future__ import annotations

from typing import Any, Final

from ..message_schemas import ref
from ..shapes import (
    ANYTHING,
    FLAG,
    NAME,
    NUMBER,
    OBJECT,
    TEXT,
    Schema,
    Shape,
    check_type,
    either,
    list_of,
    object_of,
    refusal,
    shown,
    whole,
)

#: The roles of contents, and what each is in chat completions. Without one, the user speaks.
ROLES: Final = {
    "": "user",
    "user": "user",
    "function": "user",
    "model": "assistant",
    "assistant": "assistant",
    "system": "system",
}

#: Modes of calling functions, and the choice that each is in chat completions.
MODES: Final = {"MODE_UNSPECIFIED": "auto", "AUTO": "auto", "ANY": "required", "NONE": "none", "VALIDATED": "auto"}


def _one_of(*values: str) -> Shape:
    def check(param: str, value: Any) -> Any:
        check_type(param, value, str)
        if value not in values:
            raise refusal(param, f"must be one of {', '.join(filter(None, values))}, not {shown(value)}")
        return value

    return Shape(check, {"enum": list(values)})


# ---- contents ---------------------------------------------------------------------------------------------------------

_BLOB: Final = object_of({"mimeType": TEXT, "data": TEXT}, ("data",))
_FILE: Final = object_of({"mimeType": TEXT, "fileUri": NAME}, ("fileUri",))
_MEDIA: Final = object_of({"inlineData": _BLOB, "fileData": _FILE})

_PART: Final = object_of(
    {
        "text": TEXT,
        "thought": FLAG,
        "thoughtSignature": TEXT,
        "inlineData": _BLOB,
        "fileData": _FILE,
        "functionCall": object_of({"id": TEXT, "name": NAME, "args": OBJECT}, ("name",)),
        "functionResponse": object_of({"id": TEXT, "name": TEXT, "response": ANYTHING, "parts": list_of(_MEDIA)}),
        "executableCode": object_of({"code": TEXT, "language": TEXT}),
        "codeExecutionResult": object_of({"output": TEXT, "outcome": TEXT}),
    }
)

_PARTS: Final = either("a list of parts, or a part", {list: list_of(_PART), dict: _PART})

_CONTENT: Final = object_of({"role": _one_of(*ROLES), "parts": _PARTS})
CONTENT: Final = Shape(_CONTENT.check, ref("GeminiContent"))


_TEXT_PART: Final = object_of({"text": TEXT}, ("text",))

#: What is embedded: text alone.
TEXTS: Final = object_of(
    {"parts": either("a list of texts, or a text", {list: list_of(_TEXT_PART), dict: _TEXT_PART})}, ("parts",)
)


def _check_contents(param: str, value: Any) -> Any:
    _CONTENTS.check(param, value)
    if value == []:
        raise refusal(param, 'the list is empty; send a list such as [{"role": "user", "parts": [{"text": "Hello"}]}]')
    return value


_CONTENTS: Final = either("a list of contents, or a content", {list: list_of(_CONTENT), dict: _CONTENT})
CONTENTS: Final = Shape(_check_contents, {"anyOf": [{"type": "array", "items": CONTENT.schema, "minItems": 1}, CONTENT.schema]})

SYSTEM: Final = either("a content, or text", {dict: CONTENT, str: TEXT})

# ---- tools ------------------------------------------------------------------------------------------------------------

_DECLARATION: Final = object_of(
    {"name": NAME, "description": TEXT, "parameters": OBJECT, "parametersJsonSchema": OBJECT}, ("name",)
)
_TOOL: Final = object_of({"functionDeclarations": list_of(_DECLARATION)})
TOOLS: Final = Shape(list_of(_TOOL).check, {"type": "array", "items": ref("GeminiTool")})

TOOL_CONFIG: Final = object_of(
    {"functionCallingConfig": object_of({"mode": _one_of(*MODES), "allowedFunctionNames": list_of(TEXT)})}
)

# ---- the answer -------------------------------------------------------------------------------------------------------

_GENERATION_CONFIG: Final = object_of(
    {
        **dict.fromkeys(("temperature", "topP", "presencePenalty", "frequencyPenalty"), NUMBER),
        **dict.fromkeys(("topK", "maxOutputTokens", "candidateCount", "seed", "logprobs"), whole()),
        "stopSequences": list_of(TEXT),
        "responseLogprobs": FLAG,
        "responseMimeType": TEXT,
        "responseSchema": OBJECT,
        "responseJsonSchema": OBJECT,
        "responseModalities": list_of(TEXT),
        "thinkingConfig": object_of({"includeThoughts": FLAG, "thinkingBudget": whole(), "thinkingLevel": TEXT}),
    }
)
GENERATION_CONFIG: Final = Shape(_GENERATION_CONFIG.check, ref("GeminiGenerationConfig"))

#: What the rows refer to by name.
COMPONENTS: Final[dict[str, Schema]] = {
    "GeminiContent": {
        **_CONTENT.schema,
        "description": "What was said: parts of text, images, sound and files, calls of functions and what they returned.",
    },
    "GeminiTool": {**_TOOL.schema, "description": "Functions that the model may call; or a tool of the vendor's own."},
    "GeminiGenerationConfig": {
        **_GENERATION_CONFIG.schema,
        "description": "How the next token is chosen, how long the answer may be, and how much the model thinks.",
    },
}
