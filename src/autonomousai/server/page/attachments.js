// What goes with the question that is being written: images and files, shown above it with their names and sizes, each removable.
// Each conversation has its own, until they are sent or the page is left.

import { $, el, icon, iconButton, notify } from "./dom.js";
import { FileError, pastedFile, sizeOf, textFileOf } from "./files.js";
import { dataUrlOf, ImageError } from "./images.js";
import { say } from "./words.js";

const nothing = () => ({ images: [], files: [], reading: [], pasted: 0 });

export class Attachments {
  #place = $("#attached");
  #all = new Map();
  #here = nothing();

  /** `on`: `changed()`, `insert(text)` (into the field); `before()`: `{images, characters}` that the conversation holds. */
  constructor(on) {
    this.on = on;
  }

  /** Show those of a conversation. */
  show(id) {
    this.#here = this.#all.get(id) ?? nothing();
    this.#all.set(id, this.#here);
    this.#draw();
  }

  get isEmpty() {
    return !this.#here.images.length && !this.#here.files.length;
  }

  /** Whether a file is still being read: what is sent now would lack it. */
  get isReading() {
    return this.#here.reading.length > 0;
  }

  /** `{images, files}`, which are sent and no longer here. */
  take() {
    const { images, files } = this.#here;
    Object.assign(this.#here, nothing());
    this.#draw();
    return { images, files: files.map(({ name, size, text }) => ({ name, size, text })) };
  }

  /** Add what was picked, dropped or pasted; what cannot be is told of. `sees`: whether the model sees images. */
  async add(files, sees) {
    const here = this.#here;
    const refused = [];
    here.reading.push(...files);
    this.#changed();
    for (const file of files) {
      try {
        await this.#read(here, file, sees);
      } catch (error) {
        if (!(error instanceof FileError || error instanceof ImageError)) throw error;
        refused.push(error.message);
      } finally {
        here.reading = here.reading.filter((each) => each !== file);
        if (here === this.#here) this.#changed();
      }
    }
    if (refused.length) notify(refused.join(" "));
  }

  async #read(here, file, sees) {
    const before = this.on.before();
    if (file.type.startsWith("image/") && file.type !== "image/svg+xml") {
      if (!sees) throw new ImageError(say("seesNoImages"));
      const url = await dataUrlOf(file, [...before.images, ...here.images]);
      if (here.reading.includes(file)) here.images.push(url);
      return;
    }
    const read = await textFileOf(file, here.files.reduce((sum, { text }) => sum + text.length, before.characters));
    if (here.reading.includes(file)) here.files.push(read); // else it was removed while it was read
  }

  /** A long text that was pasted. */
  addPasted(text) {
    this.#here.pasted += 1;
    this.#here.files.push({ ...pastedFile(text, this.#here.pasted), isPasted: true });
    this.#changed();
  }

  #changed() {
    this.#draw();
    this.on.changed();
  }

  #remove(list, at) {
    this.#here[list] = this.#here[list].filter((_, index) => index !== at);
    this.#changed();
    $("#input").focus();
  }

  #draw() {
    const { images, files, reading } = this.#here;
    const thumbs = images.map((url, index) => {
      const words = { number: index + 1 };
      const remove = iconButton("close", say("removeImage", words), () => this.#remove("images", index));
      return el("div.thumb", {}, el("img", { src: url, alt: say("imageNumber", words) }), remove);
    });
    const chips = files.map((file, at) => this.#chip("files", at, file, sizeOf(file.size)));
    const coming = reading.map((file, at) => this.#chip("reading", at, file, say("fileReading")));
    this.#place.replaceChildren(...thumbs, ...chips, ...coming);
    this.#place.hidden = !this.#place.children.length;
  }

  #chip(list, at, file, detail) {
    const insert = () => {
      this.#remove(list, at);
      this.on.insert(file.text);
    };
    return el(
      "div.chip",
      {},
      icon("file"),
      el("span.chip-name", { dir: "auto", title: file.name }, file.name),
      el("span.chip-size", {}, detail),
      file.isPasted ? iconButton("down", say("pastedInsert"), insert) : null,
      iconButton("close", say("removeFile", { name: file.name }), () => this.#remove(list, at)),
    );
  }
}

/** A file of a question that was sent; its text can be read there. */
export function fileView({ name, size, text }) {
  const shown = el("pre", { dir: "auto", tabIndex: 0 });
  const show = ({ target }) => (shown.textContent = target.open ? text : "");
  const summary = el("summary", {}, icon("file"), el("span.chip-name", { dir: "auto" }, name), el("span.chip-size", {}, sizeOf(size)));
  return el("details.file", { ontoggle: show }, summary, shown);
}
