// One message as it is shown: a question that can be edited, an answer with where it came from and the way on when it failed.

import { isRunning, speed } from "./answer.js";
import { el, icon, iconButton } from "./dom.js";
import { render, settle } from "./markdown.js";
import { explain, number, remark, say } from "./words.js";

export const isQuestion = (message) => message.role === "user";

/** The element of a question. `act`: what can be done, see `thread.js`. */
export function questionView(message, versions, act) {
  const images = message.images.map((url, index) => el("img", { src: url, alt: say("imageNumber", { number: index + 1 }) }));
  return el(
    "article.message.question",
    {},
    el("h2.visually-hidden", {}, say("you")),
    images.length ? el("div.images", {}, ...images) : null,
    message.text ? el("p.bubble", { dir: "auto" }, message.text) : null,
    el(
      "div.foot",
      {},
      switcher(message, versions, act),
      iconButton("edit", say("editAndSend"), () => act.edit(message)),
      iconButton("copy", say("copy"), () => act.copy(message.text)),
    ),
  );
}

/** A question while it is edited. */
export function editor(message, act) {
  const area = el("textarea", { value: message.text, dir: "auto", rows: 2, "aria-label": say("editMessage") });
  const form = el(
    "form.message.question.editor",
    {},
    area,
    el(
      "div.dialog-foot",
      {},
      el("button.plain", { type: "button", onclick: () => act.leave(message) }, say("cancel")),
      el("button.primary", { type: "submit" }, say("send")),
    ),
  );
  form.onsubmit = (event) => {
    event.preventDefault();
    const text = area.value.trim();
    if (text || message.images.length) act.resend(message, text);
  };
  area.onkeydown = (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    } else if (event.key === "Escape") {
      event.stopPropagation(); // it leaves the editing, and does not stop an answer
      act.leave(message);
    }
  };
  return form;
}

/** An answer, which is shown again and again while it comes. */
export class AnswerView {
  #body = el("div.text");
  #thoughts = el("div.thoughts-text", { dir: "auto" });
  #thinking = el("details.thoughts", { hidden: true }, el("summary", {}, say("thoughts")), this.#thoughts);
  #state = el("div.state");
  #foot = el("div.foot");
  #drawn = null;

  constructor(message, act) {
    this.message = message;
    this.act = act;
    const name = el("h2.who", {}, message.asked);
    this.element = el("article.message.answer", {}, name, this.#thinking, this.#body, this.#state, this.#foot);
  }

  show(versions, run = {}) {
    const { message } = this;
    this.#thinking.hidden = !message.reasoning;
    this.#thoughts.textContent = message.reasoning;
    if (this.#drawn !== message.text) settle(this.#body, render((this.#drawn = message.text)));
    const running = isRunning(message);
    this.element.setAttribute("aria-busy", running);
    this.#state.replaceChildren(...(running ? progress(message, run) : this.#end()));
    this.#foot.replaceChildren(...(running ? [] : this.#actions(versions)));
  }

  #end() {
    const { message, act } = this;
    if (message.state === "failed") return [trouble(explain(message.error), message, act)];
    const text = remark(message);
    return text ? [el("p.remark", {}, text)] : [];
  }

  #actions(versions) {
    const { message, act } = this;
    return [
      switcher(message, versions, act),
      message.text ? iconButton("copy", say("copy"), () => act.copy(message.text)) : null,
      message.state === "failed" ? null : iconButton("again", say("anotherAnswer"), () => act.again(message)),
      facts(message),
    ].filter(Boolean);
  }
}

function progress(message, { lost = false, reading = null }) {
  if (lost) return [el("p.lost", {}, say("connectionLost"))];
  if (reading !== null && !message.text) return [el("p.remark", {}, say("reading", { percent: Math.round(100 * reading) }))];
  return message.text ? [] : [el("span.dots", { "aria-hidden": "true" }, el("i"), el("i"), el("i"))];
}

const WAYS = {
  key: ["giveKey", (act, message) => act.giveKey(message)],
  again: ["tryAgain", (act, message) => act.again(message)],
  fresh: ["newConversation", (act) => act.fresh()],
};

function trouble({ title, detail, said, ways }, message, act) {
  const buttons = ways.map((way) => el("button.plain", { type: "button", onclick: () => WAYS[way][1](act, message) }, say(WAYS[way][0])));
  return el(
    "div.trouble",
    {},
    el("p", {}, el("strong", {}, title), detail ? ` ${detail}` : ""),
    said ? el("p.said", { dir: "auto" }, said) : null,
    el("div.ways", {}, ...buttons),
  );
}

/** ‹ 2 / 3 › */
function switcher(message, versions, act) {
  if (versions.length < 2) return null;
  const at = versions.indexOf(message);
  const step = (name, label, to) => {
    const button = iconButton(name, label, () => act.choose(versions[to]));
    button.disabled = versions[to] === undefined;
    return button;
  };
  return el(
    "span.switcher",
    {},
    step("before", say("versionBefore"), at - 1),
    el("span", { "aria-label": say("versionOf", { at: at + 1, count: versions.length }), role: "img" }, `${at + 1} / ${versions.length}`),
    step("after", say("versionAfter"), at + 1),
  );
}

/** What answered, in a line that opens. */
function facts(message) {
  const { usage, evidence, resumed } = message;
  const rate = speed(message);
  const short = [
    evidence?.upstream ?? message.model,
    usage && say("tokens", { count: usage.completion }),
    rate && say("rate", { rate: number(rate, rate < 10 ? 1 : 0) }),
    evidence?.splices.length && say("rescues", { count: evidence.splices.length }),
    resumed && say("reconnects", { count: resumed }),
  ].filter(Boolean);
  if (!short.length) return null;
  const rows = [
    ["askedFor", message.asked],
    ["answeredBy", answeredBy(message)],
    ["tokensName", usage && say("tokensOf", usage)],
    ["time", message.firstAt && message.endedAt && duration(message)],
    ["endedBy", message.finish],
    ["attempts", evidence?.attempts.map(attemptLine).join("; ")],
    ["rescuesName", evidence?.splices.map(({ offset, from, to }) => say("rescueOf", { count: offset, from, to })).join("; ")],
  ].filter(([, value]) => value);
  return el(
    "details.facts",
    { ontoggle: ({ target }) => target.open && target.scrollIntoView({ block: "nearest" }) },
    el("summary", {}, short.join(" · ")),
    el("dl", {}, ...rows.flatMap(([name, value]) => [el("dt", {}, say(name)), el("dd", {}, value)])),
  );
}

function answeredBy({ model, evidence }) {
  const upstream = evidence?.upstream;
  return model && upstream ? say("modelOn", { model, upstream }) : (model ?? upstream);
}

const seconds = (milliseconds) => number(milliseconds / 1000, 1);

const duration = ({ at, firstAt, endedAt }) => say("timeOf", { first: seconds(firstAt - at), all: seconds(endedAt - at) });

const attemptLine = ({ upstream, outcome, status, ms }) =>
  `${upstream}: ${outcome}${status && outcome !== "ok" ? ` (${status})` : ""}, ${seconds(ms)} s`;

/** A copy button that says that it has copied. */
export function confirmCopied(button) {
  if (button.querySelector("svg")) {
    const before = button.firstChild;
    button.replaceChildren(icon("done"));
    setTimeout(() => button.replaceChildren(before), 1500);
  } else {
    button.textContent = say("copied");
    setTimeout(() => (button.textContent = say("copy")), 1500);
  }
}
