// The page comes together here: what the reader does goes to the chat, what the chat does is shown.

import { isRunning, ToldError } from "./answer.js";
import * as api from "./api.js";
import { ArchiveError } from "./archive.js";
import { Chat } from "./chat.js";
import { Composer } from "./composer.js";
import { path } from "./conversation.js";
import { ask } from "./dialogs.js";
import { $, announce, copy, el, icon, marked, notify, translate } from "./dom.js";
import { NEW, pruneDrafts } from "./drafts.js";
import { copyFormulas } from "./math.js";
import { confirmCopied, isQuestion } from "./message.js";
import { showMeter } from "./meter.js";
import { showModels } from "./models.js";
import { keepPage } from "./offline.js";
import { openSettings } from "./settings.js";
import { takeShortcuts } from "./shortcuts.js";
import { exportAs, Sidebar } from "./sidebar.js";
import { Thread } from "./thread.js";
import { explain, say } from "./words.js";

// The smallest weights answer these well, and others better.
const STARTERS = ["starterAsk", "starterCode", "starterWrite", "starterDescribe"];

/** Milliseconds until a server that could not be reached is asked again for its models. */
const LOOK_AGAIN = 5_000;
let lookingAgain = null;

const chat = new Chat({
  list: () => sidebar.show(),
  show,
  progress(answer, run) {
    thread.progress(answer, run);
    if (answer.state === "done" && !$("#banner").hidden) loadModels(); // the server is back
    if (answer.error?.code === "model_not_found" && !isRunning(answer)) loadModels(); // the list is an old one
    showComposer();
  },
  replaced: (model, other) => notify(say("modelGone", { model, other })),
  trouble(error) {
    showUnkept(error && say(error.name === "QuotaExceededError" ? "storageFull" : "cannotKeep", { error: error.message }));
  },
});

const thread = new Thread({
  copy: copyFrom,
  again(answer) {
    chat.again(answer);
    composer.focus();
  },
  carryOn(answer) {
    chat.carryOn(answer);
    composer.focus();
  },
  giveResults(answer, results) {
    chat.giveResults(answer, results);
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
  send: (text, images, files) => chat.send(text, images, files),
  stop: () => chat.stop(),
  editLast() {
    const last = path(chat.current).findLast(isQuestion);
    if (last) thread.edit(last);
  },
  before: () => chat.attached,
});

const sidebar = new Sidebar(chat);

// ---- showing

function show(asked = false) {
  const { current } = chat;
  const begun = current.messages.length > 0;
  const address = begun ? `#/c/${current.id}` : "#/";
  if ((location.hash || "#/") !== address) history.pushState(null, "", address);
  $("#title").textContent = current.title || say("newConversation");
  document.title = current.title ? `${current.title} · autonomousai` : "autonomousai";
  $("#welcome").hidden = begun;
  thread.show(current, asked);
  sidebar.show();
  showServer();
  if (chat.isRunning()) announce(say("onItsWay"));
}

/** What depends on the models, and on which one is chosen. */
function showServer() {
  showModels(chat.models, chat.current.model);
  showComposer();
}

function showComposer() {
  composer.show({ id: chat.current.messages.length ? chat.current.id : NEW, running: chat.isRunning(), sees: chat.sees });
  showMeter(chat.current, chat.models);
}

/** What is not kept, for as long as that is so; null where all is. */
function showUnkept(words) {
  const place = $("#unkept");
  place.hidden = words === null;
  if (words === null || place.textContent.includes(words)) return;
  const save = el("button.plain", { type: "button", onclick: () => $("#export").click() }, say("exportAll"));
  place.replaceChildren(el("p", {}, words), save);
}

function showTheme() {
  const name = theme.isDark() ? "sun" : "moon";
  const label = say(theme.isDark() ? "lightColours" : "darkColours");
  $("#theme").replaceChildren(icon(name));
  $("#theme").title = label;
  $("#theme").setAttribute("aria-label", label);
}

// ---- the server

async function loadModels() {
  clearTimeout(lookingAgain);
  try {
    chat.setModels(await api.models());
    $("#banner").hidden = true;
  } catch (error) {
    if (error instanceof ToldError && error.told.status === 401 && (await askKey(api.key.get() !== null))) return loadModels();
    const told = error instanceof ToldError ? error.told : { code: "unreachable" };
    const { title, detail } = explain(told);
    const retry = el("button.plain", { type: "button", onclick: loadModels }, say(told.status === 401 ? "giveKey" : "tryAgain"));
    const news = el("div", {}, el("p", {}, el("strong", {}, title), ` ${detail ?? ""}`), retry);
    if (news.textContent !== $("#banner").textContent) $("#banner").replaceChildren(...news.childNodes); // its button may have the focus
    $("#banner").hidden = false;
    if (told.status !== 401) lookingAgain = setTimeout(loadModels, LOOK_AGAIN);
  }
  showServer();
}

/** Ask for a key and keep it, in this tab. */
async function askKey(wrong) {
  const given = await ask({
    title: say(wrong ? "wrongKey" : "wantsKey"),
    text: say("keyText"),
    label: say("key"),
    secret: true,
    verb: say("useKey"),
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
  announce(say("copiedSaid"));
  if (button) confirmCopied(button);
}

async function importFile({ target }) {
  const [file] = target.files;
  try {
    const taken = chat.import(await file.text());
    notify(taken ? say("imported", { count: taken }) : say("importedNone"));
  } catch (error) {
    if (!(error instanceof ArchiveError)) throw error;
    notify(error.message);
  }
  target.value = "";
}

function openAbout() {
  const base = new URL("v1", new URL("../", import.meta.url)).href;
  const body = JSON.stringify({ model: chat.current.model, messages: [{ role: "user", content: say("hello") }] });
  $("#base-url").textContent = base;
  const authorization = api.key.get() ? "  -H 'authorization: Bearer KEY' \\\n" : "";
  $("#curl").textContent = `curl ${base}/chat/completions \\\n${authorization}  -H 'content-type: application/json' \\\n  -d '${body}'`;
  // A browser sends no key along with a link: what wants one is named instead.
  const keyed = api.key.get() || !chat.models.length ? document.querySelectorAll("[data-keyed]") : [];
  for (const link of keyed) link.replaceWith(...marked(say(link.dataset.keyed || "withKey", { name: link.textContent, path: link.pathname })));
  $("#about-dialog").showModal();
}

const settled = {
  save: (chosen, asDefault) => chat.set(chosen, asDefault),
  language() {
    speak();
    thread.forget();
    show();
  },
};

/** Say what is shown from the beginning to the end in the reader's language. */
function speak() {
  translate(document);
  showTheme();
  $("#starters").replaceChildren(
    ...STARTERS.map((key) => {
      const text = say(`${key}Text`);
      return el("button.starter", { type: "button", onclick: () => chat.send(text, []) }, el("strong", {}, say(key)), el("span", {}, text));
    }),
  );
}

function bind() {
  $("#fresh").onclick = () => {
    sidebar.close();
    chat.fresh();
    composer.focus();
  };
  $("#model").onchange = ({ target }) => {
    chat.setModel(target.value);
    showServer();
  };
  $("#open-settings").onclick = () => openSettings(chat.current.settings, settled);
  $("#theme").onclick = () => {
    theme.toggle();
    showTheme();
  };
  $("#export").onclick = () => exportAs("conversations", "json", chat.exported());
  $("#import").onclick = () => $("#import-file").click();
  $("#import-file").onchange = importFile;
  $("#about").onclick = openAbout;
  for (const button of document.querySelectorAll("[data-close]")) button.onclick = () => button.closest("dialog").close();
  document.addEventListener("click", ({ target }) => {
    const button = target.closest("[data-copy]");
    if (button) copyFrom(button.closest(".code").querySelector("pre").textContent.replace(/\n$/, ""));
  });
  $("#thread").addEventListener("copy", copyFormulas);
  document.addEventListener("formulas", () => thread.grown());
  takeShortcuts({
    leave() {
      if (sidebar.isOpen) sidebar.close();
      else if (chat.isRunning()) chat.stop();
      else if (document.activeElement.matches("#input, #model")) $("#scroller").focus(); // where single letters are shortcuts
    },
  });
  addEventListener("online", () => $("#banner").hidden || loadModels());
  addEventListener("popstate", route);
  addEventListener("pageshow", ({ persisted }) => persisted && location.reload());
  theme.onSystemChange(showTheme);
}

bind();
speak();
try {
  await chat.open();
  pruneDrafts(new Set(chat.list.map(({ id }) => id)));
} catch (error) {
  showUnkept(say("keepsNothing", { error: error.message }));
}
route();
await loadModels();
keepPage();
