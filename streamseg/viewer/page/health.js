/** The panel with image age, frame rate, and dropped frames. */

import { drawGraph } from "./graph.js";
import { Meter } from "./meter.js";

const REDRAW_MS = 250;
const CALM_REDRAW_MS = 1000;
/** If the page runs on the machine that captures the frames, both have the same clock. */
const LOCAL = /^(localhost|127(\.\d+){3}|\[::1\])$/;

export class Health {
  /** @type {Map<string, Meter>} */ #meters = new Map();
  /** @type {string | null} */ #source = null;
  #isLocal = LOCAL.test(location.hostname);

  /** @param {HTMLElement} element */
  constructor(element) {
    const find = (name) => element.querySelector(`[data-stat="${name}"]`);
    this.canvas = element.querySelector("canvas");
    this.fields = { fps: find("fps"), p50: find("p50"), p95: find("p95"), dropped: find("dropped"), skipped: find("skipped") };
    this.server = find("server");
    element.querySelector(".health-kind").textContent = this.#isLocal ? "when displayed" : "when sent";
    const intervalMs = matchMedia("(prefers-reduced-motion: reduce)").matches ? CALM_REDRAW_MS : REDRAW_MS;
    setInterval(() => document.hidden || this.draw(), intervalMs);
  }

  /** @param {string | null} source The source to display. */
  watch(source) {
    this.#source = source;
  }

  /**
   * Add drawn frames.
   * @param {string} source
   * @param {import("./painter.js").Sample[]} samples
   */
  add(source, samples) {
    if (!this.#meters.has(source)) this.#meters.set(source, new Meter());
    for (const { seq, drops, timeMs, stampMs, sentAgeMs } of samples) {
      this.#meters.get(source).add({ seq, drops, ageMs: this.#isLocal ? timeMs - stampMs : sentAgeMs }, timeMs);
    }
  }

  /** @param {any} stats Statistics of the run, see `RunStats.as_json`. */
  setStats(stats) {
    const own = stats.sources?.find(({ source_id: source }) => source === this.#source) ?? stats;
    const rate = own.fps ?? stats.recent_fps;
    const age = own.ages?.p50_ms;
    this.server.textContent = age === null || age === undefined ? "–" : `${rate.toFixed(1)} fps, ${Math.round(age)} ms`;
  }

  /** Draw the current state at once. */
  draw() {
    const nowMs = Date.now();
    const meter = this.#meters.get(this.#source ?? "") ?? new Meter();
    // Before text is written: reading the size of the graph after that would force another layout.
    drawGraph(this.canvas, meter.samples, nowMs);
    const stats = meter.stats(nowMs);
    const inMs = (value) => (Number.isNaN(value) ? "–" : `${Math.round(value)} ms`);
    this.fields.fps.textContent = stats.fps.toFixed(1);
    this.fields.p50.textContent = inMs(stats.p50Ms);
    this.fields.p95.textContent = inMs(stats.p95Ms);
    this.fields.dropped.textContent = String(stats.numDropped);
    this.fields.skipped.textContent = String(stats.numSkipped);
  }
}
