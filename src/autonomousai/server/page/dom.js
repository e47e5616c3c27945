// Making elements. Text goes in as text, never as HTML.

import { language, say } from "./words.js";

/** An element: `el("button.quiet", {type: "button", onclick}, "Text", child)`. Names with a dash become attributes. */
export function el(what, properties = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-")) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** One of the icons that index.html holds. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** A button that shows an icon and is called `label`. */
export function iconButton(name, label, onclick) {
  return el("button.icon-button", { type: "button", title: label, "aria-label": label, "data-does": name, onclick }, icon(name));
}

/** Words in which `x` stands for a key or for code: text and elements. */
export function marked(words, tag = "code") {
  return words.split("`").map((part, index) => (index % 2 ? el(tag, {}, part) : part));
}

/** Give the elements of index.html their words: `data-say` the text, `data-say-label` and so on an attribute. */
export function translate(page) {
  page.documentElement.lang = language;
  const each = (name, put) => {
    for (const element of page.querySelectorAll(`[data-${name}]`)) put(element, say(element.getAttribute(`data-${name}`)));
  };
  each("say", (element, words) => element.replaceChildren(...marked(words, element.dataset.mark)));
  each("say-label", (element, words) => element.setAttribute("aria-label", words));
  each("say-title", (element, words) => (element.title = words));
  each("say-placeholder", (element, words) => (element.placeholder = words));
}

/** Whether a key belongs to an input method, which may end its composition with it. Safari tells of that by the code alone. */
export const isComposing = (event) => event.isComposing || event.keyCode === 229;

export const $ = (selector) => document.querySelector(selector);

/** Say it to those who listen: one thing at a time, and no more than that. */
export function announce(text) {
  $("#announcer").textContent = text;
}

/** Milliseconds for which a notice stands; longer where something can be done with it. */
const STANDS = 6_000;
const STANDS_FOR_ACTION = 12_000;

let goes = null;
let leave = () => {};

/** Say it to everybody, for a while. `action`: what can be done about it, `{label, act}`, and `gone()` when it no longer can. */
export function notify(text, action) {
  const place = $("#notice");
  if (!action || place.hidden) leave();
  const away = () => {
    place.hidden = true;
    place.hidePopover();
  };
  const hide = () => {
    clearTimeout(goes);
    if (action && place.matches(":hover, :focus-within")) return void (goes = setTimeout(hide, STANDS)); // somebody is at it
    away();
    leave();
    leave = () => {};
  };
  const act = () => {
    away();
    action.act();
    hide();
  };
  place.replaceChildren(text, action ? el("button.link", { type: "button", onclick: act }, action.label) : "");
  place.hidden = false;
  place.hidePopover();
  place.showPopover(); // above a dialog that is open
  leave = action?.gone ?? (() => {});
  clearTimeout(goes);
  goes = setTimeout(hide, action ? STANDS_FOR_ACTION : STANDS);
}

/** Copy, on plain http too, where the browser has no clipboard for pages. */
export async function copy(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const area = el("textarea.visually-hidden", { value: text });
  const before = document.activeElement;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
  before?.focus();
}

/** Give the browser a file to save: of JSON, or of Markdown. */
export function save(name, text) {
  const type = name.endsWith(".json") ? "application/json" : "text/markdown";
  const url = URL.createObjectURL(new Blob([text], { type }));
  el("a", { href: url, download: name }).click();
  URL.revokeObjectURL(url);
}
