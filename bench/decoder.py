"""How fast an answer is decoded: microseconds of CPU per event, beside `json.loads` line by line over the same bytes.

    python bench/decoder.py [--quick] [--json FILE]

Every way of reading gets the same streams in reads of 64 KiB, in interleaved rounds, and must bring every word of the text; the
figures are medians. Only the ratio carries over to another machine, so it is the guard: exits 1 when a stream costs more than
a third of what `json.loads` costs.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from measure import Figures, Goal, Plan, finish, note

from autonomousai.wires.openai_chat.decoder import ChatStreamDecoder

EVENTS = 10_000
ROUNDS = 7
READ = 64 * 1024
GUARD = 1 / 3

#: The goals in microseconds, which tell of one machine: for chunks that differ in content alone, and for any others.
SAME, OTHER = 0.45, 0.9

TEXT = "the quick brown fox jumps over a lazy dog, and «then» some:\n - \"more\" 'words' — für 你好 😀 ."
WORDS = TEXT.split(" ")

Reader = Callable[[list[bytes]], list[str]]


class Stream(NamedTuple):
    """A recorded answer: the reads that it comes in, and the texts that it holds."""

    name: str
    reads: list[bytes]
    texts: list[str]


def chunk(text: str, **more: Any) -> bytes:
    """A chunk of about 280 bytes, as vLLM and its kin send it."""
    document = {
        "id": "chatcmpl-9f8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c",
        "object": "chat.completion.chunk",
        "created": 1790000000,
        "model": "meta-llama/Llama-3.3-70B-Instruct",
        "choices": [{"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}],
    }
    return json.dumps(document | more, separators=(",", ":"), ensure_ascii=False).encode()


def streams() -> Iterator[Stream]:
    texts = [f" {WORDS[number % len(WORDS)]}" for number in range(EVENTS)]
    plain = [chunk(text) for text in texts]
    padded = [chunk(text, obfuscation="x" * (number % 13)) for number, text in enumerate(texts)]
    dated = [chunk(text, created=1790000000 + number) for number, text in enumerate(texts)]
    bodies = {
        "contents differ alone": [b"data: %b\n\n" % data for data in plain],
        "the same, with ids": [b"id: %d\ndata: %b\n\n" % pair for pair in enumerate(plain)],
        "the same, CRLF": [b"data: %b\r\n\r\n" % data for data in plain],
        "padding differs too": [b"data: %b\n\n" % data for data in padded],
        "time differs too": [b"data: %b\n\n" % data for data in dated],
    }
    for name, events in bodies.items():
        body = b"".join([*events, b"data: [DONE]\n\n"])
        yield Stream(name, [body[at : at + READ] for at in range(0, len(body), READ)], texts)


def ours(reads: list[bytes]) -> list[str]:
    stream = ChatStreamDecoder()
    texts: list[str] = []
    for data in reads:
        texts += [event for event in stream.feed(data) if type(event) is str]
    stream.finish()
    return texts


def line_by_line(reads: list[bytes]) -> list[str]:
    """What most clients do."""
    texts: list[str] = []
    rest = b""
    for data in reads:
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data: "):
                payload = line[6:].strip()
                if payload == b"[DONE]":
                    return texts
                texts.append(json.loads(payload)["choices"][0]["delta"]["content"])
    raise ValueError("the stream has no end")


def microseconds(read: Reader, stream: Stream) -> float:
    """CPU per event of one pass, whose text is checked."""
    begin = time.process_time()
    texts = read(stream.reads)
    spent = time.process_time() - begin
    if texts != stream.texts:
        raise SystemExit(f"{read.__name__} read another text: {stream.name}")
    return spent / len(stream.texts) * 1e6


def measure(rounds: int) -> Figures:
    """The readers take turns, so that what else the machine does hits both alike."""
    figures: Figures = {}
    recorded = list(streams())
    for _ in range(rounds):
        for stream in recorded:
            for name, read in (("ours", ours), ("json", line_by_line)):
                note(figures, stream.name, name, microseconds(read, stream))
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description="CPU per decoded event, beside json.loads line by line.")
    parser.add_argument("--quick", action="store_true", help="three rounds, and a bound that is twice as wide")
    parser.add_argument("--json", type=Path, help="write the raw figures there")
    options = parser.parse_args()
    figures = measure(3 if options.quick else ROUNDS)
    units = dict.fromkeys(figures, "µs an event")
    goals = [Goal(name, "ours", GUARD, "json") for name in figures]
    goals += [Goal(name, "ours", SAME if name == "contents differ alone" else OTHER, guard=False) for name in figures]
    return finish("decoder", figures, units, goals, Plan(options.quick, ROUNDS, frozenset(), peers=False), options.json)


if __name__ == "__main__":
    sys.exit(main())
