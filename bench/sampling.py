"""Which sampling suits the weights: forty everyday prompts, several seeds, and what becomes of the answers.

    python bench/sampling.py [--weights NAME] [--seeds N] [--tokens N] [--prompts N] [--only NAME,...] [--json FILE] [--show N]

For each setting: ``repeated``: the share of 4-grams of words that stood in the same answer before; ``ended``: the share of
answers that ended by themselves within the tokens; ``looped``: that the engine stopped because they looped; ``words``: of an
answer, on average. The answers repeat: each has a seed of its own. The row's field is `models.Weights.sampling`; the weights
must be there (`autonomousai pull`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from autonomousai.answer import Answer
from autonomousai.engine.provider import LlamaCpp
from autonomousai.models import DEFAULT_WEIGHTS
from autonomousai.request import ChatRequest

PROMPTS: Final = (
    "Why is the sky blue?",
    "Explain to a child of eight why it rains.",
    "What is the difference between a virus and a bacterium?",
    "How does a refrigerator work?",
    "Why do we have leap years?",
    "What is inflation, in simple words?",
    "What does a heart do?",
    "Why do cats purr?",
    "What is the capital of France, and what is it known for?",
    "Name three planets and say one thing about each.",
    "Give me five ideas for a rainy Sunday afternoon at home.",
    "Give me five names for a small grey cat.",
    "What can I cook with eggs, potatoes and onions?",
    "Write a shopping list for a simple breakfast for two.",
    "Plan a day in Rome for a family with two children.",
    "How can I fall asleep more easily?",
    "How do I get red wine out of a white shirt?",
    "What should I pack for a weekend at the sea?",
    "How do I begin to run if I have never run before?",
    "What makes a good cup of tea?",
    "Write a short, warm letter that thanks a neighbour for feeding the cat.",
    "Write an email to my landlord: the heating does not work.",
    "Write a birthday wish for a colleague whom I do not know well.",
    "Write a short poem about autumn.",
    "Write a short story about a fox and a lazy dog.",
    "Write a joke about computers.",
    "Write one sentence that says why reading is good.",
    "Describe a forest in the morning.",
    "Write a polite refusal of an invitation to a wedding.",
    "Make this friendlier: Send me the report today.",
    "Correct this sentence: He go to school every days.",
    "Summarize in one sentence: The meeting was moved from Monday to Tuesday, since two people were ill.",
    "Translate into French: Good morning, how are you?",
    "What is 12 times 12?",
    "List the days of the week.",
    "What is a synonym of happy?",
    "Write a Python function that tells whether a word is a palindrome.",
    "What does the command ls do?",
    "What is a variable in a program?",
    "Hello! Who are you?",
)

_DRY: Final = {"dry_multiplier": 0.8, "dry_base": 1.75, "dry_allowed_length": 4}

#: Fields as llama.cpp's server names them.
SETTINGS: Final[Mapping[str, Mapping[str, float]]] = {
    "llama.cpp's own (0.8)": {},
    "0.2": {"temperature": 0.2},
    "0.4": {"temperature": 0.4},
    "0.4, min_p 0.1": {"temperature": 0.4, "min_p": 0.1},
    "0.4, penalty 1.1": {"temperature": 0.4, "repeat_penalty": 1.1},
    "0.4, DRY": {"temperature": 0.4, **_DRY},
    "0.2, DRY": {"temperature": 0.2, **_DRY},
    "0.4, min_p 0.1, penalty 1.05, DRY": {"temperature": 0.4, "min_p": 0.1, "repeat_penalty": 1.05, **_DRY},
    "0.8, DRY": {"temperature": 0.8, **_DRY},
}


class Figures(NamedTuple):
    """What became of the answers of one setting; shares in percent."""

    repeated: float
    ended: float
    looped: float
    words: float


def four_grams(text: str) -> tuple[int, int]:
    """Return how many 4-grams of words *text* has, and how many of them stood in it before."""
    words = re.findall(r"\w+", text.lower())
    grams = list(zip(words, words[1:], words[2:], words[3:], strict=False))
    return len(grams), len(grams) - len(set(grams))


def figures(answers: list[Answer]) -> Figures:
    """Return what became of *answers*."""
    grams = [four_grams(answer.text) for answer in answers]
    total, repeated = (sum(each) for each in zip(*grams, strict=True))
    reasons = [answer.finish.reason for answer in answers if answer.finish is not None]
    words = sum(len(answer.text.split()) for answer in answers)
    return Figures(
        100 * repeated / max(1, total),
        100 * reasons.count("stop") / len(answers),
        100 * reasons.count("repetition") / len(answers),
        words / len(answers),
    )


async def answer(engine: LlamaCpp, prompt: str, seed: int, tokens: int) -> Answer:
    """Return the answer to *prompt*, with the page's own system message."""
    fields = {"seed": seed, "max_tokens": tokens}
    whole = Answer()
    async for batch in engine.stream(ChatRequest("llama", [{"role": "user", "content": prompt}], stream=True, fields=fields)):
        whole.add(batch)
    return whole


async def sweep(options: argparse.Namespace) -> dict[str, list[Answer]]:
    """Return the answers by setting: each prompt with each seed, in this order."""
    chosen = options.only.split(",,") if options.only else list(SETTINGS)
    found: dict[str, list[Answer]] = {}
    for name in chosen:
        began = time.monotonic()
        async with LlamaCpp(options.weights, slots=8, context=1024, sampling=SETTINGS[name]) as engine:
            found[name] = await asyncio.gather(
                *(
                    answer(engine, prompt, 1000 * seed + number, options.tokens)
                    for seed in range(options.seeds)
                    for number, prompt in enumerate(PROMPTS[: options.prompts])
                )
            )
        say = figures(found[name])
        print(f"| {name} | {say.repeated:.1f} | {say.ended:.0f} | {say.looped:.0f} | {say.words:.0f} |", flush=True)
        print(f"  {time.monotonic() - began:.0f} s", file=sys.stderr)
    return found


def main() -> int:
    """Print a row for each setting, and write the answers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default=DEFAULT_WEIGHTS)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=160)
    parser.add_argument("--prompts", type=int, default=len(PROMPTS))
    parser.add_argument("--only", help="names of settings, with two commas between")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print("| temperature | repeated 4-grams, % | ended by themselves, % | stopped, % | words |\n|---|---|---|---|---|")
    found = asyncio.run(sweep(options))
    if options.json:
        texts: dict[str, list[dict[str, Any]]] = {
            name: [{"text": each.text, "reason": None if each.finish is None else each.finish.reason} for each in answers]
            for name, answers in found.items()
        }
        options.json.write_text(json.dumps(texts, indent=1, ensure_ascii=False), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
