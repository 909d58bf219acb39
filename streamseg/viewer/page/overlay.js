/** Overlay of a frame: the settings of the page, applied to the frame that is drawn. */

import { objectsAt } from "./frame.js";
import { currentPoints } from "./prompt_store.js";

/** @typedef {import("./frame.js").Frame} Frame */
/** @typedef {import("./frame.js").FrameObject} FrameObject */

/** How long the last known outline of a lost object is displayed. */
const GHOST_MS = 4000;

/**
 * @typedef {object} OverlaySettings Plain values, because they are posted to another thread.
 * @property {boolean} everything Whether to display objects that match no prompt.
 * @property {[string, string][]} names Names of the prompts for single objects, by id.
 * @property {string | null} selected Id of the selected prompt.
 * @property {{points: number[][], labels: number[], anchors: Map<number, number[]>} | null} marks Points of the selected
 *   prompt, if they belong to this source.
 * @property {{x: number, y: number} | null} pointer In image pixels.
 * @property {boolean} isCross Whether the arrow keys move the pointer.
 * @property {number[] | null} drag xyxy of the box being drawn.
 */

/** @type {OverlaySettings} */
export const DEFAULT_SETTINGS = {
  everything: true, names: [], selected: null, marks: null, pointer: null, isCross: false, drag: null,
};

/** The last known object of each prompt. */
export class LastSeen {
  /** @type {Map<string, {found: FrameObject, stampMs: number}>} */ #last = new Map();

  /** @param {Frame} frame */
  record({ objects, stampMs }) {
    for (const found of objects) {
      for (const id of found.promptIds) this.#last.set(id, { found, stampMs });
    }
  }

  /** @param {string} id @param {number} stampMs @returns {FrameObject | null} null if it was seen too long ago. */
  recent(id, stampMs) {
    const seen = this.#last.get(id);
    return seen && stampMs - seen.stampMs < GHOST_MS ? seen.found : null;
  }
}

/**
 * @param {Frame} frame
 * @param {OverlaySettings} settings
 * @param {LastSeen} lastSeen
 * @param {number} pixelRatio Canvas pixels per CSS pixel.
 * @returns {import("./draw.js").Overlay}
 */
export function overlayOf(frame, settings, lastSeen, pixelRatio) {
  const { pointer, drag, marks, selected } = settings;
  const names = new Map(settings.names);
  const isLost = new Map(frame.statuses.map(({ id, state }) => [id, state === "lost"]));
  const lost = new Map();
  for (const id of names.keys()) {
    const found = isLost.get(id) && lastSeen.recent(id, frame.stampMs);
    if (found) lost.set(id, found);
  }
  const points = marks && !isLost.get(selected) ? currentPoints(selected, marks.points, marks.anchors, frame) : [];
  return {
    everything: settings.everything,
    names,
    hovered: pointer && !drag ? (objectsAt(frame, pointer.x, pointer.y)[0] ?? null) : null,
    selected,
    lost,
    marks: points.map(([x, y], row) => ({ x, y, label: marks.labels[row] ?? 1 })),
    drag,
    cross: settings.isCross ? pointer : null,
    pixelRatio,
  };
}
