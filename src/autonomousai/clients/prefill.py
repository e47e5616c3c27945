"""The probe of a server that does not say whether it continues an answer from its beginning.

A server that continues says six next. One that begins anew, or repeats the beginning, says something else.
"""

from __future__ import annotations

from typing import Final

from ..events import Messages
from ..provider import AsyncGeneratorProvider
from ..request import CallOptions, ChatRequest
from ..result import AsyncResult

#: Seconds for all of the probe.
PROBE_S: Final = 20

_MESSAGES: Final[Messages] = [
    {"role": "user", "content": "Count from one to ten in words, with spaces between them and nothing else."}
]
_BEGINNING: Final = "one two three four five"
_NEXT: Final = "six"


async def continues_when_tried(provider: AsyncGeneratorProvider, model: str) -> bool:
    """Return whether *provider* continues a text whose next word is beyond doubt. Raises `HTTPError` and its kin."""
    request = ChatRequest(model, _MESSAGES, stream=True, fields={"temperature": 0, "max_tokens": 8})
    options = CallOptions(timeout={"total": PROBE_S}, retries=0)
    text = await AsyncResult(provider.stream_continuation(request, _BEGINNING, options)).text()
    return text.strip().lower().startswith(_NEXT)
