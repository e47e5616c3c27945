"""What Schemathesis cannot make up by itself: messages in base64, the names of models, and the id of a stream that there is.

Loaded by it, in an environment of its own. SERVER and KEY say where the server is.
"""

import base64
import json
import os

import requests
import schemathesis
from hypothesis import strategies as st

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
MESSAGES = TEXTS.map(lambda text: json.dumps([{"role": "user", "content": text}]))


def begin() -> str:
    """Begin a stream that can be resumed."""
    answer = requests.post(
        f"{os.environ['SERVER']}/v1/chat/completions",
        json={"stream": True, "messages": [{"role": "user", "content": "Hello"}]},
        headers={"x-stream-resumable": "1", "authorization": f"Bearer {os.environ['KEY']}"},
        timeout=60,
    )
    return answer.headers["x-stream-id"]


#: A key that the server's config has, and the one of the description's example, which is made and deleted on the way.
NAMES = ["office", "shop"]

schemathesis.openapi.format("base64-messages", (MESSAGES | TEXTS).map(lambda text: base64.b64encode(text.encode()).decode()))
schemathesis.openapi.format("key-name", st.sampled_from(NAMES))
schemathesis.openapi.format("model", st.sampled_from(["llama", "hermes", "summary"]))
# An admin key begins no stream.
schemathesis.openapi.format(
    "stream-id", st.sampled_from([begin() for _ in range(5)] if "admin" not in os.environ["KEY"] else ["x"])
)
