// Server-sent events: text -> events, as the WHATWG standard reads them. Pure: knows no network, and not what events say.

export class EventReader {
  /** Milliseconds to wait before coming back, where the server said so. */
  retry = null;
  /** The last comment: no part of any event. */
  comment = "";
  #id = "";
  #data = [];
  #rest = "";
  #afterReturn = false;

  /** The events, each `{id, data}`, that `text` completes. An end of the stream inside an event is no event. */
  feed(text) {
    if (this.#afterReturn && text) {
      if (text[0] === "\n") text = text.slice(1); // the second half of a line end that was cut in two
      this.#afterReturn = false;
    }
    this.#afterReturn ||= text.endsWith("\r");
    const lines = (this.#rest + text).split(/\r\n|\n|\r/);
    this.#rest = lines.pop();
    return lines.map((line) => this.#line(line)).filter((event) => event !== null);
  }

  #line(line) {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value[0] === " ") value = value.slice(1);
    if (field === "data") this.#data.push(value);
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    else if (field === "") this.comment = value;
    else if (field === "retry" && /^[0-9]+$/.test(value)) this.retry = Number(value);
    return null;
  }

  #dispatch() {
    if (this.#data.length === 0) return null;
    const event = { id: this.#id, data: this.#data.join("\n") };
    this.#data = [];
    return event;
  }
}
