"""The config: what a file may say, what is said about a mistake in it, and what holds where it says nothing."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest

from autonomousai.config import (
    AutonomousAIConfig,
    Clocks,
    Config,
    KeyConfig,
    LlamaCppConfig,
    ModelConfig,
    OpenAIConfig,
    RouteConfig,
    Secret,
    ServerConfig,
    is_loopback,
    load_config,
)
from autonomousai.errors import ConfigError
from autonomousai.models import MODELS

KEY = "sk-never-to-be-seen"

#: Every key of the contract, with values other than the defaults where that can be.
WHOLE = """
[server]
host = "0.0.0.0"
port = 8001
api_keys = ["env:SERVER_KEY", "sk-literal"]
drain_s = 31
state = "rediss://redis.example.org:6380/1"
keepalive_s = 16
allowed_hosts = ["ai.example.org", "[2001:db8::1]"]
cors_origins = ["https://app.example.org:8443", "app://obsidian.md", "file://", "null", "*"]
max_body = 1_000
max_concurrency = 10
queue_s = 61

[clocks]
connect = 6
first_token = 21
idle = 16
total = 601

[retry]
attempts = 4
backoff = 0.25

[breaker]
failures = 6
cooldown = 4

[resume]
grace_s = 32
keep_s = 301
max_bytes = 1_000_000

[responses]
keep_s = 3600

[upstreams.embedded]
kind = "llamacpp"
weights = "models/other.gguf"
slots = 2
context = 2048
threads = 3
max_tokens = 512

[upstreams.vllm-a]
kind = "openai"
base_url = "http://10.0.0.5:8000/v1"
api_key = "env:VLLM_KEY"
model = "meta-llama/Llama-3.3-70B-Instruct"
prefill = "yes"
vision = true
context = 131072

[upstreams.vllm-a.clocks]
idle = 5.5

[upstreams.hosted]
kind = "autonomousai"
base_url = "https://chatgpt.autonomous.ai"

[models.llama]
aliases = ["my-llama"]
route = ["vllm-a", "embedded"]

[models."org/other"]
route = ["vllm-a"]
"""


@pytest.fixture
def read(tmp_path: Path):
    """Load a config from its text."""

    def load(text: str, **env: str) -> Config:
        path = tmp_path / "config.toml"
        path.write_text(text, encoding="utf-8")
        return load_config(path, env)

    return load


@pytest.fixture
def mistake(read):
    """The message of the `ConfigError` that a config's text raises."""

    def message(text: str, **env: str) -> str:
        with pytest.raises(ConfigError) as caught:
            read(text, **env)
        return str(caught.value)

    return message


def test_every_key_of_the_contract_is_read(read):
    """All of a whole file arrives in the structs."""
    config = read(WHOLE, SERVER_KEY="sk-server", VLLM_KEY=KEY)

    general = Clocks(connect=6, first_token=21, idle=16, total=601)
    expected = {
        "embedded": LlamaCppConfig(
            weights="models/other.gguf",
            slots=2,
            context=2048,
            threads=3,
            max_tokens=512,
            clocks=Clocks(connect=6, first_token=120, idle=16, total=601),
        ),
        "vllm-a": OpenAIConfig(
            base_url="http://10.0.0.5:8000/v1",
            api_key=Secret(KEY),
            model="meta-llama/Llama-3.3-70B-Instruct",
            prefill="yes",
            vision=True,
            context=131072,
            clocks=msgspec.structs.replace(general, idle=5.5, first_token_last=21),
        ),
        "hosted": AutonomousAIConfig(
            base_url="https://chatgpt.autonomous.ai", clocks=msgspec.structs.replace(general, first_token_last=21)
        ),
    }
    assert expected == config.upstreams
    assert general == config.clocks
    assert (4, 0.25) == (config.retry.attempts, config.retry.backoff)
    assert (6, 4) == (config.breaker.failures, config.breaker.cooldown)
    assert (32, 301, 1_000_000) == (config.resume.grace_s, config.resume.keep_s, config.resume.max_bytes)
    assert 3600 == config.responses.keep_s
    server = ServerConfig(
        host="0.0.0.0",
        port=8001,
        api_keys=(Secret("sk-server"), Secret("sk-literal")),
        drain_s=31,
        state="rediss://redis.example.org:6380/1",
        keepalive_s=16,
        allowed_hosts=("ai.example.org", "[2001:db8::1]"),
        cors_origins=("https://app.example.org:8443", "app://obsidian.md", "file://", "null", "*"),
        max_body=1000,
        max_concurrency=10,
        queue_s=61,
    )
    assert server == config.server


def test_models_of_the_configs_own_come_first():
    """As they were written, before the five: the first is what a menu shows at first."""
    named = {"b": ModelConfig(route=("embedded",)), "hermes": ModelConfig(), "a": ModelConfig(route=("embedded",))}

    assert ["b", "a", *MODELS] == list(Config(models=named).served())


def test_without_a_file_the_embedded_engine_is_behind_all_five_models():
    """The default config has one upstream, which everything is routed to, under the aliases that the wire knows."""
    config = load_config(None, {})

    assert {"embedded": LlamaCppConfig()} == config.upstreams
    expected = {
        "llama": ModelConfig(aliases=("llama-3.3-70b",), route=("embedded",)),
        "qwen_coder": ModelConfig(aliases=("qwen-2.5-coder-32b",), route=("embedded",)),
        "hermes": ModelConfig(aliases=("hermes-3",), route=("embedded",)),
        "vision": ModelConfig(aliases=("llama-3.2-90b",), route=("embedded",)),
        "summary": ModelConfig(aliases=("llama-3.2-70b",), route=("embedded",)),
    }
    assert expected == config.served()


def test_the_default_server_is_closed():
    """Without a file the server listens on loopback, with the limits of the contract."""
    server = load_config(None, {}).server

    expected = ("127.0.0.1", 8000, (), 30, 15, (), (), 20_000_000, 1000, 60)
    actual = (
        server.host,
        server.port,
        server.api_keys,
        server.drain_s,
        server.keepalive_s,
        server.allowed_hosts,
        server.cors_origins,
        server.max_body,
        server.max_concurrency,
        server.queue_s,
    )
    assert expected == actual


def test_a_file_without_upstreams_keeps_the_embedded_one(read):
    """A file that only sets a port changes the port alone."""
    config = read("[server]\nport = 9000")

    assert (9000, Config().upstreams) == (config.server.port, config.upstreams)


def test_a_model_without_a_route_goes_to_the_only_engine(read):
    """With exactly one llamacpp upstream, whatever its name, it plays those of the five that nobody routed."""
    config = read(
        """
        [upstreams.mine]
        kind = "llamacpp"
        [upstreams.far]
        kind = "openai"
        base_url = "http://far/v1"
        [models.llama]
        route = ["far"]
        """
    )

    routes = {name: model.route for name, model in config.served().items()}
    expected = {"llama": ("far",), "qwen_coder": ("mine",), "hermes": ("mine",), "vision": ("mine",), "summary": ("mine",)}
    assert expected == routes


@pytest.mark.parametrize("engines", ["", '[upstreams.a]\nkind = "llamacpp"\n[upstreams.b]\nkind = "llamacpp"\n'])
def test_a_model_that_could_belong_nowhere_or_anywhere_is_not_served(read, engines):
    """With no engine, or with two, a model of the five without a route has none."""
    config = read(
        engines
        + """
        [upstreams.far]
        kind = "openai"
        base_url = "http://far/v1"
        [models.llama]
        route = ["far"]
        """
    )

    assert ["llama"] == list(config.served())


def test_an_empty_route_switches_a_model_off(read):
    """`route = []` for one of the five: it is not served."""
    config = read("[models.vision]\nroute = []")

    assert ["llama", "qwen_coder", "hermes", "summary"] == list(config.served())


def test_aliases_of_a_file_come_after_the_built_in_one(read):
    """Writing the built-in alias again is no mistake, and adds nothing."""
    config = read('[models.llama]\naliases = ["llama-3.3-70b", "mine"]')

    assert ("llama-3.3-70b", "mine") == config.served()["llama"].aliases


def test_an_upstreams_clocks_go_over_the_general_ones(read):
    """A clock that an upstream does not set is the general one; the engine's first token has a default of its own."""
    config = read(
        """
        [clocks]
        first_token = 7
        idle = 8
        [upstreams.engine]
        kind = "llamacpp"
        [upstreams.slow]
        kind = "llamacpp"
        clocks = { first_token = 300 }
        [upstreams.far]
        kind = "openai"
        base_url = "http://far/v1"
        clocks = { total = 9 }
        [models.llama]
        route = ["far"]
        """
    )

    expected = {
        "engine": Clocks(first_token=120, idle=8),
        "slow": Clocks(first_token=300, idle=8, first_token_last=300),
        "far": Clocks(first_token=7, idle=8, total=9, first_token_last=7),
    }
    assert expected == {name: upstream.clocks for name, upstream in config.upstreams.items()}


FAR = '[upstreams.far]\nkind = "openai"\nbase_url = "http://far/v1"\n'
#: Another name of the same machine.
NEAR = '[upstreams.near]\nkind = "anthropic"\nbase_url = "http://FAR:80"\n'


@pytest.mark.parametrize(
    ("text", "key", "says"),
    [
        ("server = 1", "server", "write [server]"),
        ("[sever]\nport = 1", "sever", "known here: server, clocks"),
        ("[server]\nprot = 1", "server.prot", "known here: host, port"),
        ("[clocks]\nidel = 1", "clocks.idel", "known here: connect, first_token, idle, total"),
        ("[retry]\ntries = 1", "retry.tries", "known here: attempts, backoff"),
        ("[sever]\nport = 1", "sever", "; did you mean server?"),
        (FAR + "modle = 'x'", "upstreams.far.modle", "; did you mean model?"),
        ("[server]\nlog = 'jsno'", "server.log", "; did you mean json?"),
        ("[upstreams.far]\nkind = 'openia'", "upstreams.far.kind", "; did you mean openai?"),
        ("[models.llama]\nroute = ['embeded']", "models.llama.route[0]", "; did you mean embedded?"),
        ("[breaker]\nx = 1", "breaker.x", "known here: failures, cooldown"),
        (FAR + "modle = 'x'", "upstreams.far.modle", "known here: kind, base_url, api_key, model"),
        (FAR + "clocks = { x = 1 }", "upstreams.far.clocks.x", "known here: connect"),
        ("[models.llama]\nroutes = []", "models.llama.routes", "known here: aliases, route"),
        ("[server]\nport = 'x'", "server.port", "expected a whole number, not text"),
        ("[server]\nport = 65536", "server.port", "a whole number of at most 65535"),
        ("[server]\nport = true", "server.port", "expected a whole number, not true or false"),
        ("[server]\nport = 80.0", "server.port", "expected a whole number, not one with a point"),
        ("[server]\nport = 1979-05-27", "server.port", "expected a whole number, not a date"),
        ("[server]\nport = {}", "server.port", "expected a whole number, not a table"),
        ("[server]\nhost = 1", "server.host", "expected text in quotes, not a whole number"),
        ("[server]\nallowed_hosts = ['a', 1]", "server.allowed_hosts[1]", "expected text in quotes, not a whole number"),
        ("[telemetry]\notel = 1", "telemetry.otel", "expected true or false, not a whole number"),
        ("[server]\nmax_concurrency = 0", "server.max_concurrency", "of at least 1"),
        ("[server]\nhost = ''", "server.host", "write 127.0.0.1"),
        ("[server]\nstate = 'postgres://user:sk-never-to-be-seen@x'", "server.state", "'memory:'"),
        ("[server]\nstate = 'sqlite:'", "server.state", "'sqlite:PATH'"),
        ("[server]\nstate = 'redis://10.0.0.5/production'", "server.state", "redis://host[:port][/number]"),
        ("[server]\nstate = 'redis://user:sk-never-to-be-seen/x@10.0.0.5'", "server.state", "redis://host[:port][/number]"),
        ("[cache]\nstore = 'rediss://10.0.0.5/0/production'", "cache.store", "redis://host[:port][/number]"),
        ("[resume]\nkeep = 1", "resume.keep", "known here: grace_s, keep_s, max_bytes"),
        ("[responses]\nkeep = 1", "responses.keep", "known here: keep_s"),
        ("[responses]\nkeep_s = -1", "responses.keep_s", "a number of at least 0"),
        ("[responses]\nkeep_s = inf", "responses.keep_s", "of at most 10000000"),
        ("[responses]\nkeep_s = '1d'", "responses.keep_s", "expected a number, not text"),
        ("[resume]\nmax_bytes = 0", "resume.max_bytes", "of at least 1"),
        ("[server]\nallowed_hosts = ['https://x']", "server.allowed_hosts[0]", "without scheme and port"),
        ("[server]\nallowed_hosts = ['a', 'x:80']", "server.allowed_hosts[1]", "without scheme and port"),
        ("[server]\ncors_origins = ['example.org']", "server.cors_origins[0]", "write https://host"),
        ("[server]\ncors_origins = ['https://']", "server.cors_origins[0]", "file:// or null"),
        ("[server]\ncors_origins = ['https://example.org/']", "server.cors_origins[0]", "write https://host"),
        ("[clocks]\nidle = -1", "clocks.idle", "a number above 0"),
        ("[clocks]\nidle = 0", "clocks.idle", "a number above 0"),
        ("[clocks]\nidle = nan", "clocks.idle", "a number above 0"),
        ("[clocks]\nidle = inf", "clocks.idle", "of at most 10000000"),
        ("[clocks]\nidle = '5'", "clocks.idle", "expected a number, not text"),
        (FAR + "clocks = 5", "upstreams.far.clocks", "is a table"),
        (FAR + "clocks = { idle = -1 }", "upstreams.far.clocks.idle", "a number above 0"),
        ("[retry]\nattempts = 0", "retry.attempts", "of at least 1"),
        (FAR + "weight = -1", "upstreams.far.weight", "of at least 0"),
        (FAR + "weight = inf", "upstreams.far.weight", "of at most 1000000"),
        (FAR + "weight = nan", "upstreams.far.weight", "a number of at least 0"),
        (FAR + "[models.m]\nroute = ['far']\npolicy = 'fast'", "models.m.policy", "'least_busy'"),
        (FAR + "[models.m]\nroute = ['far']\nsticky = true", "models.m.sticky", "needs a policy that chooses"),
        (FAR + "weight = 0\n[models.m]\nroute = ['far']\npolicy = 'weighted'", "models.m.route", "a weight above 0"),
        (FAR + "[models.m]\nroute = ['far']\nover_budget = ['fra']", "models.m.over_budget[0]", "did you mean far?"),
        ("[health]\ninterval = -1", "health.interval", "of at least 0"),
        (FAR + "[models.m]\nroute = ['far']\nhedge = 5", "models.m.hedge", "of at most 1"),
        (FAR + "[models.m]\nroute = ['far']\nhedge = 0.05", "models.m.hedge", "no second upstream"),
        (FAR + NEAR + "[models.m]\nroute = ['far', 'near']\nhedge = 0.05", "models.m.hedge", "on another machine"),
        ("[upstreams]\nfar = 1", "upstreams.far", "is a table"),
        ("[upstreams.far]\nbase_url = 'http://x'", "upstreams.far.kind", "is missing; it is one of 'llamacpp', 'openai'"),
        ("[upstreams.far]\nkind = 'opnai'", "upstreams.far.kind", "'opnai' is unknown; it is one of"),
        ("[upstreams.far]\nkind = 'vllm'", "upstreams.far.kind", 'write kind = "openai" and vendor = "vllm"'),
        ("[upstreams.far]\nkind = 'openai'", "upstreams.far.base_url", "is missing"),
        ("[upstreams.far]\nkind = 'openai'\nbase_url = 'far:8000'", "upstreams.far.base_url", "write http://host"),
        ("[upstreams.far]\nkind = 'openai'\nbase_url = 'http://far:x'", "upstreams.far.base_url", "write http://host"),
        (
            "[upstreams.far]\nkind = 'openai'\nbase_url = ' http://far/v1'",
            "upstreams.far.base_url",
            "has white space or quotes",
        ),
        (
            "[upstreams.far]\nkind = 'openai'\nbase_url = '\"http://far\"'",
            "upstreams.far.base_url",
            "has white space or quotes",
        ),
        ("[upstreams.far]\nkind = 'openai'\nbase_url = 'http://'", "upstreams.far.base_url", "write http://host"),
        ("[upstreams.far]\nkind = 'autonomousai'\nbase_url = 'http://far/v1?x=1'", "upstreams.far.base_url", "query"),
        (
            "[upstreams.far]\nkind = 'openai'\nbase_url = 'http://far/v1/chat/completions/'",
            "upstreams.far.base_url",
            "leave out",
        ),
        (
            "[upstreams.hosted]\nkind = 'autonomousai'\nbase_url = 'http://x/api/v1/ai/chat'",
            "upstreams.hosted.base_url",
            "leave out",
        ),
        ("[upstreams.hosted]\nkind = 'autonomousai'\nbase_url = 'x'", "upstreams.hosted.base_url", "write http://host"),
        (FAR + "prefill = 'maybe'", "upstreams.far.prefill", "one of 'yes', 'no', 'auto'"),
        ("[server]\nlog = 'xml'", "server.log", "one of 'text', 'json', 'off'"),
        ("[server]\nlog = ['text']", "server.log", "['text'] is unknown; it is one of 'text'"),
        ("[telemetry]\nspans = true", "telemetry.spans", "known here: otel, content"),
        (FAR + "model = ''", "upstreams.far.model", "leave the key out"),
        ("[upstreams.e]\nkind = 'llamacpp'\nweights = 'gpt-5'", "upstreams.e.weights", "smollm2-135m"),
        ("[upstreams.e]\nkind = 'llamacpp'\nslots = 0", "upstreams.e.slots", "of at least 1"),
        ("[models.llama]\nroute = ['far']", "models.llama.route[0]", "no upstream 'far'; the upstreams are: embedded"),
        ("[models.llama]\nroute = ['embedded', 'embedded']", "models.llama.route[1]", "twice"),
        ("[models.'gpt-*']\nroute = ['embedded']", "models.gpt-*", "is no pattern"),
        (
            "[prices.m]\ninput = 1\nsteps = [{above = 5, input = 2}, {above = 5, input = 3}]",
            "prices.m.steps[1].above",
            "another step begins",
        ),
        (
            "[prices.m.tiers.flex]\ninput = 1\nsteps = [{above = 5, input = 2}, {above = 5, input = 3}]",
            "prices.m.tiers.flex.steps[1].above",
            "another step begins",
        ),
        ("[models.llama]\nroute = 'embedded'", "models.llama.route", "expected a list in brackets, not text"),
        ("[models.mine]\naliases = ['x']", "models.mine.route", "name at least one upstream of: embedded"),
        ("[models.mine]\nroute = []", "models.mine.route", "name at least one upstream"),
        ("[models.llama]\naliases = ['hermes']", "models.llama.aliases[0]", "'hermes' is a model"),
        ("[models.llama]\naliases = ['hermes-3']", "models.llama.aliases[0]", "alias of the model 'hermes'"),
        ("[models.llama]\naliases = ['x', 'x']", "models.llama.aliases[1]", "already"),
        ("[models.llama]\naliases = ['x']\n[models.vision]\naliases = ['x']", "models.vision.aliases[0]", "'llama' already"),
        ("[models.llama]\naliases = ['']", "models.llama.aliases[0]", "write a name"),
        ("[models.hermes-3]\nroute = ['embedded']", "models.hermes-3", "alias of the model 'hermes'"),
        (
            "[upstreams.h]\nkind = 'autonomousai'\n[models.mine]\nroute = ['h']",
            "models.mine.route[0]",
            "knows the models llama, qwen_coder",
        ),
    ],
)
def test_a_mistake_names_the_file_and_the_key_and_says_what_to_do(mistake, text, key, says):
    """Each mistake in a file is an error that begins with the file and the key."""
    message = mistake(text)

    assert f"config.toml: {key}: " in message
    assert says in message


def test_a_mistake_is_data(read):
    """An error has the file, the key, the problem and the advice apart, beside the sentence that is made of them."""
    with pytest.raises(ConfigError) as caught:
        read("[server]\nlog = 'xml'")
    error = caught.value

    assert ("server.log", "'xml' is unknown", "it is one of 'text', 'json', 'off'") == (error.key, error.problem, error.advice)
    assert error.file.endswith("config.toml")
    assert f"{error.file}: {error.key}: {error.problem}; {error.advice}" == str(error)


def test_text_that_is_not_toml_is_told_with_its_line(mistake):
    """A syntax error names the file and the line."""
    message = mistake("[server]\nport = \n")

    assert "config.toml: is not TOML" in message
    assert "line 2" in message


def test_a_file_that_is_not_utf8_is_told(tmp_path):
    """Bytes that are not UTF-8 are an error with the position."""
    path = tmp_path / "config.toml"
    path.write_bytes(b"# caf\xe9\n")

    with pytest.raises(ConfigError, match=r"config\.toml: is not UTF-8 \(byte 5\)"):
        load_config(path, {})


def test_a_missing_file_is_told(tmp_path):
    """A path where nothing is, is an error that names it."""
    with pytest.raises(ConfigError, match=r"nothing\.toml: cannot be read \(No such file"):
        load_config(tmp_path / "nothing.toml", {})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org"])
def test_another_machine_may_not_be_listened_for_without_a_key(mistake, read, host):
    """Binding more than loopback needs api_keys, and is fine with them."""
    text = f"[server]\nhost = '{host}'\n"

    assert f"server.host: '{host}' can be reached from other machines" in mistake(text)
    assert host == read(text + "api_keys = ['sk-1']").server.host


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("::", False),
        ("128.0.0.1", False),
        ("localhost.example.org", False),
        ("", False),
    ],
)
def test_what_is_loopback(host, expected):
    """Names and addresses that this machine alone can reach."""
    assert expected == is_loopback(host)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[server]\napi_keys = ['sk-1', 'env:MISSING']", "server.api_keys[1]"),
        (FAR + "api_key = 'env:MISSING'", "upstreams.far.api_key"),
        ("[upstreams.hosted]\nkind = 'autonomousai'\napi_key = 'env:MISSING'", "upstreams.hosted.api_key"),
    ],
)
def test_an_unset_variable_is_named(mistake, text, key):
    """A key that should come out of the environment and is not there, or empty there, stops the start."""
    expected = f"{key}: the environment variable MISSING is not set"

    assert expected in mistake(text)
    assert expected in mistake(text, MISSING="")


def test_a_key_of_the_keyring_that_is_not_there_is_named(mistake, monkeypatch):
    """The same for an entry of the keyring, with the place in the file."""
    monkeypatch.setitem(sys.modules, "keyring", None)

    assert "upstreams.far.api_key: keyring: needs an extra" in mistake(FAR + "api_key = 'keyring:work'")


@pytest.mark.parametrize("value", ["", "two words", "schlüssel", "sk-1\n", "\x7f"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(mistake, value):
    """Keys are visible ASCII; the message does not quote what is none."""
    message = mistake("[server]\napi_keys = ['env:KEY']", KEY=value)

    assert "server.api_keys[0]: the environment variable KEY" in message
    assert not value.strip() or value not in message


def test_a_key_of_another_type_is_refused(mistake):
    """A number is no key."""
    assert "server.api_keys[0]: expected text" in mistake("[server]\napi_keys = [123456]")


def test_a_key_in_the_address_is_refused_without_being_shown(mistake):
    """A URL with a password in it is an error that does not repeat it."""
    message = mistake(f"[upstreams.far]\nkind = 'openai'\nbase_url = 'https://user:{KEY}@far/v1'")

    assert "upstreams.far.base_url: carries a name or a password: put the key into api_key" in message
    assert KEY not in message


def test_keys_do_not_show_in_a_repr(read):
    """Whatever prints a config by accident prints no key."""
    config = read(f"[server]\napi_keys = ['{KEY}']\n" + FAR + f"api_key = '{KEY}'\n[models.llama]\nroute = ['far']")

    assert KEY == config.server.api_keys[0]
    assert KEY not in f"{config!r} {config} {config.server!r} {config.upstreams} {config.server.api_keys}"


def test_a_config_made_in_python_is_checked_as_well():
    """The rules hold without a file, too."""
    with pytest.raises(ConfigError, match=r"models\.llama\.route\[0\]: there is no upstream 'nowhere'"):
        Config(models={"llama": ModelConfig(route=("nowhere",))})


DOCUMENTED = re.findall(r"```toml\n(.*?)```", (Path(__file__).parents[1] / "docs/configuration.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("example", DOCUMENTED[:-1])
def test_the_documented_examples_are_read(example: str, tmp_path: Path) -> None:
    """What the page shows can be served."""
    path = tmp_path / "config.toml"
    path.write_text(example)
    env = dict.fromkeys(("AUTONOMOUSAI_API_KEY", "VLLM_KEY", "GROQ_API_KEY", "AUTONOMOUS_VENDOR_KEY"), "k")

    assert load_config(path, env).served()


def test_the_documented_defaults_are_the_defaults(tmp_path: Path) -> None:
    """Every key of the reference has the value that it has when it is left out, and no key is missing there."""
    written = tomllib.loads(DOCUMENTED[-1])
    path = tmp_path / "config.toml"
    path.write_text(DOCUMENTED[-1])
    config = load_config(path, {"ANTHROPIC_API_KEY": "k", "GEMINI_API_KEY": "k", "KEY_OF_THE_SHOP": "sk-shop"})
    bare = Config()

    for table in ("server", "clocks", "retry", "breaker", "rescue", "resume"):
        assert getattr(bare, table) == getattr(config, table)
        assert set(getattr(bare, table).__struct_fields__) == set(written[table])
    assert config.upstreams["embedded"] == bare.upstreams["embedded"]
    assert KeyConfig(key=Secret("sk-shop")) == config.keys["shop"]


def test_a_policy_is_read_with_its_keys(read):
    """And stays with its model when the routes are completed; without any, there is no policy."""
    config = read(
        """
        [upstreams.a]
        kind = "openai"
        base_url = "http://a/v1"
        weight = 3
        [upstreams.b]
        kind = "openai"
        base_url = "http://b/v1"
        [models.llama]
        route = ["a", "b"]
        policy = "fastest"
        sticky = true
        hedge = 0.05
        [models.m]
        route = ["a"]
        """
    )
    served = config.served()

    assert RouteConfig("fastest", True, 0.05) == served["llama"].routing
    assert None is served["m"].routing
    assert [3.0, 1.0] == [upstream.weight for upstream in config.upstreams.values()]


def test_upstreams_know_their_machines(read):
    """By host and port, loopback by whichever name; all engines are on this one."""
    config = read(
        """
        [upstreams.a]
        kind = "openai"
        base_url = "https://Api.example.org/v1"
        [upstreams.b]
        kind = "anthropic"
        base_url = "https://api.example.org:443"
        [upstreams.c]
        kind = "openai"
        base_url = "http://localhost:8000/v1"
        [upstreams.d]
        kind = "openai"
        base_url = "http://127.0.0.1:8001/v1"
        [upstreams.e]
        kind = "llamacpp"
        """
    )

    machines = [upstream.machine for upstream in config.upstreams.values()]

    assert ["api.example.org:443"] * 2 + ["127.0.0.1:8000", "127.0.0.1:8001", "this machine"] == machines


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("", None),
        ("[keys]", None),
        ("[ledger]", ""),
        ('[ledger]\nurl = "off"', "off"),
        (f'[keys.alice]\nhash = "sha256:{"0" * 64}"', ""),
    ],
)
def test_a_ledger_is_kept_where_it_or_keys_are_written(tmp_path: Path, text: str, url: str | None) -> None:
    """A server without either leaves no file behind."""
    path = tmp_path / "config.toml"
    path.write_text(text)

    ledger = load_config(path, {}).ledger

    assert url == (None if ledger is None else ledger.url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://10.0.0.5",
        "redis://10.0.0.5:6379/",
        "rediss://user:p%40ss%2Fword@[::1]:6379/3?ssl_cert_reqs=none",
        "redis://10.0.0.5?db=2",
        "unix:///run/redis.sock?db=2",
        "unix://user:word@/run/redis.sock",
    ],
)
def test_a_redis_may_be_named_in_each_way_that_its_client_reads(tmp_path: Path, url: str) -> None:
    """With a user, a password, a database by its number, TLS or a socket."""
    path = tmp_path / "config.toml"
    path.write_text(f'[server]\nstate = "{url}"\n[cache]\nstore = "{url}"\n')

    assert url == load_config(path, {}).server.state
