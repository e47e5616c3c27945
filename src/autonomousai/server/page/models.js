// The menu of models: who answers, how large it is, how much it reads at once, and what it can do; as far as the server says so.

import { $, el } from "./dom.js";
import { number, say } from "./words.js";

/** Whether menus may have a face of their own; elsewhere it would be a button that nothing names. */
const CUSTOM = CSS.supports("appearance", "base-select");

/** Show the models in the menu, `chosen` among them. What browsers with plain menus show is one line for each. */
export function showModels(models, chosen) {
  const menu = $("#model");
  const options = models.length ? models.map(optionOf) : [el("option", { value: chosen }, say("noModel"))];
  const face = CUSTOM ? [el("button", { type: "button" }, document.createElement("selectedcontent"))] : [];
  menu.replaceChildren(...face, ...options);
  menu.value = chosen;
  menu.disabled = models.length === 0;
  const model = models.find(({ id }) => id === chosen);
  menu.title = model ? [nameOf(model), ...details(model)].join(" · ") : "";
}

/** Who answers in its place, where that is another. */
const nameOf = ({ id, description }) => description ?? id;

function optionOf(model) {
  const more = details(model).join(" · ");
  const parts = more ? [el("i", {}, " · "), el("small", {}, more)] : []; // in a plain menu they stand in one line
  return el("option", { value: model.id }, el("span", {}, nameOf(model)), ...parts);
}

function details({ vision, context_length: context, capabilities = {}, meta = {} }) {
  return [
    meta.n_params && say("parameters", { size: short(meta.n_params) }),
    meta.size && say("megabytes", { size: meta.size < 1e6 ? 1 : Math.round(meta.size / 1e6) }),
    meta.quantization,
    context && say("contextOf", { count: context }),
    vision && say("sees"),
    capabilities.reasoning && say("thinks"),
    capabilities.tools && say("usesTools"),
  ].filter(Boolean);
}

/** 134515008 -> 135 M; 8030261248 -> 8.0 B, as models are named. */
const short = (parameters) => (parameters >= 1e9 ? `${number(parameters / 1e9, 1)} B` : `${number(Math.round(parameters / 1e6))} M`);
