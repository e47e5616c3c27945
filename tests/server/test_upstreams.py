"""From the config to the providers: which kinds there are, who answers for which model, and the coder that was fetched."""

from __future__ import annotations

import pytest

from autonomousai.clients.autonomousai import AutonomousAI
from autonomousai.clients.openai import OpenAICompatible
from autonomousai.config import (
    AutonomousAIConfig,
    Clocks,
    Config,
    LlamaCppConfig,
    ModelConfig,
    OpenAIConfig,
    RescueConfig,
    RetryConfig,
    Secret,
)
from autonomousai.engine.provider import LlamaCpp
from autonomousai.kinds import openai
from autonomousai.server import upstreams
from autonomousai.server.upstreams import make_gateway

FAR = OpenAIConfig(base_url="http://far/v1", api_key=Secret("sk-1"), vision=True, context=5000)


@pytest.fixture(autouse=True)
def fetched(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Which weights are on this machine: none, unless a test adds some."""
    weights: set[str] = set()
    monkeypatch.setattr(upstreams, "present", weights.__contains__)
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
