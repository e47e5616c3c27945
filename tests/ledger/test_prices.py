"""What answers cost: whose price counts, and that an unknown one is not 0."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from autonomousai.config import PriceConfig, load_config, parse_config
from autonomousai.errors import ConfigError
from autonomousai.ledger.estimate import Tokens
from autonomousai.ledger.prices import PricedUpstream, Prices, cost_of
from autonomousai.ledger.vendor_prices import VENDOR_PRICES
from autonomousai.server.pricing import make_prices
from autonomousai.settings import PriceStep, PriceTier

OWN, EXACT, LONG, SHORT = (PriceConfig(input=price) for price in (1, 2, 3, 4))
ROWS = {"gpt-4*": SHORT, "gpt-4.1-mini*": LONG, "gpt-4.1-mini": EXACT}


@pytest.mark.parametrize(
    ("names", "price"),
    [
        (("gpt-4.1-mini",), EXACT),
        (("gpt-4.1-mini-2025-04-14",), LONG),
        (("gpt-4o",), SHORT),
        (("unknown", "gpt-4.1-mini"), EXACT),  # as the config calls it
        (("gpt-4.1-mini-x", "gpt-4.1-mini"), EXACT),  # a name before a pattern
        ((None, "gpt-4o"), SHORT),
        (("unknown",), None),
        ((), None),
    ],
)
def test_a_row_is_found_by_name_then_by_the_longest_pattern(names: tuple[str | None, ...], price: PriceConfig | None) -> None:
    """Whatever the model is called."""
    assert price == Prices(ROWS).price("u0", names)


def test_an_upstreams_own_price_counts_before_all_rows() -> None:
    """And what it is asked for is one of the model's names."""
    upstreams = {"own": PricedUpstream(price=OWN), "asked": PricedUpstream(model="gpt-4.1-mini")}

    assert [OWN, EXACT] == [Prices(ROWS, upstreams).price(name, ("llama",)) for name in upstreams]


def test_a_vendors_row_is_for_its_own_servers() -> None:
    """Dated names are the same model; one that only begins the same is not."""
    upstreams = {"vendor": PricedUpstream(vendor="openai"), "other": PricedUpstream()}
    prices = Prices({}, upstreams)

    found = [prices.price("vendor", (name,)) for name in ("gpt-4o", "gpt-4o-2024-08-06", "gpt-4o-audio-preview")]
    assert [2.5, 2.5, None] == [None if row is None else row.input for row in found]
    assert prices.price("other", ("gpt-4o",)) is None


def test_vendors_rows_have_a_day_and_a_source() -> None:
    """No two are for one model, and what is read from a cache costs no more than what is not."""
    rows = [row for rows in VENDOR_PRICES.values() for row in rows]
    rates = [each for row in rows for each in (row.price, *row.price.tiers.values())]

    assert len(rows) == len({row.model for row in rows})
    assert all(date.fromisoformat(row.read) and row.source.startswith("https://") for row in rows)
    assert all(each.cached is not None and 0 < each.cached < each.input < each.output for each in rates)


def test_the_prompt_of_an_answer_is_counted_once() -> None:
    """Cached and written tokens are part of it; reasoning is part of the answer. More than there is is not counted."""
    price = PriceConfig(input=10, output=100, cached=1, cache_write=20, reasoning=1000)
    tokens = Tokens(prompt=1000, cached=600, cache_write=100, reasoning=3)

    assert pytest.approx((300 * 10 + 600 * 1 + 100 * 20 + 7 * 100 + 3 * 1000) / 1e6) == cost_of(price, tokens, 10)
    assert pytest.approx((1000 * 1 + 2 * 1000) / 1e6) == cost_of(price, Tokens(1000, cached=5000, reasoning=9), 2)


STEPPED = PriceConfig(
    input=10,
    output=100,
    cached=1,
    steps=(PriceStep(above=200, input=30, output=300), PriceStep(above=100, input=20, output=200, cached=2)),
    tiers={"flex": PriceTier(input=5, output=50, steps=(PriceStep(above=100, input=6, output=60),))},
)


@pytest.mark.parametrize(
    ("prompt", "cached", "tier", "dollars"),
    [
        (100, None, None, 100 * 10 + 10 * 100),
        (101, None, None, 101 * 20 + 10 * 200),  # all of it, not what is above alone
        (150, 100, None, 50 * 20 + 100 * 2 + 10 * 200),  # what was cached counts for the step
        (201, 100, None, 201 * 30 + 10 * 300),  # what a step does not say is not taken from another
        (100, None, "flex", 100 * 5 + 10 * 50),
        (101, None, "flex", 101 * 6 + 10 * 60),
        (100, None, "default", 100 * 10 + 10 * 100),
    ],
)
def test_long_prompts_and_tiers_have_prices_of_their_own(
    prompt: int, cached: int | None, tier: str | None, dollars: float
) -> None:
    """The highest step that the prompt is above, in any order; a tier without a price costs what the others cost."""
    assert pytest.approx(dollars / 1e6) == cost_of(STEPPED, Tokens(prompt, cached=cached), 10, tier)


def test_what_is_written_for_an_hour_has_a_price_of_its_own() -> None:
    """It is part of what was written to a cache."""
    price = PriceConfig(input=10, output=100, cache_write=12, cache_write_1h=20)
    tokens = Tokens(prompt=100, cache_write=60, cache_write_1h=50)

    assert pytest.approx((40 * 10 + 10 * 12 + 50 * 20) / 1e6) == cost_of(price, tokens, 0)
    assert pytest.approx((40 * 10 + 60 * 10) / 1e6) == cost_of(PriceConfig(input=10), tokens, 0)


def test_an_estimate_has_the_step_of_its_prompt_and_the_tier_if_that_is_dearer() -> None:
    """What was requested may not be what is had: less is reserved for no tier."""
    dear = PriceConfig(input=10, output=100, tiers={"priority": PriceTier(input=20, output=200)})
    upstreams = {"stepped": PricedUpstream(price=STEPPED), "dear": PricedUpstream(price=dear)}
    prices = Prices({}, upstreams, {"a": ["stepped"], "b": ["dear"]})

    assert pytest.approx(101 * 20 / 1e6) == prices.estimate("a", 101, 0)
    assert pytest.approx(101 * 20 / 1e6) == prices.estimate("a", 101, 0, "flex")
    assert pytest.approx(20 / 1e6) == prices.estimate("b", 1, 0, "priority")
    assert pytest.approx(10 / 1e6) == prices.estimate("b", 1, 0, "auto")


def test_steps_and_tiers_are_read_and_checked() -> None:
    """Each mistake is reported with its key."""
    text = """[prices.m]
input = 1.25
output = 10
steps = [{ above = 200_000, input = 2.5, output = 15 }]
[prices.m.tiers.flex]
input = 0.6
steps = [{ above = 200_000, input = 1.2 }]
"""

    read = parse_config(text, {}).prices["m"]

    assert (PriceStep(above=200_000, input=2.5, output=15),) == read.steps
    assert PriceTier(input=0.6, steps=(PriceStep(above=200_000, input=1.2),)) == read.tiers["flex"]
    with pytest.raises(ConfigError, match=r"prices.m.steps\[0\].above"):
        parse_config("[prices.m]\nsteps = [{ input = 2 }]\n", {})
    with pytest.raises(ConfigError, match=r"prices.m.tiers.flex.inputs"):
        parse_config("[prices.m.tiers.flex]\ninputs = 2\n", {})


def test_an_unknown_price_is_not_0(tmp_path: Path) -> None:
    """Nor is one that is 0 unknown; the engine on this machine is free."""
    path = tmp_path / "config.toml"
    path.write_text(
        '[upstreams.engine]\nkind = "llamacpp"\n[upstreams.other]\nkind = "openai"\nbase_url = "http://127.0.0.1:1/v1"\n'
        '[upstreams.claude]\nkind = "anthropic"\n[upstreams.gpt]\nkind = "openai"\nvendor = "openai"\n'
        '[models.a]\nroute = ["other"]\n'
    )
    config = load_config(path, {"ANTHROPIC_API_KEY": "k", "OPENAI_API_KEY": "k"})
    prices = make_prices(config.prices, config.upstreams, {})
    tokens = Tokens(prompt=1_000_000)

    assert 0 == prices.cost("engine", ("a",), tokens, 1)
    assert prices.cost("other", ("gpt-4o",), tokens, 1) is None
    assert pytest.approx(3.0) == prices.cost("claude", ("claude-sonnet-4-5-20250929",), tokens, 0)
    assert pytest.approx(2.5) == prices.cost("gpt", ("gpt-4o",), tokens, 0)
    assert 7 == prices.cost("other", ("a",), tokens, 1, told=7)


def test_an_estimate_is_that_of_the_dearest_upstream() -> None:
    """Of those whose price is known."""
    upstreams = {"cheap": PricedUpstream(price=PriceConfig(1, 1)), "dear": PricedUpstream(price=PriceConfig(5, 5))}
    prices = Prices({}, upstreams, {"a": ["cheap", "unknown", "dear"], "b": ["unknown"]})

    assert pytest.approx(5 * 300 / 1e6) == prices.estimate("a", 100, 200)
    assert prices.estimate("b", 100, 200) is None
    assert prices.estimate("c", 100, 200) is None
