"""The recipes: each config is read, and makes the routes that it says; where the upstream can be had here, it is tried."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from autonomousai.config import load_config
from autonomousai.engine.weights import weights_path
from autonomousai.models import DEFAULT_WEIGHTS
from autonomousai.server.upstreams import make_gateway
from tests.support.serving import serving

RECIPES = Path(__file__).parents[2] / "docs" / "recipes"
CONFIGS = {
    path.stem: blocks[0]
    for path in sorted(RECIPES.glob("*.md"))
    if (blocks := re.findall(r"^```toml\n(.*?)^```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL))
}
KEY = "a-key-of-this-test"


def test_there_is_a_recipe_for_each_upstream() -> None:
    """These are promised."""
    assert {"llama-server", "ollama", "ray-serve", "vendor", "vllm"} == CONFIGS.keys()


@pytest.mark.parametrize("name", CONFIGS)
async def test_a_recipe_makes_its_routes(name: str, tmp_path: Path) -> None:
    """It is read as it stands, with the keys that it names in the environment, and without them the key is named."""
    path = tmp_path / "autonomousai.toml"
    path.write_text(CONFIGS[name])
    variables = re.findall(r'"env:(\w+)"', CONFIGS[name])

    config = load_config(path, dict.fromkeys(variables, KEY))

    gateway = make_gateway(config)
    assert gateway.routes["llama"]
    assert name.split("-", maxsplit=1)[0] in gateway.routes["llama"][0].name
    await gateway.aclose()
    for variable in variables:
        with pytest.raises(Exception, match=variable):
            load_config(path, {})


LLAMA_SERVER = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.port, params.api_keys = sys.argv[1], 0, [sys.argv[2]]
params.model_alias, params.n_ctx, params.verbosity = {"my-model"}, 4096, -1
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def llama_server() -> Iterator[str]:
    """The root URL of llama.cpp's own server, on a TCP port, with a key."""
    command = [sys.executable, "-c", LLAMA_SERVER, str(weights_path(DEFAULT_WEIGHTS)), KEY]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def test_llama_server_answers_through_the_recipe(llama_server: str, tmp_path: Path) -> None:
    """Whole and streamed, under the name that it has there, with fields that only it knows."""
    config = tmp_path / "autonomousai.toml"
    config.write_text(CONFIGS["llama-server"].replace("http://127.0.0.1:8080", llama_server))

    with serving("--config", str(config), env={"LLAMA_SERVER_KEY": KEY}) as running:
        with openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0) as client:

            def ask(*, stream: bool) -> str:
                answer = client.chat.completions.create(
                    model="llama",
                    messages=[{"role": "user", "content": "Name three colours."}],
                    max_tokens=30,
                    temperature=0,
                    stream=stream,
                    extra_body={"min_p": 0.1, "cache_prompt": False},
                )
                if not isinstance(answer, openai.Stream):
                    assert "my-model" == answer.model
                    return answer.choices[0].message.content or ""
                with answer:
                    return "".join(chunk.choices[0].delta.content or "" for chunk in answer if chunk.choices)

            whole, streamed = ask(stream=False), ask(stream=True)

    assert whole
    assert whole == streamed
