// An answer as it comes: events of the OpenAI wire are taken into a message, until its end is proven. Pure: knows no network.
//
// An answer's `state` is "waiting" (nothing has come yet), "streaming", and at last "done", "stopped" (by the reader) or "failed".

import { joint } from "./continuing.js";
import { timeThoughts } from "./thoughts.js";
import { takeCalls } from "./tools.js";

export const isRunning = (answer) => answer.state === "waiting" || answer.state === "streaming";

/** An error that the server told of in words: `{status, code, message, retryAfter}`, in a form that can be stored. */
export class ToldError extends Error {
  constructor(told) {
    super(told.message);
    this.told = told;
  }
}

/** Take one event's data into the answer. True at its end. Throws `ToldError` where the event is an error. */
export function take(answer, data, now) {
  if (data === "[DONE]") return true;
  const chunk = parse(data);
  if (chunk.error) {
    const { message, code, type } = Object(chunk.error);
    throw new ToldError({ status: null, code: code ?? type ?? null, message: String(message ?? "the answer broke off") });
  }
  if (chunk.model) answer.model = chunk.model;
  if (chunk.usage) answer.usage = { prompt: chunk.usage.prompt_tokens, completion: chunk.usage.completion_tokens };
  if (chunk.x_autonomousai?.sha256) answer.evidence = chunk.x_autonomousai;
  const choice = chunk.choices?.[0];
  if (!choice) return false;
  const { content, reasoning_content: reasoning, tool_calls: calls } = choice.delta ?? {};
  if (content || reasoning || calls?.length) {
    answer.state = "streaming";
    answer.firstAt ??= now;
  }
  if (content) addText(answer, content);
  if (reasoning) answer.reasoning += reasoning;
  if (calls?.length) takeCalls(answer, calls);
  if (content || reasoning) timeThoughts(answer, now);
  if (choice.finish_reason) answer.finish = choice.finish_reason;
  return false;
}

function addText(answer, content) {
  const space = joint(answer, content);
  if (space) answer.base += space.length; // it is none of what the server sends
  answer.text += space + content;
}

function parse(data) {
  try {
    return Object(JSON.parse(data));
  } catch {
    throw new ToldError({ status: null, code: "unreadable_event", message: "the server sent something that is no answer" });
  }
}

/** Whether the text is the one that the server says it sent, as far as this browser can tell. */
export async function isWhole(answer) {
  const { length, sha256 } = answer.evidence ?? {};
  const text = answer.text.slice(answer.base);
  if (length !== undefined && length !== [...text].length) return false;
  if (!sha256 || !globalThis.crypto?.subtle || !text.isWellFormed()) return true; // no hashes on plain http
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return sha256 === Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Tokens a second between the first and the last, or null where nobody knows: not counted, or read again after a break. */
export function speed(answer) {
  const seconds = (answer.endedAt - answer.firstAt) / 1000;
  const tokens = answer.usage?.completion - 1;
  return answer.state === "done" && !answer.resumed && tokens > 0 && seconds > 0 ? tokens / seconds : null;
}
