// Conversations by days, the latest first. Pure.

import { language, say } from "./words.js";

/** `[{title, conversations}]`: what is pinned, today's, yesterday's, those of seven days, then one for each month. */
export function byDays(conversations, now) {
  const groups = new Map();
  const add = (key, title, conversation) => {
    if (!groups.has(key)) groups.set(key, { title: title(), conversations: [] });
    groups.get(key).conversations.push(conversation);
  };
  const today = startOfDay(new Date(now), 0);
  const [yesterday, week] = [startOfDay(today, 1), startOfDay(today, 7)];
  const pinned = conversations.filter((conversation) => conversation.pinned);
  for (const conversation of [...pinned, ...conversations.filter((conversation) => !conversation.pinned)]) {
    const date = new Date(conversation.updated);
    if (conversation.pinned) add("pinned", () => say("pinned"), conversation);
    else if (date >= today) add("today", () => say("today"), conversation);
    else if (date >= yesterday) add("yesterday", () => say("yesterday"), conversation);
    else if (date >= week) add("week", () => say("lastDays"), conversation);
    else add(`${date.getFullYear()}-${date.getMonth()}`, () => monthOf(date), conversation);
  }
  return [...groups.values()];
}

/** Midnight so many days ago: by the calendar, as a day may have 23 hours or 25. */
const startOfDay = (date, ago) => new Date(date.getFullYear(), date.getMonth(), date.getDate() - ago);

const monthOf = (date) => date.toLocaleDateString(language, { month: "long", year: "numeric" });
