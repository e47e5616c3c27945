"""Images on the real engine, with eyes of random weights; and what is checked of an image before the engine gets it.

What such eyes see means nothing. That an image reaches the model, and changes its answer, is what can be shown here.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autonomousai.config import Config, EngineConfig, LlamaCppConfig, ModelConfig
from autonomousai.engine.images import MAX_IMAGES, image_part, size_of_image
from autonomousai.engine.library import find_projector
from autonomousai.engine.memory import memory_needed
from autonomousai.engine.model_file import read_model_file
from autonomousai.engine.provider import LlamaCpp
from autonomousai.engine.request import engine_messages, is_exact, size_of
from autonomousai.engine.weights import pull
from autonomousai.errors import ConfigError, StatusError
from autonomousai.models import DEFAULT_WEIGHTS
from autonomousai.request import ChatRequest
from autonomousai.server import create_app
from autonomousai.server.upstreams import make_gateway
from tests.support.images import data_url, png, png_head
from tests.support.sockets import ask as ask_server
from tests.support.sockets import listening, request
from tests.support.tiny_clip import TOKENS, write_projector

RED, BLUE = png((255, 0, 0)), png((0, 0, 255))
QUESTION = {"type": "text", "text": "What is this?"}


def shown(*images: bytes, text: str = "What is this?") -> list[dict[str, Any]]:
    parts = [{"type": "image_url", "image_url": {"url": data_url(image)}} for image in images]
    return [{"role": "user", "content": [{"type": "text", "text": text}, *parts]}]


# ---- what is checked

JPEG = b"\xff\xd8\xff\xe0\0\x04ab\xff\xff\xc2\0\x0b\x08" + struct.pack(">HH", 30, 40) + bytes(6)
SIZES = [
    (RED, (40, 30)),
    (png_head(70000, 3), (70000, 3)),
    (b"GIF87a" + struct.pack("<HH", 40, 30), (40, 30)),
    (b"GIF89a" + struct.pack("<HH", 0, 30), (0, 30)),
    (b"BM" + bytes(12) + struct.pack("<Iii", 40, 40, -30), (40, 30)),
    (b"BM" + bytes(12) + struct.pack("<IHH", 12, 40, 30), (40, 30)),
    (JPEG, (40, 30)),
    (JPEG[:12], None),
    (b"\xff\xd8\xff\xda\0\x08" + JPEG, None),  # a scan before any frame
    (b"RIFF\x24\0\0\0WEBPVP8 ", None),
    (RED[:20], None),
    (b"BM", None),
    (b"%PDF-1.7", None),
    (b"", None),
]


@pytest.mark.parametrize(("data", "size"), SIZES)
def test_the_head_of_an_image_says_its_size(data: bytes, size: tuple[int, int] | None) -> None:
    assert size == size_of_image(data)


@given(st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"\xff\xd8\xff"]), st.binary(max_size=80))
def test_no_bytes_are_an_error_of_ours(head: bytes, rest: bytes) -> None:
    size = size_of_image(head + rest)

    assert size is None or all(side >= 0 for side in size)


@pytest.mark.parametrize(
    "url",
    [data_url(RED), data_url(RED, "image/PNG;name=a"), data_url(RED, ""), data_url(RED).replace(",", ",\n ", 1)],
)
def test_an_image_in_the_request_is_taken(url: str) -> None:
    """However its address is written."""
    part = image_part("p", {"url": url, "detail": "high"}, [])

    assert {"type": "image_url", "image_url": {"url": data_url(RED, "image/*")}} == part
    assert image_part("p", url, []) == part


REFUSED = [
    ("https://example.org/cat.png", "fetches nothing"),
    ("http://169.254.169.254/latest/meta-data", "fetches nothing"),
    ("file:///etc/passwd", "fetches nothing"),
    ("/etc/passwd", "no image's data"),
    ("data:image/png,abc", "no image's data"),
    ("data:image/png;base64,a$b=", "not base64"),
    ("data:image/png;base64,abc", "not base64"),
    (data_url(b"#!/bin/sh\n"), "no image that can be read; the embedded engine takes PNG, JPEG, GIF and BMP"),
    (data_url(b"RIFF\x24\0\0\0AVI LIST"), "no image that can be read"),
    (data_url(b"RIFF\x24\0\0\0WEBPVP8 "), "is a WebP image; the embedded engine takes PNG"),
    (data_url(png_head(65000, 65000)), "65000 × 65000 pixels"),
    (data_url(png_head(0, 5)), "0 × 5 pixels"),
]


@pytest.mark.parametrize(("url", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_what_is_no_image_for_the_engine_is_refused(url: str, said: str) -> None:
    with pytest.raises(StatusError, match=said) as caught:
        engine_messages([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}], None, sees=True)

    assert (400, "messages[0].content[0].image_url", "invalid_image") == (
        caught.value.status,
        caught.value.param,
        caught.value.code,
    )


def test_only_users_show_images() -> None:
    part = {"type": "image_url", "image_url": {"url": data_url(RED)}}
    with pytest.raises(StatusError, match="cannot see images in such a message") as caught:
        engine_messages([{"role": "system", "content": [part]}, {"role": "user", "content": "Hi"}], None, sees=True)

    assert "messages[0].content[0]" == caught.value.param


def test_images_are_bounded_in_number() -> None:
    engine_messages(shown(*[png_head(1, 1)] * MAX_IMAGES), None, sees=True)
    with pytest.raises(StatusError, match="one image too many"):
        engine_messages(shown(*[png_head(1, 1)] * (MAX_IMAGES + 1)), None, sees=True)


def test_images_are_bounded_in_pixels_together() -> None:
    """All of them are decoded for one request."""
    large = png_head(6000, 6000)
    engine_messages(shown(large), None, sees=True)
    with pytest.raises(StatusError, match="in all, so send smaller ones") as caught:
        engine_messages([*shown(large), {"role": "assistant", "content": "So."}, *shown(large)], None, sees=True)

    assert "messages[2].content[1].image_url" == caught.value.param


def test_an_image_is_no_text_of_the_prompt() -> None:
    """It has no part in the size by which a prompt that cannot fit is refused; and is not seen again for each repetition."""
    told = engine_messages(shown(RED), None, sees=True)

    assert len("What is this?") == size_of(told)
    assert not is_exact(shown(RED), {})
    assert is_exact(shown(RED), {"seed": 1})


# ---- where the eyes are


@pytest.fixture
def seeing(tmp_path: Path) -> Path:
    """The small weights, with eyes beside them."""
    (weights := tmp_path / "small.gguf").symlink_to(pull(DEFAULT_WEIGHTS))
    write_projector(tmp_path / "mmproj-small-f16.gguf", width=576)
    return weights


def test_the_file_beside_the_weights_is_found(seeing: Path, tmp_path: Path) -> None:
    beside = tmp_path / "mmproj-small-f16.gguf"

    assert beside == find_projector(str(seeing))
    assert find_projector(str(seeing), "none") is None
    assert beside == find_projector(DEFAULT_WEIGHTS, str(beside))
    assert find_projector(DEFAULT_WEIGHTS) is None
    with pytest.raises(ConfigError, match="is no projector"):
        find_projector(str(seeing), str(seeing))
    with pytest.raises(ConfigError, match="cannot be read"):
        find_projector(str(seeing), str(tmp_path / "none.gguf"))


def test_a_wrong_path_names_its_key(tmp_path: Path) -> None:
    """With what is wrong there, and what may stand there."""
    config = Config(upstreams={"eyes": LlamaCppConfig(mmproj=str(tmp_path / "none.gguf"))})
    with pytest.raises(ConfigError, match=r"none\.gguf cannot be read .*; give the path of a projector") as caught:
        make_gateway(config)

    assert "upstreams.eyes.mmproj" == caught.value.key


def test_eyes_take_memory(seeing: Path) -> None:
    model = read_model_file(seeing)
    blind = memory_needed(read_model_file(pull(DEFAULT_WEIGHTS)), slots=1, context=512)

    assert model.projector is not None
    assert blind + model.projector.stat().st_size < memory_needed(model, slots=1, context=512)


# ---- on the engine


@pytest.fixture
async def engine(seeing: Path) -> AsyncIterator[LlamaCpp]:
    async with LlamaCpp(str(seeing), slots=2, context=1024) as engine:
        yield engine


async def ask(engine: LlamaCpp, messages: list[dict[str, Any]], **fields: Any) -> tuple[str, int, int]:
    """The answer, the tokens of its prompt, and those that were not read again."""
    fields = {"max_tokens": 12, "temperature": 0, "seed": 1, **fields}
    result = engine.create_async_generator("llama", messages, stream=True, **fields)
    text = await result.text()
    usage = result.usage
    assert usage is not None
    return text, usage.prompt_tokens or 0, usage.cached_tokens or 0


async def test_an_image_reaches_the_model(engine: LlamaCpp) -> None:
    blind, length, _ = await ask(engine, [{"role": "user", "content": "What is this?"}])
    red, with_image, _ = await ask(engine, shown(RED))
    blue, _, _ = await ask(engine, shown(BLUE))
    again, _, _ = await ask(engine, shown(RED))

    assert engine.capabilities.vision
    assert with_image >= length + TOKENS
    assert len({blind, red, blue}) == 3
    assert red == again


async def test_a_second_question_does_not_look_again(engine: LlamaCpp) -> None:
    first, read, _ = await ask(engine, shown(RED), seed=None)
    turn = [*shown(RED), {"role": "assistant", "content": first}, {"role": "user", "content": "And why?"}]
    _, _, cached = await ask(engine, turn, seed=None)

    assert read - 2 <= cached


async def test_an_answer_about_an_image_continues(engine: LlamaCpp) -> None:
    """As a rescue asks for it."""
    whole, _, _ = await ask(engine, shown(RED), max_tokens=8)
    request = ChatRequest("llama", shown(RED), stream=True, fields={"max_tokens": 4, "temperature": 0, "seed": 1})
    rest = "".join(
        [event async for batch in engine.stream_continuation(request, whole) for event in batch if type(event) is str]
    )

    assert rest
    assert not rest.startswith(whole)


async def test_tokens_are_counted_with_the_image(engine: LlamaCpp) -> None:
    _, length, _ = await ask(engine, shown(RED))

    assert length == await engine.count_tokens(ChatRequest("llama", shown(RED)))


async def test_a_damaged_image_is_refused_and_the_next_is_seen(engine: LlamaCpp) -> None:
    damaged = png_head(40, 30) + RED[60:]
    with pytest.raises(StatusError, match="damaged") as caught:
        await ask(engine, shown(damaged))

    assert (400, "invalid_image") == (caught.value.status, caught.value.code)
    assert (await ask(engine, shown(RED)))[0]


async def test_a_marker_in_the_text_is_text(engine: LlamaCpp) -> None:
    """llama.cpp puts one where an image stands; a caller who writes one has none put there."""
    plain, _, _ = await ask(engine, shown(RED, text="What is <__media__> here?"))
    blind, _, _ = await ask(engine, [{"role": "user", "content": "What is <__media__> here?"}])

    assert plain
    assert blind


# ---- served


async def test_every_api_takes_images(seeing: Path) -> None:
    """With the weights in a folder, by the name of their file; and with "none", or with other weights, they are refused."""
    (blind := seeing.with_name("blind.gguf")).symlink_to(pull(DEFAULT_WEIGHTS))
    config = Config(
        engine=EngineConfig(models_dir=str(seeing.parent)),
        upstreams={"blind": LlamaCppConfig(weights=str(blind), mmproj="none")},
        models={"blind": ModelConfig(route=("blind",))},
    )
    url = data_url(RED)
    source = {"type": "base64", "media_type": "image/png", "data": url.partition(",")[2]}
    chat = {"messages": shown(RED), "max_tokens": 3}
    messages = [{"role": "user", "content": [QUESTION, {"type": "image", "source": source}]}]
    items = [{"role": "user", "content": [{"type": "input_image", "image_url": url}, {"type": "input_text", "text": "?"}]}]
    async with listening(create_app(config)) as place:
        port = place.port
        listed = {each["id"]: each for each in (await ask_server(port, request("GET", "/v1/models"))).json()["data"]}
        answers = [
            await ask_server(port, request("POST", path, {"model": "small", **body}))
            for path, body in (
                ("/v1/chat/completions", chat),
                ("/v1/messages", {"max_tokens": 3, "messages": messages}),
                ("/v1/responses", {"max_output_tokens": 16, "input": items}),
            )
        ]
        refused = await ask_server(port, request("POST", "/v1/chat/completions", {"model": "blind", **chat}))

    assert (True, False) == (listed["small"]["vision"], listed["blind"]["vision"])
    assert [200, 200, 200] == [answer.status for answer in answers]
    assert (400, "images_not_supported") == (refused.status, refused.json()["error"]["code"])
