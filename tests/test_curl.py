"""The documentation's requests with curl: each is answered as it stands, but for the server's address."""

from __future__ import annotations

import json
import re
import shlex
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.serving import serving
from tests.support.thread import served
from tests.test_docs import ADDRESS, blocks, name_of

#: Every one is a block of its own.
REQUESTS = {f"{name_of(path)}:{line}": text for path, line, text in blocks("bash") if text.startswith("curl ")}

#: The endpoints that must have one; Python examples show the others.
PATHS = {"/v1/messages", "/v1/responses", "/v1/completions", "/v1/embeddings"}


def request_of(command: str) -> urllib.request.Request:
    """The request that curl makes of its options: of those that are used here, and no others."""
    words = iter(shlex.split(command.replace("\\\n", " "))[1:])
    url, data, headers = "", None, {"Content-Type": "application/x-www-form-urlencoded"}
    for word in words:
        if word == "-H":
            name, _, value = next(words).partition(": ")
            headers = {each: kept for each, kept in headers.items() if each.lower() != name.lower()} | {name: value}
        elif word == "-d":
            data = next(words).encode()
        elif word not in ("-N", "-s"):
            assert not word.startswith("-"), f"nobody checks {word}"
            url = word
    return urllib.request.Request(url, data, headers)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The root URL of `autonomousai serve` on the engine, with a model that makes vectors at an upstream."""
    config = tmp_path_factory.mktemp("curl") / "autonomousai.toml"
    with served() as vectors:
        config.write_text(
            '[upstreams.embedded]\nkind = "llamacpp"\n[upstreams.vectors]\nkind = "openai"\n'
            f'base_url = "{vectors.url}/v1"\n[models.bge-m3]\nroute = ["vectors"]\n'
        )
        with serving("--config", str(Path(config))) as running:
            yield running.url


@pytest.mark.parametrize("where", REQUESTS)
def test_every_request_is_answered(where: str, server: str) -> None:
    """A document says something, and a stream ends as its wire's do."""
    with urllib.request.urlopen(request_of(REQUESTS[where].replace(ADDRESS, server)), timeout=120) as answer:
        body = answer.read().decode()

    assert 200 == answer.status
    if answer.headers.get_content_type() == "text/event-stream":
        assert re.search(r"data: \[DONE\]|event: message_stop|event: response\.completed|\"finishReason\": ?\"STOP\"", body)
    else:
        document = json.loads(body)
        assert document.get("choices") or document.get("content") or document.get("output") or document.get("data")


def test_every_endpoint_of_a_wire_has_one() -> None:
    """Streamed or whole."""
    asked = {re.sub(rf"^{re.escape(ADDRESS)}", "", request_of(text).full_url) for text in REQUESTS.values()}

    assert PATHS <= asked
