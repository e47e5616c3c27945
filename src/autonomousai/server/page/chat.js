// The conversations of this browser, and the answers that are on their way: what the page does, without how it looks.

import { isRunning } from "./answer.js";
import * as archive from "./archive.js";
import { canContinue, carryOn, isRefused } from "./continuing.js";
import { addAnswer, addQuestion, choose, newConversation, newId, NO_SETTINGS, path } from "./conversation.js";
import { merge } from "./copies.js";
import { Run } from "./run.js";
import { Store } from "./store.js";

/** Milliseconds between two savings of an answer on its way. */
const SAVE_EVERY = 300;

/** Milliseconds after which an answer that another tab asked for, and that has not begun, will not. */
const TOO_LATE = 600_000;

const SETTINGS = "autonomousai.settings";
const MODEL = "autonomousai.model";
const TAB = "autonomousai.tab";

export class Chat {
  /** What is shown. A new conversation is in no list before something is said in it. */
  current;
  /** What the server has, each `{id, vision, description}`. */
  models = [];
  #conversations = new Map();
  #runs = new Map();
  #saves = new Map();
  #unkept = new Set();
  #removed = new Set();
  #store = new Store((id) => this.#hear(id));
  #tab;
  #on;

  /** `on`: `list()`, `show(asked)` (another path, or another conversation; something was asked), `progress(answer, {lost, reading})`,
   * `replaced(model, other)` (it is not served any more), `trouble(error)` (not kept; null: all is kept again). */
  constructor(on) {
    this.#on = on;
    this.#tab = sessionStorage.getItem(TAB) ?? newId();
    sessionStorage.setItem(TAB, this.#tab);
    this.current = this.#fresh();
    addEventListener("pagehide", () => {
      for (const { conversation } of this.#runs.values()) this.#save(conversation);
    });
  }

  /** Bring back what is kept, and go on with the answers that were on their way. */
  async open() {
    for (const conversation of await this.#store.open()) this.#conversations.set(conversation.id, conversation);
    for (const conversation of this.#conversations.values()) {
      const answer = conversation.messages.find(isOnItsWay);
      if (answer) this.#goOn(conversation, answer);
    }
    this.#on.list();
  }

  /** The conversations, the latest first. */
  get list() {
    return [...this.#conversations.values()].sort((one, other) => other.updated - one.updated);
  }

  isRunning(conversation = this.current) {
    return this.#runs.has(conversation.id);
  }

  get sees() {
    return this.models.some(({ id, vision }) => id === this.current.model && vision);
  }

  /** What is attached on the path that is shown: all images, and the characters of all files. */
  get attached() {
    const messages = path(this.current);
    const files = messages.flatMap((message) => message.files ?? []);
    const characters = files.reduce((sum, { text }) => sum + text.length, 0);
    return { images: messages.flatMap(({ images }) => images ?? []), characters };
  }

  /** What is called `vision` and cannot see is not offered, nor is another name of a model (`root`). */
  setModels(models) {
    this.models = models.filter(({ id, vision, root }) => !root && (id !== "vision" || vision));
    this.#fit(this.current);
  }

  // ---- which conversation

  fresh() {
    this.current = this.#fresh();
    this.#on.show();
  }

  /** Show a conversation; a new one where there is none of that id. */
  select(id) {
    this.current = this.#conversations.get(id) ?? this.#fresh();
    this.#fit(this.current);
    this.#on.show();
  }

  #fresh() {
    const settings = { ...NO_SETTINGS, ...settingsKept() };
    const conversation = newConversation(localStorage.getItem(MODEL) ?? "", settings, Date.now());
    this.#fit(conversation);
    return conversation;
  }

  /** A model that is not served any more is no choice. */
  #fit(conversation) {
    const [first] = this.models;
    if (!first || this.models.some(({ id }) => id === conversation.model)) return;
    if (conversation.model && conversation.messages.length) this.#on.replaced(conversation.model, first.id);
    conversation.model = first.id;
  }

  // ---- what is done with it

  send(text, images, files = []) {
    if (this.isRunning()) return;
    this.#ask(this.current, addQuestion(this.current, this.current.head, text, images, Date.now(), files));
  }

  /** Ask something else in the place of a question. */
  edit(question, text) {
    this.#ask(this.current, addQuestion(this.current, question.parent, text, question.images, Date.now(), question.files));
  }

  /** Ask for another answer in the place of this one. */
  again(answer) {
    this.#ask(this.current, this.current.messages.find(({ id }) => id === answer.parent));
  }

  /** Go on with an answer that was cut, in its own message. */
  carryOn(answer) {
    const { current } = this;
    if (this.isRunning() || !canContinue(current, answer)) return;
    const model = this.models.find(({ id }) => id === current.model);
    carryOn(answer, model?.capabilities?.prefill === true);
    current.updated = Date.now();
    this.#begin(current, answer);
  }

  /** Say what the calls of an answer returned, and ask for what follows from it. */
  giveResults(answer, results) {
    for (const [index, tool] of answer.tools.entries()) tool.result = results[index];
    this.#ask(this.current, answer);
  }

  stop() {
    this.#runs.get(this.current.id)?.stop();
  }

  choose(message) {
    choose(this.current, message);
    this.#save(this.current);
    this.#on.show();
  }

  setModel(id) {
    this.current.model = id;
    localStorage.setItem(MODEL, id);
    this.#saveIfBegun();
  }

  set(settings, asDefault) {
    this.current.settings = settings;
    if (asDefault) localStorage.setItem(SETTINGS, JSON.stringify(settings));
    this.#saveIfBegun();
  }

  rename(conversation, title) {
    conversation.title = title;
    this.#save(conversation);
    this.#on.list();
  }

  pin(conversation) {
    conversation.pinned = !conversation.pinned;
    this.#save(conversation);
    this.#on.list();
  }

  /** Bring back what was removed, and show it where it was shown. */
  restore(conversation, shown) {
    this.#removed.delete(conversation.id);
    this.#conversations.set(conversation.id, conversation);
    this.#save(conversation);
    if (shown) this.select(conversation.id);
    else this.#on.list();
  }

  remove(conversation) {
    this.#runs.get(conversation.id)?.stop();
    this.#conversations.delete(conversation.id);
    this.#removed.add(conversation.id);
    this.#saveNoMore(conversation.id);
    this.#unkept.delete(conversation);
    const unkept = [...this.#unkept];
    this.#keep(this.#store.remove(conversation.id), conversation).then(() => unkept.forEach((each) => this.#save(each)));
    this.#on.list();
    if (conversation === this.current) this.fresh();
  }

  exported(conversations = this.list) {
    return archive.write(conversations);
  }

  /** How many conversations of a document are new here, or newer, and were taken over. Throws `ArchiveError`. */
  import(text) {
    const taken = archive.read(text).filter(({ id, updated }) => !(this.#conversations.get(id)?.updated >= updated));
    for (const conversation of taken) {
      this.#runs.get(conversation.id)?.stop();
      this.#removed.delete(conversation.id);
      this.#conversations.set(conversation.id, conversation);
      this.#save(conversation);
      if (conversation.id === this.current.id) this.select(conversation.id);
    }
    this.#on.list();
    return taken.length;
  }

  // ---- answers on their way

  #ask(conversation, question) {
    this.#runs.get(conversation.id)?.stop(); // what was on its way is not wanted any more
    this.#begin(conversation, addAnswer(conversation, question.id, Date.now()));
  }

  #begin(conversation, answer) {
    answer.tab = this.#tab;
    this.#conversations.set(conversation.id, conversation);
    this.#run(conversation, answer);
    this.#save(conversation);
    this.#on.list();
    this.#on.show(true);
  }

  #run(conversation, answer) {
    const run = new Run(conversation, answer, () => this.#hearRun(run), answer.tab === this.#tab);
    this.#runs.set(conversation.id, run);
    run.go();
  }

  /** What was on its way when the page was left. One that has not begun is asked for again, if this tab asked for it. */
  #goOn(conversation, answer) {
    if (answer.stream || answer.tab === this.#tab) this.#run(conversation, answer);
    else if (Date.now() - answer.at > TOO_LATE) Object.assign(answer, { state: "failed", error: { code: "not_begun" } });
    else return; // the tab that asked for it tells
    this.#save(conversation);
  }

  #hearRun(run) {
    const { conversation, answer } = run;
    if (isRefused(answer)) {
      carryOn(answer, false);
      return this.#run(conversation, answer);
    }
    const ended = !isRunning(answer);
    const begun = answer.stream?.last === "";
    if (ended && this.#runs.get(conversation.id) === run) this.#runs.delete(conversation.id);
    if (this.#conversations.get(conversation.id) !== conversation) return; // it was removed meanwhile
    if (ended || begun) this.#save(conversation);
    else this.#saveSoon(conversation);
    if (ended) this.#on.list();
    if (conversation === this.current) this.#on.progress(answer, run);
  }

  // ---- keeping

  #saveIfBegun() {
    if (this.#conversations.has(this.current.id)) this.#save(this.current);
  }

  #saveSoon(conversation) {
    if (this.#saves.has(conversation.id)) return;
    this.#saves.set(conversation.id, setTimeout(() => this.#save(conversation), SAVE_EVERY));
  }

  #saveNoMore(id) {
    clearTimeout(this.#saves.get(id));
    this.#saves.delete(id);
  }

  #save(conversation) {
    this.#saveNoMore(conversation.id);
    this.#keep(this.#store.put(conversation), conversation);
  }

  /** What the browser could not keep is kept in this page, and tried again once there is room. */
  async #keep(writing, conversation) {
    try {
      await writing;
      this.#unkept.delete(conversation);
    } catch (error) {
      if (this.#conversations.get(conversation.id) === conversation) this.#unkept.add(conversation);
      return this.#on.trouble(error);
    }
    if (this.#unkept.size === 0) this.#on.trouble(null);
  }

  /** Another tab has changed a conversation. What is on its way here is known better here; what both have is put together. */
  async #hear(id) {
    const theirs = await this.#store.get(id);
    const run = this.#runs.get(id);
    const ours = this.#conversations.get(id);
    if (theirs && this.#removed.has(id)) {
      if (theirs.messages.some(isOnItsWay)) return void this.#keep(this.#store.remove(id), theirs); // written there before they heard that it was removed
      this.#removed.delete(id); // it was brought back there
    }
    if (run && theirs) {
      const their = theirs.messages.find((message) => message.id === run.answer.id);
      if (their?.state === "stopped" && turnOf(their) === turnOf(run.answer)) run.leave();
      const { took, more } = merge(run.conversation, theirs, run.answer);
      if (more) this.#saveSoon(run.conversation);
      if (took && run.conversation === this.current) this.#on.show();
      return;
    }
    run?.stop(); // it was removed there: it must not come back from here
    if (!theirs) this.#saveNoMore(id);
    if (theirs) this.#conversations.set(id, theirs);
    else this.#conversations.delete(id);
    if (theirs && ours && merge(theirs, ours).took) this.#save(theirs);
    this.#on.list();
    if (id === this.current.id) this.select(id);
  }
}

const isOnItsWay = (message) => message.role === "assistant" && isRunning(message);

const turnOf = ({ turn = 0 }) => turn;

/** The settings of new conversations, where the reader has chosen some. */
function settingsKept() {
  try {
    return Object(JSON.parse(localStorage.getItem(SETTINGS)));
  } catch {
    return {}; // something else wrote there
  }
}
