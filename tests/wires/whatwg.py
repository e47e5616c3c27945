"""A plain reader of event streams, written down from the WHATWG text (HTML, section 9.2.6) step by step, and nothing else.

It takes the whole stream at once, as text, and cares for neither speed nor memory: what it says is what is right.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class EventSource:
    """What a stream amounts to: the events as (type, data, last event id), and what is kept for reconnecting."""

    events: list[tuple[str, str, str]] = field(default_factory=list)
    last_event_id: str = ""
    reconnection_time: int | None = None

    data_buffer: str = ""
    event_type_buffer: str = ""
    last_event_id_buffer: str = ""

    def dispatch(self) -> None:
        self.last_event_id = self.last_event_id_buffer
        if self.data_buffer == "":
            self.event_type_buffer = ""
            return
        self.data_buffer = self.data_buffer.removesuffix("\n")
        self.events.append((self.event_type_buffer or "message", self.data_buffer, self.last_event_id))
        self.data_buffer = ""
        self.event_type_buffer = ""

    def process_field(self, name: str, value: str) -> None:
        if name == "event":
            self.event_type_buffer = value
        elif name == "data":
            self.data_buffer += value
            self.data_buffer += "\n"
        elif name == "id":
            if "\0" not in value:
                self.last_event_id_buffer = value
        # No more digits than a time could have: one of the two liberties that are taken, and documented.
        elif name == "retry" and value and all(char in "0123456789" for char in value) and len(value) <= 15:
            self.reconnection_time = int(value)

    def process_line(self, line: str) -> None:
        if line == "":
            self.dispatch()
        elif line.startswith(("{", "[{")):
            self.process_field("data", line)  # the other one: some servers report an error so
        elif line.startswith(":"):
            pass
        elif ":" in line:
            colon = line.index(":")
            name, value = line[:colon], line[colon + 1 :]
            value = value.removeprefix(" ")
            meant = name.replace("\ufeff", "").strip(" \t\0").lower()
            if (meant == "data" and value.startswith(("{", "["))) or (meant == "error" and value.startswith("{")):
                name = "data"  # or so, and some do not write the field as it is
            self.process_field(name, value)
        else:
            self.process_field(line, "")


def lines_of(text: str) -> list[str]:
    """The lines that CRLF, LF or CR end; a line that none of them ends is pending data, and is discarded."""
    lines: list[str] = []
    line = ""
    position = 0
    while position < len(text):
        char = text[position]
        position += 1
        if char == "\r" and text[position : position + 1] == "\n":
            position += 1
        if char in "\r\n":
            lines.append(line)
            line = ""
        else:
            line += char
    return lines


def read(stream: bytes) -> EventSource:
    text = stream.decode("utf-8", "replace")
    text = text.removeprefix("\ufeff")
    source = EventSource()
    for line in lines_of(text):
        source.process_line(line)
    return source
