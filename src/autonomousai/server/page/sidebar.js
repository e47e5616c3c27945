// The list of conversations, by days and as far as it is searched; on a narrow screen a drawer that comes and goes.

import { byDays } from "./days.js";
import { ask } from "./dialogs.js";
import { $, announce, el, icon, isComposing, notify, save } from "./dom.js";
import { menuButton } from "./menu.js";
import { search } from "./search.js";
import { transcript } from "./transcript.js";
import { say } from "./words.js";

const narrow = matchMedia("(max-width: 48rem)");

export class Sidebar {
  #element = $("#sidebar");
  #list = $("#list");
  #search = $("#search");
  #items = new WeakMap();
  #removed = [];

  constructor(chat) {
    this.chat = chat;
    $("#open-sidebar").onclick = () => this.#open();
    $("#close-sidebar").onclick = $("#scrim").onclick = () => this.close();
    this.#list.onclick = (event) => {
      if (event.target.closest("a")) this.close();
    };
    this.#search.oninput = () => this.#find();
    this.#search.onkeydown = (event) => {
      if (event.key !== "Escape" || isComposing(event) || !this.#search.value) return;
      event.stopPropagation(); // it empties the field, and does not stop an answer
      this.#search.value = "";
      this.show();
    };
    narrow.onchange = () => this.#set(false);
    this.#set(false);
  }

  show() {
    const all = this.chat.list;
    $("#list-empty").hidden = all.length > 0;
    $("#export").disabled = all.length === 0;
    this.#search.hidden = all.length === 0 && !this.#search.value;
    const words = this.#search.value.trim();
    const groups = words ? this.#found(all, words) : byDays(all, Date.now());
    this.#list.replaceChildren(...groups.map((group, index) => this.#group(group, index)));
  }

  #found(all, words) {
    const found = search(all, words);
    const excerpts = new Map(found.map(({ conversation, excerpt }) => [conversation, excerpt]));
    return [{ title: say("found", { count: found.length }), conversations: [...excerpts.keys()], excerpts }];
  }

  #find() {
    this.show();
    if (this.#search.value.trim()) announce(this.#list.querySelector("h2").textContent);
  }

  #group({ title, conversations, excerpts }, index) {
    const id = `group-${index}`;
    const entries = conversations.map((conversation) => this.#item(conversation, excerpts?.get(conversation) ?? ""));
    return el("section", {}, el("h2", { id }, title), el("ul", { "aria-labelledby": id }, ...entries));
  }

  /** An entry; the one that there was, where nothing of it has changed: there may be hundreds. */
  #item(conversation, excerpt) {
    const { chat } = this;
    const state = [conversation.title, conversation.pinned, chat.isRunning(conversation), conversation.id === chat.current.id, excerpt];
    const before = this.#items.get(conversation);
    if (before && String(before.state) === String(state)) return before.entry;
    const entry = this.#entry(conversation, excerpt);
    this.#items.set(conversation, { state, entry });
    return entry;
  }

  #entry(conversation, excerpt) {
    const { chat } = this;
    const title = conversation.title || say("anImage");
    const words = excerpt ? el("small", { dir: "auto" }, excerpt) : null;
    const link = el("a", { href: `#/c/${conversation.id}`, dir: "auto" }, title, words);
    if (conversation.id === chat.current.id) link.setAttribute("aria-current", "page");
    const running = chat.isRunning(conversation) ? el("span.running", { title: say("answering"), role: "img", "aria-label": say("answering") }) : null;
    const more = menuButton("more", say("moreOf", { title }), () => this.#choices(conversation));
    return el("li", {}, link, running, el("span.actions", {}, more));
  }

  #choices(conversation) {
    const { chat } = this;
    return [
      { icon: "pin", label: say(conversation.pinned ? "unpin" : "pin"), act: () => chat.pin(conversation) },
      { icon: "edit", label: say("renameIt"), act: () => this.#rename(conversation) },
      { icon: "save", label: say("saveMarkdown"), act: () => exportAs(conversation.title, "md", transcript(conversation)) },
      { icon: "save", label: say("saveJson"), act: () => exportAs(conversation.title, "json", chat.exported([conversation])) },
      { icon: "trash", label: say("delete"), act: () => this.#remove(conversation) },
    ];
  }

  async #rename(conversation) {
    const title = await ask({ title: say("rename"), label: say("name"), value: conversation.title });
    if (title) this.chat.rename(conversation, title);
  }

  /** Gone at once, and back as easily, for as long as the notice stands: all that were deleted meanwhile. */
  #remove(conversation) {
    const { chat } = this;
    const shown = conversation === chat.current;
    this.#removed.push({ conversation, shown });
    chat.remove(conversation);
    const undo = () => {
      for (const each of this.#removed) chat.restore(each.conversation, each.shown);
      $("#input").focus();
    };
    const count = this.#removed.length;
    const words = count === 1 ? say("deleted", { title: conversation.title || say("anImage") }) : say("deletedSeveral", { count });
    notify(words, { label: say("undo"), act: undo, gone: () => (this.#removed = []) });
  }

  // ---- the drawer

  get isOpen() {
    return narrow.matches && this.#element.classList.contains("open");
  }

  close() {
    if (!this.isOpen) return;
    this.#set(false);
    $("#open-sidebar").focus();
  }

  #open() {
    this.#set(true);
    $("#close-sidebar").focus();
  }

  #set(open) {
    this.#element.classList.toggle("open", open);
    this.#element.inert = narrow.matches && !open;
    $("main").inert = narrow.matches && open;
    $("#scrim").hidden = !open;
    $("#open-sidebar").setAttribute("aria-expanded", open);
  }
}

/** Save an export under a name that file systems take. */
export function exportAs(title, ending, text) {
  const name = title.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "").slice(0, 40);
  save(`${name || "conversations"}.${ending}`, text);
}
