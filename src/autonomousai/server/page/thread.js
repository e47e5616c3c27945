// The conversation that is shown, from top to bottom. It follows an answer that comes, unless the reader has scrolled away.

import { isRunning } from "./answer.js";
import { canContinue } from "./continuing.js";
import { path, versions } from "./conversation.js";
import { $, announce } from "./dom.js";
import { AnswerView, editor, isQuestion, questionView } from "./message.js";
import { explain, language, say } from "./words.js";

/** Pixels from the end that count as being there. */
const NEAR = 60;

/** An answer is drawn again after so many times the time that drawing it took: a long one must not hold up the page. */
const PATIENCE = 4;

/** Messages at the end of a conversation that are drawn at once when it is opened. The answers before them follow. */
const AT_ONCE = 16;

/** Milliseconds of drawing at a time: meanwhile the reader waits. */
const AT_A_TIME = 12;

/** What is read out of an answer when it is whole: more would be a speech that nobody asked for. */
const READ_OUT = 600;

export class Thread {
  #root = $("#thread");
  #scroller = $("#scroller");
  #latest = $("#latest");
  #answers = new Map();
  #atEnd = true;
  #cost = 0;
  #drawing = null;
  #rest = null;

  /** `act`: `copy(text)`, `again(answer)`, `choose(message)`, `resend(question, text)`, `giveKey(answer)`, `fresh()`,
   * `carryOn(answer)`, `giveResults(answer, results)`. */
  constructor(act) {
    this.act = {
      ...act,
      isLast: (message) => this.conversation.head === message.id,
      isFirst: (message) => path(this.conversation)[1]?.id === message.id,
      canContinue: (message) => canContinue(this.conversation, message),
      edit: (message) => this.edit(message),
      leave: (message) => this.#leave(message),
      choose: (message) => {
        act.choose(message);
        this.#elementOf(message).querySelector(".switcher button:enabled").focus();
      },
    };
    this.#scroller.addEventListener("scroll", () => this.#look(), { passive: true });
    this.#latest.onclick = () => this.toEnd();
  }

  show(conversation, asked) {
    const messages = path(conversation);
    const same = conversation.id === this.conversation?.id;
    const last = messages.at(-1);
    const runs = last?.role === "assistant" && isRunning(last);
    const follows = !same || asked || (runs && this.#atEnd);
    this.conversation = conversation;
    clearTimeout(this.#drawing);
    this.#drawing = null;
    if (!same) this.#clear(); // else what was drawn is not drawn again
    const first = same ? 0 : messages.length - AT_ONCE;
    this.#arrange(messages.map((message, index) => this.#view(message, index < first)));
    if (first > 0) this.#drawRest();
    if (follows) this.toEnd();
    else this.#look();
  }

  /** Draw what was left plain, from the last to the first. */
  #drawRest() {
    clearTimeout(this.#rest);
    const start = performance.now();
    const plain = [...this.#answers.values()].filter((view) => view.isPlain);
    while (plain.length && performance.now() - start < AT_A_TIME) plain.pop().draw();
    if (this.#atEnd) this.#scroller.scrollTop = this.#scroller.scrollHeight;
    if (plain.length) this.#rest = setTimeout(() => this.#drawRest());
  }

  #clear() {
    this.#answers.clear();
    this.#root.replaceChildren();
  }

  /** Elements that stand where they should are not touched: one may have the focus, or a selection. */
  #arrange(elements) {
    for (const [index, element] of elements.entries()) {
      const there = this.#root.children[index];
      if (there !== element) this.#root.insertBefore(element, there ?? null);
    }
    while (this.#root.children.length > elements.length) this.#root.lastChild.remove();
  }

  /** What was drawn is drawn again, the next time. */
  forget() {
    this.conversation = null;
  }

  #view(message, plain) {
    const others = versions(this.conversation, message);
    const element = isQuestion(message) ? this.#question(message, others) : this.#answer(message, others, plain);
    element.dataset.id = message.id;
    return element;
  }

  #answer(message, others, plain) {
    const view = this.#answers.get(message.id) ?? new AnswerView(message, this.act);
    this.#answers.set(message.id, view);
    view.message = message; // another tab may have brought a newer copy
    view.show(others, {}, plain);
    return view.element;
  }

  /** The element that there is, where it shows the same: also a question that is being edited. */
  #question(message, others) {
    const place = `${others.findIndex(({ id }) => id === message.id)} of ${others.length} in ${language}`;
    const before = this.#elementOf(message);
    if (before?.matches("form") || before?.dataset.place === place) return before;
    const element = questionView(message, others, this.act);
    element.dataset.place = place;
    return element;
  }

  /** News of an answer. Its end is drawn at once, what comes before as often as the machine likes. */
  progress(answer, run) {
    const view = this.#answers.get(answer.id);
    if (view === undefined || !view.element.isConnected) return;
    if (isRunning(answer) && !run.lost) {
      this.#drawing ??= setTimeout(() => this.#draw(view, run), Math.max(16, PATIENCE * this.#cost));
      return;
    }
    clearTimeout(this.#drawing);
    this.#draw(view, run);
    if (run.lost) announce(say("connectionLostSaid"));
    else this.#readOut(view);
  }

  #draw(view, run) {
    this.#drawing = null;
    const start = performance.now();
    view.show(versions(this.conversation, view.message), run);
    if (this.#atEnd) this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#cost = performance.now() - start;
    this.#look();
  }

  #readOut({ message, element }) {
    if (message.state === "failed") announce(explain(message.error, { arrived: message.text !== "", first: this.act.isFirst(message) }).title);
    else if (message.state === "stopped") announce(say("stoppedSaid"));
    else {
      const text = element.querySelector(".text").innerText;
      announce(say("answerSaid", { text: text.length > READ_OUT ? say("andMore", { text: text.slice(0, READ_OUT) }) : text }));
    }
  }

  // ---- editing a question in its place

  edit(message) {
    const form = editor(message, this.act);
    this.#elementOf(message)?.replaceWith(form);
    form.dataset.id = message.id;
    const area = form.querySelector("textarea");
    area.focus();
    area.setSelectionRange(area.value.length, area.value.length);
  }

  #leave(message) {
    const form = this.#elementOf(message);
    form?.removeAttribute("data-id");
    form?.replaceWith(this.#view(message));
    $("#input").focus();
  }

  #elementOf(message) {
    return this.#root.querySelector(`[data-id="${CSS.escape(message.id)}"]`);
  }

  // ---- scrolling

  /** What is shown has grown of its own: formulas were drawn. */
  grown() {
    if (this.#atEnd) this.toEnd();
  }

  toEnd() {
    this.#atEnd = true;
    this.#scroller.scrollTop = this.#isEmpty ? 0 : this.#scroller.scrollHeight;
    this.#look();
  }

  /** Then the welcome stands there, which is read from its beginning. */
  get #isEmpty() {
    return this.#root.childElementCount === 0;
  }

  #look() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    this.#atEnd = this.#isEmpty || scrollHeight - scrollTop - clientHeight < NEAR;
    this.#latest.hidden = this.#atEnd;
  }
}
