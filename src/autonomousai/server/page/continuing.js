// An answer that was cut goes on in its own message: where the model can, from its very words; where it cannot, by being asked to.
// Pure: what is asked for, and what belongs to the answer as it was.
//
// answer: `base`: so much of its text stood before; `before`: tokens of that; `joined`: "prefill" or "asked", how it went on; `turn`: how often.

import { say } from "./words.js";

/** Errors after which going on makes nothing better. */
const FINAL = ["checksum_mismatch", "context_length_exceeded", "body_too_large"];

/** Whether there is more to come of an answer, and nothing was said after it. */
export function canContinue(conversation, answer) {
  const { state, text, finish, error, tools } = answer;
  if (!text || tools?.length || conversation.head !== answer.id) return false;
  return state === "stopped" || (state === "failed" && !FINAL.includes(error?.code)) || (state === "done" && finish === "length");
}

/** Make an answer one that waits for the rest of it. A model that goes on from its own words brings the space between them. */
export function carryOn(answer, prefill) {
  const text = prefill ? answer.text.trimEnd() : answer.text;
  Object.assign(answer, {
    text, turn: (answer.turn ?? 0) + 1, base: text.length, before: (answer.before ?? 0) + (answer.usage?.completion ?? 0),
    joined: prefill ? "prefill" : "asked",
    state: "waiting", stream: null, finish: null, usage: null, evidence: null, error: null, firstAt: null, endedAt: null,
  });
}

/** Whether an answer was asked to go on from its own words, and that was refused before a word came: it can be asked to. */
export function isRefused({ joined, state, text, base, error }) {
  return joined === "prefill" && state === "failed" && text.length === base && error.status === 400 && !FINAL.includes(error.code);
}

/** The messages that ask for the rest; none where it is no continuation. */
export function restOf({ text, base, joined }) {
  if (!base) return [];
  const words = { role: "assistant", content: text.slice(0, base) };
  return joined === "prefill" ? [words] : [words, { role: "user", content: say("goOnRequest") }];
}

/** A model that was asked to go on may begin with a word: it does not grow together with the last one. */
export function joint({ text, base, joined }, more) {
  return base && joined === "asked" && text.length === base && /[\p{L}\p{N}]$/u.test(text) && /^[\p{L}\p{N}]/u.test(more) ? " " : "";
}
