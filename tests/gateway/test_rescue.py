"""An answer that breaks half-way is finished: exactly, or by continuing it, or not at all; never by a blend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from autonomousai.answer import Answer
from autonomousai.batches import BatchStream
from autonomousai.capabilities import Capabilities
from autonomousai.config import BreakerConfig, RescueConfig, RetryConfig
from autonomousai.errors import (
    HTTPError,
    IncompleteStreamError,
    ProviderError,
    StatusError,
    StreamError,
    TimeoutError,  # noqa: A004  the contract's own name
)
from autonomousai.events import FinishReason, Started, ToolCallDelta, ToolCalls, Usage
from autonomousai.gateway import Gateway, Upstream
from autonomousai.report import Report, Splice
from autonomousai.request import DEFAULT_OPTIONS, CallOptions, ChatRequest
from autonomousai.result import AsyncResult
from autonomousai.testing import ScriptedProvider, answer

HELLO = [{"role": "user", "content": "Hello"}]
WHOLE = ("The", " sky", " is", " blue", ".")
WORDS = "".join(WHOLE)
CUT = (Started("m"), *WHOLE[:3], IncompleteStreamError())


class Repeating(ScriptedProvider):
    """One that gives the same bytes again, as its script says."""

    capabilities = Capabilities(deterministic=True)


class Continuing(ScriptedProvider):
    """One that can continue: a continuation plays the next script, and notes from where."""

    capabilities = Capabilities(continues=True)

    def __init__(self, *scripts: Sequence[Any], **options: Any) -> None:
        super().__init__(*scripts, **options)
        self.continued: list[str] = []

    def stream_continuation(self, request: ChatRequest, text: str, options: CallOptions = DEFAULT_OPTIONS) -> BatchStream:
        self.continued.append(text)
        return self.stream(request, options)


def gateway(
    *providers: ScriptedProvider, exact_tokens: int = 512, attempts: int = 1, breaker: BreakerConfig | None = None
) -> Gateway:
    upstreams = [Upstream(f"u{number}", provider, breaker=breaker) for number, provider in enumerate(providers)]
    return Gateway(
        upstreams,
        {"llama": [upstream.name for upstream in upstreams]},
        retry=RetryConfig(attempts=attempts, backoff=0),
        rescue=RescueConfig(exact_tokens=exact_tokens),
    )


async def read(made: Gateway, **fields: Any) -> tuple[str, ProviderError | None, AsyncResult]:
    result = made.create_async_generator("llama", HELLO, stream=True, **fields)
    texts: list[str] = []
    try:
        async for chunk in result:
            texts.append(str(chunk))
    except ProviderError as error:
        return "".join(texts), error, result
    return "".join(texts), None, result


BREAKS: dict[str, ProviderError] = {
    "cut": IncompleteStreamError(),
    "reset": HTTPError("reset", retryable=True),
    "stall": TimeoutError("idle", 1),
    "error event": StreamError("overloaded"),
    "unreadable event": StreamError("unreadable", retryable=True),
}


@pytest.mark.parametrize("cause", BREAKS.values(), ids=BREAKS)
async def test_the_same_again_is_exact(cause: ProviderError) -> None:
    """An upstream that repeats itself generates anew, and the caller's stream goes on where it broke."""
    engine = Repeating([Started("m"), *WHOLE[:3], cause], answer(*WHOLE))

    text, error, result = await read(gateway(engine))

    assert (text, error) == (WORDS, None)
    assert result.report is not None
    assert [Splice(10, "u0", "u0")] == result.report.splices
    assert [each.outcome for each in result.report.attempts][1:] == ["ok"]


async def test_the_same_again_has_the_same_seed() -> None:
    """A seed is drawn where the caller gave none, or -1, so that there is a same again; a caller's own is kept."""
    engine = Repeating(CUT, answer(*WHOLE))
    await read(gateway(engine))
    drawn = [call.kwargs["seed"] for call in engine.calls]

    other, random = Repeating(CUT, answer(*WHOLE)), Repeating(CUT, answer(*WHOLE))
    await read(gateway(other), seed=7)
    await read(gateway(random), seed=-1)

    assert drawn[0] == drawn[1]
    assert isinstance(drawn[0], int)
    assert (1, True) == (len(seeds := {call.kwargs["seed"] for call in random.calls}), min(seeds) >= 0)
    assert [7, 7] == [call.kwargs["seed"] for call in other.calls]


async def test_who_does_not_repeat_itself_gets_no_seed() -> None:
    """A seed that the caller did not ask for goes to nobody else."""
    provider = ScriptedProvider(answer(*WHOLE))

    await read(gateway(provider, Repeating()))

    assert "seed" not in provider.calls[0].kwargs


async def test_a_second_answer_that_differs_is_never_blended() -> None:
    """The negative: the error is the first cause, with exactly the text that was delivered."""
    engine = Repeating(CUT, answer("The", " sky", " was", " red"))

    text, error, _ = await read(gateway(engine))

    assert isinstance(error, IncompleteStreamError)
    assert (text, error.partial) == ("The sky is", "The sky is")


async def test_a_continuation_goes_on_from_the_last_whole_word() -> None:
    """The text up to the last whole word is handed over, and the rest of it swallowed when it comes again."""
    provider = Continuing((Started("m"), "The sky is bl", IncompleteStreamError()), answer(" blue", "."))

    text, error, result = await read(gateway(provider))

    assert (text, error) == ("The sky is blue.", None)
    assert provider.continued == ["The sky is"]
    assert result.report is not None
    assert [Splice(13, "u0", "u0")] == result.report.splices


async def test_a_continuation_may_be_as_long_as_what_is_missing() -> None:
    """The pieces of the broken word are generated once more, and do not count twice against the caller's bound."""
    cut = (Started("m"), "The", " sky", " is", " bl", "u", IncompleteStreamError())
    provider = Continuing(cut, answer(" red."), answer("ish."))

    text, error, _ = await read(gateway(provider), max_tokens=8)

    assert (text, error, provider.continued) == ("The sky is bluish.", None, ["The sky is", "The sky is blu"])
    assert [8, 5, 3] == [call.kwargs["max_tokens"] for call in provider.calls]


async def test_a_continuation_may_come_from_the_next_upstream() -> None:
    """The first cannot continue: the second does, and is named as the one that answered."""
    text, error, result = await read(gateway(ScriptedProvider(CUT), Continuing(answer(" is", " blue", "."), name="other")))

    assert (text, error) == (WORDS, None)
    assert result.report is not None
    assert (result.report.upstream, result.report.splices) == ("u1", [Splice(10, "u0", "u1")])


async def test_another_word_than_the_broken_one_is_not_glued_to_it() -> None:
    """A continuation that begins with another word is refused; one from the very end is asked for instead."""
    provider = Continuing((Started("m"), "The sky is bl", IncompleteStreamError()), answer(" red."), answer("ue."))

    text, error, _ = await read(gateway(provider))

    assert (text, error) == ("The sky is blue.", None)
    assert provider.continued == ["The sky is", "The sky is bl"]


async def test_a_long_answer_is_continued_rather_than_repeated() -> None:
    """Past the configured number of pieces the quicker way comes first."""

    class Both(Continuing):
        capabilities = Capabilities(continues=True, deterministic=True)

    short, long = Both(CUT, answer(*WHOLE)), Both(CUT, answer(" is", " blue", "."))
    await read(gateway(short, exact_tokens=3))
    await read(gateway(long, exact_tokens=2))

    assert ([], ["The sky"]) == (short.continued, long.continued)


async def test_a_request_that_is_not_repeated_is_continued_and_gets_no_seed() -> None:
    """An upstream that repeats some requests says which: for others it is one like any other."""

    class Sometimes(Continuing):
        capabilities = Capabilities(continues=True, deterministic=True)

        def repeats(self, request: ChatRequest) -> bool:
            return "seed" in request.fields

    unseeded, seeded = Sometimes(CUT, answer(" is", " blue", ".")), Sometimes(CUT, answer(*WHOLE))
    texts = [(await read(gateway(unseeded)))[0], (await read(gateway(seeded), seed=5))[0]]

    assert [WORDS, WORDS] == texts
    assert (["The sky"], []) == (unseeded.continued, seeded.continued)
    assert [None, None] == [call.kwargs.get("seed") for call in unseeded.calls]


async def test_anew_elsewhere_works_between_equals() -> None:
    """The next upstream generates the same text: what was delivered is swallowed."""
    text, error, result = await read(gateway(ScriptedProvider(CUT), ScriptedProvider(answer("The sky", " is blue", "."))))

    assert (text, error) == (WORDS, None)
    assert result.report is not None
    assert [each.upstream for each in result.report.attempts][-1] == "u1"


@pytest.mark.parametrize(
    "fields", [{"tools": [{}]}, {"response_format": {"type": "json_object"}}], ids=["tools", "constrained"]
)
async def test_constrained_answers_are_not_continued(fields: dict[str, Any]) -> None:
    """JSON and tool calls are joined by repetition alone."""
    provider = Continuing(CUT)

    _, error, _ = await read(gateway(provider), **fields)

    assert isinstance(error, IncompleteStreamError)
    assert provider.continued == []


async def test_tool_calls_are_joined_by_repetition() -> None:
    """The arguments of a call go on where they broke; its id stays the first one."""
    first = (Started("m"), ToolCallDelta(0, "call_1", "f", '{"a"'), ToolCallDelta(0, None, None, ":"), IncompleteStreamError())
    second = answer(ToolCallDelta(0, "call_2", "f", '{"a":'), ToolCallDelta(0, None, None, "1}"), finish="tool_calls")
    result = gateway(Repeating(first, second)).create_async_generator("llama", HELLO, stream=True, tools=[{}])

    chunks = [chunk async for chunk in result]

    assert isinstance(chunks[0], ToolCalls)
    assert [("call_1", "f", '{"a":1}')] == [(call.id, call.name, call.arguments) for call in chunks[0].calls]


async def test_an_answer_can_be_rescued_again_and_again() -> None:
    """A stream that breaks after every word is finished all the same, each join declared."""
    scripts = [(Started("m"), *WHOLE[:length], IncompleteStreamError()) for length in range(1, 5)]
    engine = Repeating(*scripts, answer(*WHOLE))

    text, error, result = await read(gateway(engine))

    assert (text, error) == (WORDS, None)
    assert result.report is not None
    assert [3, 7, 10, 15] == [splice.offset for splice in result.report.splices]


async def test_an_engine_that_comes_back_late_is_waited_for() -> None:
    """A rescue that fails to begin is tried again like any other request."""
    engine = Repeating(CUT, (HTTPError("still down", retryable=True),), answer(*WHOLE))

    text, error, _ = await read(gateway(engine, attempts=3))

    assert (text, error) == (WORDS, None)


async def test_an_exact_rescue_is_tried_as_long_as_there_is_time() -> None:
    """However often its upstream dies over it, nothing else takes its place: what comes is what would have come."""

    class Both(Continuing):
        capabilities = Capabilities(continues=True, deterministic=True)

    killed = [*WHOLE[:2], IncompleteStreamError()]
    engine = Both(CUT, *[killed] * 8, answer(*WHOLE))

    text, error, _ = await read(gateway(engine))

    assert (text, error, engine.continued) == (WORDS, None, [])


async def test_an_exact_rescue_waits_for_its_upstreams_breaker() -> None:
    """The breaker opens again and again while it is tried: that is waited for too, and not given up, or continued."""

    class Both(Continuing):
        capabilities = Capabilities(continues=True, deterministic=True)

    down = (HTTPError("still down", retryable=True),)
    engine = Both(CUT, *[down] * 4, answer(*WHOLE))
    made = gateway(engine, breaker=BreakerConfig(failures=1, cooldown=0.01))

    text, error, _ = await read(made)

    assert (text, error, engine.continued) == (WORDS, None, [])


async def test_an_engine_that_has_given_itself_up_is_left() -> None:
    """It says that trying again is useless: the next way is taken, and its own continuation is none."""

    class Both(Continuing):
        capabilities = Capabilities(continues=True, deterministic=True)

    engine = Both(CUT, (HTTPError("crashed too often", retryable=False),), answer("never"))

    text, error, _ = await read(gateway(engine, ScriptedProvider(answer("The sky", " is blue", "."))))

    assert (text, error, len(engine.calls), engine.continued) == (WORDS, None, 2, [])


async def test_a_busy_engine_is_waited_for_once_an_answer_has_begun() -> None:
    """A queue that sends others away does not cost a caller what they were promised with the first word."""
    busy = StatusError("busy", status=503, retry_after=0, code="engine_busy")
    engine = Repeating(CUT, (busy,), (busy,), answer(*WHOLE))

    text, error, _ = await read(gateway(engine))

    assert (text, error) == (WORDS, None)


async def test_what_was_continued_is_not_asked_for_again() -> None:
    """Nobody would repeat it: after a second break it is continued once more, without another try."""

    class Both(Continuing):
        capabilities = Capabilities(continues=True, deterministic=True)

    continued = (Started("m"), " is", " bl", IncompleteStreamError())
    engine = Both(CUT, answer("A sky"), continued, answer(" blue", "."))

    text, error, _ = await read(gateway(engine))

    assert (text, error, len(engine.calls), engine.continued) == (WORDS, None, 4, ["The sky", "The sky is"])


async def test_a_rejection_in_mid_answer_is_part_of_the_answer() -> None:
    """A content filter that cuts in is not worked around."""
    rejection = StreamError("filtered", code="content_filter")
    provider, other = Repeating((Started("m"), "The", rejection), answer(*WHOLE)), Continuing()

    text, error, _ = await read(gateway(provider, other))

    assert (text, error, len(provider.calls), other.continued) == ("The", rejection, 1, [])


async def test_a_refused_continuation_never_reaches_the_caller() -> None:
    """An upstream that rejects the prefill is passed over; the caller hears of the first cause alone."""
    refusing = Continuing((StatusError("prefill is not supported", status=400),))

    _, error, _ = await read(gateway(ScriptedProvider(CUT), refusing))

    assert isinstance(error, IncompleteStreamError)
    assert error.partial == "The sky is"


async def test_usage_adds_up_what_was_generated() -> None:
    """The pieces of the broken try count too."""
    engine = Repeating(CUT, answer(*WHOLE, usage=Usage(10, 5, 15)))

    _, _, result = await read(gateway(engine))

    assert isinstance(result.finish, FinishReason)
    assert result.finish.usage == Usage(10, 8, 18)


async def test_text_goes_out_as_it_comes() -> None:
    """Nothing is held back for the sake of a rescue: each batch of the upstream is a batch of the gateway."""
    result = gateway(ScriptedProvider(answer(*WHOLE))).create_async_generator("llama", HELLO, stream=True)

    batches = [batch async for batch in result.batches()]

    assert [["The"], [" sky"], [" is"], [" blue"], ["."]] == [batches[0][1:], *batches[1:5]]


async def test_an_answer_that_broke_elsewhere_can_be_taken_over() -> None:
    """Another gateway brings the rest of what was delivered before: by the same upstream, with the same seed."""
    engine = Repeating(answer(*WHOLE))
    made = gateway(ScriptedProvider(answer("other")), engine)

    delivered = Answer(Report(upstream="u1", author="u1", seed=7))
    delivered.add(["The sky", " is"])

    stream = made.resume(ChatRequest("llama", HELLO, stream=True), CallOptions(answer=delivered))
    text = "".join([str(event) async for batch in stream for event in batch])

    assert (text, engine.calls[0].kwargs["seed"]) == (" blue.", 7)
    assert delivered.report is not None
    assert [Splice(10, "u1", "u1")] == delivered.report.splices


async def test_the_seed_that_was_drawn_is_told() -> None:
    """Who takes an answer over elsewhere needs the seed: the report holds it from the beginning."""
    engine = Repeating(answer(*WHOLE))

    _, _, result = await read(gateway(engine))

    assert result.report is not None
    assert result.report.seed == engine.calls[0].kwargs["seed"]
