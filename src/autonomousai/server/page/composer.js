// Where one writes: a text, what goes with it, and one button that sends or stops.

import { Attachments } from "./attachments.js";
import { $, isComposing } from "./dom.js";
import { readDraft, writeDraft } from "./drafts.js";

/** A pasted text of so many characters becomes a file: it would hide what is asked of it. */
const LONG_PASTE = 5000;

export class Composer {
  #form = $("#composer");
  #input = $("#input");
  #attachments;
  #id = null;
  #sees = false;

  /** `on`: `send(text, images, files)`, `stop()`, `editLast()`; `before()`: see `Attachments`. */
  constructor(on) {
    this.on = on;
    this.#attachments = new Attachments({
      before: on.before,
      changed: () => this.#fit(),
      insert: (text) => this.#insert(text),
    });
    this.#form.onsubmit = (event) => {
      event.preventDefault();
      this.#send();
    };
    this.#input.oninput = () => this.#changed();
    this.#input.onkeydown = (event) => this.#key(event);
    this.#input.onpaste = (event) => this.#paste(event);
    $("#stop").onclick = () => on.stop();
    $("#attach").onclick = () => $("#attach-file").click();
    $("#attach-file").onchange = ({ target }) => {
      this.#attach([...target.files]);
      target.value = "";
    };
    this.#takeDrops();
  }

  /** What can be done now in the conversation `id`: send, or stop; attach images, or not. */
  show({ id, running, sees }) {
    this.#sees = sees;
    $("#stop").hidden = !running;
    $("#send").hidden = running;
    this.running = running;
    if (id !== this.#id) {
      this.#id = id;
      this.#input.value = readDraft(id);
      this.#attachments.show(id);
    }
    this.#fit();
  }

  focus() {
    if (matchMedia("(hover: hover)").matches) this.#input.focus(); // on a phone the keyboard would cover what is there to read
  }

  write(text) {
    this.#input.value = text;
    this.#changed();
    this.#input.focus();
  }

  #key(event) {
    if (isComposing(event)) return; // Enter takes a word of an input method, and sends nothing
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      this.#send();
    } else if (event.key === "ArrowUp" && !this.#input.value && !this.running) {
      event.preventDefault();
      this.on.editLast();
    }
  }

  get #hasSomething() {
    return this.#input.value.trim() !== "" || !this.#attachments.isEmpty;
  }

  #send() {
    if (this.running || this.#attachments.isReading || !this.#hasSomething) return;
    const text = this.#input.value.trim();
    const { images, files } = this.#attachments.take();
    this.#input.value = "";
    this.#changed();
    this.on.send(text, images, files);
  }

  #changed() {
    writeDraft(this.#id, this.#input.value);
    this.#fit();
  }

  /** Tall enough for what is written, where the browser does not see to it by itself. */
  #fit() {
    $("#send").disabled = this.#attachments.isReading || !this.#hasSomething;
    this.#input.rows = Math.min(this.#input.value.split("\n").length, 10);
  }

  // ---- what goes with it

  async #attach(files) {
    this.#input.focus();
    await this.#attachments.add(files, this.#sees);
  }

  /** Text wins over the picture of it that spreadsheets and word processors put beside it; a file over its own name. */
  #paste(event) {
    const files = [...event.clipboardData.files];
    const text = event.clipboardData.getData("text/plain");
    const isName = (line) => !line.trim() || files.some(({ name }) => line.trim().endsWith(name));
    if (files.length && text.split("\n").every(isName)) {
      event.preventDefault();
      this.#attach(files);
    } else if (text.length >= LONG_PASTE) {
      event.preventDefault();
      this.#attachments.addPasted(text);
    }
  }

  #insert(text) {
    const { selectionStart, selectionEnd } = this.#input;
    this.#input.setRangeText(text, selectionStart, selectionEnd, "end");
    this.#changed();
  }

  /** Files may be dropped anywhere: beside the field the browser would leave the page for them. */
  #takeDrops() {
    const isOfFiles = ({ dataTransfer }) => dataTransfer?.types.includes("Files");
    const mark = (on) => this.#form.classList.toggle("dropping", on);
    document.addEventListener("dragover", (event) => {
      if (!isOfFiles(event)) return;
      event.preventDefault();
      const open = document.querySelector("dialog[open]") === null;
      event.dataTransfer.dropEffect = open ? "copy" : "none";
      mark(open);
    });
    document.addEventListener("dragleave", ({ relatedTarget }) => {
      if (relatedTarget === null) mark(false);
    });
    document.addEventListener("drop", (event) => {
      mark(false);
      if (!isOfFiles(event)) return;
      event.preventDefault();
      this.#attach([...event.dataTransfer.files]);
    });
  }
}
