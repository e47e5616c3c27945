// A model's thoughts, apart from its answer, and the time that they took. Also those that a server passes on inside the answer, between
// the tags that open and close them. Pure.

const OPEN = "<think>";
const TAGGED = /^\s*<think>([\s\S]*?)(?:<\/think>\s*([\s\S]*))?$/;

/** What an answer consists of: `{thoughts, text}`. */
export function parts({ text, reasoning = "" }) {
  const [found, tagged, rest = ""] = TAGGED.exec(text) ?? [];
  if (found === undefined) return { thoughts: reasoning, text };
  return { thoughts: [reasoning, tagged.trim()].filter(Boolean).join("\n\n"), text: rest };
}

/** Note when an answer's thoughts began, and when they were over: with the first word of the answer itself. Where the connection broke
 * meanwhile, nobody knows how long it was. */
export function timeThoughts(answer, now) {
  if (answer.thoughtUntil) return;
  const tagged = answer.text.trimStart().startsWith(OPEN);
  if (answer.reasoning || tagged) answer.thoughtFrom ??= now;
  if (!answer.thoughtFrom || !(tagged ? answer.text.includes("</think>") : answer.text)) return;
  answer.thoughtUntil = now;
  if (answer.resumed) answer.thoughtFrom = null;
}
