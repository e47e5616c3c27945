// A small menu that opens beside a button and closes again by itself: on Esc, on a click elsewhere, on a choice.

import { el, icon } from "./dom.js";

/** A button that opens it. `items()`: what can be chosen then, each `{icon, label, act}`. */
export function menuButton(name, label, items) {
  const button = el("button.icon-button", { type: "button", title: label, "aria-label": label, "aria-haspopup": "true" }, icon(name));
  button.onclick = () => open(button, items());
  return button;
}

function open(button, items) {
  const choose = (act) => () => {
    menu.hidePopover();
    act();
  };
  const entries = items.map(({ icon: name, label, act }) => el("button.quiet", { type: "button", onclick: choose(act) }, icon(name), label));
  const menu = el("div.menu", { popover: "auto", role: "group", "aria-label": button.title }, ...entries);
  menu.ontoggle = ({ newState }) => {
    if (newState !== "closed") return;
    const focused = menu.contains(document.activeElement) || document.activeElement === document.body;
    menu.remove();
    button.removeAttribute("aria-expanded");
    if (focused && button.isConnected) button.focus();
  };
  menu.onkeydown = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    entries.at((entries.indexOf(document.activeElement) + step) % entries.length).focus();
  };
  button.closest("nav, main").append(menu);
  menu.showPopover();
  button.setAttribute("aria-expanded", "true");
  place(menu, button.getBoundingClientRect());
  entries[0].focus();
}

/** Below the button, or above where there is no room; never outside of the window. */
function place(menu, { left, right, top, bottom }) {
  const { offsetWidth: width, offsetHeight: height } = menu;
  const below = bottom + height < innerHeight;
  menu.style.left = `${Math.max(8, Math.min(right - width, left, innerWidth - width - 8))}px`;
  menu.style.top = `${Math.max(8, below ? bottom + 4 : top - height - 4)}px`;
}
