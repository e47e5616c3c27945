"""The entry of a usual answer is made sooner, and is the one that all the rules make."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from autonomousai.answer import Answer
from autonomousai.events import Batch, ChoiceEvent, Extra, FinishReason, Reasoning, Started, ToolCallDelta, Usage
from autonomousai.ledger import entry
from autonomousai.ledger.prices import Prices
from autonomousai.ledger.whole import entry_of, whole_answer
from autonomousai.report import Attempt, Report
from autonomousai.request import ChatRequest
from autonomousai.settings import PriceConfig, PriceStep, PriceTier
from autonomousai.telemetry.metrics import AnswerMeter, Asked, Metrics

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


REQUEST = ChatRequest("llama", [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": None}])


def metered(batch: Batch, usage: Usage | None, model: str, **report: Any) -> AnswerMeter:
    answer = Answer(Report("u0", [Attempt("u0", "ok", 200, 5)], [], None, **report))
    answer.add([Started(model, "u0", {"service_tier": "flex"}), *batch, FinishReason("stop", usage=usage, evidence="marker")])
    meter = Metrics(["llama"], ["u0"]).whole("llama", answer, 1.0)
    meter.first = 2.5
    return meter


def made(batch: Batch, usage: Usage | None, model: str, **report: Any) -> dict[str, Any]:
    meter = metered(batch, usage, model, **report)
    noted = entry.make_entry(meter, Asked("req_1", "openai_chat", "shop", 0.0, REQUEST, True), PRICES, {"team": "blue"})
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


#: Of what is tried here: what has a price or tokens that need a closer look.
CLOSER = {"models": {"steps", "tiers"}, "usages": {"cached", "reasoned"}}


@pytest.mark.parametrize("model", ["priced", "steps", "tiers", "free", "unknown"])
@pytest.mark.parametrize("usage", USAGES)
@pytest.mark.parametrize("batch", TEXTS)
def test_what_is_kept_of_a_complete_answer_makes_its_entry(
    batch: str, usage: str, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that all the rules make, and what a key has used is what that says."""
    meter = metered(TEXTS[batch], USAGES[usage], model)
    monkeypatch.setattr(entry, "_usual", lambda *_: None)

    whole = whole_answer(meter, "req_1", "openai_chat", ("shop", {"team": "blue"}), REQUEST, PRICES)

    is_closer = model in CLOSER["models"] or usage in CLOSER["usages"] or (usage, batch) == ("none", "a counted prompt")
    assert is_closer == (whole is None)
    if whole is not None:
        noted = entry_of(whole)
        expected = made(TEXTS[batch], USAGES[usage], model)
        assert {**msgspec.to_builtins(noted), "total_ms": 0, "time": 0.0} == expected
        used = ["id", "outcome", "prompt_tokens", "total_tokens", "cost", "cache"]
        assert [getattr(noted, name) for name in used] == [getattr(whole, name) for name in used]
