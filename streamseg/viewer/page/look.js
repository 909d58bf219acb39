/** How a frame is to be shown: what is asked for on the page, found again in the frame that is drawn. */

import { objectsAt } from "./frame.js";
import { pointsOn } from "./prompts.js";

/** @typedef {import("./frame.js").Frame} Frame */
/** @typedef {import("./frame.js").FrameObject} FrameObject */

/** How long the place is shown where a lost object was seen last. */
const GHOST_MS = 4000;

/**
 * @typedef {object} Wish What the page asks for, in plain values, for it is told to another thread.
 * @property {boolean} everything Whether objects are shown that answer no prompt.
 * @property {[string, string][]} names Of the prompts that mean certain objects, by id.
 * @property {string | null} selected Id of the selected prompt.
 * @property {{points: number[][], labels: number[], anchors: Map<number, number[]>} | null} marks Its points, if they
 *   are to be shown here.
 * @property {{x: number, y: number} | null} pointer In image pixels.
 * @property {boolean} isCross Whether the arrow keys move it.
 * @property {number[] | null} drag xyxy of the box being drawn.
 */

/** @type {Wish} */
export const NO_WISH = {
  everything: true, names: [], selected: null, marks: null, pointer: null, isCross: false, drag: null,
};

/** Where the objects of prompts were seen last. */
export class Sightings {
  /** @type {Map<string, {found: FrameObject, stampMs: number}>} */ #last = new Map();

  /** @param {Frame} frame */
  note({ objects, stampMs }) {
    for (const found of objects) {
      for (const id of found.promptIds) this.#last.set(id, { found, stampMs });
    }
  }

  /** @param {string} id @param {number} stampMs @returns {FrameObject | null} null where that was long ago. */
  recent(id, stampMs) {
    const seen = this.#last.get(id);
    return seen && stampMs - seen.stampMs < GHOST_MS ? seen.found : null;
  }
}

/**
 * @param {Frame} frame
 * @param {Wish} wish
 * @param {Sightings} sightings
 * @param {number} pixelRatio Canvas pixels per CSS pixel.
 * @returns {import("./draw.js").Look}
 */
export function lookOf(frame, wish, sightings, pixelRatio) {
  const { pointer, drag, marks, selected } = wish;
  const names = new Map(wish.names);
  const isLost = new Map(frame.statuses.map(({ id, state }) => [id, state === "lost"]));
  const lost = new Map();
  for (const id of names.keys()) {
    const found = isLost.get(id) && sightings.recent(id, frame.stampMs);
    if (found) lost.set(id, found);
  }
  const points = marks && !isLost.get(selected) ? pointsOn(selected, marks.points, marks.anchors, frame) : [];
  return {
    everything: wish.everything,
    names,
    hovered: pointer && !drag ? (objectsAt(frame, pointer.x, pointer.y)[0] ?? null) : null,
    selected,
    lost,
    marks: points.map(([x, y], row) => ({ x, y, label: marks.labels[row] ?? 1 })),
    drag,
    cross: wish.isCross ? pointer : null,
    pixelRatio,
  };
}
