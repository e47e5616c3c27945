"""The entry of a usual answer is made sooner, and is the one that all the rules make."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from autonomousai.answer import Answer
from autonomousai.events import Batch, ChoiceEvent, Extra, FinishReason, Reasoning, Started, ToolCallDelta, Usage
from autonomousai.ledger import entry
from autonomousai.ledger.prices import Prices
from autonomousai.report import Attempt, Report
from autonomousai.request import ChatRequest
from autonomousai.settings import PriceConfig, PriceStep, PriceTier
from autonomousai.telemetry.metrics import Asked, Metrics

PRICES = Prices(
    {
        "priced": PriceConfig(input=2, output=8, cached=0.5, reasoning=16),
        "steps": PriceConfig(input=2, output=8, steps=(PriceStep(above=6, input=4, output=9),)),
        "tiers": PriceConfig(input=2, output=8, tiers={"flex": PriceTier(input=1, output=3)}),
        "free": PriceConfig(),
    }
)

TEXTS: dict[str, Batch] = {
    "a text": ["Hello"],
    "pieces": ["Hello", " wor", "ld"],
    "a long piece": [100 * "Hello "],
    "no text": [],
    "reasoning": [Reasoning("so it is, as far as can be seen"), "Hello"],
    "a call": [ToolCallDelta(0, "call_1", "look", '{"at": "it"}')],
    "a counted prompt": [
        Extra({"message_start": {"usage": {"input_tokens": 900, "output_tokens": 1}}}, 0, "anthropic_messages"),
        "Hello",
    ],
    "another choice": ["Hello", ChoiceEvent(1, "Good morning to all of you")],
}

USAGES = {
    "none": None,
    "counts": Usage(7, 5, 12),
    "no tokens": Usage(0, 0, 0),
    "cached": Usage(7, 5, 12, cached_tokens=3),
    "reasoned": Usage(7, 5, 12, reasoning_tokens=2),
}


def made(batch: Batch, usage: Usage | None, model: str, **report: Any) -> dict[str, Any]:
    answer = Answer(Report("u0", [Attempt("u0", "ok", 200, 5)], [], None, **report))
    answer.add([Started(model, "u0", {"service_tier": "flex"}), *batch, FinishReason("stop", usage=usage, evidence="marker")])
    meter = Metrics(["llama"], ["u0"]).whole("llama", answer, 1.0)
    meter.first = 2.5
    request = ChatRequest("llama", [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": None}])
    noted = entry.make_entry(meter, Asked("req_1", "openai_chat", "shop", 0.0, request, True), PRICES, {"team": "blue"})
    return {**msgspec.to_builtins(noted), "total_ms": 0}


@pytest.mark.parametrize("model", ["priced", "steps", "tiers", "free", "unknown"])
@pytest.mark.parametrize("usage", USAGES.values(), ids=USAGES)
@pytest.mark.parametrize("batch", TEXTS.values(), ids=TEXTS)
def test_a_usual_answer_is_noted_as_any_other(
    batch: Batch, usage: Usage | None, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its upstream has counted, and whatever it costs."""
    sooner = made(batch, usage, model)
    monkeypatch.setattr(entry, "_usual", lambda *_: None)

    assert made(batch, usage, model) == sooner


@pytest.mark.parametrize(
    "unusual",
    [{"ways": ["repeat"]}, {"spent": 3}, {"repeated": 3}, {"cache": "hit"}, {"cache": "miss"}, {"hedged": True}, {"joined": 9}],
    ids=str,
)
def test_what_a_gateway_did_is_noted_as_by_all_rules(unusual: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of whatever it tells."""
    sooner = made(["Hello"], None, "priced", **unusual)
    monkeypatch.setattr(entry, "_usual", lambda *_: None)

    assert made(["Hello"], None, "priced", **unusual) == sooner
