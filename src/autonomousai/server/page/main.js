// The page comes together here: what the reader does goes to the chat, what the chat does is shown.

import { ToldError } from "./answer.js";
import * as api from "./api.js";
import { ArchiveError } from "./archive.js";
import { Chat } from "./chat.js";
import { Composer } from "./composer.js";
import { path } from "./conversation.js";
import { ask } from "./dialogs.js";
import { $, announce, copy, el, icon, notify } from "./dom.js";
import { confirmCopied, isQuestion } from "./message.js";
import { openSettings } from "./settings.js";
import { exportAs, Sidebar } from "./sidebar.js";
import { Thread } from "./thread.js";
import { explain } from "./words.js";

// The smallest weights answer these well, and others better.
const STARTERS = [
  ["Ask", "What is the capital of France, and what is it known for?"],
  ["Code", "Write a Python function that tells whether a word is a palindrome."],
  ["Write", "Write a short poem about autumn."],
  ["Describe", "Describe a forest in the morning."],
];

const chat = new Chat({
  list: () => sidebar.show(),
  show,
  progress(answer, run) {
    thread.progress(answer, run);
    showComposer();
  },
  trouble(error) {
    notify(`This browser could not keep the conversation (${error.message}). Export it before you leave.`);
  },
});

const thread = new Thread({
  copy: copyFrom,
  again(answer) {
    chat.again(answer);
    composer.focus();
  },
  choose: (message) => chat.choose(message),
  resend(question, text) {
    chat.edit(question, text);
    composer.focus();
  },
  fresh: () => $("#fresh").click(),
  async giveKey(answer) {
    if (!(await askKey(false))) return;
    await loadModels();
    chat.again(answer);
  },
});

const composer = new Composer({
  send: (text, images) => chat.send(text, images),
  stop: () => chat.stop(),
  editLast() {
    const last = path(chat.current).findLast(isQuestion);
    if (last) thread.edit(last);
  },
  imagesBefore: () => chat.images,
});

const sidebar = new Sidebar(chat);

// ---- showing

function show() {
  const { current } = chat;
  const begun = current.messages.length > 0;
  const address = begun ? `#/c/${current.id}` : "#/";
  if ((location.hash || "#/") !== address) history.pushState(null, "", address);
  $("#title").textContent = current.title || "New conversation";
  document.title = current.title ? `${current.title} · autonomousai` : "autonomousai";
  $("#welcome").hidden = begun;
  thread.show(current);
  sidebar.show();
  showModels();
  showComposer();
  if (chat.isRunning()) announce("The answer is on its way.");
}

function showModels() {
  const known = chat.models.map(({ id, vision, description }) => {
    const name = description ?? id; // who answers in its place, where that is another
    return el("option", { value: id }, vision ? `${name} (sees images)` : name);
  });
  $("#model").replaceChildren(...(known.length ? known : [el("option", {}, "no model yet")]));
  $("#model").value = chat.current.model;
  $("#model").disabled = known.length === 0;
}

function showComposer() {
  composer.show({ running: chat.isRunning(), sees: chat.sees });
}

function showTheme() {
  const name = theme.isDark() ? "sun" : "moon";
  const label = theme.isDark() ? "Light colours" : "Dark colours";
  $("#theme").replaceChildren(icon(name));
  $("#theme").title = label;
  $("#theme").setAttribute("aria-label", label);
}

// ---- the server

async function loadModels() {
  $("#banner").hidden = true;
  try {
    chat.setModels(await api.models());
  } catch (error) {
    if (error instanceof ToldError && error.told.status === 401 && (await askKey(api.key.get() !== null))) return loadModels();
    const told = error instanceof ToldError ? error.told : { code: "unreachable" };
    const { title, detail } = explain(told);
    const retry = el("button.plain", { type: "button", onclick: loadModels }, told.status === 401 ? "Give a key" : "Try again");
    $("#banner").replaceChildren(el("p", {}, el("strong", {}, title), ` ${detail ?? ""}`), retry);
    $("#banner").hidden = false;
  }
  showModels();
  showComposer();
}

/** Ask for a key and keep it, in this tab. */
async function askKey(wrong) {
  const given = await ask({
    title: wrong ? "That key was not accepted" : "This server wants a key",
    text: "It is kept in this tab alone, until you close it.",
    label: "Key",
    secret: true,
    verb: "Use it",
  });
  if (given) api.key.set(given);
  return given;
}

// ---- the reader

function route() {
  const id = /^#\/c\/([0-9a-f]+)$/.exec(location.hash)?.[1];
  if (id) chat.select(id);
  else chat.fresh();
  composer.focus();
}

async function copyFrom(text) {
  const button = document.activeElement.closest("button");
  await copy(text);
  announce("Copied.");
  if (button) confirmCopied(button);
}

async function importFile({ target }) {
  const [file] = target.files;
  try {
    const taken = chat.import(await file.text());
    notify(taken ? `${taken === 1 ? "One conversation was" : `${taken} conversations were`} imported.` : "All of it was here already.");
  } catch (error) {
    if (!(error instanceof ArchiveError)) throw error;
    notify(error.message);
  }
  target.value = "";
}

function openAbout() {
  const base = new URL("v1", new URL("../", import.meta.url)).href;
  const body = JSON.stringify({ model: chat.current.model, messages: [{ role: "user", content: "Hello" }] });
  $("#base-url").textContent = base;
  const authorization = api.key.get() ? "  -H 'authorization: Bearer KEY' \\\n" : "";
  $("#curl").textContent = `curl ${base}/chat/completions \\\n${authorization}  -H 'content-type: application/json' \\\n  -d '${body}'`;
  // A browser sends no key along with a link: what wants one is named instead.
  const keyed = api.key.get() || !chat.models.length ? document.querySelectorAll("[data-keyed]") : [];
  for (const link of keyed) link.replaceWith(`${link.textContent} (`, el("code", {}, `GET ${link.pathname}`), " with the key)");
  $("#about-dialog").showModal();
}

function bind() {
  $("#fresh").onclick = () => {
    sidebar.close();
    chat.fresh();
    composer.focus();
  };
  $("#model").onchange = ({ target }) => {
    chat.setModel(target.value);
    showComposer();
  };
  $("#open-settings").onclick = () => openSettings(chat.current.settings, (chosen, asDefault) => chat.set(chosen, asDefault));
  $("#theme").onclick = () => {
    theme.toggle();
    showTheme();
  };
  $("#export").onclick = () => exportAs("conversations", chat.exported());
  $("#import").onclick = () => $("#import-file").click();
  $("#import-file").onchange = importFile;
  $("#about").onclick = openAbout;
  for (const button of document.querySelectorAll("[data-close]")) button.onclick = () => button.closest("dialog").close();
  $("#starters").replaceChildren(
    ...STARTERS.map(([kind, text]) =>
      el("button.starter", { type: "button", onclick: () => chat.send(text, []) }, el("strong", {}, kind), el("span", {}, text)),
    ),
  );
  document.addEventListener("click", ({ target }) => {
    const button = target.closest("[data-copy]");
    if (button) copyFrom(button.closest(".code").querySelector("pre").textContent.replace(/\n$/, ""));
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
    if (sidebar.isOpen) sidebar.close();
    else chat.stop();
  });
  addEventListener("popstate", route);
  addEventListener("pageshow", ({ persisted }) => persisted && location.reload());
  theme.onSystemChange(showTheme);
}

bind();
showTheme();
try {
  await chat.open();
} catch (error) {
  notify(`This browser keeps no conversations for this page (${error.message}): they last until you close it.`);
}
route();
await loadModels();
