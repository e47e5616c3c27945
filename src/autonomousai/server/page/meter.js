// How much of what a model can read at once a conversation takes: as its last answer counted, of what the server says.

import { path } from "./conversation.js";
import { $ } from "./dom.js";
import { say } from "./words.js";

/** The part of it from which there is a warning. */
const NEARLY_FULL = 0.8;

/** Show it; nothing where nothing was counted yet. */
export function showMeter(conversation, models) {
  const place = $("#meter");
  const used = tokensOf(conversation);
  const of = models.find(({ id }) => id === conversation.model)?.context_length;
  place.hidden = used === null;
  if (used === null) return;
  const part = of ? Math.min(used / of, 1) : 0;
  place.classList.toggle("full", part >= NEARLY_FULL);
  place.style.setProperty("--part", part);
  place.querySelector(".ring").hidden = !of;
  place.querySelector(".count").textContent = of ? say("tokensUsedOf", { used, of }) : say("tokens", { count: used });
  place.title = part >= NEARLY_FULL ? say("nearlyFull") : say("meterTitle");
}

function tokensOf(conversation) {
  const counted = path(conversation).findLast(({ usage }) => usage)?.usage;
  return counted ? counted.prompt + counted.completion : null;
}
