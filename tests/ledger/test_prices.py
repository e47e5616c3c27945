"""What answers cost: whose price counts, and that an unknown one is not 0."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from autonomousai.config import PriceConfig, load_config
from autonomousai.ledger.estimate import Tokens
from autonomousai.ledger.prices import PricedUpstream, Prices, cost_of
from autonomousai.ledger.vendor_prices import VENDOR_PRICES
from autonomousai.server.pricing import make_prices

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

    assert len(rows) == len({row.model for row in rows})
    assert all(date.fromisoformat(row.read) and row.source.startswith("https://") for row in rows)
    assert all(row.cached is not None and 0 < row.cached < row.input < row.output for row in rows)


def test_the_prompt_of_an_answer_is_counted_once() -> None:
    """Cached and written tokens are part of it; reasoning is part of the answer. More than there is is not counted."""
    price = PriceConfig(input=10, output=100, cached=1, cache_write=20, reasoning=1000)
    tokens = Tokens(prompt=1000, cached=600, cache_write=100, reasoning=3)

    assert pytest.approx((300 * 10 + 600 * 1 + 100 * 20 + 7 * 100 + 3 * 1000) / 1e6) == cost_of(price, tokens, 10)
    assert pytest.approx((1000 * 1 + 2 * 1000) / 1e6) == cost_of(price, Tokens(1000, cached=5000, reasoning=9), 2)


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
