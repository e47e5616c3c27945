// What is said to the reader, in their language: a table for each (words.en.js, words.de.js), and what went wrong in words, with
// the way on. No other file of the page holds a text that is shown.

import german from "./words.de.js";
import english from "./words.en.js";

const TABLES = { en: english, de: german };

/** The languages there are, each by its own name. */
export const LANGUAGES = { en: "English", de: "Deutsch" };

const LANGUAGE = "autonomousai.language";

/** The language of the page: the reader's choice, else the first of the browser's that there is, else English. */
export let language = preferred();

function preferred() {
  const wanted = [chosenLanguage(), ...navigator.languages].filter(Boolean);
  return wanted.map((tag) => tag.toLowerCase().split("-")[0]).find((tag) => Object.hasOwn(TABLES, tag)) ?? "en";
}

/** What the reader chose; null where it is as the browser has it. */
export function chosenLanguage() {
  try {
    return localStorage.getItem(LANGUAGE);
  } catch {
    return null; // a browser that keeps nothing
  }
}

/** Choose a language, or null for the browser's. What is shown already keeps its words until it is shown again. */
export function chooseLanguage(tag) {
  if (tag) localStorage.setItem(LANGUAGE, tag);
  else localStorage.removeItem(LANGUAGE);
  language = preferred();
}

/** The words of a key, with the values filled in: numbers as the language writes them. A `count` decides between plurals. */
export function say(key, values = {}) {
  const found = TABLES[language][key];
  if (found === undefined) throw new Error(`no words for ${key}`);
  const text = typeof found === "string" ? found : found[new Intl.PluralRules(language).select(values.count)] ?? found.other;
  return text.replace(/\{(\w+)\}/g, (_, name) => (typeof values[name] === "number" ? number(values[name]) : values[name]));
}

/** A number as the language writes it; with so many `digits` behind the point, where that is said. */
export function number(value, digits) {
  return value.toLocaleString(language, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

// Ways on: "key" (give one), "again" (ask again), "fresh" (begin a new conversation).
const BY_CODE = new Map(Object.entries({
  unreachable: { title: "unreachable", detail: "unreachableDetail", ways: ["again"] },
  broken_off: { title: "brokenOff", detail: "brokenOffDetail", ways: ["again"] },
  not_begun: { title: "notBegun", ways: ["again"] },
  stream_gone: { title: "brokenOff", detail: "streamGoneDetail", ways: ["again"] },
  stream_not_found: { title: "brokenOff", detail: "streamGoneDetail", ways: ["again"] },
  checksum_mismatch: { title: "checksum", detail: "checksumDetail", ways: ["again"] },
  invalid_api_key: { title: "keyWanted", ways: ["key"] },
  model_not_found: { title: "modelNotFound", detail: "modelNotFoundDetail", ways: ["again"] },
  images_not_supported: { title: "imagesNotSupported", detail: "imagesNotSupportedDetail", ways: ["again"] },
  context_length_exceeded: { title: "tooLong", detail: "tooLongDetail", ways: ["fresh"] },
  body_too_large: { title: "bodyTooLarge", detail: "bodyTooLargeDetail", ways: ["fresh"] },
  insufficient_quota: { title: "budgetSpent", ways: ["again"] },
  rate_limit_exceeded: { title: "tooMany", ways: ["again"] },
  rate_limit_error: { title: "tooMany", ways: ["again"] },
  overloaded_error: { title: "busy", ways: ["again"] },
  timeout: { title: "tookTooLong", ways: ["again"] },
  upstream_incomplete: { title: "didNotAnswer", ways: ["again"] },
  upstream_unreachable: { title: "didNotAnswer", ways: ["again"] },
  upstreams_unavailable: { title: "noUpstream", ways: ["again"] },
  shutting_down: { title: "shuttingDown", detail: "shuttingDownDetail", ways: ["again"] },
}));

const BY_STATUS = {
  401: BY_CODE.get("invalid_api_key"),
  402: BY_CODE.get("insufficient_quota"),
  413: BY_CODE.get("body_too_large"),
  429: { title: "tooMany", ways: ["again"] },
  502: { title: "didNotAnswer", ways: ["again"] },
  503: { title: "busy", ways: ["again"] },
  504: { title: "tookTooLong", ways: ["again"] },
};

const OTHERWISE = { title: "somethingWrong", ways: ["again"] };

/** Codes of errors that mean no more than that an answer of which something had come was cut. */
const CUTS = ["timeout", "upstream_error", "upstream_incomplete", "upstream_unreachable", "server_error"];

/** `{title, detail, said, ways}`: `said` is the server's own word, where it has one. `arrived`: whether some of the answer had come;
 * `first`: whether nothing was said before the question. */
export function explain({ code, status, message, retryAfter }, { arrived = false, first = false } = {}) {
  const kind = String(code).endsWith("_timeout") ? "timeout" : code; // of four clocks
  if (first && kind === "context_length_exceeded") return { title: say("questionTooLong"), detail: say("questionTooLongDetail"), said: message ?? "", ways: ["again"] };
  const { title, detail, ways } = BY_CODE.get(arrived && CUTS.includes(kind) ? "broken_off" : kind) ?? BY_STATUS[status] ?? OTHERWISE;
  const later = retryAfter ? again(Math.ceil(retryAfter)) : "";
  return { title: say(title), detail: detail ? say(detail) : later, said: message ?? "", ways };
}

/** When to try again, in a unit that can be grasped: from 120 seconds on in minutes, and so on. */
function again(seconds) {
  if (seconds <= 120) return say("retryAfter", { count: seconds });
  if (seconds <= 7_200) return say("retryAfterMinutes", { count: Math.ceil(seconds / 60) });
  if (seconds <= 172_800) return say("retryAfterHours", { count: Math.ceil(seconds / 3600) });
  return say("retryAfterDays", { count: Math.ceil(seconds / 86_400) });
}

/** How the server says that it stopped an answer (`events.REPEATED`). */
const REPEATED = "the answer repeated itself, and was stopped";

/** What is worth saying of the way that an answer ended; null where it simply ended. */
export function remark(answer) {
  if (answer.state === "stopped") return say("youStopped");
  if (answer.state !== "done") return null;
  if (answer.evidence?.notes?.includes(REPEATED)) return say("repeated");
  if (answer.tools?.length && answer.tools.every(({ result }) => result !== null)) return null;
  const key = { length: "reachedLength", content_filter: "withheld", tool_calls: "wantedTool" }[answer.finish];
  if (key) return say(key);
  return answer.text || answer.reasoning ? null : say("saidNothing");
}
