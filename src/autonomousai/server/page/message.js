// One message as it is shown: a question that can be edited, an answer with where it came from and the way on when it failed.

import { isRunning, speed } from "./answer.js";
import { callsView, Thoughts } from "./aside.js";
import { fileView } from "./attachments.js";
import { el, icon, iconButton, isComposing } from "./dom.js";
import { render, settle } from "./markdown.js";
import { parts } from "./thoughts.js";
import { explain, language, number, remark, say } from "./words.js";

export const isQuestion = (message) => message.role === "user";

/** The element of a question. `act`: what can be done, see `thread.js`. */
export function questionView(message, versions, act) {
  const images = message.images.map((url, index) => el("img", { src: url, alt: say("imageNumber", { number: index + 1 }) }));
  return el(
    "article.message.question",
    {},
    el("h2.visually-hidden", {}, say("you")),
    images.length ? el("div.images", {}, ...images) : null,
    ...(message.files ?? []).map(fileView),
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
    if (text || message.images.length || message.files?.length) act.resend(message, text);
  };
  area.onkeydown = (event) => {
    if (isComposing(event)) return; // the key is an input method's
    if (event.key === "Enter" && !event.shiftKey) {
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
  #thoughts = new Thoughts();
  #tools = el("div.tools");
  #state = el("div.state");
  #foot = el("div.foot");
  #drawn = null;
  #shownTools = "";
  #shownFoot = "";

  constructor(message, act) {
    this.message = message;
    this.act = act;
    const name = el("h2.who", {}, message.asked);
    this.element = el("article.message.answer", {}, name, this.#thoughts.element, this.#body, this.#tools, this.#state, this.#foot);
  }

  /** `plain`: its text as it is, for now; `draw` makes it what it should be. */
  show(versions, run = {}, plain = false) {
    const { message } = this;
    this.#thoughts.show(message, isRunning(message));
    if (plain && this.isPlain) this.#showPlain();
    else this.draw();
    this.#showTools();
    const running = isRunning(message);
    this.element.setAttribute("aria-busy", running);
    this.#state.replaceChildren(...(running ? progress(message, run) : this.#end()));
    this.#showFoot(running ? [] : versions);
  }

  #showPlain() {
    this.#body.classList.add("plain");
    this.#body.textContent = parts(this.message).text;
  }

  get isPlain() {
    return this.#drawn === null;
  }

  draw() {
    const { text } = parts(this.message);
    const partial = isRunning(this.message);
    const drawn = `${partial} ${text}`;
    if (this.#drawn === drawn) return;
    this.#drawn = drawn;
    this.#body.classList.remove("plain");
    try {
      settle(this.#body, render(text, { partial }));
    } catch (error) {
      console.info(`shown as it is, without its form: ${error.message}`); // what cannot be drawn must not close the conversation
      this.#showPlain();
    }
  }

  /** Drawn where there is news of it: its facts may be open. */
  #showFoot(versions) {
    const { text, state, usage, evidence, resumed } = this.message;
    const news = JSON.stringify([text.length, state, usage, evidence, resumed, versions.map(({ id }) => id), language]);
    if (news === this.#shownFoot) return;
    this.#shownFoot = news;
    this.#foot.replaceChildren(...(versions.length ? this.#actions(versions) : []));
  }

  /** The calls of tools are drawn when there is news of them: one may be open, and something written beside it. */
  #showTools() {
    const { message, act } = this;
    const open = act.isLast(message) && !isRunning(message);
    const state = JSON.stringify([message.tools, open]);
    if (state === this.#shownTools) return;
    this.#shownTools = state;
    this.#tools.replaceChildren(...callsView(message, open && ((results) => act.giveResults(message, results))));
  }

  #end() {
    const { message, act } = this;
    const joined = message.joined === "asked" ? [el("p.remark", {}, say("joinedByAsking"))] : [];
    const goOn = act.canContinue(message) ? ["goOn"] : [];
    if (message.state === "failed") {
      const { ways, ...said } = explain(message.error, { arrived: message.text !== "", first: act.isFirst(message) });
      return [...joined, trouble({ ...said, ways: [...goOn, ...ways] }, message, act)];
    }
    const text = remark(message);
    return [...joined, ...(text ? [el("p.remark", {}, text)] : []), ...(goOn.length ? [waysView(goOn, message, act)] : [])];
  }

  #actions(versions) {
    const { message, act } = this;
    return [
      switcher(message, versions, act),
      message.text ? iconButton("copy", say("copy"), () => act.copy(parts(message).text)) : null,
      message.state === "failed" ? null : iconButton("again", say("anotherAnswer"), () => act.again(message)),
      facts(message),
    ].filter(Boolean);
  }
}

function progress(message, { lost = false, reading = null }) {
  if (lost) return [el("p.lost", {}, say("connectionLost"))];
  if (reading !== null && !message.text) {
    const words = say("reading", { percent: Math.round(100 * reading) });
    return [el("p.remark", {}, words), el("progress", { max: 1, value: reading, "aria-label": words })];
  }
  if (message.text) return [];
  return [el("span.dots", { "aria-hidden": "true" }, el("i"), el("i"), el("i")), el("p.remark.late", {}, say("stillWaiting"))];
}

const WAYS = {
  goOn: ["goOn", (act, message) => act.carryOn(message)],
  key: ["giveKey", (act, message) => act.giveKey(message)],
  again: ["tryAgain", (act, message) => act.again(message)],
  fresh: ["newConversation", (act) => act.fresh()],
};

function waysView(ways, message, act) {
  const buttons = ways.map((way) => el("button.plain", { type: "button", onclick: () => WAYS[way][1](act, message) }, say(WAYS[way][0])));
  return el("div.ways", {}, ...buttons);
}

function trouble({ title, detail, said, ways }, message, act) {
  return el(
    "div.trouble",
    {},
    el("p", {}, el("strong", {}, title), detail ? ` ${detail}` : ""),
    said ? saidView(said) : null,
    waysView(ways, message, act),
  );
}

/** The server's own words. It speaks English: to who reads another language they are details. */
function saidView(said) {
  const words = el("p.said", { dir: "auto" }, said);
  return language === "en" ? words : el("details.said", {}, el("summary", {}, say("details")), words);
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
  const { usage, evidence, resumed, before = 0 } = message;
  const rate = speed(message);
  const short = [
    evidence?.upstream ?? message.model,
    usage && say("tokens", { count: usage.completion + before }),
    rate && say("rate", { rate: number(rate, rate < 10 ? 1 : 0) }),
    evidence?.splices.length && say("rescues", { count: evidence.splices.length }),
    resumed && say("reconnects", { count: resumed }),
  ].filter(Boolean);
  if (!short.length) return null;
  const rows = [
    ["askedFor", message.asked],
    ["answeredBy", answeredBy(message)],
    ["tokensName", usage && say("tokensOf", { ...usage, completion: usage.completion + before })],
    ["time", message.firstAt && message.endedAt && !message.base && duration(message)],
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
