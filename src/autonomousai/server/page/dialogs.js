// Questions to the reader, each in a dialog of its own, each a promise: what they said, or null where they would rather not.

import { el } from "./dom.js";
import { say } from "./words.js";

/** A line of text. */
export function ask({ title, text = "", label, value = "", secret = false, verb = say("save") }) {
  const input = el("input", { id: "answer", type: secret ? "password" : "text", value, required: true, autocomplete: "off" });
  if (!secret) input.dir = "auto";
  const words = text ? [el("p", {}, text)] : [];
  return open({ title, body: [...words, el("label", { htmlFor: "answer" }, label), input], verb, value: () => input.value.trim() });
}

function open({ title, body, verb, value }) {
  return new Promise((resolve) => {
    const cancel = el("button.plain", { type: "button", onclick: () => dialog.close() }, say("cancel"));
    const go = el("button.primary", { type: "submit" }, verb);
    const form = el("form", { noValidate: true }, el("h2", { id: "question" }, title), ...body, el("div.dialog-foot", {}, cancel, go));
    const dialog = el("dialog", { "aria-labelledby": "question" }, form);
    let said = null;
    form.onsubmit = (event) => {
      event.preventDefault();
      if (!value()) return; // an empty field is no answer
      said = value();
      dialog.close();
    };
    dialog.onclose = () => {
      dialog.remove();
      resolve(said);
    };
    document.body.append(dialog);
    dialog.showModal();
    (form.querySelector("input") ?? go).focus();
  });
}
