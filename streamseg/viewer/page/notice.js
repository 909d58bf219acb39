/** One line for an error or a confirmation; it disappears by itself. */

const SHOWN_MS = 7000;

export class Notice {
  #timer = 0;

  /** @param {HTMLElement} element Contains an element for the text and a button. */
  constructor(element) {
    this.element = element;
    this.words = element.querySelector(".notice-words");
    element.querySelector("button").addEventListener("click", () => this.hide());
    // The notice stays while the pointer is on it.
    element.addEventListener("pointerenter", () => clearTimeout(this.#timer));
    element.addEventListener("pointerleave", () => this.#hideLater());
  }

  /** @param {string} text @param {"error" | "done"} [kind] */
  show(text, kind = "error") {
    this.words.textContent = text;
    this.element.dataset.kind = kind;
    this.element.hidden = false;
    this.#hideLater();
  }

  hide() {
    clearTimeout(this.#timer);
    this.element.hidden = true;
    this.words.textContent = "";
  }

  #hideLater() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.hide(), SHOWN_MS);
  }
}
