// Keys that do something, and the list of them. Single letters, which no browser uses, and only outside of fields, dialogs and menus;
// a reader whom they hinder (speech input types letters) switches them off in the list, as WCAG 2.1.4 asks.

import { $, el, isComposing, marked } from "./dom.js";
import { say } from "./words.js";

const KEPT = "autonomousai.shortcuts";

/** What each does: a word for the list, and the element, the last of its kind, that is clicked, or focused where it is a field. */
const LETTERS = {
  n: ["newConversation", "#fresh"],
  i: ["shortcutWrite", "#input"],
  f: ["shortcutSearch", "#search"],
  m: ["shortcutModel", "#model"],
  e: ["shortcutEdit", ".question [data-does=edit]"],
  r: ["anotherAnswer", ".answer [data-does=again]"],
  c: ["shortcutCopy", ".answer [data-does=copy]"],
  s: ["shortcutSettings", "#open-settings"],
  t: ["shortcutTheme", "#theme"],
};

/** Those of the field, which it sees to itself. */
const IN_FIELD = [["keyEnter", "send"], ["keyShiftEnter", "shortcutLine"], ["keyUp", "shortcutEditEmpty"], ["keyEscape", "shortcutEscape"]];

const areOn = () => localStorage.getItem(KEPT) !== "off";

/** Listen to keys. `leave()`: Escape was pressed, and no dialog, menu or field has taken it. */
export function takeShortcuts({ leave }) {
  $("#shortcuts").onclick = openShortcuts;
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || isComposing(event) || document.querySelector("dialog[open], :popover-open:not(#notice)")) return;
    if (event.key === "Escape") return leave();
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || isField(event.target)) return;
    if (event.key === "?") openShortcuts();
    else if (areOn()) act(event);
  });
}

function act(event) {
  const found = Object.hasOwn(LETTERS, event.key) ? [...document.querySelectorAll(LETTERS[event.key][1])].at(-1) : null;
  if (!found || found.disabled || found.closest("[hidden], main[inert]")) return;
  event.preventDefault(); // the letter must not be written into the field that it leads to
  if (isField(found) && found.closest("[inert]")) $("#open-sidebar").click();
  found.focus();
  if (!isField(found)) found.click();
}

const isField = (element) => element.matches?.("input, textarea, select, [contenteditable]") ?? false;

function openShortcuts() {
  const dialog = $("#shortcuts-dialog");
  const row = (keys, words) => [el("dt", {}, ...marked(keys, "kbd")), el("dd", {}, words)];
  const outside = Object.entries(LETTERS).map(([key, [word]]) => row(`\`${key.toUpperCase()}\``, say(word)));
  $("#shortcuts-field").replaceChildren(...IN_FIELD.flatMap(([keys, word]) => row(say(keys), say(word))));
  $("#shortcuts-outside").replaceChildren(...row("`?`", say("shortcutList")), ...outside.flat());
  const on = $("#shortcuts-on");
  on.checked = areOn();
  on.onchange = () => (on.checked ? localStorage.removeItem(KEPT) : localStorage.setItem(KEPT, "off"));
  dialog.showModal();
}
