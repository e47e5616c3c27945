"""The page's pure modules, run in the browser itself: our reader of event streams against the standard's text, and the tree."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.wires.whatwg import read

from .conftest import Serve, Sit

pytestmark = pytest.mark.asyncio(loop_scope="package")

READ = """
async (streams) => {
  const { EventReader } = await import("/page/sse.js");
  return streams.map((pieces) => {
    const reader = new EventReader();
    return [pieces.flatMap((piece) => reader.feed(piece)).map(({ id, data }) => [data, id]), reader.retry];
  });
}
"""

#: What event streams are made of, and a little that they are not.
WORDS = [
    "data",
    "id",
    "retry",
    "event",
    ":",
    ": ",
    " ",
    "\n",
    "\r",
    "\r\n",
    "\n\n",
    "x",
    "7",
    "\0",
    "é",
    "data: a\n\n",
    "[DONE]",
    "id: 3\n",
]


async def test_event_streams_are_read_as_the_standard_says(serve: Serve, sit: Sit) -> None:
    """Whatever the stream is made of, and wherever it is cut."""
    reader = await sit(await serve())
    chance = random.Random(7)
    texts = ["".join(chance.choices(WORDS, k=chance.randrange(30))) for _ in range(2000)]
    streams = []
    for text in texts:
        cuts = sorted(chance.randrange(len(text) + 1) for _ in range(chance.randrange(6)))
        streams.append([text[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True)])

    got = await reader.page.evaluate(READ, streams)

    for text, (events, retry) in zip(texts, got, strict=True):
        source = read(text.encode())
        assert ([[data, number] for _, data, number in source.events], source.reconnection_time) == (events, retry), repr(text)


TREE = """
async () => {
  const { addAnswer, addQuestion, choose, newConversation, path, requestFor, versions } = await import("/page/conversation.js");
  const conversation = newConversation("llama", { system: "Be brief.", temperature: 0, maxTokens: null }, 1);
  const texts = () => path(conversation).map(({ text }) => text);
  const said = (parent, text) => Object.assign(addAnswer(conversation, parent, 2), { text, state: "done" });
  const first = addQuestion(conversation, null, "A", [], 1);
  const a1 = said(first.id, "a1");
  const b = addQuestion(conversation, a1.id, "B", [], 3);
  said(b.id, "");
  addQuestion(conversation, conversation.head, "C", [], 4);
  const open = addAnswer(conversation, conversation.head, 5);
  const request = requestFor(conversation, open);
  const before = texts();
  const a2 = said(first.id, "a2");
  const branched = texts();
  choose(conversation, a1);
  return { request, before, branched, back: texts(), versions: versions(conversation, a2).map(({ text }) => text) };
}
"""


async def test_a_conversation_is_a_tree_of_which_a_path_is_sent(serve: Serve, sit: Sit) -> None:
    """The branch before the answer, with the system prompt and without empty answers; turning back finds its newest end."""
    reader = await sit(await serve())

    got: dict[str, Any] = await reader.page.evaluate(TREE)

    roles = [("system", "Be brief."), ("user", "A"), ("assistant", "a1"), ("user", "B"), ("user", "C")]
    assert roles == [(message["role"], message["content"]) for message in got["request"]["messages"]]
    assert (0, True) == (got["request"]["temperature"], "max_tokens" not in got["request"])
    assert (["A", "a1", "B", "", "C", ""], ["A", "a2"]) == (got["before"], got["branched"])
    assert (got["before"], ["a1", "a2"]) == (got["back"], got["versions"])


async def test_a_checksum_that_does_not_fit_is_told(serve: Serve, sit: Sit) -> None:
    """A text that is not the one that the server says it sent is no whole answer."""
    reader = await sit(await serve())

    got = await reader.page.evaluate(
        """async () => {
          const { isWhole } = await import("/page/answer.js");
          const sha256 = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"; // of "hello world"
          const of = (text, evidence) => isWhole({ text, evidence });
          return Promise.all([
            of("hello world", { sha256, length: 11 }), of("hello world", null), of("hello worl", { sha256, length: 10 }),
            of("hello", { length: 6 }), of("😀", { length: 1 }),
          ]);
        }"""
    )

    assert [True, True, False, False, True] == got
