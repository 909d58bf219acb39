/** The place of one source's live picture on the page, with all that can be done on it; a worker draws on its canvas. */

import { Gestures } from "./gestures.js";

/** @typedef {import("./frame.js").Frame} Frame */

/** Wider canvases cost time and show nothing more. */
const MAX_CANVAS_PX = 2560;

/**
 * @typedef {object} Hooks
 * @property {(tile: Tile, tap: any) => void} tapped
 * @property {(tile: Tile, box: number[], frame: Frame) => void} boxed
 * @property {(tile: Tile) => void} chosen
 */

export class Tile {
  /** The frame that is shown, as far as it can be pointed at. @type {Frame | null} */ frame = null;
  /** @type {{x: number, y: number} | null} */ #pointer = null;
  #isCross = false;
  /** @type {number[] | null} */ #drag = null;
  #isScheduled = false;

  /**
   * @param {string} source
   * @param {import("./live.js").Live} live Draws.
   * @param {import("./prompts.js").PromptBook} book
   * @param {{everything: boolean}} options
   * @param {Hooks} hooks
   */
  constructor(source, live, book, options, hooks) {
    this.source = source;
    this.live = live;
    this.book = book;
    this.options = options;
    const template = /** @type {HTMLTemplateElement} */ (document.getElementById("tile-template"));
    // Imported, for a copy would belong to the template's own document, which shows nothing of what a worker draws.
    this.element = /** @type {HTMLElement} */ (document.importNode(template.content.firstElementChild, true));
    this.element.dataset.source = source;
    this.element.querySelector(".tile-name").textContent = source;
    this.note = this.element.querySelector(".tile-note");
    this.canvas = this.element.querySelector("canvas");
    this.canvas.setAttribute("aria-label", `Live picture of ${source}`);
    this.gestures = new Gestures(this.canvas, {
      frame: () => this.frame,
      point: (point, isCross) => this.#point(point, isCross),
      drag: (box) => this.#setDrag(box),
      tap: (tap) => hooks.tapped(this, tap),
      box: (box, frame) => hooks.boxed(this, box, frame),
    });
    this.canvas.addEventListener("focus", () => hooks.chosen(this));
    live.attach(source, this.canvas.transferControlToOffscreen());
    new ResizeObserver(() => this.#resize()).observe(this.canvas);
    this.invalidate();
  }

  /** Leave the page. */
  remove() {
    this.element.remove();
    this.live.detach(this.source);
  }

  /** @param {import("./live.js").Drawn} drawn */
  shown({ frame, hovered }) {
    if (frame) {
      const { w, h } = frame.image;
      if (this.frame?.image.w !== w || this.frame.image.h !== h) this.element.style.setProperty("--aspect", String(w / h));
      this.frame = frame;
    }
    // What is shown can be read off the page, by scripts as well.
    Object.assign(this.canvas.dataset, { index: this.frame.index, seq: this.frame.seq, hovered: hovered ?? "" });
  }

  /** What is asked for has changed: draw again. */
  invalidate() {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    // Once for all that changes in a go.
    queueMicrotask(() => {
      this.#isScheduled = false;
      this.live.wish(this.source, {
        everything: this.options.everything,
        ...this.book.wishFor(this.source),
        pointer: this.#pointer,
        isCross: this.#isCross,
        drag: this.#drag,
      });
    });
  }

  /** @param {string | null} words What is wrong; null: nothing is. @param {boolean} isStale Shown as not live. */
  say(words, isStale) {
    this.note.textContent = words ?? "";
    this.note.hidden = !words;
    this.element.classList.toggle("stale", isStale);
  }

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    const pixelRatio = Math.min(devicePixelRatio, MAX_CANVAS_PX / width);
    const size = { width: Math.round(width * pixelRatio), height: Math.round(height * pixelRatio), pixelRatio };
    this.live.resize(this.source, size);
  }

  /** @param {{x: number, y: number} | null} point @param {boolean} isCross */
  #point(point, isCross) {
    this.#pointer = point;
    this.#isCross = isCross;
    this.invalidate();
  }

  /** @param {number[] | null} box */
  #setDrag(box) {
    this.#drag = box;
    this.invalidate();
  }
}
