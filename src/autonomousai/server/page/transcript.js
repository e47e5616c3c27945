// A conversation as a Markdown text, to be read elsewhere: what is shown of it, from the first message to the last. Pure.

import { path } from "./conversation.js";
import { parts } from "./thoughts.js";
import { language, say } from "./words.js";

/** The text. Images are in it, as data URLs. */
export function transcript(conversation) {
  const { title, created, settings } = conversation;
  const date = new Date(created).toLocaleDateString(language, { dateStyle: "long" });
  const system = settings.system.trim();
  return [
    `# ${title || say("anImage")}`,
    `*${date}*`,
    ...(system ? [`**${say("system")}**`, quoted(system)] : []),
    ...path(conversation).flatMap((message) => (message.role === "user" ? questionOf(message) : answerOf(message))),
  ].join("\n\n").concat("\n");
}

function questionOf({ text, images, files = [] }) {
  const seen = images.map((url, index) => `![${say("imageNumber", { number: index + 1 })}](${url})`);
  return [`## ${say("you")}`, ...seen, ...files.map(fileOf), closed(text)];
}

/** In a block of code whose fence is longer than any within. */
function fileOf({ name, text }) {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = "`".repeat(longest + 1);
  return `**${name}**\n\n${fence}\n${text}\n${fence}`;
}

function answerOf(message) {
  const { asked, model, tools = [] } = message;
  const { thoughts, text } = parts(message);
  const before = thoughts ? [`**${say("thoughts")}**`, quoted(thoughts.trim())] : [];
  return [`## ${asked || model}`, ...before, ...(text ? [closed(text)] : []), ...tools.flatMap(callOf)];
}

const callOf = ({ name, arguments: json, result }) => [
  `**${name}**`, fenced(json), ...(result === null ? [] : [`**${say("toolResult")}**`, fenced(result)]),
];

/** A block of code; its fence is longer than any in it. */
function fenced(text) {
  const longest = Math.max(2, ...Array.from(text.matchAll(/`+/g), ([marks]) => marks.length));
  const fence = "`".repeat(longest + 1);
  return `${fence}\n${text}\n${fence}`;
}

const quoted = (text) => text.replace(/^/gm, "> ");

/** A block of code that was cut off is closed: what follows is none of it. */
function closed(text) {
  let fence = "";
  for (const line of text.split("\n")) {
    const [, mark, rest] = /^ {0,3}(`{3,}|~{3,})(.*)$/.exec(line) ?? [];
    if (!mark) continue;
    if (!fence) fence = mark;
    else if (mark[0] === fence[0] && mark.length >= fence.length && !rest.trim()) fence = "";
  }
  return fence ? `${text}\n${fence}` : text;
}
