// The list of conversations; on a narrow screen a drawer that comes and goes.

import { confirm, ask } from "./dialogs.js";
import { $, el, iconButton, save } from "./dom.js";
import { say } from "./words.js";

const narrow = matchMedia("(max-width: 48rem)");

export class Sidebar {
  #element = $("#sidebar");
  #list = $("#list");

  constructor(chat) {
    this.chat = chat;
    $("#open-sidebar").onclick = () => this.#open();
    $("#close-sidebar").onclick = $("#scrim").onclick = () => this.close();
    this.#list.onclick = (event) => {
      if (event.target.closest("a")) this.close();
    };
    narrow.onchange = () => this.#set(false);
    this.#set(false);
  }

  show() {
    const { chat } = this;
    $("#list-empty").hidden = chat.list.length > 0;
    $("#export").disabled = chat.list.length === 0;
    this.#list.replaceChildren(...chat.list.map((conversation) => this.#item(conversation)));
  }

  #item(conversation) {
    const { chat } = this;
    const link = el("a", { href: `#/c/${conversation.id}`, dir: "auto" }, conversation.title || say("anImage"));
    if (conversation.id === chat.current.id) link.setAttribute("aria-current", "page");
    const running = chat.isRunning(conversation) ? el("span.running", { title: say("answering"), role: "img", "aria-label": say("answering") }) : null;
    const actions = el(
      "span.actions",
      {},
      iconButton("edit", say("renameOf", conversation), () => this.#rename(conversation)),
      iconButton("save", say("exportOf", conversation), () => exportAs(conversation.title, chat.exported([conversation]))),
      iconButton("trash", say("deleteOf", conversation), () => this.#remove(conversation)),
    );
    return el("li", {}, link, running, actions);
  }

  async #rename(conversation) {
    const title = await ask({ title: say("rename"), label: say("name"), value: conversation.title });
    if (title) this.chat.rename(conversation, title);
  }

  async #remove(conversation) {
    const text = say("deleteText", conversation);
    if (await confirm({ title: say("deleteQuestion"), text, verb: say("delete") })) this.chat.remove(conversation);
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
export function exportAs(title, text) {
  const name = title.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "").slice(0, 40);
  save(`${name || "conversations"}.json`, text);
}
