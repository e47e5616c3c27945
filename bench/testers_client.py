"""One client of language models, driven by lines of JSON: what its caller has of one streamed answer.
``python testers_client.py NAME``.

It is run in environments of others, so it imports nothing of this package but for the client ``ours``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

MESSAGES = [{"role": "user", "content": "Hello"}]
#: Seconds that a client waits for the next byte.
PATIENCE = 5


def openai_texts(url: str) -> Iterator[str]:
    """openai-python as its documentation shows it."""
    import openai  # noqa: PLC0415  each environment has one of them

    client = openai.OpenAI(base_url=url, api_key="none", timeout=PATIENCE)
    for chunk in client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True):
        if chunk.choices:
            yield chunk.choices[0].delta.content or ""


def litellm_texts(url: str) -> Iterator[str]:
    """LiteLLM's SDK as its documentation shows it."""
    import litellm  # noqa: PLC0415  see above

    litellm.suppress_debug_info = True
    answer = litellm.completion(
        model="openai/gpt-4o", api_base=url, api_key="none", messages=MESSAGES, stream=True, timeout=PATIENCE, num_retries=2
    )
    for chunk in answer:
        yield chunk.choices[0].delta.content or ""


def our_texts(url: str) -> Iterator[str]:
    """This package's client, with retries as openai-python has them."""
    from autonomousai import Clocks, OpenAICompatible  # noqa: PLC0415  see above

    provider = OpenAICompatible(url, timeout=Clocks(first_token=PATIENCE, first_token_last=PATIENCE, idle=PATIENCE), retries=2)
    yield from provider.create_completion("gpt-4o", MESSAGES, stream=True).texts()


CLIENTS = {"openai-python": openai_texts, "LiteLLM": litellm_texts, "autonomousai": our_texts}


def answer(client: str, url: str, *, leave: bool) -> dict[str, str | None]:
    """The text and the error of one answer. ``leave``: a loop that is broken out of at the first text, and nothing more."""
    text, error = "", None
    try:
        for part in CLIENTS[client](url):
            text += part
            if leave and text:
                break
    except Exception as failure:
        error = f"{type(failure).__name__}"
    return {"text": text, "error": error}


def main() -> None:
    """Answer a line of JSON for each line of JSON, on what was standard output; what the client prints is not among them."""
    told, sys.stdout = sys.stdout, sys.stderr
    __import__({"openai-python": "openai", "LiteLLM": "litellm"}.get(sys.argv[1], "autonomousai"))  # which takes its time
    print("ready", file=told, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(answer(sys.argv[1], order["url"], leave=order["leave"])), file=told, flush=True)


if __name__ == "__main__":
    main()
