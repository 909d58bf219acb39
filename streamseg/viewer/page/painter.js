/** Draws one source's frames onto its canvas, in the worker, and reports the drawn frames to the page. */

import { drawFrame } from "./draw.js";
import { numDrops } from "./frame.js";
import { DEFAULT_SETTINGS, LastSeen, overlayOf } from "./overlay.js";

/** @typedef {import("./frame.js").Frame} Frame */

/**
 * @typedef {object} Sample Timing of one drawn frame.
 * @property {number} seq
 * @property {number} drops Number of frames dropped before it, at any stage and for any reason.
 * @property {number} timeMs Time at which it was drawn, ms since 1970.
 * @property {number} stampMs Time at which it was captured, ms since 1970.
 * @property {number} sentAgeMs Its age when the server sent it.
 */

export class Painter {
  /** @type {OffscreenCanvasRenderingContext2D | null} */ #context = null;
  /** The displayed frame. @type {Frame | null} */ #frame = null;
  /** @type {Frame | null} */ #next = null;
  #settings = DEFAULT_SETTINGS;
  #pixelRatio = 1;
  #lastSeen = new LastSeen();
  #isScheduled = false;
  /** Whether the page has handled the last report. */
  #isPageReady = true;
  /** @type {{isNew: boolean, hovered: number | null, samples: Sample[]}} */ #report = { isNew: false, hovered: null, samples: [] };
  /** @type {number | null} */ #reportedHovered = null;

  /**
   * @param {string} source
   * @param {(frame: Frame) => void} onDrawn Called once per frame.
   * @param {(drawn: import("./live.js").Drawn) => void} onReport Called again only after `ready`.
   */
  constructor(source, onDrawn, onReport) {
    this.source = source;
    this.onDrawn = onDrawn;
    this.onReport = onReport;
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
    // At once, because resizing clears the canvas.
    this.#draw();
  }

  /** @param {Frame} frame Replaces a frame that waits to be drawn. */
  show(frame) {
    this.#next?.bitmap?.close();
    this.#next = frame;
    this.#schedule();
  }

  /** Discard the frame that waits to be drawn. */
  discardNext() {
    this.#next?.bitmap?.close();
    this.#next = null;
  }

  /** @param {import("./overlay.js").OverlaySettings} settings */
  configure(settings) {
    this.#settings = settings;
    this.#schedule();
  }

  /** The page has handled the last report. */
  ready() {
    this.#isPageReady = true;
    this.#sendReport();
  }

  /** @returns {Promise<{index: number, png: Blob, json: Blob}>} The displayed frame at the size of its source. */
  async snapshot() {
    const frame = this.#frame;
    if (!frame) throw new Error("no frame to save yet");
    const canvas = new OffscreenCanvas(frame.image.w, frame.image.h);
    const settings = { ...this.#settings, pointer: null, isCross: false, drag: null };
    const overlay = overlayOf(frame, settings, this.#lastSeen, Math.max(frame.image.w / 1000, 1));
    drawFrame(canvas.getContext("2d", { alpha: false }), frame, overlay);
    const json = new Blob([JSON.stringify(frame.header, null, 2), "\n"], { type: "application/json" });
    return { index: frame.index, png: await canvas.convertToBlob({ type: "image/png" }), json };
  }

  #schedule() {
    if (this.#isScheduled || !this.#context) return;
    this.#isScheduled = true;
    // No sooner than the screen can display it, and never in a hidden page, to which nothing more is sent then.
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
      this.#lastSeen.record(next);
    }
    const frame = this.#frame;
    if (!frame || !this.#context) return;
    const overlay = overlayOf(frame, this.#settings, this.#lastSeen, this.#pixelRatio);
    drawFrame(this.#context, frame, overlay);
    this.#report.hovered = overlay.hovered?.trackId ?? null;
    if (next) {
      this.onDrawn(next);
      const { seq, stampMs, header } = next;
      const timeMs = Date.now();
      this.#report.isNew = true;
      this.#report.samples.push({ seq, drops: numDrops(header), timeMs, stampMs, sentAgeMs: header.age_ms });
    }
    this.#sendReport();
  }

  #sendReport() {
    const { isNew, hovered, samples } = this.#report;
    if (!this.#isPageReady || (!isNew && hovered === this.#reportedHovered)) return;
    this.#isPageReady = false;
    this.#reportedHovered = hovered;
    this.#report = { isNew: false, hovered, samples: [] };
    this.onReport({ source: this.source, frame: isNew ? forPage(this.#frame) : null, hovered, samples });
  }
}

/** @param {Frame} frame @returns {Frame} Only the parts that the page needs, because all of it is copied. */
function forPage(frame) {
  const objects = frame.objects.map(({ path, outline, ...found }) => found);
  return { ...frame, objects, header: null, bitmap: null };
}
