// The settings of a conversation, and those of the page, in a dialog. A wrong value is told at its field, and nothing is saved.

import { key } from "./api.js";
import { NO_SETTINGS } from "./conversation.js";
import { $, el, marked, notify } from "./dom.js";
import { showPresets } from "./presets.js";
import { schemaOf, wrongType } from "./schema.js";
import { chooseLanguage, chosenLanguage, language, LANGUAGES, say } from "./words.js";

const NUMBERS = { temperature: "#temperature", topP: "#top-p", maxTokens: "#max-tokens", seed: "#seed" };

/** `on`: `save(settings, asDefault)` when the reader saves, `language()` when they chose another one. */
export function openSettings(settings, on) {
  const dialog = $("#settings");
  fill({ ...NO_SETTINGS, ...settings });
  showPresets($("#system"));
  showKey();
  showLanguages();
  $("#as-default").checked = false;
  $("#format").onchange = showFormat;
  dialog.querySelector("form").onsubmit = (event) => {
    const { chosen, wrong } = read();
    for (const [selector, words] of Object.entries(wrong)) tell(selector, words);
    const wrongs = Object.keys(wrong).filter((selector) => wrong[selector]);
    if (wrongs.length) {
      event.preventDefault();
      for (const selector of wrongs) $(selector).closest("details")?.setAttribute("open", "");
      $(wrongs[0]).focus();
      return;
    }
    on.save(chosen, $("#as-default").checked);
    const spoken = $("#language").value;
    if (spoken === (chosenLanguage() ?? "")) return;
    chooseLanguage(spoken);
    on.language();
  };
  dialog.showModal();
}

function fill(settings) {
  $("#system").value = settings.system;
  for (const [name, selector] of Object.entries(NUMBERS)) $(selector).value = settings[name] ?? "";
  $("#stop-at").value = settings.stop.map(escaped).join("\n");
  $("#format").value = settings.format;
  $("#schema").value = settings.schema;
  for (const selector of [...Object.values(NUMBERS), "#schema"]) tell(selector, "");
  showFormat();
  $("#more-settings").open = ["topP", "seed"].some((name) => settings[name] !== null) || settings.stop.length > 0 || settings.format !== "";
}

/** `{chosen, wrong}`: the settings as they stand there, and what is wrong with each field, or "". */
function read() {
  const chosen = { system: $("#system").value, format: $("#format").value, schema: $("#schema").value };
  const wrong = {};
  for (const [name, selector] of Object.entries(NUMBERS)) {
    const { value, valueAsNumber, validity, min, max } = $(selector);
    chosen[name] = value === "" ? null : valueAsNumber;
    const out = validity.rangeUnderflow || validity.rangeOverflow;
    const whole = name === "maxTokens" || name === "seed";
    const broken = whole && chosen[name] !== null && !Number.isSafeInteger(chosen[name]);
    const words = max ? say("between", { min: Number(min), max: Number(max) }) : say(min ? "atLeastOne" : "wholeNumber");
    wrong[selector] = validity.badInput || out || broken ? words : "";
  }
  chosen.stop = $("#stop-at").value.split("\n").filter(Boolean).map(unescaped);
  wrong["#schema"] = chosen.format === "json_schema" ? wrongOf(chosen.schema) : "";
  return { chosen, wrong };
}

function tell(selector, words) {
  const place = $(`${selector}-wrong`);
  place.replaceChildren(...marked(words));
  place.hidden = !words;
  $(selector).setAttribute("aria-invalid", Boolean(words));
}

function wrongOf(text) {
  const schema = schemaOf(text);
  if (schema === null) return say("noSchema");
  const type = wrongType(schema);
  return type === null ? "" : say("noSchemaType", { type });
}

// A text to stop at is one line of the field: a new line in it is written as \n.
const escaped = (text) => text.replace(/[\\\n\t]/g, (char) => ({ "\\": "\\\\", "\n": "\\n", "\t": "\\t" })[char]);
const unescaped = (text) => text.replace(/\\([\\nt])/g, (_, char) => ({ "\\": "\\", n: "\n", t: "\t" })[char]);

function showFormat() {
  $("#schema-part").hidden = $("#format").value !== "json_schema";
}

function showKey() {
  $("#key-state").hidden = !key.get();
  $("#forget-key").onclick = () => {
    key.forget();
    $("#key-state").hidden = true;
    notify(say("keyForgotten"));
  };
}

function showLanguages() {
  const all = [["", say("asBrowser")], ...Object.entries(LANGUAGES)];
  $("#language").replaceChildren(...all.map(([value, name]) => el("option", { value, lang: value || language }, name)));
  $("#language").value = chosenLanguage() ?? "";
}
