// The settings of a conversation, in a dialog.

import { key } from "./api.js";
import { $, notify } from "./dom.js";

const numberOrNull = ({ value }) => (value === "" ? null : Number(value));

/** `save(settings, asDefault)` is called when the reader saves. */
export function openSettings(settings, save) {
  const dialog = $("#settings");
  const [system, temperature, maxTokens, asDefault] = ["#system", "#temperature", "#max-tokens", "#as-default"].map($);
  system.value = settings.system;
  temperature.value = settings.temperature ?? "";
  maxTokens.value = settings.maxTokens ?? "";
  asDefault.checked = false;
  $("#key-state").hidden = !key.get();
  $("#forget-key").onclick = () => {
    key.forget();
    $("#key-state").hidden = true;
    notify("The key is forgotten.");
  };
  dialog.querySelector("form").onsubmit = () => {
    const chosen = { system: system.value, temperature: numberOrNull(temperature), maxTokens: numberOrNull(maxTokens) };
    save(chosen, asDefault.checked);
  };
  dialog.showModal();
}
