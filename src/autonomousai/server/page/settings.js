// The settings of a conversation, in a dialog.

import { key } from "./api.js";
import { $, el, notify } from "./dom.js";
import { chooseLanguage, chosenLanguage, language, LANGUAGES, say } from "./words.js";

const numberOrNull = ({ value }) => (value === "" ? null : Number(value));

/** `on`: `save(settings, asDefault)` when the reader saves, `language()` when they chose another one. */
export function openSettings(settings, on) {
  const dialog = $("#settings");
  const [system, temperature, maxTokens, asDefault] = ["#system", "#temperature", "#max-tokens", "#as-default"].map($);
  system.value = settings.system;
  temperature.value = settings.temperature ?? "";
  maxTokens.value = settings.maxTokens ?? "";
  asDefault.checked = false;
  const spoken = $("#language");
  const languages = [["", say("asBrowser")], ...Object.entries(LANGUAGES)];
  spoken.replaceChildren(...languages.map(([value, name]) => el("option", { value, lang: value || language }, name)));
  spoken.value = chosenLanguage() ?? "";
  $("#key-state").hidden = !key.get();
  $("#forget-key").onclick = () => {
    key.forget();
    $("#key-state").hidden = true;
    notify(say("keyForgotten"));
  };
  dialog.querySelector("form").onsubmit = () => {
    const chosen = { system: system.value, temperature: numberOrNull(temperature), maxTokens: numberOrNull(maxTokens) };
    on.save(chosen, asDefault.checked);
    if (spoken.value === (chosenLanguage() ?? "")) return;
    chooseLanguage(spoken.value);
    on.language();
  };
  dialog.showModal();
}
