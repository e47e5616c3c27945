"""What all tests of wires share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from autonomousai.wires.openai_chat import tool_calls

#: The id of each call that had none.
NEW_ID = "call_new"


@pytest.fixture(autouse=True, scope="session")
def _new_ids() -> Iterator[None]:
    """Ids that are drawn are the same in two decoders that are compared."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tool_calls, "new_call_id", lambda: NEW_ID)
        yield
