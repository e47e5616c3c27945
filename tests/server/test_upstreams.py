"""From the config to the providers: which kinds there are, who answers for which model, and the coder that was fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from autonomousai.clients import openai
from autonomousai.clients.autonomousai import AutonomousAI
from autonomousai.clients.openai import OpenAICompatible
from autonomousai.config import (
    AutonomousAIConfig,
    Clocks,
    Config,
    EngineConfig,
    LlamaCppConfig,
    ModelConfig,
    OpenAIConfig,
    RescueConfig,
    RetryConfig,
    Secret,
)
from autonomousai.engine import library
from autonomousai.engine.provider import LlamaCpp
from autonomousai.errors import ConfigError
from autonomousai.server import engine_upstreams
from autonomousai.server.upstreams import make_gateway
from tests.support.gguf import write_gguf

FAR = OpenAIConfig(base_url="http://far/v1", api_key=Secret("sk-1"), vision=True, context=5000)


@pytest.fixture(autouse=True)
def fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Which weights are on this machine: none, unless a test adds some."""
    weights: set[str] = set()
    monkeypatch.setenv("AUTONOMOUSAI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(engine_upstreams, "present", weights.__contains__)
    return weights


def routes(config: Config) -> dict[str, list[str]]:
    return {model: [upstream.name for upstream in route] for model, route in make_gateway(config).routes.items()}


def test_each_kind_of_upstream_becomes_its_provider():
    """Three kinds, three providers; what they can see and how much they hold is known."""
    config = Config(upstreams={"a": LlamaCppConfig(context=2048), "b": FAR, "c": AutonomousAIConfig(base_url="http://c")})

    made = make_gateway(config).upstreams

    expected = {"a": (LlamaCpp, 2048), "b": (OpenAICompatible, 5000), "c": (AutonomousAI, None)}
    assert expected == {name: (type(upstream.provider), upstream.context) for name, upstream in made.items()}


def test_without_a_config_the_one_engine_answers_for_all():
    """Every model's route is the embedded engine."""
    assert {name: ["embedded"] for name in ("llama", "qwen_coder", "hermes", "vision", "summary")} == routes(Config())


def test_routes_and_aliases_are_the_configs():
    """Other models stand beside the five, under their names and aliases, with their upstreams in order."""
    models = {"org/own": ModelConfig(aliases=("own",), route=("far", "embedded"))}
    config = Config(upstreams={"embedded": LlamaCppConfig(), "far": FAR}, models=models)

    gateway = make_gateway(config)

    assert ["far", "embedded"] == routes(config)["org/own"]
    assert ("org/own", "llama", "llama") == tuple(map(gateway.get_model, ("own", "llama-3.3-70b", "")))


def test_only_a_route_with_eyes_sees():
    """Whether images may be sent is a matter of the model's upstreams."""
    models = {"llama": ModelConfig(route=("embedded", "far"))}
    gateway = make_gateway(Config(upstreams={"embedded": LlamaCppConfig(), "far": FAR}, models=models))

    assert (True, False) == tuple(gateway.capabilities_of(model).vision for model in ("llama", "vision"))


def test_the_default_model_is_the_first_where_llama_is_not_served():
    """A config of one's own models has a default as well."""
    gateway = make_gateway(Config(upstreams={"far": FAR}, models={"own": ModelConfig(route=("far",))}))

    assert (["own"], "own") == (gateway.get_models(), gateway.get_model(""))


def test_settings_reach_the_parts(monkeypatch):
    """Clocks, key, model name and prefill go to the provider; retry and rescue to the gateway."""
    seen = {}

    class Spy(OpenAICompatible):
        def __init__(self, base_url, **options):
            seen.update(options, base_url=base_url)
            super().__init__(base_url, **options)

    monkeypatch.setattr(openai, "OpenAICompatible", Spy)
    clocks = Clocks(idle=3)
    far = OpenAIConfig(base_url="http://far/v1", api_key=Secret("sk-1"), model="big", prefill="no", clocks=clocks)

    gateway = make_gateway(
        Config(
            upstreams={"far": far}, retry=RetryConfig(attempts=7), rescue=RescueConfig(exact_tokens=9), clocks=Clocks(total=5)
        )
    )

    expected = {
        "base_url": "http://far/v1",
        "api_key": "sk-1",
        "model": "big",
        "timeout": clocks,
        "vision": False,
        "context": None,
        "prefill": "no",
        "retries": 0,
        "api": "chat",
        "vendor": None,
        "headers": {},
    }
    assert expected == seen
    assert (7, 9, 5) == (gateway._settings.retry.attempts, gateway._settings.rescue.exact_tokens, gateway._settings.total)


CODER, SMALL_CODER = "qwen2.5-coder-1.5b", "qwen2.5-coder-0.5b"


@pytest.mark.parametrize(("here", "best"), [((CODER,), CODER), ((SMALL_CODER,), SMALL_CODER), ((SMALL_CODER, CODER), CODER)])
async def test_the_coder_answers_once_it_was_fetched(here, best, fetched):
    """Without a config, the best coder weights that were fetched answer as qwen_coder, the small ones behind them; starting
    does not load them."""
    fetched.update(here)

    made = routes(Config())
    coder = make_gateway(Config()).upstreams["embedded-coder"].provider
    await coder.start()

    assert (["embedded-coder", "embedded"], ["embedded"]) == (made["qwen_coder"], made["llama"])
    assert ("stopped", best) == (coder.state, coder.weights)


@pytest.mark.parametrize(
    "config",
    [
        Config(models={"qwen_coder": ModelConfig(route=("embedded",))}),
        Config(upstreams={"embedded": LlamaCppConfig(slots=1)}),
        Config(upstreams={"far": FAR}, models={"qwen_coder": ModelConfig(route=("far",))}),
    ],
)
def test_the_coder_does_not_go_over_a_config(fetched, config):
    """Who configured upstreams, or that model, gets what they configured."""
    fetched.add(CODER)

    assert "embedded-coder" not in make_gateway(config).upstreams


def models_in(folder: Path, *names: str) -> EngineConfig:
    """A folder of these models."""
    for name in names:
        write_gguf(folder / f"{name}.gguf")
    return EngineConfig(models_dir=str(folder))


def test_each_installed_model_has_a_route_of_its_own(tmp_path: Path):
    """Behind the five, by its name: from the folder and from what was registered; none is started, and each is loaded alone."""
    library.add_file(write_gguf(tmp_path / "mine.gguf"), name="own")

    made = make_gateway(Config(engine=models_in(tmp_path / "models", "a", "b")))

    assert ["llama", "qwen_coder", "hermes", "vision", "summary", "own", "a", "b"] == made.get_models()
    assert ["engine/own"] == [upstream.name for upstream in made.routes["own"]]
    assert ["embedded"] == [upstream.name for upstream in made.routes["llama"]]
    assert {"engine/own": "own", "engine/a": "a", "engine/b": "b"} == {
        name: upstream.provider._settings.name for name, upstream in made.upstreams.items() if name != "embedded"
    }
    assert 768 == made.capabilities_of("a").context


def test_memory_is_shared_with_engines_that_stay_loaded(tmp_path: Path):
    """What they take is not there for models that are loaded when they are asked for; a context of those fits into the rest."""
    write_gguf(tmp_path / "stays.gguf")
    models_in(tmp_path / "models", "a")
    engine = EngineConfig(models_dir=str(tmp_path / "models"), memory="200 MB")
    config = Config(upstreams={"stays": LlamaCppConfig(weights=str(tmp_path / "stays.gguf"), slots=1)}, engine=engine)

    made = make_gateway(config)

    stays, later = (made.upstreams[name].provider for name in ("stays", "engine/a"))
    pool = later._pool
    assert stays._pool is None
    assert (200_000_000, 200_000_000 - stays.memory_needed) == (pool.limit, pool.memory)
    assert 0 < stays.memory_needed


def test_engines_that_need_more_than_all_may_take_are_refused(tmp_path: Path):
    """At the start, with the key and what each needs."""
    write_gguf(tmp_path / "stays.gguf")
    row = LlamaCppConfig(weights=str(tmp_path / "stays.gguf"), context=512, slots=1)
    config = Config(upstreams={"one": row, "two": row}, engine=EngineConfig(memory="90 MB"))

    with pytest.raises(
        ConfigError, match=r"allows 90 MB, and the engines of the config need more \(one \d+ MB, two \d+ MB\)"
    ) as caught:
        make_gateway(config)

    assert "engine.memory" == caught.value.key


async def test_weights_that_run_anyway_run_once(tmp_path: Path):
    """Their name is one more model of the upstream that runs them."""
    engine = models_in(tmp_path / "models", "a")
    config = Config(upstreams={"up": LlamaCppConfig(weights=str(tmp_path / "models/a.gguf"))}, engine=engine)

    made = make_gateway(config)

    assert (["up"], ["up"]) == (list(made.upstreams), [upstream.name for upstream in made.routes["a"]])


def test_names_of_the_config_are_the_configs(tmp_path: Path):
    """A model of the folder takes no name or alias that is in use."""
    models = {"own": ModelConfig(aliases=("other",), route=("far",))}
    engine = models_in(tmp_path / "models", "own", "other", "llama", "hermes-3", "free")

    made = make_gateway(Config(upstreams={"far": FAR}, models=models, engine=engine))

    assert (["own", "free"], ["far", "engine/free"]) == (made.get_models(), list(made.upstreams))


def test_a_config_without_an_engine_serves_no_models_of_this_machine(tmp_path: Path):
    """Unless it names their folder."""
    library.add_file(write_gguf(tmp_path / "mine.gguf"))
    models = {"own": ModelConfig(route=("far",))}

    assert ["own"] == make_gateway(Config(upstreams={"far": FAR}, models=models)).get_models()


def test_a_model_that_cannot_fit_or_be_read_is_served_all_the_same(tmp_path: Path):
    """What is wrong with it is said to who asks for it; the others need not suffer."""
    engine = models_in(tmp_path / "models", "large")
    (tmp_path / "models/broken.gguf").write_text("GGUF")

    made = make_gateway(Config(engine=EngineConfig(models_dir=engine.models_dir, memory="1 MB")))

    assert {"engine/large", "engine/broken"} < made.upstreams.keys()


def test_a_model_whose_file_is_gone_is_not_served(tmp_path: Path):
    """It is in the list of `autonomousai models list` alone, with what is wrong with it."""
    path = write_gguf(tmp_path / "mine.gguf")
    library.add_file(path)
    path.unlink()

    assert "mine" in library.installed_models()
    assert "mine" not in make_gateway(Config()).get_models()


def test_a_context_can_follow_from_the_memory(tmp_path: Path):
    """``context = "auto"`` of an upstream: what the weights hold, or what fits; what does not fit is an error at the start."""
    weights = str(write_gguf(tmp_path / "long.gguf", llama__context_length=100_000, llama__embedding_length=4096))
    upstreams = {"up": LlamaCppConfig(weights=weights, context="auto", slots=1)}
    contexts = [
        make_gateway(Config(upstreams=upstreams, engine=EngineConfig(memory=memory))).upstreams["up"].context
        for memory in ("20 GB", "500 MB", "100 MB")
    ]

    assert 99_840 == contexts[0] > contexts[1] > contexts[2]
    with pytest.raises(ConfigError, match=r"long\.gguf needs at least"):
        make_gateway(Config(upstreams=upstreams, engine=EngineConfig(memory="50 MB")))
