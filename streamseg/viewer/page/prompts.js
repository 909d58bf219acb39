/** The prompts in force, how they stand, which one is selected, and what a click asks for. */

import { objectsAt } from "./frame.js";

const SAME_SPOT_PX = 8;
const SAME_SPOT_MS = 4000;

/**
 * @typedef {object} Prompt As the control channel has it; without points, box, mask and text it means everything.
 * @property {string} id
 * @property {string | null} [source]
 * @property {number | null} [index]
 * @property {number[][]} [points]
 * @property {number[]} [labels]
 * @property {number[]} [box]
 * @property {object} [mask]
 * @property {string} [text]
 */

/** @typedef {{id: string, state: string, confidence: number, track_id: number}} Status */
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
 * Points that were set on an object, where it is and as large as it is at another time.
 * @param {number[][]} points
 * @param {number[]} before xyxy.
 * @param {number[]} after xyxy.
 * @returns {number[][]}
 */
export function carry(points, before, after) {
  const scaleX = (after[2] - after[0]) / Math.max(before[2] - before[0], 1);
  const scaleY = (after[3] - after[1]) / Math.max(before[3] - before[1], 1);
  return points.map(([x, y]) => [after[0] + (x - before[0]) * scaleX, after[1] + (y - before[1]) * scaleY]);
}

/**
 * Where the points of a prompt are in a frame, once its object has moved.
 * @param {string} id
 * @param {number[][]} points
 * @param {Map<number, number[]> | undefined} anchors Boxes of the objects that were under them when they were set.
 * @param {Pick<Frame, "objects">} frame
 * @returns {number[][]}
 */
export function pointsOn(id, points, anchors, { objects }) {
  const found = objects.find(({ promptIds }) => promptIds.includes(id));
  const before = found && anchors?.get(found.trackId);
  return found && before ? carry(points, before, found.box) : points;
}

export class PromptBook {
  /** @type {Prompt[]} */ #served = [];
  /** Ids of those that mean certain objects. @type {Set<string>} */ #following = new Set();
  /** Names that were given to prompts, by id. @type {Map<string, string>} */ #names = new Map();
  /** Asked for, not yet confirmed. @type {Map<string, Prompt>} */ #asked = new Map();
  /** @type {Map<string, Map<string, Status>>} */ #statuses = new Map();
  /** Boxes of the objects that were under a prompt's points when they were set. @type {Map<string, Map<number, number[]>>} */
  #anchors = new Map();
  /** @type {{id: string, screen: {x: number, y: number}, timeMs: number} | null} */ #lastTap = null;
  /** @type {string | null} */ selectedId = null;

  /** Those that mean certain objects, in the order in which they were set. */
  get prompts() {
    const served = this.#served.filter(({ id }) => this.#following.has(id));
    const known = new Set(this.#served.map(({ id }) => id));
    return [...served, ...[...this.#asked.values()].filter(({ id }) => !known.has(id))];
  }

  get selected() {
    return this.prompts.find(({ id }) => id === this.selectedId) ?? null;
  }

  /** @param {string} id @returns {string} What the prompt is called on the page. */
  nameOf(id) {
    return this.#names.get(id) ?? id;
  }

  /** @param {Record<string, string>} names All that were given, by id. */
  rename(names) {
    this.#names = new Map(Object.entries(names));
  }

  /** @param {Prompt[]} prompts What the server says is in force. */
  serve(prompts) {
    this.#served = prompts;
    this.#following = new Set(prompts.filter((prompt) => kindOf(prompt) !== "everything").map(({ id }) => id));
    if (!this.selected) this.selectedId = null;
  }

  /** @param {Prompt} prompt Is shown at once. */
  ask(prompt) {
    this.#asked.set(prompt.id, prompt);
    this.selectedId = prompt.id;
  }

  /** @param {string} id The server has confirmed or refused it. */
  settle(id) {
    this.#asked.delete(id);
    if (!this.selected) this.selectedId = null;
  }

  /** @param {string} source @param {Status[]} statuses Of the prompts in one frame. */
  note(source, statuses) {
    this.#statuses.set(source, new Map(statuses.map((status) => [status.id, status])));
  }

  /**
   * How a prompt stands at a source.
   * @param {Prompt} prompt
   * @param {string} source Looked at where the prompt is meant for all of them.
   * @returns {Status | null} null before anything is known.
   */
  statusOf(prompt, source) {
    return this.#statuses.get(prompt.source ?? source)?.get(prompt.id) ?? null;
  }

  /**
   * The prompts that an object answers, without those that mean everything.
   * @param {import("./frame.js").FrameObject} found
   * @returns {string[]} Their ids.
   */
  #answeredBy({ promptIds }) {
    return promptIds.filter((id) => this.#following.has(id));
  }

  /** @returns {string} p1, p2, …: the first that is free. */
  nextId() {
    const taken = new Set([...this.#served.map(({ id }) => id), ...this.#asked.keys(), ...this.#names.values()]);
    let number = 1;
    while (taken.has(`p${number}`)) number += 1;
    return `p${number}`;
  }

  /**
   * What those who draw a source's pictures must know.
   * @param {string} source
   * @returns {Pick<import("./look.js").Wish, "names" | "selected" | "marks">}
   */
  wishFor(source) {
    const { selected } = this;
    const isHere = selected?.points && (selected.source ?? source) === source;
    return {
      names: [...this.#following].map((id) => [id, this.nameOf(id)]),
      selected: selected?.id ?? null,
      marks: isHere
        ? { points: selected.points, labels: labelsOf(selected), anchors: this.#anchors.get(selected.id) ?? new Map() }
        : null,
    };
  }

  /**
   * What a tap on a frame asks for.
   * @param {Parameters<import("./gestures.js").Hooks["tap"]>[0]} tap
   * @param {number} timeMs
   * @returns {Call | string | null} A call; or why there is none; or null, where a prompt was selected.
   */
  tapped({ point, kind, frame, screen }, timeMs) {
    const last = this.#lastTap;
    this.#lastTap = null;
    if (kind !== "new") return this.#addPoint(point, kind, frame);
    const isSame = last && Math.hypot(screen.x - last.screen.x, screen.y - last.screen.y) <= SAME_SPOT_PX;
    if (isSame && last.id === this.selectedId && timeMs - last.timeMs <= SAME_SPOT_MS) {
      this.#lastTap = { ...last, timeMs };
      return { op: "prompts.step", args: { id: last.id } };
    }
    const under = objectsAt(frame, point.x, point.y);
    const ids = under.length ? this.#answeredBy(under[0]) : [];
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
  boxed(box, frame) {
    return this.#set({ id: this.nextId(), source: frame.source, index: frame.index, box: box.map(rounded) }, frame);
  }

  /** @param {string} text @param {string | null} source null: all of them. @returns {Call} */
  described(text, source) {
    return this.#set({ id: this.nextId(), ...(source === null ? {} : { source }), text }, null);
  }

  /** @param {{x: number, y: number}} point @param {string} kind @param {Frame} frame @returns {Call | string} */
  #addPoint({ x, y }, kind, frame) {
    const prompt = this.selected;
    if (!prompt) return "Select a prompt first: points are added to the selected one.";
    const name = this.nameOf(prompt.id);
    if (!prompt.points) return `${name} is a ${kindOf(prompt)} prompt; points can be added to point prompts.`;
    if (prompt.source && prompt.source !== frame.source) return `${name} belongs to ${prompt.source}; its points lie there.`;
    const points = [...pointsOn(prompt.id, prompt.points, this.#anchors.get(prompt.id), frame), [x, y]];
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

/** @param {Prompt} prompt Of points. @returns {number[]} 1 foreground, 0 background. */
function labelsOf({ points, labels }) {
  return labels ?? points.map(() => 1);
}

/** @param {number} value @returns {number} To 1/100 pixel. */
function rounded(value) {
  return Math.round(value * 100) / 100;
}

/** @param {number[][]} points @param {number[]} labels */
function withPoints(points, labels) {
  return { points: points.map((point) => point.map(rounded)), labels };
}
