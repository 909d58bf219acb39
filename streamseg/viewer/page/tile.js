/** The tile with one source's live video, and the actions on it; a worker draws on its canvas. */

import { Gestures } from "./gestures.js";

/** @typedef {import("./frame.js").Frame} Frame */

/** Maximum width of the canvas; wider ones cost time without a visible benefit. */
const MAX_CANVAS_PX = 2560;

/**
 * @typedef {object} Hooks
 * @property {(tile: Tile, tap: any) => void} onTap
 * @property {(tile: Tile, box: number[], frame: Frame) => void} onBox
 * @property {(tile: Tile) => void} onFocus
 */

export class Tile {
  /** The displayed frame, without its image. @type {Frame | null} */ frame = null;
  /** @type {{x: number, y: number} | null} */ #pointer = null;
  #isCross = false;
  /** @type {number[] | null} */ #drag = null;
  #isScheduled = false;

  /**
   * @param {string} source
   * @param {import("./live.js").Live} live Draws the frames.
   * @param {import("./prompt_store.js").PromptStore} store
   * @param {{everything: boolean}} options
   * @param {Hooks} hooks
   */
  constructor(source, live, store, options, hooks) {
    this.source = source;
    this.live = live;
    this.store = store;
    this.options = options;
    const template = /** @type {HTMLTemplateElement} */ (document.getElementById("tile-template"));
    // Imported, because a clone would belong to the template's own document, which does not display a worker's drawing.
    this.element = /** @type {HTMLElement} */ (document.importNode(template.content.firstElementChild, true));
    this.element.dataset.source = source;
    this.element.querySelector(".tile-name").textContent = source;
    this.note = this.element.querySelector(".tile-note");
    this.canvas = this.element.querySelector("canvas");
    this.canvas.setAttribute("aria-label", `Live video of ${source}`);
    this.note.id = `note-${source}`;
    this.canvas.setAttribute("aria-describedby", this.note.id);
    this.gestures = new Gestures(this.canvas, {
      frame: () => this.frame,
      point: (point, isCross) => this.#point(point, isCross),
      drag: (box) => this.#setDrag(box),
      tap: (tap) => hooks.onTap(this, tap),
      box: (box, frame) => hooks.onBox(this, box, frame),
    });
    this.canvas.addEventListener("focus", () => hooks.onFocus(this));
    live.attach(source, this.canvas.transferControlToOffscreen());
    new ResizeObserver(() => this.#resize()).observe(this.canvas);
    this.invalidate();
  }

  /** Remove the tile from the page. */
  remove() {
    this.element.remove();
    this.live.detach(this.source);
  }

  /** @param {import("./live.js").Drawn} drawn */
  update({ frame, hovered }) {
    if (frame) {
      const { w, h } = frame.image;
      if (this.frame?.image.w !== w || this.frame.image.h !== h) this.element.style.setProperty("--aspect", String(w / h));
      this.frame = frame;
    }
    // Scripts can read what is displayed from the page, too.
    Object.assign(this.canvas.dataset, { index: this.frame.index, seq: this.frame.seq, hovered: hovered ?? "" });
  }

  /** Draw again because the overlay settings have changed. */
  invalidate() {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    // Once for all changes made together.
    queueMicrotask(() => {
      this.#isScheduled = false;
      this.live.configure(this.source, {
        everything: this.options.everything,
        ...this.store.settingsFor(this.source),
        pointer: this.#pointer,
        isCross: this.#isCross,
        drag: this.#drag,
      });
    });
  }

  /** @param {string | null} text A problem; null: none. @param {boolean} isStale Whether the image is outdated. */
  setNote(text, isStale) {
    this.note.textContent = text ?? "";
    // In a wall, long texts are cut.
    this.element.title = text ?? "";
    this.note.hidden = !text;
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
