/** Draws one source's frames onto its canvas, in the worker, and tells the page what is shown. */

import { drawFrame } from "./draw.js";
import { numDrops } from "./frame.js";
import { lookOf, NO_WISH, Sightings } from "./look.js";

/** @typedef {import("./frame.js").Frame} Frame */

/**
 * @typedef {object} Sample Of one frame that was drawn.
 * @property {number} seq
 * @property {number} drops Frames dropped before it, by whatever stage and reason.
 * @property {number} timeMs When it was drawn, ms since 1970.
 * @property {number} stampMs When its picture was taken.
 * @property {number} sentAgeMs How old it was when the server sent it.
 */

export class Painter {
  /** @type {OffscreenCanvasRenderingContext2D | null} */ #context = null;
  /** The frame that is shown. @type {Frame | null} */ #frame = null;
  /** @type {Frame | null} */ #next = null;
  #wish = NO_WISH;
  #pixelRatio = 1;
  #sightings = new Sightings();
  #isScheduled = false;
  /** Whether the page has read what it was told last. */
  #isTaken = true;
  /** @type {{isNew: boolean, hovered: number | null, samples: Sample[]}} */ #news = { isNew: false, hovered: null, samples: [] };
  /** @type {number | null} */ #toldHovered = null;

  /**
   * @param {string} source
   * @param {(frame: Frame) => void} drawn Called once per frame.
   * @param {(drawn: import("./live.js").Drawn) => void} tell Called again only after `taken`.
   */
  constructor(source, drawn, tell) {
    this.source = source;
    this.drawn = drawn;
    this.tell = tell;
  }

  /** @param {OffscreenCanvas} canvas */
  attach(canvas) {
    this.#context = canvas.getContext("2d", { alpha: false });
    this.#schedule();
  }

  /** @param {{width: number, height: number, pixelRatio: number}} size */
  resize({ width, height, pixelRatio }) {
    this.#pixelRatio = pixelRatio;
    if (!this.#context) return;
    Object.assign(this.#context.canvas, { width, height });
    // At once, for a canvas is empty after it was resized.
    this.#draw();
  }

  /** @param {Frame} frame Takes the place of the one that waits to be drawn. */
  show(frame) {
    this.#next?.bitmap?.close();
    this.#next = frame;
    this.#schedule();
  }

  /** Give up the frame that waits to be drawn. */
  forget() {
    this.#next?.bitmap?.close();
    this.#next = null;
  }

  /** @param {import("./look.js").Wish} wish */
  look(wish) {
    this.#wish = wish;
    this.#schedule();
  }

  /** The page has read what it was told. */
  taken() {
    this.#isTaken = true;
    this.#report();
  }

  /** @returns {Promise<{index: number, png: Blob, json: Blob}>} The shown frame at the size of its source. */
  async snapshot() {
    const frame = this.#frame;
    if (!frame) throw new Error("there is no picture to save yet");
    const canvas = new OffscreenCanvas(frame.image.w, frame.image.h);
    const wish = { ...this.#wish, pointer: null, isCross: false, drag: null };
    const look = lookOf(frame, wish, this.#sightings, Math.max(frame.image.w / 1000, 1));
    drawFrame(canvas.getContext("2d", { alpha: false }), frame, look);
    const json = new Blob([JSON.stringify(frame.header, null, 2), "\n"], { type: "application/json" });
    return { index: frame.index, png: await canvas.convertToBlob({ type: "image/png" }), json };
  }

  #schedule() {
    if (this.#isScheduled || !this.#context) return;
    this.#isScheduled = true;
    // Not sooner than the screen can show it; and never in a page that nobody sees, which then is sent nothing.
    requestAnimationFrame(() => {
      this.#isScheduled = false;
      this.#draw();
    });
  }

  #draw() {
    const next = this.#next;
    this.#next = null;
    if (next) {
      this.#frame?.bitmap?.close();
      this.#frame = next;
      this.#sightings.note(next);
    }
    const frame = this.#frame;
    if (!frame || !this.#context) return;
    const look = lookOf(frame, this.#wish, this.#sightings, this.#pixelRatio);
    drawFrame(this.#context, frame, look);
    this.#news.hovered = look.hovered?.trackId ?? null;
    if (next) {
      this.drawn(next);
      const { seq, stampMs, header } = next;
      const timeMs = Date.now();
      this.#news.isNew = true;
      this.#news.samples.push({ seq, drops: numDrops(header), timeMs, stampMs, sentAgeMs: header.age_ms });
    }
    this.#report();
  }

  #report() {
    const { isNew, hovered, samples } = this.#news;
    if (!this.#isTaken || (!isNew && hovered === this.#toldHovered)) return;
    this.#isTaken = false;
    this.#toldHovered = hovered;
    this.#news = { isNew: false, hovered, samples: [] };
    this.tell({ source: this.source, frame: isNew ? pointable(this.#frame) : null, hovered, samples });
  }
}

/** @param {Frame} frame @returns {Frame} What the page needs of it, and no more: all of it is copied. */
function pointable(frame) {
  const objects = frame.objects.map(({ path, outline, ...found }) => found);
  return { ...frame, objects, header: null, bitmap: null };
}
