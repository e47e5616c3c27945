// Where one writes: a text, images where the model can see, and one button that sends or stops.

import { $, el, iconButton, notify } from "./dom.js";
import { dataUrlOf, ImageError } from "./images.js";
import { say } from "./words.js";

export class Composer {
  #form = $("#composer");
  #input = $("#input");
  #attached = $("#attached");
  #images = [];
  #sees = false;

  /** `on`: `send(text, images)`, `stop()`, `editLast()`; `imagesBefore()`: those that the conversation holds. */
  constructor(on) {
    this.on = on;
    this.#form.onsubmit = (event) => {
      event.preventDefault();
      this.#send();
    };
    this.#input.oninput = () => this.#fit();
    this.#input.onkeydown = (event) => this.#key(event);
    this.#input.onpaste = (event) => this.#take(event, event.clipboardData.files);
    this.#form.ondragover = (event) => event.preventDefault();
    this.#form.ondrop = (event) => this.#take(event, event.dataTransfer.files);
    $("#stop").onclick = () => on.stop();
    $("#attach").onclick = () => $("#attach-file").click();
    $("#attach-file").onchange = ({ target }) => {
      this.#attach([...target.files]);
      target.value = "";
    };
  }

  /** What can be done now: send, or stop; attach, or not. */
  show({ running, sees }) {
    this.#sees = sees;
    $("#attach").hidden = !sees;
    $("#stop").hidden = !running;
    $("#send").hidden = running;
    this.running = running;
    this.#fit();
  }

  focus() {
    if (matchMedia("(hover: hover)").matches) this.#input.focus(); // on a phone the keyboard would cover what is there to read
  }

  write(text) {
    this.#input.value = text;
    this.#fit();
    this.#input.focus();
  }

  #key(event) {
    if (event.isComposing) return; // Enter takes a word of an input method, and sends nothing
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      this.#send();
    } else if (event.key === "ArrowUp" && !this.#input.value && !this.running) {
      event.preventDefault();
      this.on.editLast();
    }
  }

  #send() {
    const text = this.#input.value.trim();
    if (this.running || !(text || this.#images.length)) return;
    const images = this.#images;
    this.#images = [];
    this.#input.value = "";
    this.#showImages();
    this.#fit();
    this.on.send(text, images);
  }

  /** Tall enough for what is written, where the browser does not see to it by itself. */
  #fit() {
    $("#send").disabled = !(this.#input.value.trim() || this.#images.length);
    this.#input.rows = Math.min(this.#input.value.split("\n").length, 10);
  }

  // ---- images

  #take(event, files) {
    if (!files.length) return;
    event.preventDefault();
    if (this.#sees) this.#attach([...files]);
    else notify(say("seesNoImages"));
  }

  async #attach(files) {
    for (const file of files) {
      try {
        this.#images.push(await dataUrlOf(file, [...this.on.imagesBefore(), ...this.#images]));
      } catch (error) {
        if (!(error instanceof ImageError)) throw error;
        notify(error.message);
      }
    }
    this.#showImages();
    this.#fit();
    this.#input.focus();
  }

  #showImages() {
    this.#attached.hidden = !this.#images.length;
    this.#attached.replaceChildren(
      ...this.#images.map((url, index) => {
        const remove = () => {
          this.#images.splice(index, 1);
          this.#showImages();
          this.#fit();
        };
        const image = el("img", { src: url, alt: say("imageNumber", { number: index + 1 }) });
        return el("div.thumb", {}, image, iconButton("close", say("removeImage", { number: index + 1 }), remove));
      }),
    );
  }
}
