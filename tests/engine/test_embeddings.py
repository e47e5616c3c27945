"""Weights that make embeddings, and weights that rank: random ones, for the shapes; what they say means nothing."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from autonomousai.config import Config, EngineConfig, LlamaCppConfig, ModelConfig
from autonomousai.engine.provider import LlamaCpp
from autonomousai.errors import StatusError
from autonomousai.server import create_app
from autonomousai.server.engine_upstreams import with_installed
from tests.support.sockets import ask, listening, request
from tests.support.tiny_bert import CONTEXT, WIDTH, write_bert

pytestmark = pytest.mark.asyncio(loop_scope="module")

EMBED, RANK, CHAT = "/v1/embeddings", "/v1/rerank", "/v1/chat/completions"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def port(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[int]:
    """A server with one model that embeds, and one that ranks."""
    folder = tmp_path_factory.mktemp("weights")
    embedder = LlamaCppConfig(weights=str(write_bert(folder / "embedder.gguf")), task="embeddings", slots=2)
    ranker = LlamaCppConfig(weights=str(write_bert(folder / "ranker.gguf", pooling="rank")), task="rerank", slots=1)
    models = {"embedder": ModelConfig(route=("embed",)), "ranker": ModelConfig(route=("rank",))}
    async with listening(create_app(Config(upstreams={"embed": embedder, "rank": ranker}, models=models))) as place:
        yield place.port


async def post(port: int, path: str, **body: Any) -> tuple[int, Any]:
    answer = await ask(port, request("POST", path, body))
    return answer.status, answer.json()


async def test_texts_become_vectors(port: int) -> None:
    """One for each, in their order, of the length of the weights and of the length one; each the same as alone."""
    status, several = await post(port, EMBED, model="embedder", input=["paris", "paris is in france"])
    _, single = await post(port, EMBED, model="embedder", input="paris is in france")

    vectors = [entry["embedding"] for entry in several["data"]]
    assert (200, [0, 1], "embedder") == (status, [entry["index"] for entry in several["data"]], several["model"])
    assert [WIDTH, WIDTH] == [len(vector) for vector in vectors]
    assert all(math.isclose(1, sum(number * number for number in vector), rel_tol=1e-5) for vector in vectors)
    assert vectors[0] != vectors[1] == pytest.approx(single["data"][0]["embedding"], abs=1e-5)
    assert several["usage"]["prompt_tokens"] == 9


async def test_vectors_are_cut_to_the_dimensions_that_are_wanted(port: int) -> None:
    """And have the length one again; over Ollama's API too."""
    _, whole = await post(port, EMBED, model="embedder", input="paris is in france")
    _, short = await post(port, EMBED, model="embedder", input="paris is in france", dimensions=8)
    _, other = await post(port, "/api/embed", model="embedder", input="paris is in france", dimensions=8)

    begun = whole["data"][0]["embedding"][:8]
    length = math.hypot(*begun)
    assert [number / length for number in begun] == pytest.approx(short["data"][0]["embedding"], abs=1e-5)
    assert short["data"][0]["embedding"] == pytest.approx(other["embeddings"][0], abs=1e-5)


@pytest.mark.parametrize("count", [CONTEXT - 3, CONTEXT - 2, CONTEXT - 1, CONTEXT, 3 * CONTEXT])
async def test_a_text_that_is_too_long_is_cut_for_ollamas_clients(port: int, count: int) -> None:
    """To its beginning, unless they want to know of it; others beside it are whole."""
    text = "paris " * count
    status, cut = await post(port, "/api/embed", model="embedder", input=[text, "rome"])
    _, short = await post(port, "/api/embed", model="embedder", input=["rome", "paris " * 9])

    assert (200, 2) == (status, len(cut["embeddings"]))
    assert short["embeddings"][0] == pytest.approx(cut["embeddings"][1], abs=1e-2)
    assert cut["prompt_eval_count"] <= CONTEXT + 3


async def test_a_text_is_not_cut_in_secret(port: int) -> None:
    """Over OpenAI's API, or where that is not wanted, it is refused."""
    body = {"model": "embedder", "input": "paris " * 3 * CONTEXT}

    assert [400, 400] == [
        (await post(port, path, **body, **more))[0] for path, more in ((EMBED, {}), ("/api/embed", {"truncate": False}))
    ]


async def test_documents_are_ranked(port: int) -> None:
    """The best first, only so many, and with their texts where that is wanted."""
    documents = ["rome", {"text": "paris is in france"}, "is a"]
    status, ranking = await post(port, RANK, model="ranker", query="paris", documents=documents)
    _, best = await post(port, RANK, model="ranker", query="paris", documents=documents, top_n=1, return_documents=True)

    scores = [result["relevance_score"] for result in ranking["results"]]
    assert (200, [0, 1, 2]) == (status, sorted(result["index"] for result in ranking["results"]))
    assert sorted(scores, reverse=True) == scores
    (first,) = best["results"]
    texts = ["rome", "paris is in france", "is a"]
    assert (ranking["results"][0]["index"], texts[first["index"]]) == (first["index"], first["document"]["text"])


REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    (EMBED, {"model": "embedder", "input": [1, 2]}, 400, "input"),
    (EMBED, {"model": "embedder", "input": "paris", "dimensions": WIDTH + 1}, 400, "dimensions"),
    (EMBED, {"model": "embedder", "input": "paris", "encoding_format": "int8"}, 400, "encoding_format"),
    (EMBED, {"model": "embedder", "input": ["paris"] * 2049}, 400, "input"),
    (EMBED, {"model": "embedder", "input": "paris " * CONTEXT}, 400, "input"),
    (EMBED, {"model": "ranker", "input": "paris"}, 404, "model"),
    (RANK, {"model": "ranker", "query": "paris", "documents": [{"image": "x"}]}, 400, "documents[0]"),
    (RANK, {"model": "ranker", "query": "paris", "documents": ["paris " * CONTEXT]}, 400, "documents"),
    (RANK, {"model": "embedder", "query": "paris", "documents": ["rome"]}, 404, "model"),
    (CHAT, {"model": "embedder", "messages": [{"role": "user", "content": "Hi"}]}, 400, "model"),
]


@pytest.mark.parametrize(("path", "body", "status", "param"), REFUSED, ids=[f"{case[0]} {case[3]}" for case in REFUSED])
async def test_what_the_weights_cannot_do_is_refused(
    path: str, body: dict[str, Any], status: int, param: str, port: int
) -> None:
    """And the engine is as well afterwards."""
    got, answer = await post(port, path, **body)
    after, _ = await post(port, EMBED, model="embedder", input="paris")

    assert (status, param, 200) == (got, answer["error"]["param"], after)


async def test_a_file_that_names_no_way_embeds_by_the_mean(tmp_path: Path) -> None:
    """As one for chats: llama.cpp refused each text."""
    vectors = []
    for pooling in ("none", "mean"):
        path = write_bert(tmp_path / f"{pooling}.gguf", pooling=pooling)
        async with LlamaCpp(str(path), task="embeddings", slots=1) as engine:
            vectors += (await engine.embed("tiny", ["paris is"])).vectors

    assert vectors[0] == pytest.approx(vectors[1], abs=1e-5)


async def test_python_embeds(tmp_path: Path) -> None:
    """By the provider's own method; weights for chats refuse it before they are loaded."""
    async with LlamaCpp(str(write_bert(tmp_path / "tiny.gguf", pooling="cls")), task="embeddings", slots=1) as engine:
        embeddings = await engine.embed("tiny", ["paris", "rome"])

    assert [WIDTH, WIDTH] == [len(vector) for vector in embeddings.vectors]
    with pytest.raises(StatusError) as caught:
        await LlamaCpp().embed("llama", "paris")
    assert 404 == caught.value.status


async def test_an_engine_that_embeds_plays_no_model() -> None:
    """Beside one that chats, the five stay with that."""
    embedder = LlamaCppConfig(weights="/a.gguf", task="embeddings")
    config = Config(upstreams={"chats": LlamaCppConfig(), "embed": embedder}, models={"e": ModelConfig(route=("embed",))})

    assert {("chats",), ("embed",)} == {row.route for row in config.served().values()}


async def test_a_model_of_a_folder_says_what_it_is_for(tmp_path: Path) -> None:
    """By its file."""
    write_bert(tmp_path / "embedder.gguf")
    write_bert(tmp_path / "ranker.gguf", pooling="rank")

    upstreams = with_installed(Config(engine=EngineConfig(models_dir=str(tmp_path)))).upstreams.values()

    tasks = {Path(each.weights).stem: each.task for each in upstreams if isinstance(each, LlamaCppConfig)}
    assert ("embeddings", "rerank") == (tasks["embedder"], tasks["ranker"])
