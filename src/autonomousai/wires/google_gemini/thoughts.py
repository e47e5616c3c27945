"""What a model thought (Gemini API reference, "Thinking", "Thought signatures"): a part has its signature in
``thoughtSignature``, in base64, and clients send it back with the part.

What an upstream of another API signed or encrypted travels in the same place, packed; see `sealed_thoughts`.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from typing import Final

from ...sealed_thoughts import is_packed

#: The member of an answer's echo that says that thoughts are shown.
SHOWN: Final = "thoughts"


def signature_of(packed: Iterable[str]) -> str:
    """Return the signature that carries texts which `sealed_thoughts.pack` made.

    Example::

        assert packed_in(signature_of(["aa1.e30="])) == ["aa1.e30="]
    """
    return urlsafe_b64encode(" ".join(packed).encode()).decode()


def packed_in(signature: str) -> list[str]:
    """Return the texts that a signature carries; none where it is the vendor's own."""
    try:
        said = urlsafe_b64decode(signature.replace("+", "-").replace("/", "_") + "=" * (-len(signature) % 4)).decode("ascii")
    except ValueError:
        return []
    texts = said.split(" ")
    return texts if all(map(is_packed, texts)) else []
