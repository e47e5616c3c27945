// What stands beside the text of an answer: the thoughts before it, closed until the reader opens them, and its calls of tools.

import { el, icon } from "./dom.js";
import { parts } from "./thoughts.js";
import { say } from "./words.js";

export class Thoughts {
  #summary = el("summary");
  #text = el("div.thoughts-text", { dir: "auto" });
  element = el("details.thoughts", { hidden: true }, this.#summary, this.#text);

  show(message, running) {
    const { thoughts } = parts(message);
    this.element.hidden = !thoughts;
    if (this.#text.textContent !== thoughts) this.#text.textContent = thoughts;
    const words = summaryOf(message, running);
    if (this.#summary.textContent !== words) this.#summary.textContent = words;
  }
}

function summaryOf(message, running) {
  const { thoughtFrom, thoughtUntil, endedAt } = message;
  const until = thoughtUntil ?? endedAt;
  if (running && !thoughtUntil) return say("thinking");
  if (!thoughtFrom || !until) return say("thoughts");
  const seconds = Math.max(1, Math.round((until - thoughtFrom) / 1000));
  if (seconds < 60) return say("thoughtFor", { seconds });
  return say("thoughtForMinutes", { minutes: Math.floor(seconds / 60), seconds: seconds % 60 });
}

/** The calls of an answer, and `send(results)` where the reader can say what they returned: one text for each. */
export function callsView(message, send) {
  const tools = message.tools ?? [];
  if (!tools.length) return [];
  const open = send && tools.some(({ result }) => result === null);
  return [...tools.map(callView), ...(open ? [form(tools, send)] : [])];
}

function callView({ name, arguments: json, result }) {
  const state = say(result === null ? "toolCalled" : "toolReturned");
  return el(
    "details.tool",
    {},
    el("summary", {}, icon("code"), el("code", {}, name), ` ${state}`),
    block(say("toolArguments"), indented(json)),
    result === null ? null : block(say("toolResult"), indented(result)),
  );
}

const block = (title, text) => el("div.tool-part", {}, el("p", {}, title), el("pre", { tabIndex: 0, dir: "ltr" }, text));

function indented(json) {
  try {
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    return json; // it is on its way, or no JSON
  }
}

function form(tools, send) {
  const areas = tools.map(({ name }) => el("textarea", { rows: 2, required: true, "aria-label": say("resultOf", { name }) }));
  const fields = tools.map(({ name }, index) => el("label", {}, say("resultOf", { name }), areas[index]));
  const element = el("form.results", {}, ...fields, el("button.plain", { type: "submit" }, say("sendResults")));
  element.onsubmit = (event) => {
    event.preventDefault();
    send(areas.map(({ value }) => value));
  };
  return element;
}
