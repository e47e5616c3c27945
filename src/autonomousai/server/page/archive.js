// Conversations as a JSON document, to be kept elsewhere and brought back. Pure. What is read here may come from anybody: it is
// checked field by field, and nothing that is not known is taken over.

import { NO_SETTINGS } from "./conversation.js";
import { say } from "./words.js";

const FORMAT = "autonomousai-conversations";

export class ArchiveError extends Error {}

/** The document. Running answers become stopped ones, and the ids of their streams, which are secrets, stay here. */
export function write(conversations) {
  const kept = conversations.map((conversation) => ({ ...conversation, messages: conversation.messages.map(settled) }));
  return JSON.stringify({ format: FORMAT, version: 1, conversations: kept }, null, 1);
}

/** The conversations in a document. Throws `ArchiveError` that says what is wrong with it. */
export function read(text) {
  let document;
  try {
    document = JSON.parse(text);
  } catch {
    throw new ArchiveError(say("notJson"));
  }
  if (document?.format !== FORMAT || !Array.isArray(document.conversations)) {
    throw new ArchiveError(say("notOurs"));
  }
  if (document.version !== 1) throw new ArchiveError(say("newerFile"));
  return document.conversations.map((given, index) => {
    try {
      return conversationOf(given);
    } catch (error) {
      throw new ArchiveError(say("damaged", { number: index + 1, error: error.message }));
    }
  });
}

function settled(message) {
  if (message.role !== "assistant") return message;
  const running = message.state === "waiting" || message.state === "streaming";
  return { ...message, state: running ? "stopped" : message.state, stream: null };
}

function conversationOf(given) {
  const settings = Object(given.settings);
  const messages = listOf(given, "messages").map(messageOf);
  const ids = new Set([null]);
  for (const message of messages) {
    if (!ids.has(message.parent)) throw new Error(say("damagedOrder"));
    if (ids.has(message.id)) throw new Error(say("damagedIds"));
    ids.add(message.id);
  }
  const head = messages.length ? textOf(given, "head") : null;
  if (!ids.has(head)) throw new Error(say("damagedHead"));
  return {
    id: textOf(given, "id"),
    title: textOf(given, "title"),
    created: numberOf(given, "created"),
    updated: numberOf(given, "updated"),
    model: textOf(given, "model"),
    settings: settingsOf(settings),
    head,
    messages,
    ...(given.pinned === true ? { pinned: true } : {}),
  };
}

function settingsOf(given) {
  const numbers = ["temperature", "topP", "maxTokens", "seed"].map((name) => [name, numberOrNull(given[name])]);
  const texts = ["system", "schema"].map((name) => [name, textOrNull(given[name]) ?? NO_SETTINGS[name]]);
  const stop = Array.isArray(given.stop) ? given.stop.filter((text) => typeof text === "string" && text) : [];
  const format = ["json_object", "json_schema"].includes(given.format) ? given.format : NO_SETTINGS.format;
  return { ...Object.fromEntries([...numbers, ...texts]), stop, format: isReadable(given.schema) ? format : format && "json_object" };
}

function isReadable(schema) {
  try {
    return JSON.parse(schema) instanceof Object;
  } catch {
    return false;
  }
}

const IMAGE = /^data:image\/(png|jpeg|webp|gif);base64,[A-Za-z0-9+/]+=*$/;

function messageOf(given) {
  const message = {
    id: textOf(given, "id"),
    parent: given.parent === null ? null : textOf(given, "parent"),
    role: textOf(given, "role"),
    text: textOf(given, "text"),
    at: numberOf(given, "at"),
  };
  if (message.role === "user") {
    const images = listOf(given, "images");
    if (!images.every((image) => typeof image === "string" && IMAGE.test(image))) throw new Error(say("damagedImage"));
    return { ...message, images, files: given.files === undefined ? [] : listOf(given, "files").map(fileOf) };
  }
  if (message.role !== "assistant") throw new Error(say("damagedRole", message));
  return { ...message, ...answerOf(given) };
}

const fileOf = (given) => ({ name: textOf(given, "name"), size: numberOf(given, "size"), text: textOf(given, "text") });

function answerOf(given) {
  const state = ["done", "stopped", "failed"].includes(given.state) ? given.state : "stopped";
  return {
    state,
    reasoning: typeof given.reasoning === "string" ? given.reasoning : "",
    asked: textOf(given, "asked"),
    model: textOrNull(given.model),
    stream: null,
    finish: textOrNull(given.finish),
    usage: given.usage ? { prompt: numberOf(given.usage, "prompt"), completion: numberOf(given.usage, "completion") } : null,
    evidence: given.evidence ? evidenceOf(given.evidence) : null,
    error: given.error ? errorOf(given.error) : null,
    resumed: numberOrNull(given.resumed) ?? 0,
    base: numberOrNull(given.base) ?? 0,
    before: numberOrNull(given.before) ?? 0,
    joined: ["prefill", "asked"].includes(given.joined) ? given.joined : null,
    thoughtFrom: numberOrNull(given.thoughtFrom),
    thoughtUntil: numberOrNull(given.thoughtUntil),
    tools: given.tools ? listOf(given, "tools").map(toolOf) : [],
    firstAt: numberOrNull(given.firstAt),
    endedAt: numberOrNull(given.endedAt),
  };
}

const toolOf = (given) => ({
  id: textOf(given, "id"),
  name: textOf(given, "name"),
  arguments: textOf(given, "arguments"),
  result: textOrNull(given.result),
});

const evidenceOf = (given) => ({
  upstream: textOrNull(given.upstream),
  attempts: listOf(given, "attempts").map((attempt) => ({
    upstream: textOrNull(attempt.upstream),
    outcome: textOrNull(attempt.outcome),
    status: numberOrNull(attempt.status),
    ms: numberOrNull(attempt.ms),
  })),
  splices: listOf(given, "splices").map((splice) => ({
    offset: numberOrNull(splice.offset),
    from: textOrNull(splice.from),
    to: textOrNull(splice.to),
  })),
});

const errorOf = (given) => ({
  status: numberOrNull(given.status),
  code: textOrNull(given.code),
  message: textOrNull(given.message) ?? "",
  retryAfter: numberOrNull(given.retryAfter),
});

const textOrNull = (value) => (typeof value === "string" ? value : null);
const numberOrNull = (value) => (Number.isFinite(value) ? value : null);

function textOf(object, name) {
  if (typeof object?.[name] !== "string") throw new Error(say("damagedText", { name }));
  return object[name];
}

function numberOf(object, name) {
  if (!Number.isFinite(object?.[name])) throw new Error(say("damagedNumber", { name }));
  return object[name];
}

function listOf(object, name) {
  if (!Array.isArray(object?.[name])) throw new Error(say("damagedList", { name }));
  return object[name];
}
