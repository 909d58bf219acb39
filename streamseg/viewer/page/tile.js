/** One source's live picture, with all that can be done on it. */

import { drawFrame } from "./draw.js";
import { objectsAt } from "./frame.js";
import { Gestures } from "./gestures.js";

/** @typedef {import("./frame.js").Frame} Frame */
/** @typedef {import("./frame.js").FrameObject} FrameObject */

/** Wider canvases cost time and show nothing more. */
const MAX_CANVAS_PX = 2560;
/** How long the place is shown where a lost object was seen last. */
const GHOST_MS = 4000;

/**
 * @typedef {object} Hooks
 * @property {(tile: Tile, frame: Frame) => void} drawn A frame was drawn for the first time.
 * @property {(tile: Tile, tap: any) => void} tapped
 * @property {(tile: Tile, box: number[], frame: Frame) => void} boxed
 * @property {(tile: Tile) => void} chosen
 */

export class Tile {
  /** The frame that is shown. @type {Frame | null} */ frame = null;
  /** @type {Frame | null} */ #next = null;
  /** @type {{x: number, y: number} | null} */ #pointer = null;
  #isCross = false;
  /** @type {number[] | null} */ #drag = null;
  /** Where and when each prompt's object was seen last. @type {Map<string, {found: FrameObject, stampMs: number}>} */ #lastSeen = new Map();
  #isScheduled = false;

  /**
   * @param {string} source
   * @param {import("./prompts.js").PromptBook} book
   * @param {{everything: boolean}} options
   * @param {Hooks} hooks
   */
  constructor(source, book, options, hooks) {
    this.source = source;
    this.book = book;
    this.options = options;
    this.hooks = hooks;
    const template = /** @type {HTMLTemplateElement} */ (document.getElementById("tile-template"));
    this.element = /** @type {HTMLElement} */ (template.content.firstElementChild.cloneNode(true));
    this.element.dataset.source = source;
    this.element.querySelector(".tile-name").textContent = source;
    this.note = this.element.querySelector(".tile-note");
    this.canvas = this.element.querySelector("canvas");
    this.canvas.setAttribute("aria-label", `Live picture of ${source}`);
    this.context = this.canvas.getContext("2d", { alpha: false });
    this.gestures = new Gestures(this.canvas, {
      frame: () => this.frame,
      point: (point, isCross) => this.#point(point, isCross),
      drag: (box) => this.#setDrag(box),
      tap: (tap) => hooks.tapped(this, tap),
      box: (box, frame) => hooks.boxed(this, box, frame),
    });
    this.canvas.addEventListener("focus", () => hooks.chosen(this));
    new ResizeObserver(() => this.#resize()).observe(this.canvas);
  }

  /** @param {Frame} frame Takes the place of the one that waits to be drawn. */
  show(frame) {
    this.#next?.bitmap?.close();
    this.#next = frame;
    this.invalidate();
  }

  /** Draw again at the next opportunity. */
  invalidate() {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    requestAnimationFrame(() => {
      this.#isScheduled = false;
      this.#draw();
    });
  }

  /** @param {string | null} words What is wrong; null: nothing is. @param {boolean} isStale Shown as not live. */
  say(words, isStale) {
    this.note.textContent = words ?? "";
    this.note.hidden = !words;
    this.element.classList.toggle("stale", isStale);
  }

  /**
   * The shown frame at the size of its source, as it looks.
   * @returns {Promise<Blob>} PNG.
   */
  snapshot() {
    const canvas = document.createElement("canvas");
    canvas.width = this.frame.image.w;
    canvas.height = this.frame.image.h;
    const pixelRatio = Math.max(canvas.width / 1000, 1);
    drawFrame(canvas.getContext("2d"), this.frame, { ...this.#look(), drag: null, cross: null, hovered: null, pixelRatio });
    return new Promise((resolve, reject) => {
      canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("the browser gave no picture"))), "image/png");
    });
  }

  #draw() {
    const isNew = this.#next !== null;
    if (this.#next) this.#replace(this.#next);
    const { frame } = this;
    if (!frame) return;
    const look = this.#look();
    drawFrame(this.context, frame, look);
    // What is shown can be read off the page, by scripts as well.
    Object.assign(this.canvas.dataset, {
      index: frame.index,
      seq: frame.seq,
      hovered: look.hovered ? look.hovered.trackId : "",
    });
    if (isNew) this.hooks.drawn(this, frame);
  }

  /** @param {Frame} frame */
  #replace(frame) {
    const before = this.frame;
    this.#next = null;
    this.frame = frame;
    before?.bitmap?.close();
    this.book.note(this.source, frame.header.prompts ?? []);
    const { stampMs } = frame;
    for (const found of frame.objects) {
      for (const name of this.book.namesOf(found)) this.#lastSeen.set(name, { found, stampMs });
    }
    if (before?.image.w !== frame.image.w || before?.image.h !== frame.image.h) {
      this.element.style.setProperty("--aspect", String(frame.image.w / frame.image.h));
      this.#resize();
    }
  }

  /** @returns {import("./draw.js").Look} */
  #look() {
    const { frame, book, options } = this;
    const pointer = this.#pointer;
    const hovered = pointer && !this.#drag ? objectsAt(frame, pointer.x, pointer.y)[0] : null;
    const lost = new Map();
    for (const prompt of book.prompts) {
      const seen = this.#lastSeen.get(prompt.id);
      const isLost = book.statusOf(prompt, this.source)?.state === "lost";
      if (seen && isLost && frame.stampMs - seen.stampMs < GHOST_MS) lost.set(prompt.id, seen.found);
    }
    const { selected } = book;
    const isHere = selected?.points && (selected.source ?? this.source) === this.source;
    const isLost = selected && book.statusOf(selected, this.source)?.state === "lost";
    const points = isHere && !isLost ? book.pointsIn(selected, frame) : [];
    return {
      everything: options.everything,
      names: (found) => book.namesOf(found),
      hovered: hovered ?? null,
      selected: book.selectedId,
      lost,
      marks: points.map(([x, y], row) => ({ x, y, label: selected.labels?.[row] ?? 1 })),
      drag: this.#drag,
      cross: this.#isCross ? pointer : null,
      pixelRatio: this.canvas.width / Math.max(this.canvas.clientWidth, 1),
    };
  }

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    const ratio = Math.min(devicePixelRatio, MAX_CANVAS_PX / width);
    const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (wide === this.canvas.width && high === this.canvas.height) return;
    this.canvas.width = wide;
    this.canvas.height = high;
    // At once, for a canvas is empty after it was resized.
    this.#draw();
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
