// System prompts that are saved under names, in this browser; chosen, saved and deleted above the field that they fill.

import { ask } from "./dialogs.js";
import { $, el } from "./dom.js";
import { say } from "./words.js";

const PRESETS = "autonomousai.presets";

/** The presets, each `{name, text}`, by name. What another program has put there is none. */
export function presets() {
  let kept;
  try {
    kept = JSON.parse(localStorage.getItem(PRESETS) ?? "[]");
  } catch {
    return [];
  }
  if (!Array.isArray(kept)) return [];
  return kept.filter((each) => typeof each?.name === "string" && typeof each.text === "string");
}

function keep(all) {
  localStorage.setItem(PRESETS, JSON.stringify(all.sort((one, other) => one.name.localeCompare(other.name))));
}

/** Show them above the system prompt, `field`. */
export function showPresets(field) {
  const list = $("#preset");
  const chosen = () => presets().find(({ text }) => text === field.value);
  const show = () => {
    const names = presets().map(({ name }) => el("option", { value: name }, name));
    const none = el("option", { value: "", "data-say": "noPreset" }, say("noPreset"));
    list.replaceChildren(none, ...names);
    list.value = chosen()?.name ?? "";
    list.disabled = names.length === 0;
    $("#delete-preset").hidden = list.value === "";
    $("#save-preset").hidden = list.value !== "" || !field.value.trim();
  };
  list.onchange = () => {
    field.value = presets().find(({ name }) => name === list.value)?.text ?? "";
    show();
  };
  field.oninput = show;
  $("#save-preset").onclick = async () => {
    const name = await ask({ title: say("savePreset"), text: say("presetText"), label: say("name") });
    if (!name) return;
    keep([...presets().filter((each) => each.name !== name), { name, text: field.value }]);
    show();
    list.focus();
  };
  $("#delete-preset").onclick = () => {
    keep(presets().filter(({ name }) => name !== list.value)); // its text stays in the field, and can be saved again
    show();
    field.focus();
  };
  show();
}
