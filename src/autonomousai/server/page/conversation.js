// A conversation: a tree of messages. What is shown and sent is the path from the root to `head`; editing and asking again
// add branches, so that nothing is lost by it. Pure: plain data that can be stored as it is; knows no page and no network.
//
// conversation: {id, title, created, updated, model, settings, head, messages, pinned}
// message: {id, parent, role, text, at}; of a user also {images, files: [{name, size, text}]}, of an assistant what `newAnswer` makes.

import { restOf } from "./continuing.js";
import { withFiles } from "./files.js";
import { parts } from "./thoughts.js";
import { sentWithCalls } from "./tools.js";

/** Random; not by crypto.randomUUID, which plain http has not. */
export function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** `format`: "" (text), "json_object", or "json_schema", where `schema` is its text. What is null, empty or "" is not sent. */
export const NO_SETTINGS = Object.freeze({
  system: "", temperature: null, topP: null, maxTokens: null, seed: null, stop: Object.freeze([]), format: "", schema: "",
});

const LONGEST_TITLE = 60;

export function newConversation(model, settings, now) {
  return {
    id: newId(), title: "", created: now, updated: now, model, settings: { ...settings }, head: null, messages: [],
  };
}

/** The messages from the first to the head. */
export function path(conversation) {
  const byId = new Map(conversation.messages.map((message) => [message.id, message]));
  const found = [];
  for (let message = byId.get(conversation.head); message; message = byId.get(message.parent)) found.unshift(message);
  return found;
}

/** What stands in a message's place on its branch and on the others, the oldest first. A failure that brought nothing is none. */
export function versions(conversation, message) {
  return conversation.messages.filter((other) => other.parent === message.parent && (other.id === message.id || !broughtNothing(other)));
}

const broughtNothing = ({ state, text, reasoning, tools }) => state === "failed" && !text && !reasoning && !tools?.length;

/** Show the branch that goes through `message`, to its newest end. */
export function choose(conversation, message) {
  let head = message.id;
  for (let next; (next = conversation.messages.findLast((other) => other.parent === head)); ) head = next.id;
  conversation.head = head;
}

/** A user's message after `parent` (an id, or null for the first). */
export function addQuestion(conversation, parent, text, images, now, files = []) {
  const message = { id: newId(), parent, role: "user", text, images, files, at: now };
  if (!conversation.title) conversation.title = titleOf(text || (files[0]?.name ?? ""));
  return append(conversation, message, now);
}

/** An empty answer after `parent`, a user's message. */
export function addAnswer(conversation, parent, now) {
  const message = {
    id: newId(), parent, role: "assistant", text: "", reasoning: "", at: now, state: "waiting", asked: conversation.model, model: null,
    stream: null, finish: null, usage: null, evidence: null, error: null, resumed: 0, firstAt: null, endedAt: null, base: 0,
  };
  return append(conversation, message, now);
}

function append(conversation, message, now) {
  conversation.messages.push(message);
  conversation.head = message.id;
  conversation.updated = now;
  return message;
}

function titleOf(text) {
  const line = text.trim().split("\n")[0].trim();
  return line.length <= LONGEST_TITLE ? line : `${line.slice(0, LONGEST_TITLE).replace(/\s+\S*$/, "")}…`;
}

/** The request for `answer`: what came before it on its branch. An answer that brought no text is not sent. */
export function requestFor(conversation, answer) {
  const settings = { ...NO_SETTINGS, ...conversation.settings }; // they may be older than some of these
  const { system } = settings;
  const before = path({ ...conversation, head: answer.parent });
  const request = {
    model: conversation.model,
    stream: true,
    stream_options: { include_usage: true },
    messages: [...(system.trim() ? [{ role: "system", content: system }] : []), ...before.flatMap(sent), ...restOf(answer)],
  };
  return Object.assign(request, fieldsOf(settings));
}

function fieldsOf({ temperature, topP, maxTokens, seed, stop, format, schema }) {
  const all = { temperature, top_p: topP, max_tokens: maxTokens, seed, stop: stop.length ? stop : null };
  if (format === "json_object") all.response_format = { type: format };
  const described = format === "json_schema" ? { name: "answer", schema: JSON.parse(schema), strict: true } : null;
  if (described) all.response_format = { type: format, json_schema: described };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null));
}

/** A message as it is sent: an answer without its thoughts, and not at all where nothing is left of it. */
function sent(message) {
  const { role, images, files = [], tools } = message;
  const text = role === "assistant" ? parts(message).text : withFiles(files, message.text);
  if (tools?.length) return sentWithCalls({ text, tools });
  if (!images?.length) return text ? [{ role, content: text }] : [];
  const seen = images.map((url) => ({ type: "image_url", image_url: { url } }));
  return [{ role, content: [...(text ? [{ type: "text", text }] : []), ...seen] }];
}
