"""Events of one stream that differ in their text alone, read together: a shortcut of the decoders, never a guess.

A template is the bytes before and after the text, learnt from one chunk (the data of one event) that was decoded. Of later
chunks the slices between are taken, the chunks rebuilt from them and compared with what came in: equal *proves* that each is
the learnt document but for that string. What is not equal is decoded the usual way. Knows JSON strings, and no wire.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Final, Self

import msgspec

#: Stands in for the text while a template is proven. It needs no escape in JSON, and no chunk holds it.
_SENTINEL = "<here-stands-the-text-of-the-chunk>"

#: Events from which on it is worth while to look for more than one.
_SEVERAL = 3

#: What stands before a chunk in an event of the default type.
DATA: Final = b"data: "

#: What a decoder of strings raises.
_UNREADABLE: Final = (msgspec.DecodeError, ValueError)

_strings = msgspec.json.Decoder(list[str]).decode
_string = msgspec.json.Decoder(str).decode


class TextTemplate:
    """The bytes before and after the one string in which chunks differ; both of them hold the string's quotes. *lead*: what
    stands before a chunk in its event, which ends with ``data: ``. *longest*: bytes of an event that is read."""

    __slots__ = ("_after", "_before", "_event", "_first", "_last", "_lead")

    def __init__(self, before: bytes, after: bytes, lead: bytes = DATA, longest: int | None = None) -> None:
        self._before = before
        self._after = after
        self._lead = lead
        first, last = lead + before, after + b"\n\n"
        #: Where the string stands in an event, with its quotes, and where the event's own bytes do. One that is too short has
        #: no such place.
        self._event = slice(len(first) - 1, 1 - len(last))
        self._first = slice(len(first)), first
        self._last = slice(-len(last), longest), last  # what is longer does not end there, and so not as it must

    @classmethod
    def learn(
        cls,
        chunk: bytes,
        text: str,
        read: Callable[[bytes], str | None],
        *,
        member: bytes = b"content",
        lead: bytes = DATA,
        longest: int | None = None,
    ) -> Self | None:
        """The template of *chunk*, whose text is *text* in a *member* of that name; None where its place cannot be proven.

        *read* decodes a chunk to its text, None where it holds anything besides. That a sentinel in the text's place is read
        as the whole text shows that a JSON string begins and ends there, and that it is the text's: so any other string in
        its place is the text too, and nothing else of the chunk changes its meaning.
        """
        quoted = msgspec.json.encode(text)
        for key in (b'"%b":' % member, b'"%b": ' % member):
            at = chunk.find(key + quoted)
            if at < 0:
                continue
            before = chunk[: at + len(key) + 1]
            after = chunk[len(before) + len(quoted) - 2 :]
            sentinel = _SENTINEL.encode()
            if sentinel not in chunk and read(before + sentinel + after) == _SENTINEL:
                return cls(before, after, lead, longest)
        return None

    def text(self, chunk: bytes) -> str | None:
        """Return the text of one chunk; None unless it is proven to be of this template, with a valid text."""
        if not self.fits(chunk):
            return None
        try:
            return _string(chunk[len(self._before) - 1 : 1 - len(self._after)])
        except _UNREADABLE:
            return None

    def text_of_event(self, data: bytes) -> str | None:
        """Return the text of the chunk that is the one line of the one event in *data*: as a string of JSON has no line end,
        there is no other line. None unless all that is proven, and where it is no text."""
        place, first = self._first
        if data[place] != first:
            return None
        place, last = self._last
        if data[place] != last:
            return None
        try:
            return _string(data[self._event]) or None
        except _UNREADABLE:
            return None

    def texts_of_events(self, data: bytes, start: int = 0) -> tuple[list[str], int] | None:
        """Return the texts of the events that *data* holds from *start* on, and where the last of those ends. None unless there
        are several, and each of them is proven to be what `text_of_event` reads."""
        first, last = self._first[1], self._last[1]
        end = data.rfind(last, start) + len(last)
        if end < start + len(last) or not data.startswith(first, start):
            return None
        file = BytesIO(data)
        file.seek(start)
        lines = file.readlines()  # looks for line ends as memchr does; `split` looks at each byte
        line = self._lead.count(b"\n")  # of an event's, that with its data; the blank one follows
        own = slice(line, len(lines) - len(data[end:].splitlines()), line + 2)
        text = slice(len(first) - self._lead.rfind(b"\n") - 1, 1 - len(last))
        slices = [each[text] for each in lines[own]]
        events = b"".join((first, (last + first).join(slices), last))
        # Where the data is these events, and their texts are strings of JSON, it is proven wherever the slices are from.
        if len(slices) < _SEVERAL or start + len(events) != end or not data.startswith(events, start):
            return None
        texts = _texts_in(slices)
        return None if texts is None else (texts, end)

    def fits(self, chunk: bytes) -> bool:
        return chunk.startswith(self._before) and chunk.endswith(self._after)

    def texts(self, chunks: list[bytes]) -> list[str] | None:
        """The texts of *chunks*, one for each; None unless every one is proven to be of this template, with a valid text."""
        before, after = self._before, self._after
        text = slice(len(before), -len(after))
        slices = [chunk[text] for chunk in chunks]
        # Too short a chunk gives an empty slice and is rebuilt longer than it is. So equal lengths in all mean equal lengths
        # in each, and equal bytes in all mean equal bytes in each.
        if b"%b%b%b" % (before, (after + before).join(slices), after) != b"".join(chunks):
            return None
        return _texts_in(slices)


def _texts_in(slices: list[bytes]) -> list[str] | None:
    """Return the texts whose JSON, without its quotes, the *slices* are; None where one is no such thing."""
    together = b'["%b"]' % b'","'.join(slices)
    try:
        if _delimited(together, len(slices)):
            return _strings(together)
        return [_string(b'"%b"' % piece) for piece in slices]
    except _UNREADABLE:
        return None


def _delimited(together: bytes, strings: int) -> bool:
    """Whether the quotes put around the *strings* are what delimits them in *together*, as far as is soon told.

    They are if there are no others and none is escaped. They also are if each of the others is escaped: no backslash is escaped
    itself, so that one before a quote escapes it; no string ends in one; and as many quotes follow one as there are others.
    """
    others = together.count(b'"') - 2 * strings
    if others == 0 and b'\\"' not in together:
        return True
    if b"\\\\" in together or b'\\","' in together or together.endswith(b'\\"]'):
        return False
    return others == together.count(b'\\"')
