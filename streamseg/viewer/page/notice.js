/** One line for what went wrong or was done; it goes away by itself. */

const SHOWN_MS = 7000;

export class Notice {
  #timer = 0;

  /** @param {HTMLElement} element Holds the words in its first child, and a button. */
  constructor(element) {
    this.element = element;
    this.words = element.querySelector(".notice-words");
    element.querySelector("button").addEventListener("click", () => this.hide());
    // Words that are being read stay.
    element.addEventListener("pointerenter", () => clearTimeout(this.#timer));
    element.addEventListener("pointerleave", () => this.#hideLater());
  }

  /** @param {string} words @param {"error" | "done"} [kind] */
  show(words, kind = "error") {
    this.words.textContent = words;
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
