/** The prompts in force with their statuses and names, the selected prompt, and the calls for clicks and boxes. */

import { objectsAt } from "./frame.js";

const SAME_SPOT_PX = 8;
const SAME_SPOT_MS = 4000;

/**
 * @typedef {object} Prompt In the format of the control channel; without points, box, mask and text it selects everything.
 * @property {string} id
 * @property {string | null} [source]
 * @property {number | null} [index]
 * @property {number[][]} [points]
 * @property {number[]} [labels]
 * @property {number[]} [box]
 * @property {object} [mask]
 * @property {string} [text]
 */

/** @typedef {{id: string, state: string, confidence: number, mask_quality?: number | null, track_id: number}} Status */
/** @typedef {{op: string, args: any, prompt?: Prompt}} Call */
/** @typedef {import("./frame.js").Frame} Frame */

/** @param {Prompt} prompt @returns {"point" | "box" | "mask" | "text" | "everything"} */
export function kindOf(prompt) {
  if (prompt.points) return "point";
  if (prompt.box) return "box";
  if (prompt.mask) return "mask";
  return typeof prompt.text === "string" ? "text" : "everything";
}

/**
 * Shift and scale points with their object from one box to another.
 * @param {number[][]} points
 * @param {number[]} before xyxy.
 * @param {number[]} after xyxy.
 * @returns {number[][]}
 */
export function transformPoints(points, before, after) {
  const scaleX = (after[2] - after[0]) / Math.max(before[2] - before[0], 1);
  const scaleY = (after[3] - after[1]) / Math.max(before[3] - before[1], 1);
  return points.map(([x, y]) => [after[0] + (x - before[0]) * scaleX, after[1] + (y - before[1]) * scaleY]);
}

/**
 * The points of a prompt in a frame, moved with its object.
 * @param {string} id
 * @param {number[][]} points
 * @param {Map<number, number[]> | undefined} anchors Boxes of the objects under the points when they were set.
 * @param {Pick<Frame, "objects">} frame
 * @returns {number[][]}
 */
export function currentPoints(id, points, anchors, { objects }) {
  const found = objects.find(({ promptIds }) => promptIds.includes(id));
  const before = found && anchors?.get(found.trackId);
  return found && before ? transformPoints(points, before, found.box) : points;
}

export class PromptStore {
  /** Prompts in force on the server. @type {Prompt[]} */ #inForce = [];
  /** Ids of the prompts for single objects. @type {Set<string>} */ #objectIds = new Set();
  /** Names given to prompts, by id. @type {Map<string, string>} */ #names = new Map();
  /** Prompts that were sent but not yet confirmed, by id. @type {Map<string, Prompt>} */ #pending = new Map();
  /** @type {Map<string, Map<string, Status>>} */ #statuses = new Map();
  /** Boxes of the objects under a prompt's points when they were set. @type {Map<string, Map<number, number[]>>} */
  #anchors = new Map();
  /** @type {{id: string, screen: {x: number, y: number}, timeMs: number} | null} */ #lastTap = null;
  /** @type {string | null} */ selectedId = null;

  /** The prompts for single objects, in the order in which they were set. */
  get prompts() {
    const confirmed = this.#inForce.filter(({ id }) => this.#objectIds.has(id));
    const known = new Set(this.#inForce.map(({ id }) => id));
    return [...confirmed, ...[...this.#pending.values()].filter(({ id }) => !known.has(id))];
  }

  get selected() {
    return this.prompts.find(({ id }) => id === this.selectedId) ?? null;
  }

  /** @param {string} id @returns {string} Display name of the prompt. */
  nameOf(id) {
    return this.#names.get(id) ?? id;
  }

  /** @param {Record<string, string>} names All given names, by id. */
  setNames(names) {
    this.#names = new Map(Object.entries(names));
  }

  /** @param {Prompt[]} prompts Prompts in force on the server. */
  setPrompts(prompts) {
    this.#inForce = prompts;
    this.#objectIds = new Set(prompts.filter((prompt) => kindOf(prompt) !== "everything").map(({ id }) => id));
    if (!this.selected) this.selectedId = null;
  }

  /** @param {Prompt} prompt Displayed at once and selected. */
  addPending(prompt) {
    this.#pending.set(prompt.id, prompt);
    this.selectedId = prompt.id;
  }

  /** @param {string} id The server has confirmed or rejected it. */
  removePending(id) {
    this.#pending.delete(id);
    if (!this.selected) this.selectedId = null;
  }

  /** @param {string} source @param {Status[]} statuses Prompt statuses in one frame. */
  setStatuses(source, statuses) {
    this.#statuses.set(source, new Map(statuses.map((status) => [status.id, status])));
  }

  /**
   * The status of a prompt at a source.
   * @param {Prompt} prompt
   * @param {string} source Used if the prompt applies to all sources.
   * @returns {Status | null} null before the first status.
   */
  statusOf(prompt, source) {
    return this.#statuses.get(prompt.source ?? source)?.get(prompt.id) ?? null;
  }

  /**
   * The single-object prompts that an object matches.
   * @param {import("./frame.js").FrameObject} found
   * @returns {string[]} Their ids.
   */
  #promptsOf({ promptIds }) {
    return promptIds.filter((id) => this.#objectIds.has(id));
  }

  /** @returns {string} p1, p2, …: the first free id. */
  nextId() {
    const taken = new Set([...this.#inForce.map(({ id }) => id), ...this.#pending.keys(), ...this.#names.values()]);
    let number = 1;
    while (taken.has(`p${number}`)) number += 1;
    return `p${number}`;
  }

  /**
   * The overlay settings that depend on prompts.
   * @param {string} source
   * @returns {Pick<import("./overlay.js").OverlaySettings, "names" | "selected" | "marks">}
   */
  settingsFor(source) {
    const { selected } = this;
    const isHere = selected?.points && (selected.source ?? source) === source;
    return {
      names: [...this.#objectIds].map((id) => [id, this.nameOf(id)]),
      selected: selected?.id ?? null,
      marks: isHere
        ? { points: selected.points, labels: labelsOf(selected), anchors: this.#anchors.get(selected.id) ?? new Map() }
        : null,
    };
  }

  /**
   * Handle a tap on a frame.
   * @param {Parameters<import("./gestures.js").Hooks["tap"]>[0]} tap
   * @param {number} timeMs
   * @returns {Call | string | null} A call, or the reason why there is none, or null if a prompt was selected.
   */
  handleTap({ point, kind, frame, screen }, timeMs) {
    const last = this.#lastTap;
    this.#lastTap = null;
    if (kind !== "new") return this.#addPoint(point, kind, frame);
    const isSame = last && Math.hypot(screen.x - last.screen.x, screen.y - last.screen.y) <= SAME_SPOT_PX;
    if (isSame && last.id === this.selectedId && timeMs - last.timeMs <= SAME_SPOT_MS) {
      this.#lastTap = { ...last, timeMs };
      return { op: "prompts.step", args: { id: last.id } };
    }
    const under = objectsAt(frame, point.x, point.y);
    const ids = under.length ? this.#promptsOf(under[0]) : [];
    if (ids.length) {
      const at = ids.indexOf(this.selectedId);
      this.selectedId = ids[(at + 1) % ids.length];
      this.#lastTap = { id: this.selectedId, screen, timeMs };
      return null;
    }
    const id = this.nextId();
    this.#lastTap = { id, screen, timeMs };
    return this.#set({ id, source: frame.source, index: frame.index, ...withPoints([[point.x, point.y]], [1]) }, frame);
  }

  /** @param {number[]} box xyxy. @param {Frame} frame @returns {Call} */
  boxCall(box, frame) {
    return this.#set({ id: this.nextId(), source: frame.source, index: frame.index, box: box.map(rounded) }, frame);
  }

  /** @param {string} text @param {string | null} source null: all sources. @returns {Call} */
  textCall(text, source) {
    return this.#set({ id: this.nextId(), ...(source === null ? {} : { source }), text }, null);
  }

  /** @param {{x: number, y: number}} point @param {string} kind @param {Frame} frame @returns {Call | string} */
  #addPoint({ x, y }, kind, frame) {
    const prompt = this.selected;
    if (!prompt) return "Select a prompt first: points are added to the selected prompt.";
    const name = this.nameOf(prompt.id);
    if (!prompt.points) return `${name} is a ${kindOf(prompt)} prompt; points can only be added to point prompts.`;
    if (prompt.source && prompt.source !== frame.source) return `${name} belongs to ${prompt.source}; add its points there.`;
    const points = [...currentPoints(prompt.id, prompt.points, this.#anchors.get(prompt.id), frame), [x, y]];
    const labels = [...labelsOf(prompt), kind === "foreground" ? 1 : 0];
    return this.#set({ id: prompt.id, source: frame.source, index: frame.index, ...withPoints(points, labels) }, frame);
  }

  /** @param {Prompt} prompt @param {Frame | null} frame @returns {Call} */
  #set(prompt, frame) {
    const under = frame && prompt.points ? prompt.points.flatMap(([x, y]) => objectsAt(frame, x, y)) : [];
    const known = under.filter(({ trackId }) => trackId >= 0);
    this.#anchors.set(prompt.id, new Map(known.map(({ trackId, box }) => [trackId, box])));
    return { op: "prompts.set", args: { prompts: [prompt] }, prompt };
  }
}

/** @param {Prompt} prompt A point prompt. @returns {number[]} 1 foreground, 0 background. */
function labelsOf({ points, labels }) {
  return labels ?? points.map(() => 1);
}

/** @param {number} value @returns {number} Rounded to 1/100 pixel. */
function rounded(value) {
  return Math.round(value * 100) / 100;
}

/** @param {number[][]} points @param {number[]} labels */
function withPoints(points, labels) {
  return { points: points.map((point) => point.map(rounded)), labels };
}
