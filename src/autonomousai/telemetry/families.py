"""The families of metrics: each with its kind, what it counts, its labels and its bounds. A table, and nothing that acts.

Every label has few values: names of the config (what is not there is ``"other"``), and words of this package. What a caller
writes is never one of them.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

PREFIX: Final = "autonomousai_"

#: What stands for a name that is not configured.
OTHER: Final = "other"

#: What stands for the upstream of an answer that no upstream was asked for.
NONE: Final = "none"

#: Names of keys that are labels; all further ones are `OTHER`.
MAX_KEYS: Final = 500

#: Upper bounds in seconds: of a whole answer, of the wait for its first token, and between two of its batches.
ANSWER_BOUNDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
FIRST_TOKEN_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 60.0, 120.0)
INTER_TOKEN_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.0, 2.5, 5.0, 15.0)


class Family(msgspec.Struct, frozen=True):
    """``labels`` in the order of a sample's label values. ``bounds``: a histogram's, without infinity."""

    kind: Literal["counter", "gauge", "histogram"]
    about: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


_WHO: Final = ("model", "upstream")

#: What each process counts by itself; over several processes all of it can be added up.
FAMILIES: Final[dict[str, Family]] = {
    "requests_total": Family("counter", "Requests that were answered, or whose callers left (499).", ("route", "status")),
    "request_seconds": Family("histogram", "From a request's head to the last byte of its answer.", ("route",), ANSWER_BOUNDS),
    "requests_in_flight": Family("gauge", "Chat requests inside: waiting, or being answered."),
    "answers_total": Family(
        "counter", "Answers that were asked of the providers: ok, left, or what broke them.", (*_WHO, "outcome")
    ),
    "answer_seconds": Family("histogram", "From the request to the end of an answer that came complete.", _WHO, ANSWER_BOUNDS),
    "tokens_total": Family("counter", "Tokens of complete answers, as upstreams counted them.", (*_WHO, "kind")),
    "first_token_seconds": Family(
        "histogram", "From the request to the first of its answer, with the wait for a place.", _WHO, FIRST_TOKEN_BOUNDS
    ),
    "inter_token_seconds": Family(
        "histogram", "Between two deliveries of an answer; what one network read brought is one.", _WHO, INTER_TOKEN_BOUNDS
    ),
    "attempts_total": Family("counter", "Tries at upstreams, by how they ended.", (*_WHO, "outcome")),
    "retries_total": Family("counter", "Tries at the upstream that had just failed, before anything was delivered.", _WHO),
    "failovers_total": Family(
        "counter", "Tries at the next upstream, before anything was delivered.", ("model", "source", "target")
    ),
    "rescues_total": Family(
        "counter",
        "Answers that broke in the middle, by the way that brought their rest; none: there was no way.",
        ("model", "way"),
    ),
    "splices_total": Family("counter", "Places where an answer went on at another try.", ("source", "target")),
    "resumes_total": Family("counter", "Callers who came back for a stream, by what they found.", ("outcome",)),
    "takeovers_total": Family("counter", "Streams whose writer had died elsewhere, and that went on here."),
    "orphaned_generations_total": Family(
        "counter", "Generations that continued upstream although their caller was gone and could not come back."
    ),
    "hedges_total": Family(
        "counter",
        "Upstreams that were asked beside one that was slow to begin: won, lost, or failed.",
        ("model", "source", "target", "outcome"),
    ),
    "cache_total": Family(
        "counter", "Answers that were looked for in the cache, and that were kept: hit, miss, stored, error.", ("outcome",)
    ),
    "route_policy": Family("gauge", "Processes that ask a model's upstreams by that policy.", ("model", "policy")),
    "key_answers_total": Family("counter", "Answers to callers with the key of that name.", ("key", "outcome")),
    "key_tokens_total": Family("counter", "Tokens of complete answers to them, as upstreams counted them.", ("key", "kind")),
    "key_refusals_total": Family("counter", "Requests that a limit of their key has refused.", ("key", "limit")),
    "breaker_state": Family("gauge", "Processes whose breaker of that upstream is in that state.", ("upstream", "state")),
    "upstream_up": Family("gauge", "Processes whose last probe found the upstream up.", ("upstream",)),
    "upstream_adaptations": Family(
        "gauge",
        "Processes that ask an upstream's model in another form than the usual one, which it had refused.",
        ("upstream", "model", "form"),
    ),
    "places": Family("gauge", "Requests that may be answered at once."),
    "queue_length": Family("gauge", "Requests that wait for a place."),
    "streams": Family("gauge", "Resumable streams under way: written here, or followed from another server.", ("role",)),
    "ledger_entries_total": Family("counter", "Entries of the ledger, by what became of them.", ("fate",)),
    "ledger_waiting": Family("gauge", "Entries that are not written yet."),
    "ledger_failing": Family("gauge", "Processes whose ledger cannot be written now."),
    "store_failing": Family(
        "gauge",
        "Processes that cannot reach now where they share limits, keys, streams, breakers or the cache.",
        ("store",),
    ),
    "processes": Family("gauge", "Processes that serve."),
}

#: What there is once, however many processes serve: the embedded engine's. Its other counters are llama.cpp's own.
ENGINE_FAMILIES: Final[dict[str, Family]] = {
    "engine_up": Family("gauge", "Whether the engine is ready.", ("upstream",)),
    "engine_crashes_total": Family("counter", "Unexpected ends of the engine's process.", ("upstream",)),
    "engine_restarts_total": Family("counter", "Starts of the engine's process after a crash.", ("upstream",)),
    "engine_slots": Family("gauge", "Answers that the engine may generate at once.", ("upstream",)),
    "engine_loads_total": Family("counter", "Loads of a model because it was requested.", ("upstream",)),
    "engine_evictions_total": Family("counter", "Models unloaded because another needed their memory.", ("upstream",)),
    "engine_queue_length": Family("gauge", "Requests that wait for a slot of the engine.", ("upstream",)),
}

#: What is true of all processes.
INFO_FAMILIES: Final[dict[str, Family]] = {
    "build_info": Family("gauge", "What is running; always 1.", ("version", "python")),
}
