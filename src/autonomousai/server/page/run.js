// One answer on its way, from the question to its proven end. When the connection breaks, it goes on where it was: by itself and
// for as long as it takes, as the server says when it has let the stream go. Knows the wire; not how answers are shown or kept.

import { isRunning, isWhole, take, ToldError } from "./answer.js";
import * as api from "./api.js";
import { LostError } from "./api.js";
import { requestFor } from "./conversation.js";
import { EventReader } from "./sse.js";

/** Milliseconds of silence after which a connection is taken for dead: the server comments on every 15 s of it. */
const SILENCE = 45_000;

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 8_000;

/** While the page is being left, what breaks is no news. */
let leaving = false;
addEventListener("pagehide", () => (leaving = true));

export class Run {
  /** Whether the connection is lost just now. */
  lost = false;
  /** How much of the question is read, from 0 to 1, while the server says so; else null. */
  reading = null;
  #leave = new AbortController();
  #connection = null;
  #changed;

  #own;

  /** `changed(run)` is called after each news; at the end, `answer.state` says so. `own`: this tab has asked, and does not just follow. */
  constructor(conversation, answer, changed, own) {
    this.#own = own;
    this.conversation = conversation;
    this.answer = answer;
    this.#changed = changed;
    addEventListener("online", this.#reconnect);
  }

  /** Ask, or go on where this answer was when the page was left. What goes wrong stands in the answer. */
  async go() {
    const { answer } = this;
    try {
      await this.#untilEnd();
      if (!(await isWhole(answer))) throw told("checksum_mismatch");
      this.#end("done");
    } catch (error) {
      if (leaving) return; // the next page goes on
      if (this.#leave.signal.aborted) this.#end("stopped");
      else if (error instanceof ToldError) this.#fail(error.told);
      else if (error instanceof LostError) this.#fail({ code: answer.text ? "broken_off" : "unreachable" });
      else {
        this.#fail({ code: "bug", message: String(error) });
        throw error;
      }
    }
  }

  /** The reader wants no more of it: the server may stop generating. */
  stop() {
    if (!isRunning(this.answer)) return;
    const { stream } = this.answer;
    this.leave();
    if (stream) api.drop(stream.id);
  }

  /** Another tab has stopped it. */
  leave() {
    this.#leave.abort();
    this.#connection?.abort();
  }

  async #untilEnd() {
    for (let failures = 0; ; ) {
      const before = this.answer.stream?.last;
      let wait = null;
      try {
        const events = new EventReader();
        if (await this.#readOnce(events)) return;
        wait = events.retry;
        if (!this.#canResume) throw new LostError("the answer ended without an end");
      } catch (error) {
        if (this.#leave.signal.aborted) throw error;
        const passing = error instanceof ToldError && [429, 502, 503, 504].includes(error.told.status);
        const broke = error instanceof LostError || error.name === "AbortError" || passing;
        if (!broke || !this.#canResume) throw error;
      }
      failures = this.answer.stream.last === before ? failures + 1 : 0;
      this.lost = true;
      this.#changed(this);
      await this.#pause(wait ?? Math.min(FIRST_PAUSE * 2 ** failures, LONGEST_PAUSE));
    }
  }

  /** An event without a number cannot be gone on after: the server could not keep it. */
  get #canResume() {
    return this.answer.stream !== null && /^[0-9]*$/.test(this.answer.stream.last);
  }

  /** Read one connection to its end. True when it brought the answer's. */
  async #readOnce(events) {
    const { answer } = this;
    const connection = (this.#connection = new AbortController());
    const alive = this.#watch(connection);
    const goesOn = answer.stream !== null && (this.lost || this.#own);
    try {
      const response = answer.stream
        ? await api.follow(answer.stream.id, answer.stream.last, connection.signal)
        : await api.ask(requestFor(this.conversation, answer), connection.signal);
      if (goesOn) answer.resumed += 1;
      if (response.status === 204) return true; // there is nothing after what we have
      if (this.lost) {
        this.lost = false;
        this.#changed(this);
      }
      const id = response.headers.get("x-stream-id");
      if (id && !answer.stream) {
        answer.stream = { id, last: "" };
        this.#changed(this);
      }
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { value, done } = await read(reader);
        if (done) return answer.finish !== null;
        alive();
        if (this.#takeAll(events.feed(value))) return true;
        this.#hearReading(events.comment);
      }
    } finally {
      alive(false);
      connection.abort();
    }
  }

  #takeAll(events) {
    const { answer } = this;
    let ended = false;
    for (const { id, data } of events) {
      ended = take(answer, data, Date.now());
      if (answer.stream) answer.stream.last = id;
      if (ended) break;
    }
    if (events.length && !ended) this.#changed(this);
    return ended;
  }

  /** Before the first word the server comments on how far it has read, where it knows. */
  #hearReading(comment) {
    const [, done, total] = /^reading: ([0-9]+) of ([0-9]+) tokens$/.exec(comment) ?? [];
    const reading = total > 0 && this.answer.state === "waiting" ? done / total : null;
    if (reading === this.reading) return;
    this.reading = reading;
    this.#changed(this);
  }

  /** Abort a connection that has been silent for too long. The function that is returned winds it up, or stops it. */
  #watch(connection) {
    let timer = null;
    const wind = (on = true) => {
      clearTimeout(timer);
      if (on) timer = setTimeout(() => connection.abort(), SILENCE);
    };
    wind();
    return wind;
  }

  /** Back in a network: what was open may be dead without saying so, and who waits need not. */
  #reconnect = () => {
    if (this.#canResume) this.#connection?.abort();
    this.#wake?.();
  };

  #wake = null;

  #pause(milliseconds) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
      this.#leave.signal.addEventListener("abort", () => reject(this.#leave.signal.reason));
    }).finally(() => (this.#wake = null));
  }

  #fail(error) {
    this.answer.error = { status: null, message: "", retryAfter: null, ...error };
    this.#end("failed");
  }

  #end(state) {
    removeEventListener("online", this.#reconnect);
    Object.assign(this.answer, { state, endedAt: Date.now(), stream: null });
    this.lost = false;
    this.#changed(this);
  }
}

function told(code) {
  return new ToldError({ status: null, code, message: "" });
}

async function read(reader) {
  try {
    return await reader.read();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new LostError(error.message);
  }
}
